// Filters over views that were drawn beforehand. A filter keeps its value where there is such a view,
// given the filters before it; else it takes the first,
// for the severity the middle one.
const unpack = async (text) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
};
const start = async () => {
  const views = await unpack(document.querySelector("#data").textContent);
  const filters = [...document.querySelectorAll("[data-filter]")];
  const show = () => {
    let left = views;
    filters.forEach((filter, place) => {
      const chosen = filter.value;
      const names = [...new Set(left.map(({ titles }) => titles[place]))];
      if (filter.dataset.filter === "severity") names.sort((a, b) => a - b);
      filter.replaceChildren(...names.map((name) => new Option(name)));
      const usual = left.find((view) => view.usual) ?? left[0];
      filter.value = names.includes(chosen) ? chosen : usual.titles[place];
      left = left.filter(({ titles }) => titles[place] === filter.value);
    });
    const [view] = left;
    for (const [name, table] of Object.entries(view.tables)) {
      document.querySelector(`[data-table=${name}]`).innerHTML = table;
    }
    for (const [name, { data, layout }] of Object.entries(view.charts)) {
      const settings = { responsive: true, displayModeBar: false };
      Plotly.react(document.querySelector(`[data-chart=${name}]`), data, layout, settings);
    }
  };
  document.querySelector("form").addEventListener("change", show);
  show();
};
start();
