// The panels that ask for what was: conversations, metrics, observations, configuration.
import { ago, card, count, day, dialog, h, kv, ms, pill, say, short, table, usd } from "./dom.js";
import { get, part, post } from "./feed.js";
import { chart } from "./chart.js";

const problem = (error) => h("p", { class: "empty error", role: "alert" }, error.message);

export function conversations() {
  const list = table([
    { name: "Conversation", text: (c) => c.title ?? c.id, make: (c) => h("button", { type: "button", class: "open", onclick: () => openConversation(c) }, titleOf(c)) },
    { name: "Tool", text: (c) => c.tool }, { name: "Turns", text: (c) => count(c.turns), n: true }, { name: "Tokens", text: (c) => short(c.tokens), n: true }, { name: "Size", text: (c) => `${short(c.chars)} chars`, n: true },
    { name: "Principal", text: (c) => c.principal }, { name: "Last turn", text: (c) => day(c.updated_at), n: true },
  ], (c) => c.id, "No conversation matches.", "Conversations");
  const said = h("div");
  const search = h("input", { type: "search", placeholder: "Search id, principal, tool", "aria-label": "Search conversations" });
  const show = h("button", { type: "button", id: "titles", title: "They are the beginnings of what was asked; that you look is noted in the audit.", onclick: () => { titles = true; show.hidden = true; search.placeholder = "Search titles too"; load(); } }, "Show titles");
  let titles = false;
  const more = h("button", { type: "button", hidden: true, onclick: () => load(rows.at(-1)?.updated_at) }, "Older");
  let rows = [];
  let turn = 0;
  async function load(before) {
    const mine = ++turn;
    try {
      const found = (await get(`/api/conversations?search=${encodeURIComponent(search.value)}${titles ? "&titles=true" : ""}${before ? `&before=${before}` : ""}`)).rows;
      if (mine !== turn) return;
      rows = before ? [...rows, ...found] : found;
      more.hidden = found.length < 50;
      list.show(rows);
      said.replaceChildren();
    } catch (error) {
      said.replaceChildren(problem(error));
      if (titles && mine === turn) { titles = false; show.hidden = false; }
    }
  }
  const kept = h("div", { class: "body" });
  const tell = () => kept.replaceChildren(h("p", { class: "soft" }, "None: clients cannot send files to this server yet. What it keeps are conversations, in the database."),
    kv([["Database", part("health/storage")?.detail], ["Disk", part("health/disk")?.detail], ["Spool", part("health/spool")?.detail]]));
  tell();
  let typing;
  search.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => load(), 200); });
  load();
  return { element: [card("Conversations", [h("span", { class: "grow" }), h("div", { class: "filters" }, search, show)], said, list.element, h("div", { class: "body" }, more)), card("Files", [], kept)],
    changed: (kinds) => kinds.has("health") && tell() };
}

const titleOf = (conversation) => conversation.title === null ? `…${conversation.id.slice(-8)}` : conversation.title || "(untitled)";

function openConversation(conversation) {
  const turns = h("div", { class: "body" });
  const read = h("button", { type: "button", onclick: async () => {
    const answer = await post(`/api/conversations/${conversation.id}/read`);
    const { rows = [], error } = await answer.json();
    turns.replaceChildren(error ? problem(error) : "", ...rows.map((one) => h("article", {}, h("h3", {}, `${one.role} · ${one.model}`), h("div", { class: "turn" }, one.content))));
  } }, "Read what was said");
  turns.append(h("p", { class: "soft" }, "Content is shown only when asked for, and that is noted in the audit."), read);
  dialog(titleOf(conversation), h("p", { class: "soft mono" }, conversation.id), turns);
}

const RANGES = [[15, "15 min"], [60, "1 h"], [360, "6 h"], [1440, "24 h"], [10080, "7 d"], [43200, "30 d"]];

