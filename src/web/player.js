// Plays one stream as this browser can: close to its newest frame, with its latency.
"use strict";

const view = document.querySelector("[data-player]");
const at = (id) => document.getElementById(id);
const pause = (milliseconds) => new Promise((then) => setTimeout(then, milliseconds));

/** Seconds behind the end of the buffer: target, limit for faster playback, limit for a jump; and the faster rate. */
const TARGET = 0.3;
const CATCH_UP_FROM = 0.6;
const JUMP_FROM = 2;
const CATCH_UP_RATE = 1.1;
/** Seconds that are kept in the buffer: before the current time, and after it while paused. */
const KEPT = 5;
const AHEAD = 20;
/** Most bytes before the first media, or of one frame. */
const MAX_BYTES = 32 << 20;
/** Milliseconds. */
const CHECK_PERIOD = 250;
const RETRY_AFTER = 1000;
const SOON = 5000;
/** Immediate failures in a row before the fallback is used. */
const FAILURES = 3;
const BETWEEN_STILLS = 200;

/** The browser cannot play the stream in this way. */
class Unplayable extends Error {}
/** The browser rejected the data. */
class Refused extends Error {}

/** Shows a notice, also to screen readers. */
function notify(text) {
  if (at("notice").textContent !== text) at("notice").textContent = text;
}

const figures = {
  behind(seconds) {
    const shown = seconds < 1 ? `${Math.round(Math.max(seconds, 0) * 1000)} ms` : `${seconds?.toFixed(1)} s`;
    at("behind").textContent = seconds === undefined ? "–" : shown;
  },
  dropped(count, of) {
    at("dropped").textContent = `${count} of ${of}`;
  },
};

/** Fetches; a failed response is an error with its text. */
async function request(address, options) {
  const response = await fetch(address, { cache: "no-store", ...options });
  if (!response.ok) throw new Error((await response.text()).trim() || `The server responded with ${response.status}.`);
  return response;
}

/** Repeats an action, with a pause after each end. */
async function repeat(act) {
  for (;;) {
    try {
      await act();
      notify("The stream has ended. Trying again.");
    } catch (error) {
      if (error instanceof Unplayable) throw error;
      notify(error instanceof TypeError ? "The server does not respond. Trying again." : `${error.message} Trying again.`);
    }
    await pause(RETRY_AFTER);
  }
}

function concat(one, other) {
  const bytes = new Uint8Array(one.length + other.length);
  bytes.set(one);
  bytes.set(other, one.length);
  return bytes;
}

/** A string with one character per byte, for searches. */
function textOf(bytes) {
  let text = "";
  for (let from = 0; from < bytes.length; from += 4096) text += String.fromCharCode(...bytes.subarray(from, from + 4096));
  return text;
}

// Images

/** Seconds that the clock of the server is ahead of ours, by the fastest of some responses. */
async function clockAhead() {
  let [ahead, quickest] = [0, Infinity];
  for (let count = 0; count < 4; count += 1) {
    const asked = Date.now();
    const response = await request(location.pathname, { method: "HEAD" });
    const took = Date.now() - asked;
    if (took >= quickest) continue;
    quickest = took;
    ahead = Number(response.headers.get("x-timestamp")) - (asked + took / 2) / 1000;
  }
  return ahead;
}

/** Shows images; while one is decoded, only the newest of the others is kept. */
class Screen {
  #canvas = document.createElement("canvas");
  #next = null;
  #busy = false;
  #dropped = 0;
  #all = 0;

  /** Seconds that the clock of the server is ahead of ours. */
  ahead = 0;

