// The matrix is one tab stop: arrows move within it, Enter opens the cell's cases.

import { onRegion } from "./swap.js";

const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
let last = null;

function rove(table) {
  const cells = [...table.querySelectorAll("tbody td > a")];
  const here = table.querySelector("a:focus") ?? at(table, last) ?? table.querySelector("a[aria-current]") ?? cells[0];
  for (const cell of cells) cell.tabIndex = cell === here ? 0 : -1;
}

function at(table, place) {
  return place && table.rows[place[0]]?.cells[place[1]]?.querySelector("a");
}

function move(table, event) {
  const cell = event.target.closest("tbody td");
  if (!cell || event.ctrlKey || event.metaKey || event.altKey) return;
  const row = cell.parentElement;
  const end = [...row.cells].findLastIndex((c) => c.querySelector("a"));
  const step = MOVES[event.key];
  let next = null;
  if (step) next = at(table, [row.rowIndex + step[0], cell.cellIndex + step[1]]);
  else if (event.key === "Home") next = at(table, [row.rowIndex, 1]);
  else if (event.key === "End") next = at(table, [row.rowIndex, end]);
  else return;
  event.preventDefault();
  next?.focus();
}

export function startMatrix() {
  onRegion((region) => {
    const table = region.querySelector("[data-matrix]");
    if (!table) return;
    rove(table);
    table.addEventListener("keydown", (event) => move(table, event));
    table.addEventListener("focusin", (event) => {
      const cell = event.target.closest("td");
      if (cell) last = [cell.parentElement.rowIndex, cell.cellIndex];
      rove(table);
    });
  });
}
