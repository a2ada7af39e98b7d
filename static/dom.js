// Makes elements. Whatever comes from outside goes in as text and as nothing else: there is no way here to hand over markup.

const SVG = "http://www.w3.org/2000/svg";

export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

export function svg(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const $ = (id) => document.getElementById(id);

export function card(title, tools, ...body) {
  return h("section", { class: "card", "aria-label": title }, h("header", {}, h("h2", {}, title), ...[tools].flat()), ...body);
}

export const pill = (text, tone = "") => h("span", { class: `pill ${tone}` }, text);

// A table whose rows stay the same elements as long as their keys do, so that focus and selection survive every change.
export function table(columns, key, empty, label) {
  const body = h("tbody");
  const nothing = h("p", { class: "empty" }, empty);
  const head = columns.map((column) => h("th", { scope: "col", class: column.n && "n" }, column.name));
  const grid = h("table", { "aria-label": label }, h("thead", {}, h("tr", {}, head)), body);
  const rows = new Map();
  const show = (items) => {
    nothing.hidden = items.length > 0;
    grid.hidden = items.length === 0;
    const wanted = new Set(items.map(key));
    for (const [id, row] of rows) if (!wanted.has(id)) { row.element.remove(); rows.delete(id); }
    let before = body.firstChild;
    for (const item of items) {
      const id = key(item);
      let row = rows.get(id);
      if (!row) {
        const cells = columns.map((column) => h("td", { class: [column.n && "n", column.mono && "mono", column.wrap && "wrap"].filter(Boolean).join(" ") }));
        row = { element: h("tr", { "data-id": id }, cells), cells, shown: [] };
        rows.set(id, row);
      }
      columns.forEach((column, n) => {
        const text = String(column.text(item) ?? "");
        if (row.shown[n] === text) return;
        row.shown[n] = text;
        if (column.make) row.cells[n].replaceChildren(column.make(item));
        else { row.cells[n].textContent = text; row.cells[n].title = text.length > 28 ? text : ""; }
      });
      if (row.element === before) before = before.nextSibling;
      else body.insertBefore(row.element, before);
    }
  };
  show([]);
  return { element: h("div", {}, h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, grid), nothing), show };
}

export function say(text) { $("said").textContent = text; }

// Says it to those who see as well, for a while.
let hiding;
export function tell(text) {
  say(text);
  const toast = $("toast");
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => { toast.hidden = true; }, 6000);
}

export function dialog(title, ...body) {
  const box = $("dialog");
  const close = h("button", { type: "button", class: "quiet", onclick: () => box.close() }, "Close");
  box.replaceChildren(h("header", {}, h("h2", { id: "dialog-title" }, title), h("span", { class: "grow" }), close), h("div", { class: "body" }, ...body));
  if (!box.open) box.showModal();
  return box;
}

export function kv(pairs) {
  return h("dl", { class: "kv" }, pairs.filter(([, value]) => value !== undefined && value !== null && value !== "")
    .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", { title: typeof value === "string" ? value : "" }, value instanceof Node ? value : String(value)))));
}

// Numbers for people.
export const count = (n) => n === null || n === undefined ? "–" : Math.round(n).toLocaleString("en");
export function short(n) {
  if (n === null || n === undefined) return "–";
  if (n < 1000) return String(Math.round(n * 10) / 10);
  const [by, unit] = n < 1e6 ? [1e3, "k"] : n < 1e9 ? [1e6, "M"] : [1e9, "G"];
  return `${(n / by).toFixed(n / by < 10 ? 1 : 0)}${unit}`;
}
export const usd = (n) => n === null || n === undefined ? "–" : `$${n.toFixed(n !== 0 && n < 0.1 ? 4 : 2)}`;
export function ms(n) {
  if (n === null || n === undefined) return "–";
  if (n < 1000) return `${n < 10 ? Math.round(n * 10) / 10 : Math.round(n)} ms`;
  return n < 60000 ? `${(n / 1000).toFixed(1)} s` : `${Math.floor(n / 60000)} min ${Math.round((n % 60000) / 1000)} s`;
}
export function ago(from, now = Date.now()) {
  const s = Math.max(0, Math.round((now - from) / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  return s < 86400 ? `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min` : `${Math.floor(s / 86400)} d`;
}
export const clock = (at) => new Date(at).toLocaleTimeString("en-GB");
export const day = (at) => new Date(at).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
