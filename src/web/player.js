// Plays one stream as this browser can: live, near to its newest picture, and says how far behind it is.
"use strict";

const view = document.querySelector("[data-player]");
const at = (id) => document.getElementById(id);
const pause = (milliseconds) => new Promise((then) => setTimeout(then, milliseconds));

/** Seconds behind the end of what is there: where it plays as usual, where it hurries, where it jumps. */
const CALM = 0.3;
const HURRIED = 0.6;
const LOST = 2;
const HURRY = 1.1;
/** Seconds of what was shown that are kept, and of what is to be shown while it is paused. */
const KEPT = 5;
const AHEAD = 20;
/** Most bytes in front of the first media, or of one picture. */
const MOST = 32 << 20;
/** Milliseconds. */
const LOOK = 250;
const AGAIN = 1000;
const SOON = 5000;
/** So often in a row the browser may fail at once before another way is taken. */
const FAILURES = 3;
const BETWEEN_STILLS = 200;

/** Not to be played in this way. */
class Unplayable extends Error {}
/** What the browser does not want to be fed. */
class Refused extends Error {}

/** Says something to those who watch, and to those who listen to the page. */
function say(text) {
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

/** An answer that is one; another is told as what it says. */
async function ask(address, options) {
  const answer = await fetch(address, { cache: "no-store", ...options });
  if (!answer.ok) throw new Error((await answer.text()).trim() || `The server answers ${answer.status}.`);
  return answer;
}

/** Does it again and again, with a pause where it ends. */
async function persist(act) {
  for (;;) {
    try {
      await act();
      say("The stream has ended. Trying again.");
    } catch (fault) {
      if (fault instanceof Unplayable) throw fault;
      say(fault instanceof TypeError ? "The server does not answer. Trying again." : `${fault.message} Trying again.`);
    }
    await pause(AGAIN);
  }
}

function concat(one, other) {
  const bytes = new Uint8Array(one.length + other.length);
  bytes.set(one);
  bytes.set(other, one.length);
  return bytes;
}

/** As a text with a character for each byte, to be searched. */
function textOf(bytes) {
  let text = "";
  for (let from = 0; from < bytes.length; from += 4096) text += String.fromCharCode(...bytes.subarray(from, from + 4096));
  return text;
}

// Pictures

/** Seconds that the server's clock is ahead of ours, as the quickest of some answers tells. */
async function clockAhead() {
  let [ahead, quickest] = [0, Infinity];
  for (let count = 0; count < 4; count += 1) {
    const asked = Date.now();
    const answer = await ask(location.pathname, { method: "HEAD" });
    const took = Date.now() - asked;
    if (took >= quickest) continue;
    quickest = took;
    ahead = Number(answer.headers.get("x-timestamp")) - (asked + took / 2) / 1000;
  }
  return ahead;
}

/** Shows pictures, the newest of those that have come while one is decoded. */
class Screen {
  #canvas = document.createElement("canvas");
  #next = null;
  #busy = false;
  #dropped = 0;
  #all = 0;

  /** Seconds that the server's clock is ahead of ours. */
  ahead = 0;

  constructor(name) {
    this.#canvas.role = "img";
    this.#canvas.ariaLabel = `Live picture of ${name}`;
    view.append(this.#canvas);
  }

  /** `captured`: seconds since 1970 by the server's clock, or NaN. */
  async show(picture, captured) {
    this.#all += 1;
    if (this.#next) this.#dropped += 1;
    this.#next = { picture, captured };
    if (this.#busy) return;
    this.#busy = true;
    while (this.#next) {
      const { picture, captured } = this.#next;
      this.#next = null;
      try {
        const image = await createImageBitmap(picture);
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

/** The parts of a `multipart/x-mixed-replace` whose heads tell their length. */
async function parts(address, take) {
  const reader = (await ask(address)).body.getReader();
  let bytes = new Uint8Array();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    bytes = concat(bytes, value);
    for (;;) {
      const head = textOf(bytes.subarray(0, 4096)).split("\r\n\r\n", 1)[0];
      const from = head.length + 4;
      const [, length] = /^content-length: *(\d+)/im.exec(head) ?? [];
      if (bytes.length > MOST || (length === undefined && bytes.length > 4096)) throw new Error("These are no pictures.");
      if (length === undefined || bytes.length < from + Number(length)) break;
      const [, captured] = /^x-timestamp: *([\d.]+)/im.exec(head) ?? [];
      take(new Blob([bytes.subarray(from, from + Number(length))], { type: "image/jpeg" }), Number(captured ?? NaN));
      bytes = bytes.slice(from + Number(length));
    }
  }
}

async function showPictures() {
  const screen = new Screen(view.dataset.name);
  await persist(async () => {
    screen.ahead = await clockAhead();
    await parts(view.dataset.src, (picture, captured) => {
      say("");
      screen.show(picture, captured);
    });
  });
}

/** One still after the other, where a browser knows no more of a container. */
async function showStills() {
  const screen = new Screen(view.dataset.name);
  await persist(async () => {
    screen.ahead = await clockAhead();
    for (;;) {
      if (document.hidden) await new Promise((then) => document.addEventListener("visibilitychange", then, { once: true }));
      const answer = await ask(view.dataset.pic);
      await screen.show(await answer.blob(), Date.parse(answer.headers.get("x-capture-time")) / 1000);
      say("");
      await pause(BETWEEN_STILLS);
    }
  });
}

// Film and sound

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

/** What names a codec in the header of a container, and the codec's name for browsers (RFC 6381), made of what stands behind it. */
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
/** What ends a header. */
const MEDIA_BEGINS = { mp4: "moof", webm: "\x1f\x43\xb6\x75" };
/** What needs no header. */
const FRAMES = { mp3: "audio/mpeg", aac: "audio/aac" };

/** The type of what begins with these bytes; undefined while that cannot be told. */
function typeOf(container, bytes) {
  if (FRAMES[container]) return FRAMES[container];
  const text = textOf(bytes);
  const end = text.indexOf(MEDIA_BEGINS[container]);
  if (end < 0) return undefined;
  const found = CODECS[container].map(([mark, name]) => [text.lastIndexOf(mark, end), mark, name]).filter(([place]) => place >= 0);
  const names = found.map(([place, mark, name]) => name(bytes.subarray(place + mark.length)));
  return `${view.dataset.player}/${container}; codecs="${names.join(",")}"`;
}

/** Keeps near to the newest that there is; seconds behind it. */
function follow(player) {
  const { buffered } = player;
  if (!buffered.length) return undefined;
  // What is in front of a gap, as the death of a worker makes one, is over.
  const [begin, end] = [buffered.start(buffered.length - 1), buffered.end(buffered.length - 1)];
  const behind = end - player.currentTime;
  const stopped = player.paused && player.played.length > 0;
  // Also before it plays: a stream that runs does not begin at 0.
  if (player.currentTime < begin || (behind > LOST && !stopped)) player.currentTime = Math.max(end - CALM, begin);
  else if (behind > HURRIED) player.playbackRate = HURRY;
  else if (behind < CALM) player.playbackRate = 1;
  return end - player.currentTime;
}

/** Does something with a source buffer that takes its time. */
async function changed(buffer, change) {
  const done = new Promise((then, fail) => {
    buffer.addEventListener("updateend", then, { once: true });
    buffer.addEventListener("error", () => fail(new Refused("The browser cannot decode this.")), { once: true });
  });
  change();
  await done;
}

/** Lets go of what was shown, and of what is too much. */
async function trim(player, buffer) {
  if (!buffer.buffered.length) return;
  const [begin, end] = [buffer.buffered.start(0), buffer.buffered.end(buffer.buffered.length - 1)];
  const keep = Math.max(player.currentTime - KEPT, end - AHEAD);
  if (keep > begin + KEPT) await changed(buffer, () => buffer.remove(begin, keep));
}

/** Plays the stream once, by Media Source Extensions. */
async function playLive(player) {
  const source = new MediaSource();
  const leaving = new AbortController();
  const opened = new Promise((then) => source.addEventListener("sourceopen", then, { once: true }));
  player.src = URL.createObjectURL(source);
  try {
    await opened;
    const reader = (await ask(view.dataset.src, { signal: leaving.signal })).body.getReader();
    let [head, type, buffer] = [new Uint8Array(), undefined, null];
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      if (!buffer) {
        head = concat(head, value);
        type = typeOf(view.dataset.container, head);
        if (!type && head.length > MOST) throw new Unplayable();
        if (!type) continue;
        if (!MediaSource.isTypeSupported(type)) throw new Unplayable();
        buffer = source.addSourceBuffer(type);
        say("");
      }
      await changed(buffer, () => buffer.appendBuffer(head ?? value));
      head = null;
      await trim(player, buffer);
    }
  } finally {
    leaving.abort();
    URL.revokeObjectURL(player.src);
  }
}

/** Plays it as the browser does by itself, for containers that scripts cannot hand over. */
function playPlainly(player) {
  let begun = Date.now();
  const begin = () => {
    begun = Date.now();
    player.src = `${view.dataset.src}${view.dataset.src.includes("?") ? "&" : "?"}t=${begun}`;
    player.play().catch(() => {});
  };
  player.addEventListener("ended", () => setTimeout(begin, AGAIN));
  player.addEventListener("playing", () => say(""));
  player.addEventListener("error", () => {
    if (player.error.code !== MediaError.MEDIA_ERR_SRC_NOT_SUPPORTED) return setTimeout(begin, AGAIN);
    if (!view.dataset.pic) return say("This browser cannot play this stream. A player can: see below.");
    player.remove();
    at("mute").hidden = true;
    say("This browser cannot play this stream: these are still pictures of it.");
    return showStills();
  });
  // It cannot be sought: what is too late begins anew.
  setInterval(() => {
    const { buffered } = player;
    const behind = buffered.length ? buffered.end(buffered.length - 1) - player.currentTime : 0;
    if (!player.paused && behind > 2 * LOST && Date.now() - begun > 5 * AGAIN) begin();
  }, AGAIN);
  begin();
}

async function showMedia() {
  const player = document.createElement(view.dataset.player);
  const { container, name } = view.dataset;
  player.ariaLabel = name;
  player.controls = true;
  player.playsInline = true;
  // Browsers begin by themselves what makes no noise.
  player.muted = view.dataset.player === "video";
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
    const begun = Date.now();
    try {
      await playLive(player);
    } catch (fault) {
      const refused = (fault instanceof Refused || player.error !== null) && Date.now() - begun < SOON;
      failures = refused ? failures + 1 : 0;
      throw failures === FAILURES ? new Unplayable() : fault;
    }
  };
  const isLive = "MediaSource" in window && (container in CODECS || container in FRAMES);
  player.addEventListener("canplay", () => {
    if (player.src.startsWith("blob:")) follow(player);
    player.play().catch(() => say("Press play to listen."));
  }, { once: true });
  setInterval(() => {
    if (player.src.startsWith("blob:")) figures.behind(follow(player));
    const quality = player.getVideoPlaybackQuality?.();
    if (quality) figures.dropped(quality.droppedVideoFrames, quality.totalVideoFrames);
  }, LOOK);
  if (!isLive) return playPlainly(player);
  try {
    return await persist(live);
  } catch {
    figures.behind(undefined);
    return playPlainly(player);
  }
}

// A still to keep

async function keepStill() {
  try {
    const answer = await ask(`${view.dataset.pic}?fresh=1`);
    const captured = new Date(answer.headers.get("x-capture-time"));
    const reader = new FileReader();
    const picture = new Promise((then) => reader.addEventListener("load", () => then(reader.result), { once: true }));
    reader.readAsDataURL(await answer.blob());
    const [figure, link] = [at("kept"), at("save")];
    figure.querySelector("img").src = link.href = await picture;
    link.download = `${view.dataset.name.replace(/[^\w.-]+/g, "_")}-${captured.toISOString().replace(/[:.]/g, "-")}.jpg`;
    at("captured").textContent = `Captured ${captured.toLocaleString()}`;
    figure.hidden = false;
  } catch (fault) {
    say(`No picture: ${fault.message}`);
  }
}

if (view.dataset.pic) at("still").addEventListener("click", keepStill);
at("panel").hidden = false;
({ pictures: showPictures, stills: showStills })[view.dataset.player]?.().catch((fault) => say(fault.message)) ?? showMedia();
