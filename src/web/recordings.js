// Recordings on lines of time. A click plays from there, a drag chooses a span; so do the fields and the keys.

const at = (id) => document.getElementById(id);
const rows = [...document.querySelectorAll("[data-root]")];
const HOUR = 3600_000;
/** A film is played in pieces of so many milliseconds, one after the other: its index grows with it. */
const PIECE = 600_000;
const REFRESH = 10_000;

/** What is shown: its begin, in milliseconds since 1970, and its length in hours. */
const view = { from: 0, hours: 24 };
/** What plays: the address of the recordings of a stream, and where its piece begins and all ends. */
let playing = null;
let selected = rows[0];

const iso = (time) => new Date(time).toISOString();
const two = (number) => String(number).padStart(2, "0");
/** As fields have it, in the time of the reader. */
const local = (time) => iso(time - new Date(time).getTimezoneOffset() * 60_000).slice(0, 19);
const clock = (time) => new Date(time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const startOfDay = (time) => new Date(time).setHours(0, 0, 0, 0);

function notify(text) {
  at("notice").textContent = text;
}

function long(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  return hours ? `${hours} h ${minutes} min` : minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

// Lines

/** Spans without a gap, of files that follow each other and are protected or not. */
function spansOf(files) {
  const spans = [];
  for (const { start, end, continues, protected: kept } of files) {
    const [from, to] = [Date.parse(start), Date.parse(end)];
    if (continues && spans.at(-1)?.kept === kept) spans.at(-1).to = to;
    else spans.push({ from, to, kept });
  }
  return spans;
}

const width = () => view.hours * HOUR;
const place = (time) => `${(100 * Math.min(Math.max(time - view.from, 0), width())) / width()}%`;
const timeAt = (line, x) => {
  const { left, width: pixels } = line.getBoundingClientRect();
  return view.from + (Math.min(Math.max(x - left, 0), pixels) / pixels) * width();
};

function draw(row, files) {
  const line = row.querySelector(".line");
  const focused = line.contains(document.activeElement) ? Number(document.activeElement.dataset.from) : NaN;
  const blocks = spansOf(files).map(({ from, to, kept }) => {
    const block = document.createElement("button");
    block.type = "button";
    block.dataset.from = from;
    block.title = block.ariaLabel = `${clock(from)} to ${clock(to)}, ${long(to - from)}${kept ? ", protected" : ""}`;
    block.classList.toggle("kept", kept);
    block.style.left = place(from);
    block.style.width = `calc(${place(to)} - ${place(from)})`;
    // The mouse is where it points to; keys begin at the begin.
    block.addEventListener("click", ({ detail }) => {
      if (detail === 0) choose(row, Math.max(from, view.from), to, true);
    });
    return block;
  });
  line.replaceChildren(...blocks);
  blocks.find((block) => Number(block.dataset.from) === focused)?.focus();
  mark();
}

/** Shows where it plays and what is chosen. */
function mark() {
  document.querySelectorAll(".line i, .line u").forEach((element) => element.remove());
  const put = (row, kind, from, to = from) => {
    if (!row || to < view.from || from > view.from + width()) return;
    const element = document.createElement(kind);
    element.style.left = place(from);
    if (kind === "u") element.style.width = `calc(${place(to)} - ${place(from)})`;
    row.querySelector(".line").append(element);
  };
  const [from, to] = [Date.parse(at("from").value), Date.parse(at("to").value)];
  if (to > from) put(selected, "u", from, to);
  if (playing) put(playing.row, "i", playing.from + at("player").currentTime * 1000);
}

function hours() {
  const step = { 24: 3, 6: 1, 1: 0.25 }[view.hours] * HOUR;
  for (const scale of document.querySelectorAll(".hours")) {
    const labels = [];
    for (let time = view.from; time < view.from + width(); time += step) {
      const label = document.createElement("span");
      const date = new Date(time);
      label.textContent = `${two(date.getHours())}:${two(date.getMinutes())}`;
      label.style.left = place(time);
      labels.push(label);
    }
    scale.replaceChildren(...labels);
  }
}

async function load(row) {
  const address = `${row.dataset.root}/list?from=${encodeURIComponent(iso(view.from))}&to=${encodeURIComponent(iso(view.from + width()))}`;
  const response = await fetch(address, { cache: "no-store" });
  if (!response.ok) throw new Error((await response.text()).trim());
  const files = await response.json();
  draw(row, files);
  illustrate(row, files);
}

/** Pixels of a thumbnail. */
const THUMBNAIL = 96;
/** Codecs of video, as media types name them. */
const VIDEO = /avc|hev|hvc|av01|vp0|vp8|vp9|mp4v|mjpe?g/i;

/** Frames above the line, each at its time. What is recorded meanwhile is shown with the next span that is looked at. */
function illustrate(row, files) {
  const strip = row.querySelector("img.strip");
  if (files.some(({ codecs }) => VIDEO.test(codecs))) {
    const count = Math.min(Math.max(Math.round(row.clientWidth / THUMBNAIL), 4), 24);
    const address = `${row.dataset.root}/strip.jpg?from=${view.from / 1000}&for=${view.hours}h&n=${count}&w=${2 * THUMBNAIL}`;
    if (strip.getAttribute("src") !== address) strip.src = address;
  } else {
    strip.hidden = true;
    strip.removeAttribute("src");
  }
}

async function show() {
  at("day").value = local(view.from).slice(0, 10);
  for (const button of document.querySelectorAll("[data-hours]")) button.ariaPressed = String(Number(button.dataset.hours) === view.hours);
  hours();
  try {
    await Promise.all(rows.map(load));
    if (at("notice").dataset.of === "list") notify("");
  } catch (error) {
    at("notice").dataset.of = "list";
    notify(`The recordings cannot be listed: ${error.message}`);
  }
}

// Playing

function choose(row, from, to, plays) {
  selected = row;
  [at("from").value, at("to").value] = [local(from), local(to)];
  const query = `from=${encodeURIComponent(iso(from))}&to=${encodeURIComponent(iso(to))}`;
  at("download").href = `${row.dataset.root}/clip.mp4?${query}`;
  at("download").download = "";
  at("download").hidden = false;
  for (const id of ["save", "protect", "unprotect", "delete"]) at(id).hidden = !row.dataset.changes;
  at("chosen").textContent = `${long(to - from)} of ${row.ariaLabel}`;
  mark();
  if (plays) play(row, from, to);
}

function play(row, from, end) {
  const player = at("player");
  const to = Math.min(from + PIECE, end);
  if (to - from < 1000) return;
  playing = { row, from, to, end };
  player.hidden = false;
  player.ariaLabel = `Recording of ${row.ariaLabel}`;
  player.src = `${row.dataset.root}/clip.mp4?from=${encodeURIComponent(iso(from))}&to=${encodeURIComponent(iso(to))}`;
  player.play().catch(() => {});
  notify(`${row.ariaLabel}, ${new Date(from).toLocaleString()}`);
}

// Changing

/** Protects or deletes the files of the chosen span. */
async function change(method, body) {
  const row = selected;
  const [from, to] = [Date.parse(at("from").value), Date.parse(at("to").value)];
  const address = `${row.dataset.changes}?from=${encodeURIComponent(iso(from))}&to=${encodeURIComponent(iso(to))}`;
  const headers = body ? { "content-type": "application/merge-patch+json" } : {};
  const response = await fetch(address, { method, headers, body: body && JSON.stringify(body) });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail);
  await load(row);
  return answer;
}

async function protect(on) {
  const { changed, unchanged } = await change("PATCH", { protected: on });
  const count = changed + unchanged === 1 ? "1 file is" : `${changed + unchanged} files are`;
  notify(`${count} ${on ? "protected" : "not protected any more"}.`);
}

async function remove() {
  if (!confirm("Delete the recordings that are wholly in this span? This cannot be undone.")) return;
  const { changed, kept } = await change("DELETE");
  const reasons = [
    kept.protected && `${kept.protected} protected`,
    kept.open && `${kept.open} being written`,
    kept.partly && `${kept.partly} reaching beyond the span`,
  ].filter(Boolean);
  notify(`${changed} deleted${reasons.length ? `, not deleted: ${reasons.join(", ")}` : ""}.`);
}

/** Copies the chosen span into a file of its own. */
async function save() {
  const row = selected;
  const [from, to] = [Date.parse(at("from").value), Date.parse(at("to").value)];
  notify("The clip is copied…");
  const address = `${row.dataset.clips}?from=${encodeURIComponent(iso(from))}&to=${encodeURIComponent(iso(to))}`;
  const response = await fetch(address, { method: "POST" });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail);
  await clips(row);
  notify(`Saved: ${answer.file}`);
}

