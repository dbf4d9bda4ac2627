// The configuration as a text: check, difference, apply, conflicts, and the history with undo.

import { ask, at, busy, element, reason, showDiff, tell, when } from "/manage.js";
import { Completion } from "/configuration/completion.js";
import { Lines } from "/configuration/lines.js";

const text = at("text");
const lines = new Lines(text, at("lines"));
const mayWrite = document.querySelector("[data-may-write]") !== null;
/** Milliseconds after the last key until the text is checked. */
const PAUSE = 500;
const UNSAVED = "Apply or discard your changes of this file first.";

/** The file that is shown: as the server has it. */
let file = { number: 0, text: "", etag: "" };
let timer;
/** What the page was asked to do last; and whether a change is on its way to the file. */
let newest = 0;
let isWriting = false;

const isChanged = () => text.value !== file.text;

/** Begins something whose answer is shown. Returns whether it is the newest: what is answered late does not replace what came after it. */
function begin() {
  clearTimeout(timer);
  newest += 1;
  const mine = newest;
  return () => mine === newest;
}

/** Runs what changes the file. No check runs beside it, as one would take the change for that of somebody else. */
async function write(work) {
  isWriting = true;
  try {
    await work(begin());
  } finally {
    isWriting = false;
  }
}

function refreshButtons() {
  const changed = isChanged();
  document.title = `${changed ? "• " : ""}Configuration`;
  for (const id of ["check", "apply", "revert"]) if (at(id)) at(id).disabled = !changed;
}

/** Shows a file, and returns whether there is one. What was typed since `sent` became that file stays in the text. */
async function load(number, sent = text.value) {
  const answer = await ask("GET", `/config/files/${number}`);
  if (!answer.ok) {
    tell(reason(answer), "failed");
    return false;
  }
  file = { number, ...answer.value, etag: answer.etag };
  if (text.value === sent) text.value = file.text;
  else plan();
  text.readOnly = !mayWrite || !file.writable;
  at("locked").hidden = file.writable;
  for (const button of document.querySelectorAll("[data-file]")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.file) === number));
  }
  clear();
  refreshButtons();
  return true;
}

function clear() {
  showFaults([]);
  at("difference").hidden = at("conflict").hidden = true;
}

// Checks

const send = (dry) =>
  ask("PUT", `/config/files/${file.number}${dry ? "?dry_run=1" : ""}`, {
    body: { text: text.value },
    headers: { "If-Match": file.etag },
  });

/** Goes to a line of the text. */
function jump(line, column) {
  const lines = text.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
  text.focus();
  text.setSelectionRange(start + column - 1, start + (lines[line - 1] ?? "").length);
  text.scrollTop = Math.max(0, (line - 4) * parseFloat(getComputedStyle(text).lineHeight));
}

function showFaults(faults) {
  const entry = ({ file: name, line, column, path, message }) => {
    const here = name === file.file;
    const place = line ? (here ? `Line ${line}` : `${name}, line ${line}`) : "";
    const button = here && element("button", { type: "button", onclick: () => jump(line, column) }, place);
    return element("li", {}, button || place, ` ${path ? `${path}: ` : ""}${message}`);
  };
  at("faults").replaceChildren(...faults.map(entry));
  lines.mark(faults.filter((fault) => fault.file === file.file).map(({ line }) => line));
}

/** Completes what is typed, where it may be changed. */
async function complete() {
  const completion = new Completion(text, JSON.parse(at("editor").dataset.known));
  const answer = await fetch("/configuration/schema.json");
  if (answer.ok) completion.use(await answer.json());
}

function effects({ ended, begun, viewers }) {
  const list = (names) => names.slice(0, 8).join(", ") + (names.length > 8 ? ` and ${names.length - 8} more` : "");
  const parts = [];
  if (ended.length) parts.push(`Ends: ${list(ended)}`);
  if (begun.length) parts.push(`Begins: ${list(begun)}`);
  if (viewers) parts.push(viewers === 1 ? "1 viewer sees a break" : `${viewers} viewers see a break`);
  return parts.length ? parts.join(". ") : "Nothing that runs is interrupted";
}

/** Checks the text after a pause in the typing. */
function plan() {
  clearTimeout(timer);
  timer = setTimeout(() => check(false), PAUSE);
}

async function check(shown) {
  if (isWriting) return plan();
  const isNewest = begin();
  if (!isChanged()) return;
  const answer = await send(true);
  if (!isNewest()) return;
  showFaults(answer.value?.faults ?? []);
  if (answer.ok) {
    tell(`Good. ${effects(answer.value)}.`, "good");
    if (shown) showDifference(answer.value.diff);
  } else if (answer.status === 412) {
    await showConflict(isNewest);
  } else {
    refuse(answer);
  }
}

/** Says why a text is not taken. */
function refuse(answer) {
  const count = answer.value?.faults?.length;
  const errors = count === 1 ? "1 error" : `${count} errors`;
  tell(count ? `${errors}: nothing can be applied yet.` : reason(answer), "failed");
}

