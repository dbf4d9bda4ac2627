// How far each hook is, every few seconds, and tests of them.

import { ask, at, busy, element, reason, tell } from "/manage.js";

/** Milliseconds. */
const REFRESH = 3000;
const WORDS = { well: ["●", "Well", "good"], failing: ["▲", "Failing", "bad"], disabled: ["✕", "Disabled", "bad"] };

async function test(name) {
  const answer = await ask("POST", `/hooks/${encodeURIComponent(name)}/test`);
  tell(answer.ok ? `An event hook.test is on its way to ${name}.` : reason(answer), answer.ok ? "good" : "failed");
}

function row(hook) {
  const known = document.querySelector(`tr[data-hook="${CSS.escape(hook.name)}"]`);
  const made = known ?? element("tr", { "data-hook": hook.name });
  const [shape, word, kind] = WORDS[hook.state] ?? ["◐", hook.state, "busy"];
  const badge = element("span", { class: `badge ${kind}` }, element("span", { "aria-hidden": "true" }, shape), ` ${word}`);
  const cells = [hook.name, badge, String(hook.delivered), String(hook.failed), String(hook.running), String(hook.behind ?? "–"), hook.error ?? ""];
  let last = made.querySelector("td.do");
  if (!last) {
    last = element("td", { class: "do" });
    if (at("hooks").hasAttribute("data-may") && hook.position !== null) {
      const button = element("button", { type: "button", "aria-label": `Test ${hook.name}` }, "Test");
      button.addEventListener("click", () => busy(button, () => test(hook.name)));
      last.append(button);
    }
    made.append(last);
  }
  for (const cell of [...made.children]) if (cell !== last) cell.remove();
  made.prepend(...cells.map((cell) => element("td", {}, cell)));
  return made;
}

async function refresh() {
  const answer = await ask("GET", "/hooks?limit=1000");
  if (!answer.ok) return tell(reason(answer), "failed");
  const rows = answer.value.items.map(row);
  for (const old of [...at("hooks").children]) if (!rows.includes(old)) old.remove();
  for (const one of rows) if (!one.parentElement) at("hooks").append(one);
}

await refresh();
for (;;) {
  await new Promise((then) => setTimeout(then, REFRESH));
  if (!document.hidden) await refresh();
}
