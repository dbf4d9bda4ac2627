// Who watches and who publishes, every few seconds, and the buttons that end them.

import { ask, at, busy, element, reason, tell, when } from "/manage.js";

/** Milliseconds. */
const REFRESH = 3000;

function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  for (; bytes >= 1000 && unit < units.length - 1; unit += 1) bytes /= 1000;
  return `${bytes.toFixed(unit === 0 ? 0 : 1)} ${units[unit]}`;
}

async function end(path, name) {
  const answer = await ask("DELETE", path);
  if (answer.ok || answer.status === 404) {
    tell(`${name} was ended.`, "good");
    await refresh();
  } else {
    tell(reason(answer), "failed");
  }
}

function row(key, cells, path, name) {
  const known = document.querySelector(`tr[data-id="${CSS.escape(key)}"]`);
  const made = known ?? element("tr", { "data-id": key });
  const button = known?.querySelector("button") ??
    element("button", { type: "button", class: "danger", "aria-label": `End ${name}` }, "End");
  button.onclick = () => busy(button, () => end(path, name));
  const shown = cells.map((cell) => element("td", {}, cell));
  // The button stays, and with it the focus.
  const last = button.parentElement ?? element("td", {}, button);
  for (const cell of [...made.children]) if (cell !== last) cell.remove();
  made.prepend(...shown);
  if (!last.parentElement) made.append(last);
  return made;
}

function fill(table, none, rows) {
  for (const old of [...table.children]) if (!rows.includes(old)) old.remove();
  rows.forEach((one, index) => {
    if (table.children[index] !== one) table.insertBefore(one, table.children[index] ?? null);
  });
  at(none).hidden = rows.length > 0;
}

async function refresh() {
  const filter = at("stream").value;
  const [viewers, publishers] = await Promise.all([
    ask("GET", `/viewers?limit=1000${filter ? `&stream=${encodeURIComponent(filter)}` : ""}`),
    ask("GET", "/publishers?limit=1000"),
  ]);
  if (!viewers.ok) return tell(reason(viewers), "failed");
  at("count").textContent = viewers.value.total === 1 ? "1 viewer" : `${viewers.value.total} viewers`;
  const viewer = (one) => {
    const who = one.user ?? "anyone";
    const gaps = one.gaps ? `${one.gaps} gaps` : one.reduced ? "reduced" : "";
    const cells = [one.stream, one.protocol, who, one.address, when(one.since), size(one.bytes_out), gaps];
    return row(one.id, cells, `/viewers/${encodeURIComponent(one.id)}`, `the viewer ${one.id}`);
  };
  fill(at("viewers"), "none", viewers.value.items.map(viewer));
  const publisher = (one) =>
    row(
      `publisher ${one.feed}`,
      [one.feed, one.protocol, one.user ?? "anyone", one.address, when(one.since), size(one.bytes)],
      `/publishers/${encodeURIComponent(one.feed)}`,
      `the publisher of ${one.feed}`,
    );
  const items = publishers.value?.items ?? [];
  at("publishing").hidden = items.length === 0;
  fill(at("publishers"), "none-publishes", items.map(publisher));
}

at("stream").addEventListener("change", refresh);
at("choice").hidden = false;
await refresh();
for (;;) {
  await new Promise((then) => setTimeout(then, REFRESH));
  if (!document.hidden) await refresh();
}
