// The journal as it grows: asked by long polls, which continue at their number after a restart of the server.

import { ask, at, element, reason, tell, when } from "/manage.js";

/** Most lines that the page keeps. */
const MOST = 500;
/** Seconds of a poll, and milliseconds until the next try after a failure. */
const WAIT = 25;
const AGAIN = 2000;

let next = null;
let round = 0;
let isPaused = false;
let held = [];

function details(data) {
  const parts = Object.entries(data ?? {}).map(([key, value]) => {
    const text = Array.isArray(value) ? value.join(", ") : String(value);
    return text === "" || text === "null" ? null : `${key} ${text}`;
  });
  return parts.filter(Boolean).join(" · ");
}

const LOUD = /\.(failed|dead|refused|rejected|lost)$/;

function line(event) {
  const { id, type, time, subject, data } = event;
  const number = element("a", { href: `#${id}`, class: "kind" }, when(time));
  return element(
    "li",
    { id, class: LOUD.test(type) ? "loud" : undefined },
    number,
    element("span", { class: "type" }, `${LOUD.test(type) ? "▲ " : ""}${type}`),
    element("span", {}, subject ?? ""),
    element("span", { class: "kind data" }, details(data)),
  );
}

function show(events) {
  if (!events.length) return;
  const list = at("list");
  list.prepend(...events.map(line).reverse());
  while (list.children.length > MOST) list.lastElementChild.remove();
  at("none").hidden = list.children.length > 0;
}

function filter() {
  const parts = [];
  const [type, name] = [at("type").value.trim(), at("name").value.trim()];
  if (type) parts.push(`type=${encodeURIComponent(type)}`);
  if (name) parts.push(`name=${encodeURIComponent(name)}`);
  return parts;
}

async function follow() {
  const mine = ++round;
  at("list").replaceChildren();
  held = [];
  next = null;
  let wasAway = false;
  while (mine === round) {
    const parts = filter();
    parts.push(next === null ? "limit=100" : `after=${next}&wait=${WAIT}&limit=200`);
    const answer = await ask("GET", `/events?${parts.join("&")}`);
    if (mine !== round) return;
    if (!answer.ok) {
      tell(reason(answer), "failed");
      wasAway = true;
      if (answer.status === 400 || answer.status === 403) return;
      await new Promise((then) => setTimeout(then, AGAIN));
      continue;
    }
    if (wasAway || next === null) tell("");
    wasAway = false;
    next = answer.value.next;
    if (answer.value.lost) tell("Some events are not kept any more.", "failed");
    if (isPaused) held.push(...answer.value.items);
    else show(answer.value.items);
    held.splice(0, Math.max(0, held.length - MOST));
    at("pause").textContent = isPaused && held.length ? `Continue (${held.length} new)` : isPaused ? "Continue" : "Pause";
  }
}

at("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  at("pause").setAttribute("aria-pressed", String(isPaused));
  if (!isPaused) {
    show(held);
    held = [];
  }
  at("pause").textContent = isPaused ? "Continue" : "Pause";
});
at("filter").addEventListener("submit", (event) => {
  event.preventDefault();
  const query = filter().join("&");
  history.replaceState(null, "", query ? `?${query}` : location.pathname);
  follow();
});
const given = new URLSearchParams(location.search);
at("type").value = given.get("type") ?? "";
at("name").value = given.get("name") ?? "";
at("follow").hidden = false;
follow();
