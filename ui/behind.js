// A click on a line of a table or on a point of a chart asks for the photos behind it. What it asks
// for is written there: see `behind` in eval/leaderboard.py.
const ask = (text) => {
  if (element.isConnected) trigger("ask", JSON.parse(text));
};
document.addEventListener("click", ({ target }) => {
  const line = target.closest?.("[id^=board-] tbody tr");
  const button = line?.querySelector("[data-behind]");
  if (button) ask(button.dataset.behind);
});
document.addEventListener("pointerdown", ({ target }) => {
  const chart = target.closest?.("[id^=board-] .js-plotly-plot");
  if (!chart || chart.dataset.heard) return;
  chart.dataset.heard = "yes";
  chart.on("plotly_click", ({ points }) => points[0]?.customdata && ask(points[0].customdata));
});
watch("value", () => {
  if (props.value) element.scrollIntoView({ behavior: "smooth", block: "nearest" });
});
