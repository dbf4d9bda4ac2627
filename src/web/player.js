// <voyandz-view src="https://host/cam0">: plays a stream as this browser can, close to its newest frame. It reads the offers of the
// stream, takes the first one that works, and comes back by itself.

/** Seconds behind the end of the buffer: target, limit for faster playback, limit for a jump; and the faster rate. */
const TARGET = 0.3;
const CATCH_UP_FROM = 0.6;
const JUMP_FROM = 2;
const CATCH_UP_RATE = 1.1;
/** Seconds that are kept in the buffer: before the current time, and after it while paused. */
const KEPT = 5;
const AHEAD = 20;
/** Most bytes before the first media, or of one image. */
const MAX_BYTES = 32 << 20;
/** Milliseconds. */
const CHECK_PERIOD = 250;
const RETRY_AFTER = 1000;
const SOON = 5000;
const BETWEEN_STILLS = 200;
/** A connection of WebRTC that is not there after this time will not come. */
const CONNECTED_WITHIN = 1200;
/** One that has no pair of addresses to check by then has none: Firefox, for one, knows none on its own machine. */
const CHECKED_WITHIN = 750;
/** Without a packet for this long, and then for twice the time, a server is asked whether it still knows the session. */
const UNSURE_AFTER = 1000;
const UNSURE_AFTER_LONGEST = 16000;
/** Without data for this long, the connection is given up. */
const SILENT_FOR = 15000;
/** What cannot be seen plays on for this long. */
const HIDDEN_FOR = 3000;
/** What did not work is tried again after this time, and after twice that time when it still does not, up to the longest one. */
const UNFIT_FOR = 60000;
const UNFIT_FOR_LONGEST = 960000;
/** A way that is tried unseen has to play within this time. */
const TRIED_FOR = 10000;
/** The network is too slow when playback waited for media in more than this part of so many checks, although media came within this time. */
const STARVED = 0.4;
const STARVED_CHECKS = 32;
const COMES_WITHIN = 2000;
/** The part of what the network carries that a rendition may take. */
const FITS = 0.8;
/** So many times longer is skipped what the network is too slow for. */
const TOO_SLOW_FOR = 5;
/** Immediate failures in a row before the next way is taken. */
const FAILURES = 3;

/** The browser cannot play the stream in this way. */
class Unplayable extends Error {}
/** There is a smaller rendition, and the network is too slow for this one. */
class TooSlow extends Unplayable {}
/** The browser rejected the data. */
class Refused extends Error {}

const pause = (milliseconds) => new Promise((then) => setTimeout(then, milliseconds));
const never = () => new Promise(() => {});
const Source = window.MediaSource ?? window.ManagedMediaSource;

/** Fetches; a failed response is an error with its text. */
async function request(address, options) {
  const response = await fetch(address, { cache: "no-store", ...options });
  if (response.ok) return response;
  const text = (await response.text()).trim() || `The server responded with ${response.status}.`;
  throw new ([404, 405, 406, 415, 422].includes(response.status) ? Unplayable : Error)(text);
}

/** The pieces of a response; an error when nothing comes any more. */
async function* pieces(response) {
  const reader = response.body.getReader();
  for (;;) {
    let timer;
    const silence = new Promise((_, fail) => {
      timer = setTimeout(() => fail(new Error("Nothing comes from the server.")), SILENT_FOR);
    });
    const { value, done } = await Promise.race([reader.read(), silence]).finally(() => clearTimeout(timer));
    if (done) return;
    yield value;
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
async function clockAhead(address, signal) {
  let [ahead, quickest] = [0, Infinity];
  for (let count = 0; count < 4; count += 1) {
    const asked = Date.now();
    const response = await request(address, { method: "HEAD", signal });
    const took = Date.now() - asked;
    if (took >= quickest) continue;
    quickest = took;
    ahead = Number(response.headers.get("x-timestamp")) - (asked + took / 2) / 1000;
  }
  return ahead;
}

/** Shows images; while one is decoded, only the newest of the others is kept. */
class Screen {
  #view;
  #canvas;
  #next = null;
  #busy = false;
  #dropped = 0;
  #all = 0;
  #ahead;

  /** `ahead`: seconds that the clock of the server is ahead of ours. */
  constructor(view, ahead) {
    this.#view = view;
    this.#ahead = ahead;
    this.#canvas = view.show("canvas");
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
        const canvas = this.#canvas;
        if (canvas.width !== image.width) canvas.width = image.width;
        if (canvas.height !== image.height) canvas.height = image.height;
        canvas.getContext("2d").drawImage(image, 0, 0);
        image.close();
        this.#view.delayed(Number.isNaN(captured) ? undefined : Date.now() / 1000 + this.#ahead - captured);
      } catch {
        this.#dropped += 1;
      }
      this.#view.counted(this.#dropped, this.#all);
    }
    this.#busy = false;
  }
}