function showDifference(diff, then) {
  at("difference").hidden = false;
  showDiff(at("diff"), diff || "No difference.");
  at("then").replaceChildren(...(then ? [then] : []));
}

async function apply(isNewest) {
  const sent = text.value;
  const answer = await send(false);
  showFaults(answer.value?.faults ?? []);
  if (answer.status === 412) return showConflict(isNewest);
  if (!answer.ok) return refuse(answer);
  const { diff } = answer.value;
  if (!(await load(file.number, sent))) return;
  tell(`Applied. ${effects(answer.value)}.`, "good");
  showDifference(diff);
  await loadHistory();
}

/** Somebody else was faster: what differs between the text here and theirs. */
async function showConflict(isNewest) {
  const theirs = await ask("GET", `/config/files/${file.number}`);
  if (!theirs.ok) return tell(reason(theirs), "failed");
  const compared = await ask("PUT", `/config/files/${file.number}?dry_run=1`, {
    body: { text: text.value },
    headers: { "If-Match": theirs.etag },
  });
  if (!isNewest()) return;
  at("conflict").hidden = false;
  tell("Somebody else has changed this file since you opened it. Nothing of yours is applied yet.", "failed");
  if (compared.ok) showDifference(compared.value.diff);
  at("mine").onclick = () => {
    file = { ...file, ...theirs.value, etag: theirs.etag };
    at("conflict").hidden = true;
    tell("Your text is kept: apply it to replace theirs.");
    refreshButtons();
  };
  at("theirs").onclick = () => open(file.number, "This is their text.");
}

/** Shows a file as the server has it. */
async function open(number, words = "") {
  begin();
  if (await load(number)) tell(words);
}

// History

async function order(version, word) {
  if (isChanged()) return tell(UNSAVED, "failed");
  const path = `/config/history/${version}/${word}`;
  const isNewest = begin();
  const dry = await ask("POST", `${path}?dry_run=1`);
  if (!isNewest()) return;
  if (!dry.ok) return tell(reason(dry), "failed");
  const names = { undo: `Undo change ${version}`, restore: `Restore version ${version}` };
  const now = element("button", { type: "button", class: "main", onclick: () => busy(now, () => write(carryOut)) }, names[word]);
  async function carryOut() {
    const done = await ask("POST", path);
    if (!done.ok) return tell(reason(done), "failed");
    if (!(await load(file.number))) return;
    tell(`Done. ${effects(done.value)}.`, "good");
    showDifference(done.value.diff);
    await loadHistory();
  }
  tell(`This would be changed. ${effects(dry.value)}.`);
  showDifference(dry.value.diff, now);
  now.focus();
}

async function show(version) {
  const isNewest = begin();
  const answer = await ask("GET", `/config/history/${version}`);
  if (!isNewest()) return;
  if (!answer.ok) return tell(reason(answer), "failed");
  tell(`Change ${version}`);
  showDifference(answer.value.diff);
  at("difference").scrollIntoView({ block: "nearest" });
}

const ACTIONS = { change: "Changed", text: "Edited", undo: "Undone", restore: "Restored", disk: "Edited on the disk" };

async function loadHistory() {
  const answer = await ask("GET", "/config/history?limit=50");
  if (!answer.ok) return;
  const row = ({ number, time, by, action, paths }) => {
    const button = (label, run) =>
      element("button", { type: "button", "aria-label": `${label} ${number}`, onclick: run }, label);
    const what = paths.length > 3 ? `${paths.slice(0, 3).join(", ")} and ${paths.length - 3} more` : paths.join(", ");
    return element(
      "li",
      {},
      element("span", { class: "what" }, `${ACTIONS[action] ?? action}: ${what || "comments"}`),
      element("span", { class: "kind" }, `${number} · ${when(time)}${by ? ` · ${by}` : ""}`),
      element(
        "span",
        { class: "do" },
        button("Show", () => show(number)),
        mayWrite ? button("Undo", () => order(number, "undo")) : null,
        mayWrite ? button("Restore", () => order(number, "restore")) : null,
      ),
    );
  };
  at("versions").replaceChildren(...answer.value.items.map(row));
  at("unchanged").hidden = answer.value.items.length > 0;
}

text.addEventListener("input", () => {
  refreshButtons();
  plan();
});
addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "s" && mayWrite) {
    event.preventDefault();
    if (isChanged()) busy(at("apply"), () => write(apply));
  }
});
addEventListener("beforeunload", (event) => {
  if (isChanged()) event.preventDefault();
});
at("check")?.addEventListener("click", () => busy(at("check"), () => check(true)));
at("apply")?.addEventListener("click", () => busy(at("apply"), () => write(apply)));
at("revert")?.addEventListener("click", () => open(file.number));
for (const button of document.querySelectorAll("[data-file]")) {
  button.addEventListener("click", () => {
    if (isChanged()) return tell(UNSAVED, "failed");
    open(Number(button.dataset.file));
  });
}
at("editor").hidden = false;
if (mayWrite) complete();
load(0);
loadHistory();
