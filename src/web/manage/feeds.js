// The state of the feeds, every few seconds, and orders to them.

import { ask, at, busy, element, reason, tell } from "/manage.js";

/** Milliseconds. */
const REFRESH = 3000;
/** Rounds from one look at the past to the next: it has a sample every five seconds. */
const PAST = 3;
/** As the other pages say it: a shape, a word, a class. */
const STATES = JSON.parse(at("feeds").dataset.states);

async function order(name, word, done) {
  const answer = await ask("POST", `/feeds/${encodeURIComponent(name)}/${word}`);
  if (!answer.ok) return tell(reason(answer), "failed");
  tell(`${name} ${done}.`, "good");
  await refresh();
}

function show(card, feed) {
  const [shape, word, kind] = STATES[feed.state] ?? ["◐", "Unknown", "busy"];
  const badge = card.querySelector(".badge");
  const text = feed.stopped ? "Stopped by an operator" : word;
  if (badge.dataset.shown !== text) {
    badge.dataset.shown = text;
    badge.className = `badge ${feed.stopped ? "busy" : kind}`;
    badge.replaceChildren(element("span", { "aria-hidden": "true" }, feed.stopped ? "■" : shape), ` ${text}`);
  }
  const facts = [
    feed.kind,
    feed.restarts ? `${feed.restarts} restart${feed.restarts === 1 ? "" : "s"}` : null,
    ...(feed.tracks ?? []).map(({ kind, codec, width, height }) => [kind, codec, width && `${width}×${height}`].filter(Boolean).join(" ")),
  ];
  card.querySelector(".kind").textContent = facts.filter(Boolean).join(" · ");
  card.querySelector(".problem").textContent = feed.last_error ?? "";
  const lines = card.querySelector("pre");
  const said = (feed.last_lines ?? []).join("\n");
  lines.hidden = said === "";
  if (lines.textContent !== said) lines.textContent = said;
  const buttons = card.querySelector(".buttons");
  if (!card.hasAttribute("data-may")) return;
  if (!buttons.firstChild) {
    const button = (label, run) => {
      const made = element("button", { type: "button", "aria-label": `${label} ${feed.name}` }, label);
      made.addEventListener("click", () => busy(made, run));
      return made;
    };
    buttons.append(
      button("Restart", () => order(feed.name, "restart", "restarts")),
      button("Stop", () => order(feed.name, "stop", "is stopped until it is started")),
      button("Start", () => order(feed.name, "start", "runs while it is used")),
      button("Pause", () => order(feed.name, "pause", "is paused: its viewers get nothing until it is resumed")),
      button("Resume", () => order(feed.name, "resume", "continues")),
    );
  }
  const [, stop, start, pause, resume] = buttons.children;
  stop.hidden = feed.stopped;
  start.hidden = !feed.stopped;
  pause.hidden = feed.paused;
  resume.hidden = !feed.paused;
}

async function refresh() {
  const answer = await ask("GET", "/feeds?limit=1000");
  if (!answer.ok) return tell(reason(answer), "failed");
  for (const feed of answer.value.items) {
    const card = document.querySelector(`[data-feed="${CSS.escape(feed.name)}"]`);
    if (card) show(card, feed);
  }
}

/** The past is drawn by the server, so that it is there without scripts. */
async function refreshPast() {
  try {
    const response = await fetch("/feeds?refresh=1", { cache: "no-store" });
    if (!response.ok) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const card of document.querySelectorAll("[data-feed]")) {
      const other = fresh.querySelector(`[data-feed="${CSS.escape(card.dataset.feed)}"] .past`);
      if (other) card.querySelector(".past").replaceWith(document.adoptNode(other));
    }
  } catch {
    // The other question says that the server is away.
  }
}

await refresh();
for (let round = 1; ; round += 1) {
  await new Promise((then) => setTimeout(then, REFRESH));
  if (document.hidden) continue;
  await refresh();
  if (round % PAST === 0) await refreshPast();
}
