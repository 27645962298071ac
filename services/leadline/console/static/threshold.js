// The slider of thresholds: the line follows at once, the figures a moment later.

import { go, onRegion } from "./swap.js";

const SETTLE_MS = 120;
const DIGITS = 6;
let timer = null;
let moving = false;

const chartOf = () => document.querySelector("[data-scores]");

/** The score at a place of the log-odds axis, 0 to 1000. */
function scoreAt(chart, place) {
  const low = Number(chart.dataset.low);
  const odds = low + ((Number(chart.dataset.high) - low) * place) / 1000;
  return Number((1 / (1 + Math.exp(-odds))).toPrecision(DIGITS));
}

/** Moves the line and recolours the bars; nothing is asked. */
function draw(chart, place) {
  const at = place / 10;
  const score = scoreAt(chart, place);
  for (const bar of chart.querySelectorAll("[data-x]")) bar.classList.toggle("over", Number(bar.dataset.x) >= at);
  const line = chart.querySelector(".cut");
  line.setAttribute("x1", `${at}%`);
  line.setAttribute("x2", `${at}%`);
  const name = chart.querySelector(".cut-name");
  name.setAttribute("x", `${at}%`);
  name.textContent = score.toPrecision(3);
  const field = document.getElementById("threshold");
  if (field) field.value = score;
}

function ask(slider) {
  const url = new URL(location.href);
  url.searchParams.set("threshold", scoreAt(chartOf(), slider.value));
  go(url.href, { replace: true });
}

export function startThreshold() {
  const slider = document.querySelector("[data-slider]");
  if (!slider) return;
  slider.addEventListener("input", () => {
    moving = true;
    draw(chartOf(), slider.value);
    clearTimeout(timer);
    timer = setTimeout(() => ask(slider), SETTLE_MS);
  });
  slider.addEventListener("change", () => {
    moving = false;
  });
  onRegion((region) => {
    const chart = region.dataset.region === "scores" && chartOf();
    if (!chart) return;
    if (moving) draw(chart, slider.value);
    else slider.value = Math.round(Number(chart.dataset.at) * 10);
  });
}
