// Regions: parts of a page that are replaced by newer ones; focus, open menus and scroll stay.

const hooks = [];

/** Calls hook(region) after a region was replaced, and once for each region now. */
export function onRegion(hook) {
  hooks.push(hook);
  for (const region of document.querySelectorAll("[data-region]")) hook(region);
}

/** Says something to a screen reader, politely; for changes of state only. */
export function announce(text) {
  document.getElementById("announce").textContent = text;
}

/** What the focus is on, in a way that survives the element itself. */
function focusKey(root) {
  const element = document.activeElement;
  if (!element || !root.contains(element)) return null;
  const key = element.dataset.key;
  if (key) return (next) => next.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (element.id) return (next) => next.querySelector(`#${CSS.escape(element.id)}`);
  const cell = element.closest("[data-matrix] td");
  if (cell) {
    const row = cell.parentElement.rowIndex;
    const column = cell.cellIndex;
    return (next) => next.querySelector("[data-matrix]")?.rows[row]?.cells[column]?.querySelector("a");
  }
  if (element.matches("summary")) {
    const id = element.parentElement.id;
    return (next) => next.querySelector(`#${CSS.escape(id)} > summary`);
  }
  const href = element.getAttribute("href");
  return href ? (next) => next.querySelector(`a[href="${CSS.escape(href)}"]`) : null;
}

/** Replaces one region's content unless it holds it already; a live update keeps what is typed. */
export function swapRegion(name, digest, html, live = true) {
  const region = document.querySelector(`[data-region="${name}"]`);
  if (!region || region.dataset.digest === digest) return false;
  const refocus = focusKey(region);
  const open = [...region.querySelectorAll("details[open]")].map((d) => d.id);
  const scrolls = [...region.querySelectorAll("[data-scroll]")].map((s) => [s.dataset.scroll, s.scrollLeft, s.scrollTop]);
  const fields = [...region.querySelectorAll("input[id]")].filter((f) => live || f === document.activeElement).map((f) => [f.id, f.value, f.defaultValue, f.selectionStart]);
  const { scrollTop } = region;
  region.innerHTML = html;
  region.dataset.digest = digest;
  for (const id of open) region.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
  for (const [key, left, top] of scrolls) region.querySelector(`[data-scroll="${key}"]`)?.scrollTo(left, top);
  for (const [id, value, before, at] of fields) {
    const field = region.querySelector(`#${CSS.escape(id)}`);
    if (!field || value === before) continue;
    field.value = value;
    if (at !== null) field.setSelectionRange(at, at);
  }
  region.scrollTop = scrollTop;
  for (const hook of hooks) hook(region);
  refocus?.(region)?.focus({ preventScroll: true });
  return true;
}

let going = null;

/** Shows another state of the same page: fetches it and swaps its regions. */
export async function go(url, { push = true, replace = false } = {}) {
  going?.abort();
  const mine = (going = new AbortController());
  const slow = setTimeout(() => document.documentElement.classList.add("waiting"), 300);
  try {
    const answer = await fetch(url, { signal: mine.signal, headers: { "X-Requested-With": "swap" } });
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!answer.ok || !sameKind(next)) return location.assign(url);
    for (const menu of document.querySelectorAll(".menu[open]")) menu.removeAttribute("open");
    const shown = next.querySelector("input[name=back]")?.value ?? url;
    if (replace) history.replaceState(null, "", shown);
    else if (push) history.pushState(null, "", shown);
    for (const region of next.querySelectorAll("[data-region]")) {
      swapRegion(region.dataset.region, region.dataset.digest, region.innerHTML, false);
    }
    swapRest(next);
    document.title = next.title;
    dispatchEvent(new Event("leadline:went"));
  } catch (error) {
    if (error.name !== "AbortError") location.assign(url);
  } finally {
    clearTimeout(slow);
    if (going === mine) document.documentElement.classList.remove("waiting");
  }
}

function sameKind(next) {
  const here = document.querySelector("main");
  const there = next.querySelector("main");
  return there && here.dataset.kind === there.dataset.kind && here.dataset.model === there.dataset.model;
}

function swapRest(next) {
  document.querySelector("main").className = next.querySelector("main").className;
  const menu = next.querySelector("#m-export");
  if (menu) document.querySelector("#m-export")?.replaceWith(menu);
  for (const back of document.querySelectorAll("input[name=back]")) {
    back.value = next.querySelector("input[name=back]").value;
  }
}

/** Whether a link leads to another state of this page. */
function staysHere(link) {
  return (
    link.origin === location.origin && link.pathname === location.pathname && !link.hash &&
    !link.hasAttribute("download") && !link.target
  );
}

/** Links and forms to the same page swap regions instead of loading it anew. */
export function startSwapping() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!link || !plain || event.defaultPrevented || !staysHere(link)) return;
    event.preventDefault();
    go(link.href);
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "get" || new URL(form.action).pathname !== location.pathname) return;
    event.preventDefault();
    go(`${form.action.split("?")[0]}?${new URLSearchParams(new FormData(form))}`);
  });
  addEventListener("popstate", () => go(location.href, { push: false }));
}