/** Links to the clips of a stream. */
async function clips(row) {
  const response = await fetch(row.dataset.clips, { cache: "no-store" });
  // Where there is no API there are no clips.
  if (!response.ok) return;
  const { items } = await response.json();
  const links = items.map(({ start, duration, path }) => {
    const link = document.createElement("a");
    link.href = path;
    link.textContent = `Clip of ${new Date(start).toLocaleString()}, ${long(duration * 1000)}`;
    return link;
  });
  row.querySelector(".clips").replaceChildren(...links);
}

const failed = (error) => notify(`This did not work: ${error.message}`);
at("protect").addEventListener("click", () => protect(true).catch(failed));
at("unprotect").addEventListener("click", () => protect(false).catch(failed));
at("save").addEventListener("click", () => save().catch(failed));
at("delete").addEventListener("click", () => remove().catch(failed));

at("player").addEventListener("ended", () => playing && playing.to < playing.end && play(playing.row, playing.to, playing.end));
at("player").addEventListener("error", () => notify("This moment was not recorded, or its recording cannot be played."));
at("player").addEventListener("timeupdate", mark);

// What people do

for (const row of rows) {
  const strip = row.querySelector("img.strip");
  strip.draggable = false;
  strip.addEventListener("load", () => (strip.hidden = false));
  // Of nothing there are no frames.
  strip.addEventListener("error", () => (strip.hidden = true));
  for (const line of [row.querySelector(".line"), strip]) {
    let begun = null;
    line.addEventListener("pointerdown", ({ clientX, button }) => {
      if (button === 0) begun = clientX;
    });
    line.addEventListener("pointerup", ({ clientX }) => {
      if (begun === null) return;
      const [from, to] = [timeAt(line, Math.min(begun, clientX)), timeAt(line, Math.max(begun, clientX))];
      const isDrag = Math.abs(clientX - begun) > 5;
      begun = null;
      if (isDrag) choose(row, from, to, false);
      else choose(row, from, Math.min(from + HOUR, Date.now()), true);
    });
  }
}
document.querySelector("form.span").addEventListener("submit", (event) => {
  event.preventDefault();
  const [from, to] = [Date.parse(at("from").value), Date.parse(at("to").value)];
  if (to > from) choose(selected, from, to, true);
  else notify("The end has to be after the begin.");
});
for (const id of ["from", "to"]) {
  at(id).addEventListener("change", () => {
    const [from, to] = [Date.parse(at("from").value), Date.parse(at("to").value)];
    if (to > from) choose(selected, from, to, false);
  });
}
const move = (hours) => {
  view.from += hours * HOUR;
  show();
};
at("back").addEventListener("click", () => move(-view.hours));
at("on").addEventListener("click", () => move(view.hours));
at("now").addEventListener("click", () => {
  view.from = view.hours === 24 ? startOfDay(Date.now()) : Date.now() - view.hours * HOUR;
  show();
});
at("day").addEventListener("change", ({ target }) => {
  const day = Date.parse(`${target.value}T00:00:00`);
  if (Number.isNaN(day)) return;
  view.from = day;
  show();
});
for (const button of document.querySelectorAll("[data-hours]")) {
  button.addEventListener("click", () => {
    // Around what plays, else up to now if that is shown, else the middle.
    const isNow = Date.now() > view.from && Date.now() < view.from + width();
    const middle = playing ? playing.from : isNow ? Date.now() : view.from + width() / 2;
    view.hours = Number(button.dataset.hours);
    view.from = view.hours === 24 ? startOfDay(middle) : middle - width() * (isNow && !playing ? 0.9 : 0.5);
    show();
  });
}

document.querySelectorAll(".when, .span, .line, .hours").forEach((element) => (element.hidden = false));
view.from = startOfDay(Date.now());
show();
rows.forEach((row) => clips(row).catch(failed));
setInterval(() => !document.hidden && view.from + width() > Date.now() && show(), REFRESH);