  constructor(name) {
    this.#canvas.role = "img";
    this.#canvas.ariaLabel = `Live view of ${name}`;
    view.append(this.#canvas);
  }

  /** `captured`: seconds since 1970 by the clock of the server, or NaN. */
  async show(frame, captured) {
    this.#all += 1;
    if (this.#next) this.#dropped += 1;
    this.#next = { frame, captured };
    if (this.#busy) return;
    this.#busy = true;
    while (this.#next) {
      const { frame, captured } = this.#next;
      this.#next = null;
      try {
        const image = await createImageBitmap(frame);
        if (this.#canvas.width !== image.width) this.#canvas.width = image.width;
        if (this.#canvas.height !== image.height) this.#canvas.height = image.height;
        this.#canvas.getContext("2d").drawImage(image, 0, 0);
        image.close();
        figures.behind(Number.isNaN(captured) ? undefined : Date.now() / 1000 + this.ahead - captured);
      } catch {
        this.#dropped += 1;
      }
      figures.dropped(this.#dropped, this.#all);
    }
    this.#busy = false;
  }
}

/** The parts of a `multipart/x-mixed-replace` with `Content-Length`. */
async function parts(address, take) {
  const reader = (await request(address)).body.getReader();
  let bytes = new Uint8Array();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    bytes = concat(bytes, value);
    for (;;) {
      const head = textOf(bytes.subarray(0, 4096)).split("\r\n\r\n", 1)[0];
      const from = head.length + 4;
      const [, length] = /^content-length: *(\d+)/im.exec(head) ?? [];
      if (bytes.length > MAX_BYTES || (length === undefined && bytes.length > 4096)) throw new Error("The stream has no valid frames.");
      if (length === undefined || bytes.length < from + Number(length)) break;
      const [, captured] = /^x-timestamp: *([\d.]+)/im.exec(head) ?? [];
      take(new Blob([bytes.subarray(from, from + Number(length))], { type: "image/jpeg" }), Number(captured ?? NaN));
      bytes = bytes.slice(from + Number(length));
    }
  }
}

async function showImages() {
  const screen = new Screen(view.dataset.name);
  await repeat(async () => {
    screen.ahead = await clockAhead();
    await parts(view.dataset.src, (image, captured) => {
      notify("");
      screen.show(image, captured);
    });
  });
}

/** Shows one still after the other, for containers that the browser does not know. */
async function showStills() {
  const screen = new Screen(view.dataset.name);
  await repeat(async () => {
    screen.ahead = await clockAhead();
    for (;;) {
      if (document.hidden) await new Promise((then) => document.addEventListener("visibilitychange", then, { once: true }));
      const response = await request(view.dataset.pic);
      await screen.show(await response.blob(), Date.parse(response.headers.get("x-capture-time")) / 1000);
      notify("");
      await pause(BETWEEN_STILLS);
    }
  });
}

// Video and audio

const two = (number, base = 10) => number.toString(base).padStart(2, "0");

/** ISO/IEC 14496-15, annex E. */
function hevc(record) {
  let flags = 0;
  for (let bit = 0; bit < 32; bit += 1) flags |= ((record[2 + (bit >> 3)] >> (7 - (bit & 7))) & 1) << bit;
  const limits = [...record.subarray(6, 12)];
  while (limits.at(-1) === 0) limits.pop();
  const space = ["", "A", "B", "C"][record[1] >> 6];
  const level = `${record[1] & 0x20 ? "H" : "L"}${record[12]}`;
  return ["hvc1", space + (record[1] & 31), (flags >>> 0).toString(16), level, ...limits.map((byte) => byte.toString(16))].join(".");
}

/** The mark of a codec in the header of a container, and its name for browsers (RFC 6381), from the bytes after the mark. */
const CODECS = {
  mp4: [
    ["avcC", (record) => `avc1.${two(record[1], 16)}${two(record[2], 16)}${two(record[3], 16)}`],
    ["hvcC", hevc],
    ["av1C", (record) => `av01.${record[1] >> 5}.${two(record[1] & 31)}${record[2] >> 7 ? "H" : "M"}.${record[2] & 0x40 ? "10" : "08"}`],
    ["vpcC", (record) => `vp09.${two(record[4])}.${two(record[5])}.${two(record[6] >> 4)}`],
    ["mp4a", () => "mp4a.40.2"],
    ["Opus", () => "opus"],
    ["fLaC", () => "flac"],
  ],
  webm: [
    ["V_VP8", () => "vp8"],
    ["V_VP9", () => "vp09.00.41.08"],
    ["V_AV1", () => "av01.0.08M.08"],
    ["A_OPUS", () => "opus"],
    ["A_VORBIS", () => "vorbis"],
  ],
};
/** The mark after the header. */
const MEDIA_MARK = { mp4: "moof", webm: "\x1f\x43\xb6\x75" };
/** Containers without a header. */
const FRAMES = { mp3: "audio/mpeg", aac: "audio/aac" };

/** The content type of a stream that starts with these bytes; undefined while it is unknown. */
function typeOf(container, bytes) {
  if (FRAMES[container]) return FRAMES[container];
  const text = textOf(bytes);
  const end = text.indexOf(MEDIA_MARK[container]);
  if (end < 0) return undefined;
  const found = CODECS[container].map(([mark, name]) => [text.lastIndexOf(mark, end), mark, name]).filter(([place]) => place >= 0);
  const names = found.map(([place, mark, name]) => name(bytes.subarray(place + mark.length)));
  return `${view.dataset.player}/${container}; codecs="${names.join(",")}"`;
}

/** Keeps close to the end of the buffer; returns the seconds behind it. */
function follow(player) {
  const { buffered } = player;
  if (!buffered.length) return undefined;
  // Media before a gap, as after a worker crash, is over.
  const [begin, end] = [buffered.start(buffered.length - 1), buffered.end(buffered.length - 1)];
  const behind = end - player.currentTime;
  const stopped = player.paused && player.played.length > 0;
  // Also before it plays: a running stream does not start at 0.
  if (player.currentTime < begin || (behind > JUMP_FROM && !stopped)) player.currentTime = Math.max(end - TARGET, begin);
  else if (behind > CATCH_UP_FROM) player.playbackRate = CATCH_UP_RATE;
  else if (behind < TARGET) player.playbackRate = 1;
  return end - player.currentTime;
}

/** Waits for an asynchronous change of a source buffer. */
async function changed(buffer, change) {
  const done = new Promise((then, fail) => {
    buffer.addEventListener("updateend", then, { once: true });
    buffer.addEventListener("error", () => fail(new Refused("The browser cannot decode this.")), { once: true });
  });
  change();
  await done;
}

/** Removes what was played, and what exceeds the buffer. */
async function trim(player, buffer) {
  if (!buffer.buffered.length) return;
  const [begin, end] = [buffer.buffered.start(0), buffer.buffered.end(buffer.buffered.length - 1)];
  const keep = Math.max(player.currentTime - KEPT, end - AHEAD);
  if (keep > begin + KEPT) await changed(buffer, () => buffer.remove(begin, keep));
}

/** Plays the stream once, by Media Source Extensions. */
async function playLive(player) {
  const source = new MediaSource();
  const abort = new AbortController();
  const opened = new Promise((then) => source.addEventListener("sourceopen", then, { once: true }));
  player.src = URL.createObjectURL(source);
  try {
    await opened;
    const reader = (await request(view.dataset.src, { signal: abort.signal })).body.getReader();
    let [head, type, buffer] = [new Uint8Array(), undefined, null];
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      if (!buffer) {
        head = concat(head, value);
        type = typeOf(view.dataset.container, head);
        if (!type && head.length > MAX_BYTES) throw new Unplayable();
        if (!type) continue;
        if (!MediaSource.isTypeSupported(type)) throw new Unplayable();
        buffer = source.addSourceBuffer(type);
        notify("");
      }
      await changed(buffer, () => buffer.appendBuffer(head ?? value));
      head = null;
      await trim(player, buffer);
    }
  } finally {
    abort.abort();
    URL.revokeObjectURL(player.src);
  }
}

/** Lets the browser play by itself, for containers that scripts cannot append. */
function playPlainly(player) {
  let started = Date.now();
  const begin = () => {
    started = Date.now();
    player.src = `${view.dataset.src}${view.dataset.src.includes("?") ? "&" : "?"}t=${started}`;
    player.play().catch(() => {});
  };
  player.addEventListener("ended", () => setTimeout(begin, RETRY_AFTER));
  player.addEventListener("playing", () => notify(""));
  player.addEventListener("error", () => {
    if (player.error.code !== MediaError.MEDIA_ERR_SRC_NOT_SUPPORTED) return setTimeout(begin, RETRY_AFTER);
    if (!view.dataset.pic) return notify("This browser cannot play this stream. Other players can: see below.");
    player.remove();
    at("mute").hidden = true;
    notify("This browser cannot play this stream: the page shows stills of it.");
    return showStills();
  });
  // It cannot seek: playback that is too late restarts.
  setInterval(() => {
    const { buffered } = player;
    const behind = buffered.length ? buffered.end(buffered.length - 1) - player.currentTime : 0;
    if (!player.paused && behind > 2 * JUMP_FROM && Date.now() - started > 5 * RETRY_AFTER) begin();
  }, RETRY_AFTER);
  begin();
}

// WebRTC

/** Whether a connection was there: then one that fails may come again. */
let hasConnected = false;

/** Waits until a connection has one of these states; fails when that takes too long. */
function reached(peer, states, within) {
  return new Promise((then, fail) => {
    const look = () => {
      if (states.includes(peer.connectionState)) then(peer.connectionState);
    };
    peer.addEventListener("connectionstatechange", look);
    if (within) setTimeout(() => fail(new Error("The server is not reached over WebRTC.")), within);
    look();
  });
}

/** Seconds from the server to the screen, as far as the browser knows. */
async function peerDelay(peer, before) {
  let [trip, waited, shown] = [0, 0, 0];
  for (const one of (await peer.getStats()).values()) {
    if (one.type === "candidate-pair" && one.nominated) trip = one.currentRoundTripTime ?? 0;
    if (one.type === "inbound-rtp" && one.jitterBufferEmittedCount && (one.kind === "video" || !shown)) {
      [waited, shown] = [one.jitterBufferDelay, one.jitterBufferEmittedCount];
    }
  }
  const [long, count] = [waited - before.waited, shown - before.shown];
  Object.assign(before, { waited, shown });
  return count > 0 ? trip / 2 + long / count : undefined;
}

/** Plays the stream once, over WebRTC. */
async function playPeer(player) {
  const peer = new RTCPeerConnection();
  let [session, measuring] = [null, null];
  const leave = () => {
    if (session) fetch(session, { method: "DELETE", keepalive: true }).catch(() => {});
    session = null;
  };
  addEventListener("pagehide", leave);
  try {
    const media = new MediaStream();
    peer.addEventListener("track", ({ track }) => media.addTrack(track));
    for (const kind of ["video", "audio"]) peer.addTransceiver(kind, { direction: "recvonly" });
    await peer.setLocalDescription();
    const headers = { "Content-Type": "application/sdp" };
    const response = await fetch(view.dataset.whep, { method: "POST", headers, body: peer.localDescription.sdp });
    const text = await response.text();
    if ([400, 404, 405, 415, 422].includes(response.status)) throw new Unplayable();
    if (!response.ok) throw new Error(text.trim());
    session = response.headers.get("location");
    await peer.setRemoteDescription({ type: "answer", sdp: text });
    player.srcObject = media;
    try {
      if ((await reached(peer, ["connected", "failed"], SOON)) !== "connected") throw new Error();
    } catch {
      throw hasConnected ? new Error("The server is not reached over WebRTC.") : new Unplayable();
    }
    hasConnected = true;
    notify("");
    player.play().catch(() => notify("Press play to listen."));
    const before = { waited: 0, shown: 0 };
    measuring = setInterval(async () => figures.behind(await peerDelay(peer, before)), 2 * CHECK_PERIOD);
    await reached(peer, ["failed", "disconnected", "closed"]);
  } finally {
    clearInterval(measuring);
    removeEventListener("pagehide", leave);
    leave();
    peer.close();
    player.srcObject = null;
  }
}

async function showMedia() {
  const player = document.createElement(view.dataset.player === "stills" ? "video" : view.dataset.player);
  const { container, name } = view.dataset;
  player.ariaLabel = name;
  player.controls = true;
  player.playsInline = true;
  // Browsers autoplay only muted media.
  player.muted = player.localName === "video";
  view.append(player);
  const label = () => {
    at("mute").textContent = player.muted ? "Unmute" : "Mute";
  };
  player.addEventListener("volumechange", label);
  at("mute").addEventListener("click", () => {
    player.muted = !player.muted;
  });
  at("mute").hidden = false;
  label();
  let failures = 0;
  const live = async () => {
    const started = Date.now();
    try {
      await playLive(player);
    } catch (error) {
      const refused = (error instanceof Refused || player.error !== null) && Date.now() - started < SOON;
      failures = refused ? failures + 1 : 0;
      throw failures === FAILURES ? new Unplayable() : error;
    }
  };
  const isLive = "MediaSource" in window && (container in CODECS || container in FRAMES);
  player.addEventListener("canplay", () => {
    if (player.src.startsWith("blob:")) follow(player);
    player.play().catch(() => notify("Press play to listen."));
  }, { once: true });
  setInterval(() => {
    if (player.src.startsWith("blob:")) figures.behind(follow(player));
    const quality = player.getVideoPlaybackQuality?.();
    if (quality) figures.dropped(quality.droppedVideoFrames, quality.totalVideoFrames);
  }, CHECK_PERIOD);
  if (view.dataset.whep && "RTCPeerConnection" in window) {
    try {
      return await repeat(() => playPeer(player));
    } catch {
      figures.behind(undefined);
    }
  }
  if (view.dataset.player === "stills") {
    player.remove();
    at("mute").hidden = true;
    return showStills();
  }
  if (!isLive) return playPlainly(player);
  try {
    return await repeat(live);
  } catch {
    figures.behind(undefined);
    return playPlainly(player);
  }
}

// A still to save

async function keepStill() {
  try {
    const response = await request(`${view.dataset.pic}${view.dataset.pic.includes("?") ? "&" : "?"}fresh=1`);
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

if (view.dataset.pic) at("still").addEventListener("click", keepStill);
at("panel").hidden = false;
({ pictures: showImages, stills: view.dataset.whep ? showMedia : showStills })[view.dataset.player]?.().catch((error) => notify(error.message)) ?? showMedia();
