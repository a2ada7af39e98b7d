// Every number that the page shows, as it stands there: the strip, and whatever the panel has in tables, pairs, charts and lists.
const text = (one) => one?.innerText.trim() ?? "";
const pairs = (root) => Object.fromEntries([...root.querySelectorAll("dl div")].map((one) => [text(one.querySelector("dt")), text(one.querySelector("dd"))]));
const strip = {};
for (const one of document.querySelectorAll("#strip [data-number]")) {
  strip[one.dataset.number] = [one.querySelector("dd").firstChild.textContent, text(one.querySelector("small"))];
}
const tables = {};
for (const table of document.querySelectorAll("#main table")) {
  const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const row = (one) => Object.fromEntries([["id", one.dataset.id ?? ""], ...[...one.cells].map((cell, n) => [heads[n], text(cell)])]);
  tables[table.getAttribute("aria-label")] = [...table.tBodies[0].rows].map(row);
}
const providers = {};
for (const one of document.querySelectorAll("[data-provider]")) {
  providers[one.dataset.provider] = { ...pairs(one), failed: text(one.querySelector("[data-errors]")), ended: text(one.querySelector("[data-errors] + p")) };
}
const charts = {};
for (const one of document.querySelectorAll("#main section:has(.legend)")) {
  charts[one.getAttribute("aria-label")] = [...one.querySelectorAll(".legend span")].map(text);
}
const health = [...document.querySelectorAll("#main .health li")].map((one) => [...one.children].map(text));
return { strip, tables, providers, charts, health, text: text(document.getElementById("main")) };
