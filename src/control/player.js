// Shows one picture of a stream after the other, each when the one before is there.
"use strict";

const img = document.querySelector("img[data-again]");
const PAUSE = 200;
const AFTER_FAILURE = 2000;

function again() {
  if (document.hidden) {
    document.addEventListener("visibilitychange", again, { once: true });
    return;
  }
  img.src = `${img.dataset.again}?t=${Date.now()}`;
}

if (img) {
  img.addEventListener("load", () => setTimeout(again, PAUSE));
  img.addEventListener("error", () => setTimeout(again, AFTER_FAILURE));
  again();
}
