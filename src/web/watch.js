// The page of one stream: the words and buttons around its player.

import { readable } from "/player.js";

const at = (id) => document.getElementById(id);
const view = document.querySelector("voyandz-view");
const WAYS = { whep: "WebRTC", stream: "HTTP", plain: "HTTP", hls: "HLS", images: "images", stills: "stills" };

/** Shows a text, also to screen readers. */
function notify(text) {
  if (at("notice").textContent !== text) at("notice").textContent = text;
}

function tell({ state, text, way }) {
  notify(text);
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