export function metrics() {
  const charts = h("div", { class: "cols" });
  const buttons = RANGES.map(([minutes, name]) => h("button", { type: "button", "aria-pressed": String(minutes === 15), onclick: () => choose(minutes) }, name));
  const models = h("div");
  let range = 15;
  function choose(minutes) { range = minutes; buttons.forEach((button, n) => button.setAttribute("aria-pressed", RANGES[n][0] === minutes)); load(); }
  async function load() {
    try {
      const data = await get(`/api/history?minutes=${range}`);
      const now = Date.now();
      ranged = data.samples ? null : spent(data.rollups);
      drawModels();
      charts.replaceChildren(...(data.samples ? ofSamples(data.samples, now) : ofRollups(data.rollups, now - range * 60000, now)));
    } catch (error) { charts.replaceChildren(problem(error)); }
  }
  // Since the start with the 15 minutes that memory has; of the range where rollups tell it.
  let ranged = null;
  const drawModels = () => {
    const sums = ranged ?? part("sums") ?? {};
    const costs = ranged?.costs ?? part("breakdown")?.costs ?? {};
    const rows = Object.entries(sums.tokens ?? {}).map(([key, one]) => h("tr", {}, h("td", { class: "mono" }, key), ...[one.prompt, one.cached, one.completion, one.reasoning].map((n) => h("td", { class: "n" }, count(n))), h("td", { class: "n" }, costs[key] === undefined ? "–" : usd(costs[key]))));
    models.replaceChildren(rows.length ? h("div", { class: "scroll" }, h("table", { "aria-label": "Tokens by model" }, h("thead", {}, h("tr", {}, ["Model", "Prompt", "Cached", "Answer", "Reasoning", "Cost"].map((name, n) => h("th", { scope: "col", class: n && "n" }, name)))), h("tbody", {}, rows))) : h("p", { class: "empty" }, "No tokens were spent in this time."),
      h("p", { class: "body soft" }, `There is no cache of answers: every call goes upstream. Cost ${ranged ? "in this time" : "since the start"}: ${usd(sums.cost_usd)}`));
  };
  load();
  // What comes a minute or an hour at a time is not asked for every few seconds.
  let asked = 0;
  const again = setInterval(() => { asked += 1; if (range <= 15 || asked % 12 === 0) load(); }, 5000);
  return { element: [card("Range", h("div", { class: "seg", role: "group", "aria-label": "Time range" }, buttons)), charts, card("Tokens and cost by model", [], models)],
    changed: (kinds) => (kinds.has("sums") || kinds.has("breakdown")) && drawModels(), gone: () => clearInterval(again) };
}

function ofSamples(samples, now) {
  const from = now - 15 * 60000;
  const line = (name, value) => ({ name, points: samples.map((one) => [one.at, value(one)]) });
  return [
    chart("Latency of the last 5 min", [line("p50", (s) => s.p50_ms ?? NaN), line("p95", (s) => s.p95_ms ?? NaN), line("p99", (s) => s.p99_ms ?? NaN)], ms, from, now),
    chart("Throughput, calls/s", [line("ended", (s) => s.per_second)], (n) => n.toFixed(2), from, now),
    chart("Errors, %", [line("failed", (s) => s.ended ? (100 * s.failed) / s.ended : 0)], (n) => `${n.toFixed(1)} %`, from, now),
    chart("Calls", [line("in flight", (s) => s.in_flight), line("waiting", (s) => s.waiting)], short, from, now),
    chart("Tokens since the start", [line("prompt", (s) => s.tokens[0]), line("answer", (s) => s.tokens[1])], short, from, now),
    chart("Memory", [line("resident", (s) => s.memory_bytes)], (n) => `${short(n)}B`, from, now),
    chart("Event-loop lag", [line("lag", (s) => s.lag_ms)], (n) => `${n.toFixed(1)} ms`, from, now),
    chart("Cost since the start", [line("cost", (s) => s.cost_usd)], usd, from, now),
  ];
}

// Tokens and cost by model, as the sums since the start have them.
function spent(rollups) {
  const found = { tokens: {}, costs: {}, cost_usd: 0 };
  for (const { metric, labels, count: n, sum } of rollups) {
    if (metric !== "exai_tokens_total" && metric !== "exai_cost_usd_total") continue;
    const { provider, model, kind } = JSON.parse(labels);
    const key = `${provider}:${model}`;
    if (kind) (found.tokens[key] ??= { prompt: 0, cached: 0, completion: 0, reasoning: 0 })[kind] += n;
    else { found.costs[key] = (found.costs[key] ?? 0) + sum; found.cost_usd += sum; }
  }
  return found;
}

// One point a window; the lives of the process are summed up.
function ofRollups(rollups, from, now) {
  const by = (metric, value, fits = () => true) => {
    const sums = new Map();
    for (const one of rollups) if (one.metric === metric && fits(JSON.parse(one.labels))) sums.set(one.start, (sums.get(one.start) ?? 0) + value(one));
    return [...sums].sort(([a], [b]) => a - b);
  };
  const shape = (metric, name, times = 1000) => {
    const worst = new Map();
    for (const one of rollups) if (one.metric === metric) worst.set(one.start, Math.max(worst.get(one.start) ?? 0, (one[name] ?? 0) * times));
    return { name, points: [...worst].sort(([a], [b]) => a - b) };
  };
  const failed = (labels) => !["completed", "cancelled", "replayed"].includes(labels.outcome);
  return [
    chart("Latency of calls", ["p50", "p95", "p99"].map((name) => shape("exai_call_seconds", name)), ms, from, now),
    chart("Calls a window", [{ name: "ended", points: by("exai_calls_total", (one) => one.count) }, { name: "completed", points: by("exai_calls_total", (one) => one.count, (labels) => labels.outcome === "completed") }], short, from, now),
    chart("Errors a window", [{ name: "failed", points: by("exai_calls_total", (one) => one.count, failed) }], short, from, now),
    chart("Tokens a window", ["prompt", "completion"].map((kind) => ({ name: kind, points: by("exai_tokens_total", (one) => one.count, (labels) => labels.kind === kind) })), short, from, now),
    chart("Cost a window", [{ name: "cost", points: by("exai_cost_usd_total", (one) => one.sum) }], usd, from, now),
    chart("Memory", [shape("exai_process_resident_memory_bytes", "p50", 1)], (n) => `${short(n)}B`, from, now),
    chart("Event-loop lag", ["p50", "p99"].map((name) => shape("exai_event_loop_lag_seconds", name)), (n) => `${n.toFixed(1)} ms`, from, now),
  ];
}

