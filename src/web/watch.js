// The page of one stream: the words and buttons around its player.

import { readable } from "/player.js";

const at = (id) => document.getElementById(id);
const view = document.querySelector("voyandz-view");
/** Milliseconds. */
const REFRESH = 5000;
const WAYS = { whep: "WebRTC", stream: "HTTP", plain: "HTTP", hls: "HLS", images: "images", stills: "stills" };

/** Shows a text, also to screen readers. */
function notify(text) {
  if (at("notice").textContent !== text) at("notice").textContent = text;
}

let told = "";

function tell({ state, text, way }) {
  notify(text);
  // A stream that was idle is live, and this is one of its viewers.
  if (state === "playing" && told !== state) refresh();
  told = state;
  if (state !== "playing") at("behind").textContent = "–";
  at("way").textContent = (state === "playing" && WAYS[way]) || "–";
  const { player } = view;
  at("mute").hidden = !player;
  if (player) at("mute").textContent = player.muted ? "Unmute" : "Mute";
}

async function keepStill() {
  try {
    const address = view.dataset.pic;
    const response = await fetch(`${address}${address.includes("?") ? "&" : "?"}fresh=1`, { cache: "no-store" });
    if (!response.ok) throw new Error((await response.text()).trim());
    const captured = new Date(response.headers.get("x-capture-time"));
    const reader = new FileReader();
    const image = new Promise((then) => reader.addEventListener("load", () => then(reader.result), { once: true }));
    reader.readAsDataURL(await response.blob());
    const [figure, link] = [at("kept"), at("save")];
    figure.querySelector("img").src = link.href = await image;
    link.download = `${view.dataset.name.replace(/[^\w.-]+/g, "_")}-${captured.toISOString().replace(/[:.]/g, "-")}.jpg`;
    at("captured").textContent = `Captured ${captured.toLocaleString()}`;
    figure.hidden = false;
  } catch (error) {
    notify(`No still: ${error.message}`);
  }
}

// Addresses

/** Copies a text; where pages may not, as without TLS, the old way. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.focus();
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await copy(button.dataset.copy);
    button.focus();
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}

// What the server says of the stream

async function refresh() {
  try {
    const page = new URL(location.href);
    page.searchParams.set("refresh", "1");
    const response = await fetch(page, { cache: "no-store" });
    if (!response.ok) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const element of document.querySelectorAll("[data-key]")) {
      const other = fresh.querySelector(`[data-key="${CSS.escape(element.dataset.key)}"]`);
      if (!other || other.outerHTML === element.outerHTML) continue;
      element.className = other.className;
      element.innerHTML = other.innerHTML;
    }
  } catch {
    // The player says that the server is away.
  }
}

async function keepFresh() {
  for (;;) {
    await new Promise((then) => setTimeout(then, REFRESH));
    if (!document.hidden) await refresh();
  }
}

view.addEventListener("state", ({ detail }) => tell(detail));
view.addEventListener("volumechange", () => tell(view.now));
view.addEventListener("delay", ({ detail }) => {
  at("behind").textContent = detail === null ? "–" : readable(detail);
});
view.addEventListener("frames", ({ detail: { dropped, total } }) => {
  if (at("dropped")) at("dropped").textContent = `${dropped} of ${total}`;
});
at("mute").addEventListener("click", () => {
  view.muted = !view.muted;
});
at("still")?.addEventListener("click", keepStill);
at("panel").hidden = false;
tell(view.now);
keepFresh();
