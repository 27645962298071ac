// Single keys; never in fields, and not at all where they are switched off.

import { togglePause } from "./live.js";
import { go } from "./swap.js";

let waiting = false;

function version(name) {
  if (!name) return;
  const model = document.querySelector("main").dataset.model;
  const tab = location.pathname.split("/")[5];
  location.assign(`/models/${encodeURIComponent(model)}/versions/${encodeURIComponent(name)}${tab ? `/${tab}` : ""}${location.search}`);
}

function follow(selector) {
  const link = document.querySelector(selector);
  if (link) go(link.href);
}

const ACTIONS = {
  "/": () => document.getElementById("find").focus(),
  "?": () => openKeys(),
  "[": () => version(document.querySelector("main").dataset.before),
  "]": () => version(document.querySelector("main").dataset.after),
  p: togglePause,
  j: () => follow('[data-step="1"]'),
  k: () => follow('[data-step="-1"]'),
};

function openKeys() {
  const dialog = document.getElementById("keys");
  if (!dialog.open) dialog.showModal();
}

function escape(event) {
  if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
  const menu = document.querySelector(".menu[open]");
  if (menu) {
    menu.removeAttribute("open");
    menu.querySelector("summary").focus();
  } else if (event.target.matches("input")) {
    event.target.blur();
  } else {
    follow("[data-leave]");
  }
}

function press(event) {
  if (event.key === "Escape") return escape(event);
  const field = event.target.closest("input, textarea, select, [contenteditable]");
  if (field || event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.documentElement.dataset.keys === "off" || document.querySelector("dialog[open]")) return;
  if (waiting && event.key === "m") return location.assign("/");
  waiting = event.key === "g";
  const action = ACTIONS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

export function startKeys() {
  document.addEventListener("keydown", press);
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-keys-open]")) {
      event.preventDefault();
      openKeys();
    } else if (event.target.closest("[data-keys-close]")) {
      event.preventDefault();
      document.getElementById("keys").close();
    }
    for (const menu of document.querySelectorAll(".menu[open]")) {
      if (!menu.contains(event.target)) menu.removeAttribute("open");
    }
  });
}