const TONES = { critical: "bad", error: "bad", warning: "warn" };

export function auditor() {
  const said = h("div", { role: "status" });
  let rows = [];
  const note = async (path, body, done) => {
    const answer = await post(path, body).catch(() => null);
    if (!answer?.ok) said.replaceChildren(problem(new Error((await answer?.json().catch(() => null))?.error?.message ?? "The server did not answer.")));
    else { said.replaceChildren(); say(done); }
    await load();
  };
  const acknowledged = (o) => o.acknowledged_at ? h("span", { class: "soft" }, `${o.acknowledged_by}, ${ago(o.acknowledged_at)} ago`)
    : h("button", { type: "button", "data-acknowledge": o.id, "aria-label": `Acknowledge: ${o.text}`, onclick: () => note(`/api/observations/${o.id}/acknowledge`, {}, "It is acknowledged.") }, "Acknowledge");
  const list = table([
    { name: "When", text: (o) => day(o.at) }, { name: "Severity", text: (o) => o.severity, make: (o) => pill(o.severity, TONES[o.severity] ?? "") }, { name: "Category", text: (o) => o.category }, { name: "Observation", text: (o) => o.text, wrap: true },
    { name: "Recommendation", text: (o) => o.recommendation, wrap: true }, { name: "Sure", text: (o) => `${Math.round(o.confidence * 100)} %`, n: true }, { name: "Acknowledged", text: (o) => o.acknowledged_at ?? "", make: acknowledged },
  ], (o) => o.id, "The auditor has observed nothing.", "Observations");
  const select = (id, name) => h("select", { "aria-label": name, id, onchange: () => draw() });
  const [severity, category] = [select("severity", "Severity"), select("category", "Category")];
  const every = h("button", { type: "button", id: "acknowledge-all", onclick: () => note("/api/observations/acknowledge", { until: Math.max(...rows.map((o) => o.at)) }, "All are acknowledged.") }, "Acknowledge all");
  const draw = () => {
    every.disabled = rows.every((o) => o.acknowledged_at);
    list.show(rows.filter((o) => (!severity.value || o.severity === severity.value) && (!category.value || o.category === category.value)));
  };
  const load = async () => {
    try { rows = (await get("/api/observations")).rows; } catch (error) { said.replaceChildren(problem(error)); }
    for (const [box, field, name] of [[severity, "severity", "All severities"], [category, "category", "All categories"]]) {
      const chosen = box.value;
      box.replaceChildren(h("option", { value: "" }, name), ...[...new Set(rows.map((one) => one[field]))].sort().map((one) => h("option", { value: one }, one)));
      box.value = rows.some((one) => one[field] === chosen) ? chosen : "";
    }
    draw();
  };
  load();
  return { element: card("Auditor", [h("span", { class: "grow" }), h("div", { class: "filters" }, severity, category, every)], said, list.element) };
}

// Nested values by their dotted names.
function flat(values, prefix = "") {
  return Object.entries(values).flatMap(([name, value]) => value !== null && typeof value === "object" && !Array.isArray(value) ? flat(value, `${prefix}${name}.`)
    : [[prefix + name, Array.isArray(value) ? value.join(", ") || "none" : String(value ?? "not set")]]);
}

export function config() {
  const body = h("div", { class: "body" }, h("p", { class: "soft" }, "Reading…"));
  get("/api/config").then((known) => body.replaceChildren(
    h("p", {}, `EXAI ${known.version}, up ${ago(Date.now() - known.uptime_s * 1000)}`),
    h("div", { class: "cols config" }, Object.entries(known.config).map(([section, values]) => h("section", {}, h("h3", {}, section),
      typeof values === "object" && values !== null ? h("dl", { class: "plain" }, flat(values).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", { class: "mono" }, value)))) : h("p", { class: "mono" }, String(values))))),
  )).catch((error) => body.replaceChildren(problem(error)));
  return { element: card("Configuration in force", h("span", { class: "soft" }, "secrets are masked"), body) };
}
