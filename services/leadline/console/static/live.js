// Live updates: one event stream for the page's state; none while hidden or paused.

import { announce, onRegion, swapRegion } from "./swap.js";

const RETRY_SECONDS = 4;
let source = null;
let paused = false;
let lostAt = null;
let timer = null;
let stale = document.querySelector("main")?.classList.contains("stale") ?? false;

const clock = (date) => date.toISOString().slice(11, 19);
const badge = () => document.querySelector("[data-pause]");

function open() {
  close();
  if (paused || document.hidden || !document.querySelector("main[data-kind]")) return;
  const state = new URLSearchParams(location.search);
  state.set("page", location.pathname);
  source = new EventSource(`/events?${state}`);
  source.addEventListener("message", (event) => apply(JSON.parse(event.data)));
  source.addEventListener("reload", () => location.reload());
  source.addEventListener("error", lose);
  source.addEventListener("open", found);
}

function close() {
  source?.close();
  source = null;
  clearTimeout(timer);
}

function apply(update) {
  const main = document.querySelector("main");
  if (main.dataset.kind === "failed") {
    if (!update.failed) location.reload();
    return;
  }
  for (const [name, [digest, html]] of Object.entries(update.regions)) swapRegion(name, digest, html);
  main.classList.toggle("stale", update.stale);
  if (update.stale !== stale) announce(update.stale ? "The reader does not answer; figures are old." : "Figures are live again.");
  stale = update.stale;
}

function lose() {
  close();
  if (!lostAt) {
    lostAt = new Date();
    announce("Connection lost; figures are old.");
  }
  show(RETRY_SECONDS);
}

function show(seconds) {
  const slot = document.querySelector('[data-region="advice"]');
  let line = document.getElementById("lost-line");
  if (!line && slot) {
    line = document.getElementById("lost").content.firstElementChild.cloneNode(true);
    line.id = "lost-line";
    line.querySelector("[data-lost-at]").textContent = clock(lostAt);
    line.querySelector("[data-lost-as-of]").textContent = badge()?.dataset.asOf ?? "";
    line.querySelector("[data-lost-now]").addEventListener("click", open);
    slot.before(line);
    document.querySelector("main").classList.add("stale");
    write("As of", badge()?.dataset.asOf ?? "", true);
  }
  if (line) line.querySelector("[data-lost-again]").textContent = `Trying again in ${seconds} s.`;
  timer = setTimeout(() => (seconds > 1 ? show(seconds - 1) : open()), 1000);
}

function found() {
  if (!lostAt) return;
  lostAt = null;
  document.getElementById("lost-line")?.remove();
  if (!stale) document.querySelector("main").classList.remove("stale");
  const region = document.querySelector('[data-region="live"]');
  region.dataset.digest = "";
  announce("Connected again; figures are live.");
}

function write(word, when, off) {
  const button = badge();
  if (!button) return;
  button.classList.toggle("off", off);
  button.querySelector("[data-live-word]").textContent = word;
  button.querySelector("small").textContent = when;
  button.setAttribute("aria-label", `${word} ${when}. ${off ? "Go on" : "Pause"}`);
}

/** Pauses, or goes on. */
export function togglePause() {
  paused = !paused;
  if (paused) {
    close();
    write("Paused", badge()?.dataset.asOf ?? "", true);
  } else {
    document.querySelector('[data-region="live"]').dataset.digest = "";
    open();
  }
  announce(paused ? "Paused." : "Live again.");
}

/** Opens the stream, and follows the page's state and visibility. */
export function startLive() {
  onRegion((region) => {
    region.querySelector("[data-pause]")?.addEventListener("click", togglePause);
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("leadline:went", () => {
    if (paused) write("Paused", badge()?.dataset.asOf ?? "", true);
    open();
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  open();
}
