// Keeps the values of the page fresh: asks for the page again and takes over what it says.
"use strict";

const PERIOD = 2000;

/** Everything that has a value or comes and goes, by its key. */
const keyed = (root) => [...root.querySelectorAll("[data-key]")];

function take(fresh) {
  const old = keyed(document);
  const next = keyed(fresh);
  const same = old.length === next.length && old.every((element, at) => element.dataset.key === next[at].dataset.key);
  if (!same) {
    // Feeds, streams or pictures came or went.
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
    let trouble = "";
    try {
      const page = new URL(location.href);
      page.searchParams.set("refresh", "1");
      const answer = await fetch(page, { cache: "no-store" });
      if (!answer.ok) throw answer.status;
      take(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
      trouble = "The server does not answer. These values are old.";
    }
    const notice = document.getElementById("notice");
    if (notice.textContent !== trouble) notice.textContent = trouble;
  }
  setTimeout(refresh, PERIOD);
}

setTimeout(refresh, PERIOD);
