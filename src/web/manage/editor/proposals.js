// What may stand at a place of a configuration, by its schema. Pure.

import { ITEM, placeAt } from "./place.js";

/** The parts of a part of the schema that hold for one form of a value each. */
function forms(schema, part) {
  if (part?.$ref) return forms(schema, schema.$defs[part.$ref.split("/").pop()]);
  if (part?.anyOf) return part.anyOf.flatMap((one) => forms(schema, one));
  return part ? [part] : [];
}

/** What the schema says of a key of a mapping, or of the items of a list. */
function child(part, key) {
  if (key === ITEM) return part.items;
  // `toString` and the like are no keys.
  if (Object.hasOwn(part.properties ?? {}, key)) return part.properties[key];
  return typeof part.additionalProperties === "object" ? part.additionalProperties : undefined;
}

/** What the schema says of what a path leads to, in all forms that it may have. */
function at(schema, path) {
  const step = (parts, key) => parts.flatMap((part) => forms(schema, child(part, key)));
  return path.reduce(step, forms(schema, schema));
}

/** A description without its links. */
const plain = (text) => (text ?? "").replace(/\[([^\]]*)\]\([^)]*\)/g, "$1");

/** What the text itself has in a section of the top level, each with its lines. */
function entriesIn(text, section) {
  const lines = text.split("\n");
  const entries = new Map();
  let [indent, last] = [null, []];
  for (let number = lines.findIndex((line) => line.startsWith(`${section}:`)) + 1; number > 0 && number < lines.length; number += 1) {
    const [, spaces, name] = /^( *)(?:([^\s#:"'][^:#]*):(?:\s|$))?/.exec(lines[number]);
    if (/^\s*(?:#|$)/.test(lines[number])) continue;
    if (spaces === "") break;
    indent ??= spaces.length;
    if (spaces.length === indent && name) entries.set(name, (last = []));
    last.push(lines[number]);
  }
  return entries;
}

/** Templates by name, those of the text first: whether one makes a command, and its arguments with their defaults. */
function templatesOf(text, known) {
  const own = [...entriesIn(text, "templates")].map(([name, lines]) => {
    const found = lines.join("\n").replace(/\{\{|\}\}/g, " ").matchAll(/\{([a-z][\w-]*)(?:\.{3}|\.\w+)?\}/gi);
    const isCommand = lines.some((line) => /(?:^|[{,])\s*command:(?:\s|$)/.test(line));
    return [name, { is_command: isCommand, arguments: Object.fromEntries([...found].map(([, argument]) => [argument])) }];
  });
  const names = new Set(own.map(([name]) => name));
  return [...own, ...Object.entries(known.templates).filter(([name]) => !names.has(name))];
}

/** What is said of a mapping that uses the template of this name. */
function used(text, name, known) {
  const found = templatesOf(text, known).find(([one]) => one === name);
  if (!found) return [];
  const about = (value) => (value === undefined ? "" : value === null ? "Required." : `Default: ${value}.`);
  const argument = ([key, value]) => [key, { description: about(value) }];
  return [{ properties: Object.fromEntries(Object.entries(found[1].arguments).map(argument)) }];
}

/** Names of what is defined elsewhere: `known` are those of the whole configuration. */
function references(text, path, known) {
  const last = path[path.length - 1];
  const isFeed = path.length > 2 && (last === "feed" || (last === ITEM && path[path.length - 2] === "feeds"));
  if (isFeed) return [...known.feeds, ...entriesIn(text, "feeds").keys()].map((name) => ({ name, about: "A feed." }));
  if (last !== "use") return [];
  const isCommand = path.findLast((key) => key === "command" || key === "pipeline") === "command";
  const takes = (one) => Object.keys(one.arguments).join(", ") || "nothing";
  const fitting = templatesOf(text, known).filter(([, one]) => one.is_command === isCommand);
  return fitting.map(([name, one]) => ({ name, about: `A template. Takes ${takes(one)}.` }));
}

function values(text, path, parts, known) {
  const of = ({ enum: names, const: one, type }) => {
    if (names) return names;
    if (one !== undefined) return [String(one)];
    const types = [type].flat();
    // A scalar of any type may be a boolean too, which says nothing.
    return types.includes("boolean") && !types.includes("string") ? ["true", "false"] : [];
  };
  return [...references(text, path, known), ...parts.flatMap(of).map((name) => ({ name, about: "" }))];
}

/** Whether nothing but a mapping may stand there. */
const isMapping = (parts) => parts.every(({ type }) => [type].flat().every((one) => one === "object" || one === "null"));

/** What is inserted for a key, up to where its value begins. */
function keyText(schema, place, name, part, following) {
  if (/^\s*:/.test(following)) return name;
  const parts = forms(schema, part);
  const opensBlock = !place.isFlow && parts.length > 0 && isMapping(parts);
  return opensBlock ? `${name}:\n${" ".repeat(place.column + 2)}` : `${name}: `;
}

function keys(schema, place, parts, following) {
  const of = (part) => [
    ...Object.entries(part.properties ?? {}),
    ...(part.propertyNames?.enum ?? []).map((name) => [name, part.additionalProperties]),
  ];
  return parts
    .flatMap(of)
    .filter(([name]) => !place.keys.has(name))
    .map(([name, part]) => ({ name, about: plain(part?.description), text: keyText(schema, place, name, part, following) }));
}

/**
 * What may be inserted at `caret`: `{from, to, items}`, where each item has a `name`, the `text` that replaces `from`…`to`, and what it is
 * `about`. Null where nothing can be said. Those that begin with what is typed come first.
 */
export function proposals(schema, text, caret, known = { feeds: [], templates: {} }) {
  const place = placeAt(text, caret);
  if (!place) return null;
  const parts = at(schema, place.path);
  const all = [];
  // A colon needs a space after it.
  const space = text[place.from - 1] === ":" ? " " : "";
  const more = place.use && parts.some(({ properties }) => properties?.use) ? used(text, place.use, known) : [];
  if (place.kind !== "value") all.push(...keys(schema, place, [...more, ...parts], text.slice(place.to)));
  if (place.kind !== "key") all.push(...values(text, place.path, parts, known).map((item) => ({ ...item, text: space + item.name })));
  const word = place.word.toLowerCase();
  const found = new Map();
  const begins = ({ name }) => name.toLowerCase().startsWith(word);
  const contains = (item) => !begins(item) && item.name.toLowerCase().includes(word);
  for (const item of [...all.filter(begins), ...all.filter(contains)]) if (!found.has(item.name)) found.set(item.name, item);
  return found.size ? { from: place.from, to: place.to, items: [...found.values()] } : null;
}
