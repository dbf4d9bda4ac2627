// The tiles of the home page and of the wall: they stay fresh while they can be seen, and play when they are pointed at.

const main = document.querySelector("main");
/** Milliseconds. */
const PAGE_PERIOD = 5000;
const STILL_PERIOD = Number(main.dataset.period ?? 10000);
/** From one still to the next, whatever tile it is of: the server decodes each. */
const STILL_GAP = Math.min(400, STILL_PERIOD / 10);
const HOVER = 250;

const inSight = new Set();
const watch = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) inSight[isIntersecting ? "add" : "delete"](target);
});
const pause = (milliseconds) => new Promise((then) => setTimeout(then, milliseconds));
const tiles = () => document.querySelectorAll(".view[data-still]");

// Stills

/** Puts another still in the place of the one before, when it is there as a whole. */
function renew(view, address) {
  return new Promise((then) => {
    const image = new Image();
    image.alt = "";
    image.addEventListener("error", then);
    image.addEventListener("load", () => {
      const old = view.querySelector("img");
      if (old) old.replaceWith(image);
      else view.querySelector(".symbol").after(image);
      then();
    });
    image.src = address;
  });
}

/** Stills of what does not run: each is started once, for one still, one after the other. */
async function takeOnce() {
  for (;;) {
    const view = [...inSight].find(({ dataset }) => dataset.when === "once" && !dataset.taken);
    if (view && !document.hidden) {
      view.dataset.taken = "1";
      if (!view.querySelector("img")) await renew(view, view.dataset.still.replace("max_age=5", "max_age=3600"));
    }
    await pause(view ? 0 : 500);
  }
}

/** Whether stills of a tile are to be had and to be seen. */
const isFresh = (view) => !document.hidden && inSight.has(view) && view.isConnected && view.dataset.when === "now" && !view.querySelector("voyandz-view");

/** Renews the stills in sight one after the other: each after a period, or later where they are many. */
async function keepFresh() {
  const coming = new Set();
  for (;;) {
    const views = [...inSight].filter(isFresh);
    const gap = Math.max(STILL_PERIOD / views.length, STILL_GAP);
    if (views.length === 0) await pause(STILL_GAP);
    for (const view of views) {
      await pause(gap);
      // One that is slow to come is waited for.
      if (!isFresh(view) || coming.has(view)) continue;
      coming.add(view);
      renew(view, `${view.dataset.still}&start=0&t=${Date.now()}`).then(() => coming.delete(view));
    }
  }
}

// Playing

async function play(view) {
  await import("/player.js");
  if (view.querySelector("voyandz-view")) return;
  const player = document.createElement("voyandz-view");
  player.setAttribute("src", view.dataset.src);
  player.setAttribute("label", view.closest("[aria-label]")?.ariaLabel ?? "");
  view.append(player);
}

const stop = (view) => view.querySelector("voyandz-view")?.remove();

function listen(view) {
  watch.observe(view);
  if (view.localName !== "a") return play(view);
  let waiting;
  view.addEventListener("pointerenter", ({ pointerType }) => {
    if (pointerType === "mouse") waiting = setTimeout(() => play(view), HOVER);
  });
  view.addEventListener("pointerleave", () => {
    clearTimeout(waiting);
    stop(view);
  });
  // Enter plays; once more, it follows the link. Browsers differ in what a click by a key looks like.
  view.addEventListener("keydown", (event) => {
    const isPlain = !event.ctrlKey && !event.altKey && !event.metaKey && !event.shiftKey;
    if (event.key !== "Enter" || !isPlain || (view.querySelector("voyandz-view") && !event.repeat)) return;
    event.preventDefault();
    play(view);
  });
  view.addEventListener("blur", () => stop(view));
}

// The page

const keyed = (root) => [...root.querySelectorAll("[data-key]")];

function take(fresh) {
  const [old, next] = [keyed(document), keyed(fresh)];
  if (old.length !== next.length || old.some((element, at) => element.dataset.key !== next[at].dataset.key)) {
    // Streams were added or removed, or are in trouble.
    inSight.clear();
    document.querySelector("main").replaceChildren(...document.adoptNode(fresh.querySelector("main")).childNodes);
    tiles().forEach(listen);
    return;
  }
  old.forEach((element, at) => {
    const other = next[at];
    if (element.className !== other.className) element.className = other.className;
    if ("when" in element.dataset) {
      const begins = other.dataset.when === "now" && element.dataset.when !== "now";
      element.dataset.when = other.dataset.when;
      if (begins && inSight.has(element)) renew(element, `${element.dataset.still}&start=0&t=${Date.now()}`);
    }
    if (!("when" in element.dataset) && element.textContent !== other.textContent) element.innerHTML = other.innerHTML;
  });
}

async function refresh() {
  for (;;) {
    await pause(PAGE_PERIOD);
    if (document.hidden) continue;
    let problem = "";
    try {
      const page = new URL(location.href);
      page.searchParams.set("refresh", "1");
      const response = await fetch(page, { cache: "no-store" });
      if (!response.ok) throw response.status;
      take(new DOMParser().parseFromString(await response.text(), "text/html"));
    } catch {
      problem = "The server does not respond. What is shown is old.";
    }
    const notice = document.getElementById("notice");
    if (notice && notice.textContent !== problem) notice.textContent = problem;
  }
}

tiles().forEach(listen);
takeOnce();
keepFresh();
refresh();
