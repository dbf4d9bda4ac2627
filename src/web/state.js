// Keeps the page up to date: fetches it again and copies its values.
"use strict";

const PERIOD = 2000;

/** All elements with a value or that may appear and disappear, by key. */
const keyed = (root) => [...root.querySelectorAll("[data-key]")];

function take(fresh) {
  const old = keyed(document);
  const next = keyed(fresh);
  const same = old.length === next.length && old.every((element, at) => element.dataset.key === next[at].dataset.key);
  if (!same) {
    // Feeds, streams or stills were added or removed.
    const open = [...document.querySelectorAll("details[open]")].map((details) => details.id);
    const focused = document.activeElement?.id;
    document.querySelector("main").replaceWith(document.adoptNode(fresh.querySelector("main")));
    open.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
    if (focused) document.getElementById(focused)?.focus();
    return;
  }
  old.forEach((element, at) => {
    if (element.localName !== "data" || element.value === next[at].value) return;
    element.value = next[at].value;
    element.textContent = next[at].textContent;
  });
}

async function refresh() {
  if (!document.hidden) {
    let problem = "";
    try {
      const page = new URL(location.href);
      page.searchParams.set("refresh", "1");
      const response = await fetch(page, { cache: "no-store" });
      if (!response.ok) throw response.status;
      take(new DOMParser().parseFromString(await response.text(), "text/html"));
    } catch {
      problem = "The server does not respond. These values are outdated.";
    }
    const notice = document.getElementById("notice");
    if (notice.textContent !== problem) notice.textContent = problem;
  }
  setTimeout(refresh, PERIOD);
}

setTimeout(refresh, PERIOD);
