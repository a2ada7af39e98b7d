// What a reader, a keyboard and a screen reader need of the page as it is shown: everything that is amiss, in words.
const amiss = [];
const rgb = (text) => (text.match(/[\d.]+/g) ?? []).map(Number);
const mix = ([r, g, b, a = 1], under) => [r, g, b].map((part, n) => part * a + under[n] * (1 - a));
const ground = (element) => {
  const layers = [];
  for (let one = element; one; one = one.parentElement) layers.push(rgb(getComputedStyle(one).backgroundColor));
  return layers.reverse().reduce((under, layer) => mix(layer, under), [255, 255, 255]);
};
const light = (color) => {
  const [r, g, b] = color.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
// WCAG 2.2, 1.4.3: 4.5 to 1, but for what cannot be used.
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let judged = 0;
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  const text = texts.currentNode.data.trim();
  if (!text || element.closest(".visually-hidden, .skip, script, noscript, :disabled, option") || !element.checkVisibility()) continue;
  const style = getComputedStyle(element);
  const under = ground(element);
  const over = mix(rgb(element instanceof SVGElement ? style.fill : style.color), under);
  const [high, low] = [light(over), light(under)].sort((a, b) => b - a);
  const ratio = (high + 0.05) / (low + 0.05);
  judged += 1;
  if (ratio < 4.5) amiss.push(`contrast ${ratio.toFixed(2)} of "${text.slice(0, 40)}"`);
}
if (judged < 20) amiss.push(`only ${judged} texts were judged`);
for (const [what, count] of [["main", 1], ["nav[aria-label]", 1], ["header.top", 1]]) {
  const found = [...document.querySelectorAll(what)].filter((one) => one.checkVisibility()).length;
  if (found !== count) amiss.push(`${found} of ${what}`);
}
const named = (one) => one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.length || one.querySelector("img[alt]:not([alt=''])");
for (const one of document.querySelectorAll("a, button, input:not([hidden]), select, [role=region], [role=img], section, table")) {
  if (one.checkVisibility() && !named(one)) amiss.push(`no name: ${one.outerHTML.slice(0, 80)}`);
}
for (const one of document.querySelectorAll("[tabindex]")) if (one.tabIndex > 0) amiss.push(`tabindex ${one.tabIndex}`);
for (const one of document.querySelectorAll("img:not([alt])")) amiss.push(`no alt: ${one.src}`);
for (const one of document.querySelectorAll("dt, dd")) if (!one.closest("dl")) amiss.push(`no list: ${one.textContent}`);
for (const one of document.querySelectorAll("th:not([scope])")) amiss.push(`no scope: ${one.textContent}`);
const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) amiss.push(`twice: #${id}`);
return amiss;
