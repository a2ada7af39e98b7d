// Makes every text that reaches the page hostile: each value and each name that comes from outside, of the live picture and of every answer.
// Ids stay, for the server mints them. `hostile.visit` then goes through all panels and says what is amiss.
const NAMED_BY_OTHERS = new Set(["models", "outcomes", "costs", "tokens", "upstream", "calls", "calls_by_tool", "breakers", "config", "providers", "clients", "set_by"]);
const KEPT = new Set(["id", "call_id", "base_url"]);
const TAGS = new Set("html head meta title link script body a div main section header nav h1 h2 h3 h4 p span small form input label button img dl dt dd dialog noscript table thead tbody tr th td ul ol li select option code svg line text path rect i article".split(" "));
const PANELS = ["overview", "calls", "sessions", "conversations", "metrics", "events", "auditor", "config"];
let payload = "";
const poison = (value, key = "", named = false) => {
  if (typeof value === "string") return KEPT.has(key) || value.startsWith('{"') ? value : payload;
  if (Array.isArray(value)) return value.map((one) => poison(one, key));
  if (value === null || typeof value !== "object") return value;
  const names = ([name, one], n) => {
    const [kind, id] = name.split("/");
    if (id !== undefined && kind !== "call") return [`${kind}/${payload}${n}`, poison(one)];
    return [named ? `${payload}${n}` : name, poison(one, name, NAMED_BY_OTHERS.has(name))];
  };
  return Object.fromEntries(Object.entries(value).map(names));
};
const { picture } = await import(document.querySelector("script[type=module]").src.replace("app.js", "feed.js"));
const [parse, json, fetched] = [JSON.parse, Response.prototype.json, window.fetch];
JSON.parse = (...words) => poison(parse(...words));
Response.prototype.json = async function () { return poison(await json.call(this)); };
let pending = 0;
window.fetch = async (...asked) => { pending += 1; try { return await fetched(...asked); } finally { setTimeout(() => { pending -= 1; }, 5); } };
window.alert = window.confirm = window.prompt = () => { window.hit = true; };
const settled = async () => { do await new Promise((go) => setTimeout(go, 5)); while (pending); };

const judge = (where) => {
  const amiss = [];
  for (const one of document.querySelectorAll("*")) {
    if (!TAGS.has(one.localName)) amiss.push(`<${one.localName}>`);
    for (const { name, value } of one.attributes) {
      const ours = value.startsWith("#") || value.startsWith("/static/") || value.startsWith("blob:");
      if (name.startsWith("on") || name === "style" || name === "srcdoc" || (["href", "src", "action", "srcset"].includes(name) && !ours)) amiss.push(`${name}=${value}`);
    }
  }
  if (document.scripts.length !== 1) amiss.push(`${document.scripts.length} scripts`);
  if (window.hit) amiss.push("it ran");
  const shown = [document.getElementById("main"), document.getElementById("dialog")].some((part) => part.innerText.includes(payload.trim().slice(0, 12)));
  if (!shown) amiss.push("it is not even shown");
  return amiss.map((what) => `${where}: ${what}`);
};

window.hostile = async (text) => {
  payload = text;
  const amiss = [];
  const parts = Object.entries(poison(Object.fromEntries(picture.parts)));
  picture.parts.clear();
  for (const [name, part] of parts) picture.parts.set(name, part);
  picture.events.splice(0, Infinity, ...poison(picture.events));
  for (const panel of PANELS) {
    location.hash = `#${panel}`;
    do await settled(); while (!document.getElementById(`tab-${panel}`).hasAttribute("aria-current"));
    amiss.push(...judge(panel));
    const opens = { calls: "button[data-call]", conversations: "#main td button" }[panel];
    const button = opens && document.querySelector(opens);
    if (!button) continue;
    button.click();
    await settled();
    document.getElementById("titles")?.click();
    document.querySelector("#dialog .body button")?.click();
    await settled();
    amiss.push(...judge(`${panel}, opened`));
    document.getElementById("dialog").close();
  }
  const foreign = performance.getEntriesByType("resource").map((one) => one.name).filter((name) => !name.startsWith(location.origin));
  return [...amiss, ...foreign];
};
return PANELS.length;
