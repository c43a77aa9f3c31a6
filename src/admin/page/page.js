"use strict";
// Fetches the page again and again, and puts what has changed into place. Without this script the page
// is the same, and its reader asks for it again.
(() => {
  const EVERY_MS = 2000;
  const PATIENCE_MS = 5000;
  const pause = document.getElementById("pause");
  const verdict = document.getElementById("verdict");
  let paused = false;

  // What the reader has marked stays where it is until it is let go.
  function isMarked(part) {
    const marked = getSelection();
    return marked && !marked.isCollapsed && part.contains(marked.anchorNode);
  }

  function put(fresh) {
    const shown = document.getElementById(fresh.id);
    if (!shown || shown.innerHTML === fresh.innerHTML || isMarked(shown)) return;
    const focused = shown.contains(document.activeElement) ? document.activeElement.id : "";
    const moved = new Map();
    for (const part of shown.querySelectorAll(".scroll")) moved.set(part.id, part.scrollLeft);
    shown.replaceChildren(...fresh.childNodes);
    for (const [id, left] of moved) {
      const part = document.getElementById(id);
      if (part) part.scrollLeft = left;
    }
    if (focused) document.getElementById(focused)?.focus({preventScroll: true});
  }

  async function look() {
    const answer = await fetch("/", {cache: "no-store", headers: {Accept: "text/html"},
      signal: AbortSignal.timeout(PATIENCE_MS)});
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const fresh of page.querySelectorAll("[data-live]")) put(fresh);
    document.title = page.title;
  }

  async function again() {
    if (!paused && !document.hidden) {
      try {
        await look();
        document.body.classList.remove("stale");
      } catch (error) {
        document.body.classList.add("stale");
        verdict.textContent = "The page cannot be fetched. What is shown is old.";
      }
    }
    setTimeout(again, EVERY_MS);
  }

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
  });
  setTimeout(again, EVERY_MS);
})();
