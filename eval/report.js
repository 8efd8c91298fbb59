// A click on a heading of a sortable table orders its lines by that column: numbers by their value,
// words by the alphabet, and a second click the other way round.
document.addEventListener("click", (event) => {
  const button = event.target.closest?.(".report thead button");
  if (!button) return;
  const heading = button.closest("th");
  const headings = [...heading.parentElement.children];
  const column = headings.indexOf(heading);
  const body = heading.closest("table").tBodies[0];
  const descending = heading.ariaSort === "ascending";
  headings.forEach((other) => other.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const key = (line) => {
    const cell = line.children[column];
    return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
  };
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)];
    if (typeof x === "string") return x.localeCompare(y);
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    return x - y;
  };
  const lines = [...body.rows].sort(compare);
  body.append(...(descending ? lines.reverse() : lines));
});
