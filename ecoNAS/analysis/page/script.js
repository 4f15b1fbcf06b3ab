"use strict";
// The page works without this script but for its plots: text and tables are plain HTML.
const report = JSON.parse(document.getElementById("report-data").textContent);
const isRoomy = window.innerWidth > 600;

for (const [id, figure] of Object.entries(report.figures)) {
  Plotly.newPlot(id, figure.data, figure.layout, {
    responsive: true,
    displaylogo: false,
    displayModeBar: id === "front" && isRoomy,
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  });
}

// The front on other axes: the positions of all points are known, so only coordinates and titles change.
function showAxes() {
  const [x, y] = ["x", "y"].map((end) => document.getElementById("axis-" + end).value);
  const front = report.front;
  const groups = [front.groups.dominated, front.lines[x][y], front.groups.front, front.groups.knee];
  const pick = (values) => groups.map((group) => group.map((index) => values[index]));
  const update = { x: pick(front.axes[x].values), y: pick(front.axes[y].values) };
  for (const [end, name] of [["x", x], ["y", y]]) {
    const errors = front.axes[name].errors;
    update["error_" + end] = groups.map((group, place) =>
      errors && place >= 2
        ? { array: group.map((index) => errors[index]), thickness: 1, width: 0, visible: true }
        : { visible: false });
  }
  Plotly.restyle("front", update);
  Plotly.restyle("front", { "line.shape": front.axes[x].shape }, [1]);
  const layout = {};
  for (const [end, name] of [["xaxis", x], ["yaxis", y]]) {
    for (const [key, value] of Object.entries(front.axes[name].layout)) layout[end + "." + key] = value;
    layout[end + ".autorange"] = true;
  }
  Plotly.relayout("front", layout);
}
for (const end of ["x", "y"]) {
  const select = document.getElementById("axis-" + end);
  if (select) select.addEventListener("change", showAxes);
}

// Tables sort by the numbers behind their cells, not by what is printed.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const heading = button.parentElement, table = heading.closest("table"), body = table.tBodies[0];
    const column = heading.cellIndex, rises = heading.getAttribute("aria-sort") !== "ascending";
    const key = (row) => row.cells[column].dataset.sort;
    const rows = [...body.rows].sort((a, b) => {
      const difference = key(a) - key(b);
      const order = Number.isNaN(difference) ? key(a).localeCompare(key(b)) : difference;
      return rises ? order : -order;
    });
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", rises ? "ascending" : "descending");
    body.append(...rows);
  });
}
