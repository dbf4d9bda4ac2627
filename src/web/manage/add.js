// A source becomes a stream: an address, a device or a test picture, checked before, and applied by the API.

import { ask, at, busy, element, reason, showDiff, tell } from "/manage.js";

const form = at("new");
const chosen = () => form.elements.kind.value;

/** A name that is free and says what it is. */
function suggestion() {
  const taken = new Set(form.dataset.taken.split(" "));
  let base = "camera";
  if (chosen() === "device") base = at("device").selectedOptions[0]?.dataset.name || "card";
  if (chosen() === "test") base = "test";
  if (chosen() === "address") {
    try {
      base = new URL(at("url").value.replace(/^[a-z]+:/i, "http:")).hostname.replace(/^www\./, "") || base;
    } catch {
      // Not an address yet.
    }
  }
  base = base.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 30) || "camera";
  if (!taken.has(base)) return base;
  for (let number = 2; ; number += 1) if (!taken.has(`${base}-${number}`)) return `${base}-${number}`;
}

let isNamed = false;

function show() {
  for (const box of document.querySelectorAll("[data-for]")) box.hidden = box.dataset.for !== chosen();
  at("url").required = chosen() === "address";
  if (!isNamed) at("name").value = suggestion();
  at("preview").hidden = true;
}

function feed() {
  if (chosen() === "address") return { url: at("url").value.trim() };
  if (chosen() === "test") return { pipeline: { use: "test-picture" } };
  const [device, size] = [at("device").value, at("size").value];
  return { pipeline: { use: "v4l2", device, ...(size ? { size } : {}) } };
}

function changes() {
  const name = at("name").value.trim();
  const title = at("title").value.trim();
  // Raw video is encoded; what a camera has encoded is sent as it is where that is wanted.
  const encodes = chosen() !== "address" || at("encode").checked;
  const stream = { feed: name, ...(title ? { title } : {}), ...(encodes ? { video: { codec: "h264" } } : {}) };
  return [
    { op: "create", path: ["feeds", name], value: feed() },
    { op: "create", path: ["streams", name], value: stream },
  ];
}

function showFaults(answer) {
  const faults = answer.value?.faults ?? [];
  at("faults").replaceChildren(...faults.map(({ path, message }) => element("li", {}, `${path}: ${message}`)));
  const why = answer.status === 412 ? "There is a feed or stream of this name: choose another one." : reason(answer);
  tell(faults.length ? "This cannot be added yet." : why, "failed");
}

const send = (dry) => ask("POST", `/config/changes${dry ? "?dry_run=1" : ""}`, { body: changes() });

async function preview() {
  const answer = await send(true);
  at("faults").replaceChildren();
  if (!answer.ok) return showFaults(answer);
  tell("This is what the file will have.", "good");
  at("preview").hidden = false;
  showDiff(at("diff"), answer.value.diff);
}

/** `h264 video of 1280×720 at 25 frames/s`, as far as it is known. */
function described({ kind, codec, width, height, fps, sample_rate, channels }) {
  const size = width && height ? ` of ${width}×${height}` : "";
  const rate = fps ? ` at ${fps} frames/s` : sample_rate ? ` at ${sample_rate} Hz` : "";
  return `${codec} ${kind}${size}${rate}${channels ? `, ${channels} channels` : ""}`;
}

async function probe() {
  tell("Looking at the address …");
  const answer = await ask("POST", "/probe", { body: { url: at("url").value.trim() } });
  if (!answer.ok) return tell(reason(answer), "failed");
  const { works, error, tracks, seconds } = answer.value;
  if (works) tell(`It answers after ${seconds.toFixed(1)} s, with ${tracks.map(described).join(" and ")}.`, "good");
  else tell(`It does not work: ${error}`, "failed");
}

async function add() {
  const answer = await send(false);
  at("faults").replaceChildren();
  if (!answer.ok) return showFaults(answer);
  tell("Added.", "good");
  location.href = `/${encodeURIComponent(at("name").value.trim())}/play`;
}

async function devices() {
  const answer = await ask("GET", "/devices");
  if (!answer.ok) return;
  const videos = answer.value.items.filter(({ kind }) => kind === "video");
  at("device").replaceChildren(
    ...videos.map(({ path, name }) => element("option", { value: path, "data-name": name }, `${name || path} (${path})`)),
  );
  at("no-device").hidden = videos.length > 0;
  at("device").parentElement.hidden = videos.length === 0;
  show();
}

form.addEventListener("change", show);
at("url").addEventListener("input", () => !isNamed && (at("name").value = suggestion()));
at("name").addEventListener("input", () => (isNamed = at("name").value !== ""));
at("probe").addEventListener("click", () => at("url").reportValidity() && busy(at("probe"), probe));
at("see").addEventListener("click", () => form.reportValidity() && busy(at("see"), preview));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  busy(at("add"), add);
});
form.hidden = false;
show();
devices();