/** The parts of a `multipart/x-mixed-replace` with `Content-Length`. */
async function showImages(view, { url }, signal) {
  const screen = new Screen(view, await clockAhead(view.offersUrl, signal));
  let bytes = new Uint8Array();
  for await (const piece of pieces(await request(url, { signal }))) {
    bytes = concat(bytes, piece);
    for (;;) {
      const text = textOf(bytes.subarray(0, 1024));
      const end = text.indexOf("\r\n\r\n");
      const length = Number(/content-length: *(\d+)/i.exec(text.slice(0, end))?.[1]);
      if (end < 0 ? bytes.length > 1024 : !(length <= MAX_BYTES)) throw new Unplayable("The images are not delimited.");
      if (end < 0 || bytes.length < end + 4 + length) break;
      view.plays();
      screen.show(new Blob([bytes.subarray(end + 4, end + 4 + length)]), Number(/x-timestamp: *(\S+)/i.exec(text.slice(0, end))?.[1]));
      bytes = bytes.slice(end + 4 + length);
    }
  }
}

/** Shows one still after the other. */
async function showStills(view, { url }, signal) {
  const screen = new Screen(view, await clockAhead(view.offersUrl, signal));
  while (!signal.aborted) {
    const response = await request(url, { signal });
    await screen.show(await response.blob(), Date.parse(response.headers.get("x-capture-time")) / 1000);
    view.plays();
    await pause(BETWEEN_STILLS);
  }
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
function typeOf(container, kind, bytes) {
  if (FRAMES[container]) return FRAMES[container];
  const text = textOf(bytes);
  const end = text.indexOf(MEDIA_MARK[container]);
  if (end < 0) return undefined;
  const found = CODECS[container].map(([mark, name]) => [text.lastIndexOf(mark, end), mark, name]).filter(([place]) => place >= 0);
  const names = found.map(([place, mark, name]) => name(bytes.subarray(place + mark.length)));
  return `${kind}/${container}; codecs="${names.join(",")}"`;
}

/** Keeps so close to the end of the buffer; returns the seconds behind it. */
function follow(player, target) {
  const { buffered } = player;
  if (!buffered.length) return undefined;
  // Media before a gap, as after a worker crash, is over.
  const [begin, end] = [buffered.start(buffered.length - 1), buffered.end(buffered.length - 1)];
  const behind = end - player.currentTime;
  const stopped = player.paused && player.played.length > 0;
  const late = target - TARGET;
  // Also before it plays: a running stream does not start at 0.
  if (player.currentTime < begin || (behind > JUMP_FROM + late && !stopped)) player.currentTime = Math.max(end - target, begin);
  else if (behind > CATCH_UP_FROM + late) player.playbackRate = CATCH_UP_RATE;
  else if (behind < target) player.playbackRate = 1;
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

/** Notices a network that is too slow. */
class Pace {
  #bytes = 0;
  #last = 0;
  #checks = [];

  /** So many bytes came. */
  came(bytes) {
    this.#bytes += bytes;
    this.#last = Date.now();
  }

  /** Bits per second that come, where these are too few; to be called in each CHECK_PERIOD. */
  look(player) {
    const waits = !player.paused && player.readyState < HTMLMediaElement.HAVE_FUTURE_DATA && Date.now() - this.#last < COMES_WITHIN;
    this.#checks.push({ waits, bytes: this.#bytes });
    this.#bytes = 0;
    if (this.#checks.length > STARVED_CHECKS) this.#checks.shift();
    if (this.#checks.filter(({ waits }) => waits).length <= STARVED * STARVED_CHECKS) return undefined;
    const bytes = this.#checks.reduce((sum, check) => sum + check.bytes, 0);
    return (8000 * bytes) / (this.#checks.length * CHECK_PERIOD);
  }
}

/**
 * A player whose media comes from `feed(source, player, aim, pace, appended)` by Media Source Extensions; `aim` sets the seconds to stay behind,
 * `pace` learns what came, `appended` is called when a buffer has more. It ends when the network is too slow and there is a rendition
 * that takes less than `bandwidth`.
 */
async function playSource(view, signal, feed, bandwidth = Infinity) {
  const player = view.show(view.kind);
  const held = player.paused && player.played.length > 0;
  const source = new Source();
  let target = TARGET;
  const opened = new Promise((then) => source.addEventListener("sourceopen", then, { once: true }));
  player.disableRemotePlayback = true;
  player.src = URL.createObjectURL(source);
  let begun = held;
  const appended = () => {
    // It cannot show anything before it is where the stream is.
    if (player.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) follow(player, target);
    const { buffered, currentTime } = player;
    // With less than that it would wait for every frame.
    if (begun || !buffered.length || buffered.end(buffered.length - 1) - currentTime < TARGET) return;
    begun = true;
    player.play().catch(() => view.tell("playing", "Press play to listen."));
  };
  const pace = new Pace();
  let [following, looks] = [undefined, false];
  const slow = new Promise((_, fail) => {
    following = setInterval(async () => {
      view.delayed(follow(player, target));
      const quality = player.getVideoPlaybackQuality?.();
      if (quality) view.counted(quality.droppedVideoFrames, quality.totalVideoFrames);
      const rate = pace.look(player);
      if (rate === undefined || looks || !view.playlist) return;
      // Once: where there is no smaller rendition, the server sends keyframes only.
      looks = true;
      const found = await variants(view.playlist, signal).catch(() => []);
      if (!found.some((one) => one.bandwidth < bandwidth && one.bandwidth <= FITS * rate)) return;
      view.rate = rate;
      fail(new TooSlow("The network is too slow."));
    }, CHECK_PERIOD);
  });
  try {
    await Promise.race([opened, new Promise((then) => signal.addEventListener("abort", then, { once: true }))]);
    if (!signal.aborted) await Promise.race([feed(source, player, (seconds) => (target = seconds), pace, appended), slow]);
  } catch (error) {
    throw player.error && !signal.aborted ? new Refused("The browser cannot decode this.") : error;
  } finally {
    clearInterval(following);
    URL.revokeObjectURL(player.src);
  }
}

const playStream = (view, { url, container }, signal) =>
  playSource(view, signal, async (source, player, aim, pace, appended) => {
    let [head, type, buffer] = [new Uint8Array(), undefined, null];
    for await (const value of pieces(await request(url, { signal }))) {
      pace.came(value.length);
      if (!buffer) {
        head = concat(head, value);
        type = typeOf(container, view.kind, head);
        if (!type && head.length > MAX_BYTES) throw new Unplayable();
        if (!type) continue;
        if (!Source.isTypeSupported(type)) throw new Unplayable();
        buffer = source.addSourceBuffer(type);
        view.plays();
      }
      await changed(buffer, () => buffer.appendBuffer(head ?? value));
      appended();
      head = null;
      await trim(player, buffer);
    }
  });

/** Lets the browser play by itself, what scripts cannot append. */
async function playPlainly(view, { url }, signal) {
  const player = view.show(view.kind);
  const started = Date.now();
  player.src = `${url}${url.includes("?") ? "&" : "?"}t=${started}`;
  const ending = new AbortController();
  const on = (kind, act) => player.addEventListener(kind, act, { signal: ending.signal });
  let looking;
  try {
    const end = new Promise((then, fail) => {
      signal.addEventListener("abort", then, { once: true });
      on("ended", then);
      on("playing", () => view.plays());
      // Some browsers wait without an end for what they cannot decode.
      const begun = () => player.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA || fail(new Unplayable());
      on("loadedmetadata", () => setTimeout(begun, SOON));
      on("error", () => fail(player.error.code === MediaError.MEDIA_ERR_SRC_NOT_SUPPORTED ? new Unplayable() : new Error("The stream ended.")));
      // It cannot seek: playback that is too late restarts.
      looking = setInterval(() => {
        const { buffered } = player;
        const behind = buffered.length ? buffered.end(buffered.length - 1) - player.currentTime : 0;
        if (!player.paused && behind > 2 * JUMP_FROM && Date.now() - started > 5 * RETRY_AFTER) then();
      }, RETRY_AFTER);
    });
    view.delayed(undefined);
    player.play().catch(() => {});
    await end;
  } catch (error) {
    // A server that is away looks the same as what cannot be played.
    if (error instanceof Unplayable) await request(view.offersUrl, { method: "HEAD", signal });
    throw error;
  } finally {
    clearInterval(looking);
    ending.abort();
  }
}

// HLS, for streams that have no container that browsers append

/** The attributes of a tag, by their names. */
const attributes = (line) => Object.fromEntries([...line.matchAll(/([A-Z-]+)=(?:"([^"]*)"|([^,]*))/g)].map(([, name, quoted, plain]) => [name, quoted ?? plain]));

/** What a media playlist lists: its parts, in segments that have some, and its segments, each with its place and header. */
function listed(text, base) {
  const found = { items: [], part: 1, next: undefined };
  let [segment, part, header] = [0, 0, undefined];
  const add = (uri, isKey) => found.items.push({ url: new URL(uri, base).href, segment, part, header, isKey });
  for (const line of text.split("\n")) {
    if (line.startsWith("#EXT-X-MEDIA-SEQUENCE:")) segment = Number(line.slice(22));
    else if (line.startsWith("#EXT-X-PART-INF:")) found.part = Number(attributes(line)["PART-TARGET"]);
    else if (line.startsWith("#EXT-X-MAP:")) header = new URL(attributes(line).URI, base).href;
    else if (line.startsWith("#EXT-X-PART:")) {
      add(attributes(line).URI, line.includes("INDEPENDENT=YES"));
      part += 1;
    } else if (line && !line.startsWith("#")) {
      if (part === 0) add(line, true);
      [segment, part] = [segment + 1, 0];
    }
  }
  return Object.assign(found, { next: { segment, part } });
}

/** Appends a rendition to a buffer for as long as it is listed. */
async function playRendition(view, url, player, buffer, { aim, pace, appended }, signal) {
  const isAfter = (one, other) => one.segment > other.segment || (one.segment === other.segment && one.part >= other.part);
  let [at, header, wait] = [undefined, undefined, {}];
  while (!signal.aborted) {
    const address = new URL(url);
    if (wait.segment !== undefined) {
      address.searchParams.set("_HLS_msn", wait.segment);
      address.searchParams.set("_HLS_part", wait.part);
    }
    const list = listed(await (await request(address, { signal })).text(), url);
    wait = list.next;
    aim(TARGET + 1.5 * list.part);
    let items = list.items.filter((item) => at && isAfter(item, at));
    // At the start, and after what was missed.
    if (!at || (items[0] && items[0].segment > at.segment + 1)) items = list.items.slice(Math.max(list.items.findLastIndex((item) => item.isKey), 0));
    for (const item of items) {
      if (item.header !== header) {
        const head = await (await request(item.header, { signal })).arrayBuffer();
        await changed(buffer, () => buffer.appendBuffer(head));
        header = item.header;
      }
      const bytes = await (await request(item.url, { signal })).arrayBuffer();
      pace.came(bytes.byteLength);
      await changed(buffer, () => buffer.appendBuffer(bytes));
      appended();
      at = { segment: item.segment, part: item.part + 1 };
      view.plays();
      await trim(player, buffer);
    }
  }
}

/** The variants of a playlist: their bits per second, their attributes, and their address. */
async function variants(url, signal) {
  const lines = (await (await request(url, { signal })).text()).split("\n");
  const groups = lines.filter((line) => line.startsWith("#EXT-X-MEDIA:TYPE=AUDIO")).map(attributes);
  return lines.flatMap((line, at) => {
    if (!line.startsWith("#EXT-X-STREAM-INF:")) return [];
    const { BANDWIDTH, CODECS: codecs = "", AUDIO: group, RESOLUTION: size } = attributes(line);
    const audio = groups.find((one) => one["GROUP-ID"] === group);
    const playlists = [lines[at + 1], ...(audio?.URI ? [audio.URI] : [])].map((uri) => new URL(uri, url).href);
    return [{ bandwidth: Number(BANDWIDTH), codecs, size, playlists }];
  });
}

async function playHls(view, { url }, signal) {
  const found = await variants(url, signal);
  // The first, unless the network was too slow: then the best that fits, or the smallest.
  const byRate = found.toSorted((one, other) => other.bandwidth - one.bandwidth);
  const chosen = view.rate ? (byRate.find(({ bandwidth }) => bandwidth <= FITS * view.rate) ?? byRate.at(-1)) : found[0];
  if (!chosen) throw new Unplayable();
  const { bandwidth, codecs, size, playlists } = chosen;
  const play = async (source, player, aim, pace, appended) => {
    if (view.kind === "video" && !size) throw new Refused("The video has not begun.");
    // Without names of all codecs it is not known what they are.
    const names = codecs.split(",");
    if (!codecs || names.length < playlists.length) throw new Unplayable();
    const types = playlists.map((_, index) => `${index || view.kind === "audio" ? "audio" : "video"}/mp4; codecs="${names[index] ?? ""}"`);
    if (!types.every((type) => Source.isTypeSupported(type))) throw new Unplayable();
    const buffers = types.map((type) => source.addSourceBuffer(type));
    // When one ends, so does the other.
    const ending = new AbortController();
    const both = AbortSignal.any([signal, ending.signal]);
    try {
      await Promise.all(playlists.map((playlist, index) => playRendition(view, playlist, player, buffers[index], { aim, pace, appended }, both)));
    } finally {
      ending.abort();
    }
  };
  try {
    await playSource(view, signal, play, bandwidth);
  } catch (error) {
    // It stays the way, by another rendition.
    throw error instanceof TooSlow ? new Error(error.message) : error;
  }
}

// WebRTC

/** Waits until a connection has one of these states; fails when that takes too long. */
function reached(peer, states, signal, within) {
  return new Promise((then, fail) => {
    const look = () => {
      if (states.includes(peer.connectionState)) then(peer.connectionState);
    };
    peer.addEventListener("connectionstatechange", look);
    signal.addEventListener("abort", () => then("closed"), { once: true });
    const giveUp = () => fail(new Unplayable("The server is not reached over WebRTC."));
    if (within) {
      setTimeout(giveUp, within);
      setTimeout(() => peer.iceConnectionState === "new" && giveUp(), CHECKED_WITHIN);
    }
    look();
  });
}

/** Notices when no packets come any more because the server has restarted, long before the connection would. */
class Presence {
  #session;
  #packets = 0;
  #since = Date.now();
  #wait = UNSURE_AFTER;

  constructor(session) {
    this.#session = session;
  }

  /** So many packets came so far. Throws when the server is away, or does not know the session. */
  async look(packets, signal) {
    const now = Date.now();
    if (packets !== this.#packets) {
      [this.#packets, this.#since, this.#wait] = [packets, now, UNSURE_AFTER];
    } else if (now - this.#since >= this.#wait) {
      [this.#since, this.#wait] = [now, Math.min(2 * this.#wait, UNSURE_AFTER_LONGEST)];
      const { status } = await fetch(this.#session, { method: "HEAD", cache: "no-store", signal });
      if (status === 404) throw new Error("The server has restarted.");
    }
  }
}

/** Seconds from the server to the screen, as far as the browser knows; and how many packets came so far. */
async function peerDelay(peer, before) {
  let [trip, waited, shown, packets] = [0, 0, 0, 0];
  for (const one of (await peer.getStats()).values()) {
    if (one.type === "inbound-rtp") packets += one.packetsReceived;
    if (one.type === "candidate-pair" && one.nominated) trip = one.currentRoundTripTime ?? 0;
    if (one.type === "inbound-rtp" && one.jitterBufferEmittedCount && (one.kind === "video" || !shown)) {
      [waited, shown] = [one.jitterBufferDelay, one.jitterBufferEmittedCount];
    }
  }
  const [long, count] = [waited - before.waited, shown - before.shown];
  Object.assign(before, { waited, shown });
  return { delay: count > 0 ? trip / 2 + long / count : undefined, packets };
}

/** Plays the stream once, over WebRTC. */
async function playPeer(view, { url }, signal) {
  const player = view.show(view.kind);
  const held = player.paused && player.played.length > 0;
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
    const response = await request(url, { method: "POST", headers, body: peer.localDescription.sdp, signal });
    session = new URL(response.headers.get("location"), url).href;
    await peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
    player.removeAttribute("src");
    player.srcObject = media;
    if ((await reached(peer, ["connected", "failed"], signal, CONNECTED_WITHIN)) === "failed") throw new Unplayable();
    if (signal.aborted) return;
    view.plays();
    if (!held) player.play().catch(() => view.tell("playing", "Press play to listen."));
    const [before, presence] = [{ waited: 0, shown: 0 }, new Presence(session)];
    const gone = new Promise((_, fail) => {
      measuring = setInterval(async () => {
        const { delay, packets } = await peerDelay(peer, before);
        view.delayed(delay);
        const quality = player.getVideoPlaybackQuality?.();
        if (quality) view.counted(quality.droppedVideoFrames, quality.totalVideoFrames);
        presence.look(packets, signal).catch(fail);
      }, 2 * CHECK_PERIOD);
    });
    await Promise.race([reached(peer, ["failed", "disconnected", "closed"], signal), gone]);
  } finally {
    clearInterval(measuring);
    removeEventListener("pagehide", leave);
    leave();
    peer.close();
    player.srcObject = null;
  }
}

// The element

/** The ways of these offers that this browser may play, in their order. */
function waysOf(offers, player) {
  const [ways, plain] = [[], []];
  for (const offer of offers) {
    const add = (play, name = offer.kind, to = ways) => to.push({ ...offer, play, name, key: `${name} ${offer.url}` });
    // What the browser plays by itself, as late as it likes, comes after the containers that are appended.
    if (offer.kind !== "stream") ways.push(...plain.splice(0));
    const isAppended = offer.container in CODECS || offer.container in FRAMES;
    const isKnown = !offer.type.includes("codecs") || Source?.isTypeSupported(offer.type);
    if (offer.kind === "whep" && "RTCPeerConnection" in window) add(playPeer);
    if (offer.kind === "stream" && isAppended && Source && isKnown) add(playStream);
    if (offer.kind === "stream" && Source && player.canPlayType(offer.type)) add(playPlainly, "plain", plain);
    if (offer.kind === "hls") {
      if (Source) add(playHls);
      else if (player.canPlayType(offer.type)) add(playPlainly, "hls");
    }
    if (offer.kind === "images") add(showImages);
    if (offer.kind === "stills") add(showStills);
  }
  return [...ways, ...plain];
}

const STYLE = new CSSStyleSheet();
STYLE.replaceSync(`
:host{display:block;position:relative;overflow:hidden;background:#101418;aspect-ratio:16/9}
:host([hidden]){display:none}
::slotted(video),::slotted(canvas){position:absolute;inset:0;width:100%;height:100%;object-fit:contain}
div{position:absolute;top:.5rem;left:.5rem;max-width:calc(100% - 1rem);display:flex;gap:.5rem;padding:.125rem .5rem;border-radius:.375rem;
background:rgb(0 0 0/.7);color:#fff;font:.8125rem/1.5 system-ui,sans-serif;font-variant-numeric:tabular-nums;pointer-events:none}
div:empty,:host([bare]) div{display:none}`);

/** Milliseconds below a second, else seconds. */
export const readable = (seconds) => (seconds < 1 ? `${Math.round(Math.max(seconds, 0) * 1000)} ms` : `${seconds.toFixed(1)} s`);

/**
 * Attributes: `src`, the address of a stream; `label`, its name for screen readers; `kind="audio"` where there is no video; `controls`;
 * `bare`, without its own words over the media. Events: `state` with the `state`
 * ("starting", "playing", "retrying", "stopped"), the `text` of a problem and the `way`; `delay` with the seconds behind live,
 * or null; `frames` with how many were `dropped` of how many, `total`.
 */
export class View extends HTMLElement {
  static observedAttributes = ["src"];

  /** Where the offers were read. */
  offersUrl = "";
  /** `video` or `audio`. */
  kind = "video";
  /** The playlist with all renditions, where there is one. */
  playlist = "";
  /** Bits per second that came while the network was too slow; 0 where it was not. */
  rate = 0;
  /** Milliseconds until what did not work is tried again. */
  unfitFor = UNFIT_FOR;
  /** The newest event `state`. */
  now = { state: "stopped", text: "", way: "" };
  #words = document.createElement("div");
  #media = null;
  #run = null;
  #leaving = null;
  #inSight = true;
  #unfit = new Map();
  #way = "";
  #key = "";
  /** The key of the way that played last, which the next try begins with. */
  #last = "";
  #watch = new IntersectionObserver((entries) => {
    this.#inSight = entries.at(-1).isIntersecting;
    this.#weigh();
  });
  #weigh = () => {
    const heard = this.player && !this.player.muted && !this.player.paused;
    if (this.isConnected && this.hasAttribute("src") && ((!document.hidden && this.#inSight) || heard)) {
      clearTimeout(this.#leaving);
      this.#leaving = null;
      this.#begin();
    } else if (this.#run && !this.#leaving) {
      this.#leaving = setTimeout(() => this.stop(), this.isConnected ? HIDDEN_FOR : 0);
    }
  };

  constructor() {
    super();
    const shadow = this.attachShadow({ mode: "open" });
    shadow.adoptedStyleSheets = [STYLE];
    shadow.append(document.createElement("slot"), this.#words);
  }

  connectedCallback() {
    document.addEventListener("visibilitychange", this.#weigh);
    this.#watch.observe(this);
    this.#weigh();
  }

  disconnectedCallback() {
    document.removeEventListener("visibilitychange", this.#weigh);
    this.#watch.disconnect();
    this.#inSight = true;
    this.stop();
  }

  attributeChangedCallback(name, old, src) {
    if (old === src || !this.isConnected) return;
    this.stop();
    this.#unfit.clear();
    this.#last = "";
    this.rate = 0;
    this.#weigh();
  }

  /** The `<video>` or `<audio>` that plays; null while there is none. */
  get player() {
    return this.#media instanceof HTMLMediaElement ? this.#media : null;
  }

  get muted() {
    return this.player?.muted ?? true;
  }

  set muted(muted) {
    if (this.player) this.player.muted = muted;
  }

  /** Ends playback, until the element is shown again. */
  stop() {
    clearTimeout(this.#leaving);
    this.#leaving = null;
    this.#run?.abort();
    this.#run = null;
    if (this.player) {
      this.player.removeAttribute("src");
      this.player.load();
    }
    this.tell("stopped");
  }

  /** The element of this kind that media is shown in: the present one, or another in its place. */
  show(kind) {
    if (this.#media?.localName === kind) return this.#media;
    const made = this.#make(kind);
    this.#media?.remove();
    this.#media = made;
    this.append(made);
    return made;
  }

  /** An element of this kind, with the settings of this one. */
  #make(kind) {
    const made = document.createElement(kind);
    const name = this.getAttribute("label") ?? this.getAttribute("src");
    made.ariaLabel = kind === "canvas" ? `Live view of ${name}` : name;
    if (kind === "canvas") made.role = "img";
    else {
      made.controls = this.hasAttribute("controls");
      made.playsInline = true;
      // Browsers autoplay only muted media.
      made.muted = kind === "video";
      made.addEventListener("volumechange", () => this.dispatchEvent(new Event("volumechange")));
      made.addEventListener("playing", () => made === this.#media && this.now.state === "playing" && this.tell("playing"));
    }
    return made;
  }

  /** Something is shown. */
  plays() {
    this.#last = this.#key;
    if (this.now.state !== "playing") this.tell("playing");
  }

  /** What it does, and a problem, if there is one. */
  tell(state, text = "") {
    const way = state === "stopped" ? "" : this.#way;
    if (this.now.state === state && this.now.text === text && this.now.way === way) return;
    this.now = { state, text, way };
    this.#words.textContent = text || (state === "starting" ? "Starting …" : "");
    this.dispatchEvent(new CustomEvent("state", { detail: this.now }));
  }

  /** So many seconds are between the server and the screen; undefined: it is not known. */
  delayed(seconds) {
    if (!this.now.text) this.#words.textContent = seconds === undefined ? "" : readable(seconds);
    this.dispatchEvent(new CustomEvent("delay", { detail: seconds ?? null }));
  }

  /** So many frames were dropped of so many. */
  counted(dropped, total) {
    this.dispatchEvent(new CustomEvent("frames", { detail: { dropped, total } }));
  }

  #begin() {
    if (this.#run) return;
    this.#run = new AbortController();
    this.#live(this.#run.signal);
  }

  async #live(signal) {
    const source = new URL(this.getAttribute("src"), document.baseURI);
    source.pathname = `${source.pathname.replace(/\/$/, "")}/offers.json`;
    this.offersUrl = source.href;
    if (!this.#media) this.show(this.getAttribute("kind") === "audio" ? "audio" : "video");
    this.tell("starting");
    while (!signal.aborted) {
      let problem = "The stream has ended.";
      try {
        await this.#once(signal);
      } catch (error) {
        problem = error instanceof TypeError ? "The server does not respond." : error.message;
      }
      if (signal.aborted) return;
      this.tell("retrying", `${problem} Trying again.`.trim());
      await pause(RETRY_AFTER);
    }
  }

  /** Plays by the first way that works, until it ends. */
  async #once(signal) {
    const { kind, offers } = await (await request(this.offersUrl, { signal })).json();
    this.kind = kind;
    for (const offer of offers) offer.url = new URL(offer.url, this.offersUrl).href;
    this.playlist = offers.find((offer) => offer.kind === "hls")?.url ?? "";
    const ways = waysOf(offers, document.createElement(kind));
    const isFit = ({ key }) => !(this.#unfit.get(key) > Date.now());
    if (!ways.some(isFit)) this.#unfit.clear();
    const isLast = ({ key }) => key === this.#last;
    for (const way of [...ways.filter(isLast), ...ways.filter((way) => !isLast(way))]) {
      if (!isFit(way)) continue;
      [this.#way, this.#key] = [way.name, way.key];
      if (way.name === "stream") this.rate = 0;
      for (let failures = 0; failures < FAILURES; ) {
        const [started, session] = [Date.now(), new AbortController()];
        const better = this.#better(ways.slice(0, ways.indexOf(way)), session, signal);
        try {
          await Promise.race([way.play(this, way, AbortSignal.any([signal, session.signal])), better.ends]);
          return better.tookOver() ? await better.ends : undefined;
        } catch (error) {
          if (signal.aborted) return;
          if (better.tookOver()) return await better.ends;
          // Every container of the stream is as large.
          if (error instanceof TooSlow) ways.filter(({ kind }) => kind === "stream").forEach((one) => this.#skip(one, TOO_SLOW_FOR));
          if (error instanceof Unplayable) break;
          if (!(error instanceof Refused) || Date.now() - started > SOON) throw error;
          failures += 1;
          await pause(RETRY_AFTER);
        } finally {
          session.abort();
        }
      }
      if (signal.aborted) return;
      if (isFit(way)) this.#skip(way);
    }
    this.#way = "";
    throw new Error("This browser cannot play this stream.");
  }

  /** Does not take a way for a time, or so many times longer. */
  #skip({ key }, times = 1) {
    this.#unfit.set(key, Date.now() + times * this.unfitFor);
  }

  /**
   * While a way plays, tries those that are better unseen, once their time is over. The first that plays takes over, and ends the
   * session of the other one. `ends` is settled when the one that took over ends, and never if none does.
   */
  #better(ways, worse, signal) {
    let [hasTakenOver, wait] = [false, this.unfitFor];
    const due = () => Math.min(...ways.map(({ key }) => this.#unfit.get(key) ?? 0));
    const tries = async () => {
      while (ways.length > 0 && !worse.signal.aborted && !signal.aborted) {
        await pause(Math.max(due() - Date.now(), RETRY_AFTER));
        const way = ways.find(({ key }) => !(this.#unfit.get(key) > Date.now()));
        // Who has paused it waits for nothing.
        if (!way || this.player?.paused || worse.signal.aborted || signal.aborted) continue;
        const [session, trial] = [new AbortController(), this.#trial()];
        const play = way.play(trial, way, AbortSignal.any([signal, session.signal]));
        const ended = play.then(
          () => false,
          () => false,
        );
        const plays = await Promise.race([trial.begins, ended, pause(TRIED_FOR).then(() => false)]);
        if (plays && !worse.signal.aborted && !signal.aborted) {
          hasTakenOver = true;
          this.#unfit.delete(way.key);
          [this.#way, this.#key, this.#last] = [way.name, way.key, way.key];
          worse.abort();
          trial.takeOver();
          return play.finally(() => session.abort());
        }
        session.abort();
        trial.end();
        wait = Math.min(2 * wait, UNFIT_FOR_LONGEST);
        this.#unfit.set(way.key, Date.now() + wait);
      }
      return never();
    };
    return { ends: tries(), tookOver: () => hasTakenOver };
  }

  /** Stands for this element towards a way that is tried unseen, until it takes over. */
  #trial() {
    let [media, isShown, begins] = [null, false, null];
    const plays = new Promise((then) => (begins = then));
    const view = this;
    return {
      kind: this.kind,
      offersUrl: this.offersUrl,
      playlist: this.playlist,
      begins: plays,
      set rate(rate) {
        view.rate = rate;
      },
      get rate() {
        return view.rate;
      },
      show(kind) {
        if (isShown) return view.show(kind);
        media?.remove();
        media = view.#make(kind);
        media.style.visibility = "hidden";
        view.append(media);
        return media;
      },
      plays() {
        if (isShown) view.plays();
        else if (!(media instanceof HTMLMediaElement) || (!media.paused && media.readyState >= 3)) begins(true);
        else media.addEventListener("playing", () => begins(true), { once: true });
      },
      tell: (...state) => isShown && view.tell(...state),
      delayed: (seconds) => isShown && view.delayed(seconds),
      counted: (...frames) => isShown && view.counted(...frames),
      takeOver() {
        isShown = true;
        const old = view.#media;
        if (view.player && media instanceof HTMLMediaElement) [media.muted, media.volume] = [old.muted, old.volume];
        media.style.visibility = "";
        view.#media = media;
        old?.remove();
        view.tell("playing");
      },
      end: () => media?.remove(),
    };
  }
}

customElements.define("voyandz-view", View);
