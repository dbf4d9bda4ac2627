// The list of what may stand at the caret of a text: opened by Ctrl+Space, chosen from by arrows and Enter, closed by Escape.
//
// The text keeps the focus and points at the chosen proposal. A text of several lines can have no role `combobox`: it stays what it is and
// names its list, as the rules of ARIA permit.

import { element } from "/manage.js";
import { proposals } from "/configuration/proposals.js";

/** Columns of the text that a proposal may take before the list is moved to the left. */
const STEP = 8;

export class Completion {
  /** `text`: a textarea in a box that its list is placed in; `known`: names that a configuration has elsewhere. */
  constructor(text, known) {
    this.text = text;
    this.known = known;
    this.schema = null;
    this.found = null;
    this.chosen = 0;
    // What can be scrolled has to be reached by keyboards without a script, too. While the list is open Tab takes a proposal.
    this.list = element("ul", { id: "proposals", role: "listbox", "aria-label": "What may stand here", tabindex: "0" });
    this.about = element("p", { id: "about" });
    this.panel = element("div", { id: "completion", hidden: true }, this.list, this.about);
    this.said = element("p", { class: "unseen", role: "status" });
    text.parentElement.append(this.panel, this.said);
    text.addEventListener("keydown", (event) => this.key(event));
    text.addEventListener("input", () => this.isOpen && this.open());
    for (const name of ["blur", "click"]) text.addEventListener(name, () => this.close());
    // Its event may be of a scroll before the list was opened.
    text.addEventListener("scroll", () => this.isOpen && this.scrolled() !== this.openedAt && this.close());
    // A press that took the focus away would close the list before it is a click.
    this.panel.addEventListener("mousedown", (event) => event.preventDefault());
    this.list.addEventListener("click", ({ target }) => {
      const number = [...this.list.children].indexOf(target.closest("li"));
      if (number >= 0) this.take(number);
    });
  }

  /** The schema is there: from now on there are proposals. */
  use(schema) {
    this.schema = schema;
    this.text.setAttribute("aria-autocomplete", "list");
    this.text.setAttribute("aria-haspopup", "listbox");
  }

  get isOpen() {
    return !this.panel.hidden;
  }

  key(event) {
    const { key, ctrlKey, altKey, metaKey, shiftKey } = event;
    const last = this.found ? this.found.items.length - 1 : 0;
    const orders = {
      ArrowDown: () => this.choose(this.chosen < last ? this.chosen + 1 : 0),
      ArrowUp: () => this.choose(this.chosen > 0 ? this.chosen - 1 : last),
      PageDown: () => this.choose(Math.min(this.chosen + STEP, last)),
      PageUp: () => this.choose(Math.max(this.chosen - STEP, 0)),
      Enter: () => this.take(this.chosen),
      Tab: () => this.take(this.chosen),
      Escape: () => this.close(),
    };
    const plain = !ctrlKey && !altKey && !metaKey && !shiftKey && !event.isComposing;
    if (ctrlKey && key === " " && !this.text.readOnly) {
      event.preventDefault();
      this.open() || this.say("Nothing is known that may stand here.");
    } else if (this.isOpen && plain && orders[key]) {
      event.preventDefault();
      orders[key]();
    } else if (["ArrowLeft", "ArrowRight", "Home", "End"].includes(key)) {
      this.close();
    }
  }

  /** How far the text is scrolled. */
  scrolled() {
    return `${this.text.scrollLeft} ${this.text.scrollTop}`;
  }

  /** Shows what may stand at the caret; whether there is anything. */
  open() {
    const { text } = this;
    const isCaret = text.selectionStart === text.selectionEnd;
    this.found = this.schema && isCaret ? proposals(this.schema, text.value, text.selectionStart, this.known) : null;
    if (!this.found) {
      this.close();
      return false;
    }
    const { items } = this.found;
    const option = ({ name }, number) => element("li", { id: `proposal-${number}`, role: "option", "aria-selected": "false" }, name);
    this.list.replaceChildren(...items.map(option));
    this.panel.hidden = false;
    this.openedAt = this.scrolled();
    text.setAttribute("aria-controls", "proposals");
    this.choose(0);
    this.place();
    this.say(items.length === 1 ? "1 proposal" : `${items.length} proposals`);
    return true;
  }

  close() {
    if (!this.isOpen) return;
    this.panel.hidden = true;
    this.text.removeAttribute("aria-activedescendant");
    this.text.removeAttribute("aria-controls");
    this.say("");
  }

  choose(number) {
    this.chosen = number;
    [...this.list.children].forEach((option, at) => option.setAttribute("aria-selected", String(at === number)));
    const option = this.list.children[number];
    this.text.setAttribute("aria-activedescendant", option.id);
    this.about.textContent = this.found.items[number].about;
    option.setAttribute("aria-describedby", "about");
    // Only the list is scrolled: the page stays where it is.
    const [above, below] = [option.offsetTop, option.offsetTop + option.offsetHeight - this.list.clientHeight];
    this.list.scrollTop = Math.min(Math.max(this.list.scrollTop, below), above);
  }

  take(number) {
    const { from, to, items } = this.found;
    const { text } = this;
    this.close();
    text.setSelectionRange(from, to);
    // It can be undone by the keys for that, which a value that is set cannot.
    if (!document.execCommand("insertText", false, items[number].text)) {
      text.setRangeText(items[number].text, from, to, "end");
      text.dispatchEvent(new Event("input"));
    }
  }

  say(what) {
    this.said.textContent = what;
  }

  /** Puts the list below the word, or above it where the text has no room below. */
  place() {
    const { text, panel } = this;
    const style = getComputedStyle(text);
    const before = text.value.slice(0, this.found.from);
    const height = parseFloat(style.lineHeight);
    const top = parseFloat(style.paddingTop) + (before.split("\n").length - 1) * height - text.scrollTop;
    const column = before.length - before.lastIndexOf("\n") - 1;
    const left = text.offsetLeft + parseFloat(style.paddingLeft) + column * widthOfLetter(style) - text.scrollLeft;
    const most = Math.max(0, text.offsetLeft + text.clientWidth - panel.offsetWidth);
    const isBelow = top + height + panel.offsetHeight <= text.clientHeight || top < panel.offsetHeight;
    panel.style.left = `${Math.min(Math.max(left, 0), most)}px`;
    panel.style.top = `${text.offsetTop + (isBelow ? top + height : top - panel.offsetHeight)}px`;
  }
}

/** In the font of the text, where all letters have the same. */
function widthOfLetter({ font }) {
  const drawing = document.createElement("canvas").getContext("2d");
  drawing.font = font;
  return drawing.measureText("m".repeat(100)).width / 100;
}
