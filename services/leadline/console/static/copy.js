// Copying a link or a snippet; without script the link is followed and the text can be selected.

import { announce } from "./swap.js";

async function copy(text, done) {
  try {
    await navigator.clipboard.writeText(text);
    announce(done);
    return true;
  } catch {
    return false;
  }
}

export function startCopying() {
  document.addEventListener(
    "click",
    async (event) => {
      const link = event.target.closest("a[data-copy]");
      const button = event.target.closest("[data-copy-from]");
      if (link) {
        event.preventDefault();
        if (!(await copy(link.href, "Link copied."))) return location.assign(link.href);
        const note = link.querySelector("small");
        note.textContent = "copied";
      } else if (button) {
        await copy(document.getElementById(button.dataset.copyFrom).textContent, "Copied.");
      }
    },
    true,
  );
}
