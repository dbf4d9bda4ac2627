// Where in a configuration the caret is: the keys that lead there, and the word that is being typed. Pure.
//
// This is no parser of YAML: the server checks. It reads what is before the caret, as far as blocks, flow collections, quotes and
// comments decide what may stand there, and it takes texts that are wrong further down.

/** The step of a path from a list to one of its items. */
export const ITEM = Symbol("item");

/** A key at the start of a line or of an item, up to its colon. */
const KEY = /^(?:"((?:[^"\\]|\\.)*)"|'((?:[^']|'')*)'|([^\s"'{}[\]#&*!|>,%@`-][^#]*?|-[^\s#][^#]*?))\s*:(?=\s|$)/;
/** What may be completed. */
const WORD = /^[\w.-]*$/;
const QUOTED = /^(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')/s;
/** The name of a template. */
const NAME = /^["']?([^\s"'#,{}[\]]+)/;

/** What is read of a text up to its end: the caret. */
class Reader {
  constructor(text) {
    this.text = text;
    /** The keys and items that are open, from the outside to the inside; each with the keys that are in it so far. */
    this.levels = [];
    this.top = new Set();
    /** The indentation of the key whose text continues in the lines below it. */
    this.literal = null;
  }

  get last() {
    return this.levels[this.levels.length - 1];
  }

  /** Closes what is not above a line of this indentation. A list may have the indentation of its key. */
  close(indent, isItem) {
    while (this.last && (this.last.indent > indent || (this.last.indent === indent && !(isItem && this.last.key !== ITEM)))) {
      this.levels.pop();
    }
  }

  open(indent, key) {
    this.close(indent, key === ITEM);
    if (key !== ITEM) this.keys.add(key);
    this.levels.push({ indent, key, keys: new Set(), isFull: false });
  }

  /** Those of the innermost mapping so far. */
  get keys() {
    return this.last?.keys ?? this.top;
  }

  get path() {
    return this.levels.map(({ key }) => key);
  }

  /** Reads all; returns the place of the end of the text, or null where nothing can be completed. */
  read() {
    for (let at = 0; ; ) {
      const end = this.text.indexOf("\n", at);
      const result = this.line(at, end < 0 ? this.text.length : end);
      if (result.place !== undefined) return result.place;
      at = result.next;
    }
  }

  /** Reads a line. Returns where the next one begins, or the place where the text ends in it. */
  line(start, end) {
    const isLast = end === this.text.length;
    const line = this.text.slice(start, end);
    const after = (place) => (isLast ? { place } : { next: end + 1 });
    let column = line.length - line.trimStart().length;
    let rest = line.slice(column);
    const isBlank = rest === "";
    if (this.literal !== null) {
      if (column > this.literal || (isBlank && !isLast)) return after(null);
      this.literal = null;
    }
    if (rest.startsWith("#") || (isBlank && !isLast)) return after(null);
    let isItem = false;
    for (let dash; (dash = /^-(?: +|$)/.exec(rest)); rest = line.slice(column)) {
      if (dash[0] === "-" && isLast) return { place: null };
      this.open(column, ITEM);
      column += dash[0].length;
      isItem = true;
    }
    const key = KEY.exec(rest);
    if (key) {
      this.open(column, key[1] ?? key[2] ?? key[3]);
      return this.value(start + column + key[0].length, end);
    }
    if (!isItem) this.close(column, false);
    // A plain text continues where it is further in than its key.
    if (this.last?.isFull) return after(null);
    if (/^[{["']/.test(rest)) return this.value(start + column, end);
    if (!isLast) {
      if (isItem && rest !== "") this.last.isFull = true;
      return { next: end + 1 };
    }
    if (!WORD.test(rest)) return { place: null };
    return { place: { kind: isItem ? "item" : "key", word: rest, path: this.path, keys: this.keys, use: this.last?.use, column } };
  }

  /** Reads the value that begins in this line. */
  value(start, end) {
    const isLast = end === this.text.length;
    const before = /^\s*(?:[&!]\S*\s+)*/.exec(this.text.slice(start, end))[0];
    const at = start + before.length;
    const rest = this.text.slice(at, end);
    const first = rest[0];
    const isComment = first === "#" && before !== "";
    if (rest !== "" && !isComment && this.last) this.last.isFull = true;
    // What else may stand beside it depends on it.
    if (this.last?.key === "use" && this.levels.length > 1) this.levels[this.levels.length - 2].use = NAME.exec(rest)?.[1];
    if (first === "{" || first === "[") return this.flow(at);
    if (first === '"' || first === "'") {
      const quoted = QUOTED.exec(this.text.slice(at));
      return quoted ? this.skip(at + quoted[0].length) : { place: null };
    }
    if (/^[|>][-+0-9]*\s*(?:\s#.*)?$/.test(rest)) {
      this.literal = this.last?.indent ?? -1;
      return isLast ? { place: null } : { next: end + 1 };
    }
    if (!isLast) return { next: end + 1 };
    if (isComment || !WORD.test(rest)) return { place: null };
    return { place: { kind: "value", word: rest, path: this.path, keys: new Set() } };
  }

  /** Goes to the next line; what remains of this one can only be a comment. */
  skip(at) {
    const end = this.text.indexOf("\n", at);
    return end < 0 ? { place: null } : { next: end + 1 };
  }

  /** Reads `{…}` or `[…]`, which may be several lines. */
  flow(start) {
    const { text } = this;
    const open = [];
    /** Where the word begins that was read last, and is not over. */
    let word = null;
    let at = start;
    const top = () => open[open.length - 1];
    while (at < text.length) {
      const char = text[at];
      const rest = text.slice(at, at + 2);
      if (char === "{" || char === "[") {
        open.push({ kind: char, key: null, keys: new Set(), isOver: false });
      } else if (char === "}" || char === "]") {
        open.pop();
        if (!open.length) return this.skip(at + 1);
        top().isOver = true;
      } else if (char === ",") {
        if (top().key === "use" && word !== null) top().use = NAME.exec(text.slice(word, at))?.[1];
        Object.assign(top(), { key: null, isOver: false });
      } else if (char === "#" && /\s/.test(text[at - 1])) {
        const end = text.indexOf("\n", at);
        if (end < 0) return { place: null };
        at = end;
      } else if (char === '"' || char === "'") {
        const quoted = QUOTED.exec(text.slice(at));
        if (!quoted) return { place: null };
        at += quoted[0].length;
        if (top().kind === "{" && top().key === null && text[at] === ":") {
          this.name(top(), quoted[0].slice(1, -1));
          at += 1;
        } else {
          if (top().key === "use") top().use = quoted[0].slice(1, -1);
          top().isOver = true;
        }
        word = null;
        continue;
      } else if (/^:(?:[\s,{}[\]]|$)/.test(rest) && top().kind === "{" && top().key === null) {
        if (word === null) return { place: null };
        this.name(top(), text.slice(word, at).trim());
      } else if (!/\s/.test(char)) {
        word ??= at;
        at += 1;
        continue;
      } else {
        // A space within a word belongs to it.
        at += 1;
        if (char === "\n") word = null;
        continue;
      }
      word = null;
      at += 1;
    }
    const typed = word === null ? "" : text.slice(word);
    if (top().isOver || !WORD.test(typed)) return { place: null };
    const path = [...this.path, ...open.flatMap(({ kind, key }) => (kind === "[" ? [ITEM] : key === null ? [] : [key]))];
    const isKey = top().kind === "{" && top().key === null;
    return { place: { kind: isKey ? "key" : "value", word: typed, path, keys: top().keys, use: top().use, isFlow: true } };
  }

  name(mapping, key) {
    mapping.key = key;
    mapping.keys.add(key);
  }
}

/** The keys of the mapping of `place` that follow it. */
function keysBelow(place, text) {
  const keys = [];
  for (const line of text.split("\n").slice(1)) {
    const rest = line.trimStart();
    const column = line.length - rest.length;
    if (rest === "" || rest.startsWith("#") || column > place.column) continue;
    const key = column === place.column && KEY.exec(rest);
    if (!key) break;
    keys.push(key[1] ?? key[2] ?? key[3]);
  }
  return keys;
}

/** The same within braces. */
function keysBeside(text) {
  const keys = [];
  for (let at = 0, depth = 0; at < text.length; at += 1) {
    const char = text[at];
    if (char === "{" || char === "[") depth += 1;
    if (char === "}" || char === "]") depth -= 1;
    if (depth < 0) return keys;
    const key = depth === 0 && char === "," && /^,\s*([\w.-]+)\s*:(?=\s)/.exec(text.slice(at, at + 100));
    if (key) keys.push(key[1]);
  }
  // Nothing closes it: what follows may belong to anything.
  return [];
}

/** How far braces are looked through for their end. */
const FAR = 2000;

/**
 * Where `caret` is in `text`: null where nothing can be completed. `kind`: a "key", a "value", or either as an "item" of a list; `path`:
 * the keys that lead there; `word`, `from`, `to`: what would be replaced; `keys`: those that its mapping has already; `use`: what its key of
 * this name has, where that is before the caret.
 */
export function placeAt(text, caret) {
  const place = new Reader(text.slice(0, caret)).read();
  if (!place) return null;
  const following = text.slice(caret);
  const more = /^[\w.-]*/.exec(following)[0].length;
  const keys = new Set(place.keys);
  const beside = place.isFlow ? keysBeside(following.slice(more, FAR)) : place.kind === "value" ? [] : keysBelow(place, following);
  beside.forEach((key) => keys.add(key));
  return { isFlow: false, column: 0, ...place, keys, from: caret - place.word.length, to: caret + more };
}
