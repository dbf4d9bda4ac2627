// What the pages for changes have in common: questions to the API, elements, and texts of differences.

export const at = (id) => document.getElementById(id);

/** Asks the API; a server that is away is an answer with the status 0. */
export async function ask(method, path, { body, headers } = {}) {
  const type = body === undefined ? {} : { "Content-Type": "application/json" };
  try {
    const response = await fetch(`/api/v1${path}`, {
      method,
      headers: { ...type, ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
    });
    const text = await response.text();
    const { ok, status } = response;
    return { ok, status, etag: response.headers.get("etag"), value: text ? JSON.parse(text) : null };
  } catch (error) {
    return { ok: false, status: 0, etag: null, value: { title: "The server does not answer", detail: error.message } };
  }
}

/** Why the API refuses. */
export function reason({ status, value }) {
  if (status === 401) return "You are not logged in any more: log in, then try again.";
  return value?.detail || value?.title || `The server answers ${status}`;
}

/** An element with these attributes and children; texts are never markup. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== undefined && value !== false && value !== null) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Shows a text, also to screen readers. */
export function tell(text, kind = "") {
  const notice = at("notice");
  notice.className = kind;
  notice.textContent = text;
}

/** Shows a unified diff; its signs are text, the colours come on top. */
export function showDiff(box, diff) {
  const kinds = { "+": "add", "-": "del", "@": "at" };
  const lines = diff.split("\n").filter((line) => !/^(---|\+\+\+) /.test(line));
  const line = (text) => element("span", { class: kinds[text[0]] }, `${text}\n`);
  box.replaceChildren(...lines.map(line));
}

/** A time for people, in their zone. */
export function when(text) {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? text : time.toLocaleString();
}

/** Runs `work` while a button is off; another press meanwhile does nothing. */
export async function busy(button, work) {
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try {
    await work();
  } finally {
    button.removeAttribute("aria-busy");
  }
}
