// The lines of a text as they are seen beside and behind it: their numbers, and marks of those with errors.

import { element } from "/manage.js";

/** Draws the lines of `text` into `box`, which lies behind it, as far as they are to be seen. */
export class Lines {
  constructor(text, box) {
    this.text = text;
    this.box = box;
    /** Numbers of lines with errors. */
    this.marked = new Set();
    for (const name of ["input", "scroll"]) text.addEventListener(name, () => this.draw());
    new ResizeObserver(() => this.draw()).observe(text);
  }

  /** Marks these lines and no others. */
  mark(numbers) {
    this.marked = new Set(numbers);
    this.draw();
  }

  draw() {
    const { text, box, marked } = this;
    const style = getComputedStyle(text);
    const height = parseFloat(style.lineHeight);
    const begin = parseFloat(style.paddingTop) - text.scrollTop;
    const count = text.value.split("\n").length;
    const first = Math.max(0, Math.floor(-begin / height));
    const last = Math.min(count, Math.ceil((text.clientHeight - begin) / height));
    const row = (number) => {
      const isMarked = marked.has(number);
      const made = element("div", { class: isMarked ? "wrong" : null, "data-line": number }, isMarked ? `▲ ${number}` : `${number}`);
      made.style.top = `${begin + (number - 1) * height}px`;
      return made;
    };
    box.replaceChildren(...Array.from({ length: Math.max(0, last - first) }, (_, at) => row(first + at + 1)));
  }
}
