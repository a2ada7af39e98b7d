// The panels that live from the feed: overview, calls, sessions, events.
import { ago, card, clock, count, dialog, h, kv, ms, pill, short, svg, table, tell, usd } from "./dom.js";
import { all, get, part, picture, post } from "./feed.js";

const toneOf = (phase) => phase === "completed" ? "ok" : phase === "cancelled" ? "" : "bad";
const secondsOf = (call) => call.ended ? ms(call.ms) : ms(Math.max(0, Date.now() - call.asked_at));

async function act(path, body, done) {
  const answer = await post(path, body).catch(() => null);
  const said = answer && answer.ok ? done : ((await answer?.json().catch(() => null))?.error?.message ?? "The server did not answer.");
  tell(said);
  return answer?.ok;
}

// --- overview ---

const ORDERS = [["force_open", "Force open", "danger"], ["disable", "Disable", ""], ["reset", "Reset", ""]];
const WORDS = { closed: ["closed", "ok"], open: ["open", "bad"], half_open: ["half-open", "warn"], forced_open: ["forced open", "bad"], disabled: ["disabled", "warn"], parked: ["parked", "bad"] };

function story(one, parked) {
  if (parked) return `Parked because of its ${parked.reason}, for ${ago(parked.since)}. ${next(parked.until)}`;
  if (one.state === "closed") return one.failures ? `${one.failures} failures in the last 30 s.` : "Calls go through.";
  if (one.state === "disabled") return "The operator has it let everything through.";
  const why = one.why === "operator" ? "by the operator" : `after failures (${one.why ?? "several"})`;
  const word = WORDS[one.state]?.[0] ?? one.state;
  return `${word[0].toUpperCase()}${word.slice(1)} ${why}, for ${ago(one.since)}. ${next(one.until)}`;
}

const next = (until) => until ? `Next probe in ${Math.max(0, Math.ceil((until - Date.now()) / 1000))} s.` : "Until it is reset.";

// Ends of calls that are no failure.
const FINE = ["completed", "cancelled", "replayed"];

// The middle one of the provider's answered calls that are shown.
function median(name, of) {
  const times = all("call").map(([, call]) => call).filter((call) => call.provider === name && call.phase === "completed" && call[of] != null).map((call) => call[of]).sort((a, b) => a - b);
  return times.length ? h("span", { title: `Median of the last ${times.length} answered calls` }, ms(times[Math.ceil(times.length / 2) - 1])) : null;
}

// The operator's word on a provider's breaker, or on a model's: each decides for itself.
function orders(provider, model) {
  const name = model === null ? provider : `${provider}/${model}`;
  return ORDERS.map(([order, label, cls]) => h("button", { type: "button", class: model === null ? cls : `small ${cls}`, "data-order": `${name}:${order}`, "aria-label": `${label} ${name}`,
    onclick: () => act("/api/breakers", { provider, model, order }, `${label}: ${name}.`) }, label));
}

// A provider's card. Its buttons stay the same elements however often the rest is told anew: a press is never lost.
function providerCard(name) {
  const [state, host, told, list] = [h("span"), h("span", { class: "soft mono" }), h("div"), h("ul", { class: "models" })];
  const element = card(name, [state, host], h("div", { class: "body" }, told, list, h("div", { class: "actions" }, orders(name, null))));
  element.dataset.provider = name;
  const rows = new Map();
  const show = (stand, gauge) => {
    const position = stand?.parked ? "parked" : stand?.own.state;
    state.replaceChildren(pill(...(stand ? WORDS[position] ?? [position, ""] : ["does not answer", "bad"])));
    host.textContent = stand?.host ?? "";
    told.replaceChildren(...(stand ? standing(name, stand, gauge) : []));
    const models = Object.entries(stand?.models ?? {});
    for (const [model, row] of rows) if (!models.some(([one]) => one === model)) { row.element.remove(); rows.delete(model); }
    for (const [model, one] of models) {
      if (!rows.has(model)) {
        const words = h("span", { class: "words" });
        rows.set(model, { words, element: h("li", {}, words, h("span", { class: "grow" }), orders(name, model)) });
        list.append(rows.get(model).element);
      }
      const gate = one.gate_until ? pill(`rate gate ${Math.max(0, Math.ceil((one.gate_until - Date.now()) / 1000))} s`, "warn") : "";
      rows.get(model).words.replaceChildren(h("span", { class: "mono" }, model), " ", pill(...(WORDS[one.state] ?? [one.state])), " ", h("span", { class: "soft" }, one.state === "closed" ? "" : story(one)), " ", gate);
    }
  };
  return { element, show };
}

// What is told of a provider.
function standing(name, stand, gauge) {
  const used = gauge ? gauge.in_use / Math.max(1, gauge.limit) : 0;
  const ends = Object.entries(part("sums")?.upstream ?? {}).filter(([key]) => key.startsWith(`${name}:`)).map(([key, n]) => `${n} ${key.slice(name.length + 1)}`);
  const errors = Object.entries(part("breakdown")?.outcomes[name] ?? {}).filter(([kind]) => !FINE.includes(kind) && !kind.startsWith("refused_"));
  return [
    kv([["Permits", gauge ? `${gauge.in_use} of ${gauge.limit}` : null], ["Upstream now", count(stand.in_flight)], ["Retries left", count(stand.retries_left)], ["Restarts", count(stand.restarts)], ["First token, p50", median(name, "first_token_ms")], ["Total, p50", median(name, "ms")], ["Key", stand.key_fingerprint]]),
    h("div", { class: "bar", "aria-hidden": "true" }, svg("svg", { viewBox: "0 0 100 5", preserveAspectRatio: "none" }, svg("rect", { width: used * 100, height: 5 }))),
    h("p", { class: "story" }, story(stand.own, stand.parked)),
    h("p", { class: "soft", "data-errors": name }, errors.length ? `Calls that failed: ${errors.map(([kind, n]) => `${n} ${kind}`).join(", ")}` : "No call that it took has failed."),
    h("p", { class: "soft" }, ends.length ? `Requests ended: ${ends.join(", ")}` : "No request has ended yet."),
  ];
}

export function overview() {
  const providers = h("div", { class: "cols" });
  const cards = new Map();
  const health = h("ul", { class: "health" });
  const live = callTable("No call is running.");
  const element = [providers, card("Running calls", [], live.element), card("Health", [], h("div", { class: "body" }, health))];
  let drawn = "";
  const draw = () => {
    const gauges = part("load")?.permits ?? [];
    const stands = all("provider");
    const moves = stands.some(([, one]) => one && (one.parked || [one.own, ...Object.values(one.models)].some((breaker) => breaker.until || breaker.gate_until || breaker.state !== "closed")));
    const words = JSON.stringify([stands, gauges, part("sums")?.upstream, part("breakdown")?.outcomes, stands.map(([name]) => ["first_token_ms", "ms"].map((of) => median(name, of)?.innerText)), moves ? Math.floor(Date.now() / 1000) : 0]);
    if (words === drawn) return;
    drawn = words;
    for (const [name, one] of cards) if (!stands.some(([other]) => other === name)) { one.element.remove(); cards.delete(name); }
    for (const [name, stand] of stands) {
      if (!cards.has(name)) { cards.set(name, providerCard(name)); providers.append(cards.get(name).element); }
      cards.get(name).show(stand, gauges.find((gauge) => gauge.scope === `provider:${name}`));
    }
  };
  return {
    element,
    changed(kinds) {
      if (["provider", "load", "sums", "breakdown"].some((kind) => kinds.has(kind))) draw();
      if (kinds.has("call")) this.calls();
      if (kinds.has("health")) health.replaceChildren(...all("health").map(([name, one]) => h("li", {}, h("span", {}, pill(one.status, one.status === "ok" ? "ok" : one.status === "down" ? "bad" : "warn")), h("span", {}, name), h("span", { class: "soft" }, one.detail))));
    },
    calls() { live.show(all("call").map(([, call]) => call).filter((call) => !call.ended)); },
    tick() { draw(); this.calls(); },
  };
}

// --- calls ---

function callTable(empty) {
  return table([
    { name: "Call", text: (c) => c.id, make: (c) => h("button", { type: "button", class: "open", "data-call": c.id, "aria-label": `Open call ${c.id}`, onclick: () => openCall(c.id) }, `…${c.id.slice(-8)}`) },
    { name: "Phase", text: (c) => c.phase, make: (c) => pill(c.phase, c.ended ? toneOf(c.phase) : "warn") },
    { name: "Time", text: secondsOf, n: true },
    { name: "Tokens", text: (c) => short(c.tokens), n: true },
    { name: "Model", text: (c) => c.model ?? "" , mono: true },
    { name: "Tool", text: (c) => c.tool },
    { name: "Cost", text: (c) => c.ended ? usd(c.cost_usd) : "", n: true },
    { name: "Asked", text: (c) => clock(c.asked_at), n: true },
    { name: "", text: (c) => c.ended, make: (c) => c.ended ? h("span") : h("button", { type: "button", class: "danger", "data-cancel": c.id, "aria-label": `Cancel call ${c.id}`,
      onclick: () => act(`/api/calls/${c.id}/cancel`, {}, "The call is cancelled.") }, "Cancel") },
  ], (c) => c.id, empty, "Calls");
}

export function calls() {
  const list = callTable("No call matches.");
  const search = h("input", { type: "search", id: "call-search", placeholder: "Search id, model, tool, session", "aria-label": "Search calls" });
  const which = h("select", { "aria-label": "Which calls", id: "call-which" }, [["", "All"], ["live", "Running"], ["completed", "Completed"], ["failed", "Failed"], ["cancelled", "Cancelled"]].map(([value, name]) => h("option", { value }, name)));
  const draw = () => {
    const words = search.value.trim().toLowerCase();
    const fits = { "": () => true, live: (c) => !c.ended, completed: (c) => c.phase === "completed", cancelled: (c) => c.phase === "cancelled", failed: (c) => c.ended && !["completed", "cancelled"].includes(c.phase) }[which.value];
    const found = all("call").map(([, call]) => call).filter(fits).filter((c) => !words || [c.id, c.model, c.provider, c.tool, c.session, c.principal, c.phase].join(" ").toLowerCase().includes(words));
    found.sort((a, b) => Number(a.ended) - Number(b.ended) || b.asked_at - a.asked_at);
    list.show(found);
  };
  search.addEventListener("input", draw);
  which.addEventListener("change", draw);
  return { element: card("Calls", [h("span", { class: "grow" }), h("div", { class: "filters" }, which, search)], list.element), changed: (kinds) => kinds.has("call") && draw(), tick: draw };
}

async function openCall(id) {
  const body = h("div", { class: "body" }, h("p", { class: "soft" }, "Reading the journal…"));
  dialog(`Call …${id.slice(-8)}`, body);
  try {
    const call = await get(`/api/calls/${id}`);
    const receipt = call.receipt ? JSON.parse(call.receipt) : null;
    const error = call.error ? JSON.parse(call.error) : null;
    const began = call.timeline[0]?.[1] ?? 0;
    body.replaceChildren(
      kv([["State", pill(call.state, call.state === "completed" ? "ok" : "")], ["Tool", call.tool], ["Principal", call.principal], ["Session", call.session], ["Conversation", call.conversation ?? receipt?.conversation_id], ["Process", call.replica]]),
      h("h3", {}, "Timeline"),
      h("ol", { class: "timeline" }, call.timeline.map(([state, at]) => h("li", {}, h("span", {}, state), h("span", { class: "soft" }, `${clock(at)} · +${ms(at - began)}`)))),
      h("h3", {}, "Upstream requests"),
      call.attempts.length ? h("ol", { class: "timeline" }, call.attempts.map((one) => h("li", {}, h("span", {}, `${one.n}. ${one.model} at ${one.host}`), pill(one.state, one.state === "completed" ? "ok" : one.state === "failed" ? "bad" : ""), h("span", { class: "soft" }, [one.status && `HTTP ${one.status}`, one.ended_at && ms(one.ended_at - one.dispatched_at), one.cost_usd && usd(one.cost_usd)].filter(Boolean).join(" · "))))) : h("p", { class: "soft" }, "None was made."),
      h("h3", {}, receipt ? "Receipt" : error ? "Error" : "Receipt"),
      receipt ? kv([["Model asked", receipt.model_asked], ["Model served", receipt.model_served], ["Host", receipt.host], ["Attempts", receipt.attempts], ["Breaker", receipt.breaker], ["Queued", ms(receipt.queue_ms)], ["First token", ms(receipt.first_token_ms)], ["Total", ms(receipt.total_ms)],
        ["Tokens", receipt.tokens && `${receipt.tokens.prompt} in, ${receipt.tokens.completion} out`], ["Turns", `${receipt.turns.sent} of ${receipt.turns.used} sent`], ["Cost", usd(receipt.cost_usd)]])
        : error ? kv([["Kind", error.kind], ["Says", error.message], ["Retry after", error.retry_after_ms && ms(error.retry_after_ms)]]) : h("p", { class: "soft" }, "It has not ended yet."));
  } catch (problem) {
    body.replaceChildren(h("p", { class: "error" }, problem.message));
  }
}

// --- sessions ---

export function sessions() {
  const list = table([
    { name: "Client", text: (s) => s.client },
    { name: "Transport", text: (s) => s.transport }, { name: "Era", text: (s) => s.era }, { name: "Address", text: (s) => s.peer, mono: true },
    { name: "Age", text: (s) => ago(s.connected_at), n: true }, { name: "In", text: (s) => count(s.messages_in), n: true }, { name: "Out", text: (s) => count(s.messages_out), n: true },
    { name: "Last activity", text: (s) => `${ago(s.active_at)} ago`, n: true },
    { name: "", text: () => "x", make: (s) => h("button", { type: "button", class: "danger", "aria-label": `Disconnect ${s.client}`, onclick: () => act(`/api/sessions/${s.id}/disconnect`, {}, "The session is disconnected.") }, "Disconnect") },
  ], (s) => s.id, "Nobody is connected.", "Sessions");
  const clients = table([
    { name: "Client", text: ([name]) => name }, { name: "Now", text: ([, c]) => count(c.connected), n: true }, { name: "Ever", text: ([, c]) => count(c.sessions), n: true }, { name: "Reconnections", text: ([, c]) => count(c.reconnections), n: true },
    { name: "In", text: ([, c]) => count(c.messages_in), n: true }, { name: "Out", text: ([, c]) => count(c.messages_out), n: true }, { name: "Errors", text: ([, c]) => count(c.errors), n: true }, { name: "Deduplicated", text: ([, c]) => count(c.deduplicated), n: true },
  ], ([name]) => name, "No client has been here yet.", "Clients");
  const draw = () => { list.show(all("session").map(([id, one]) => ({ id, ...one }))); clients.show(all("client")); };
  return { element: [card("Sessions", [], list.element), card("Clients since the start", [], clients.element)], changed: (kinds) => (kinds.has("session") || kinds.has("client")) && draw(), tick: draw };
}

// --- events ---

export function events() {
  const list = table([
    { name: "Time", text: (e) => clock(e.at) }, { name: "Kind", text: (e) => e.kind, make: (e) => pill(e.kind) }, { name: "Way", text: (e) => e.direction }, { name: "Outcome", text: (e) => e.outcome },
    { name: "Peer", text: (e) => e.peer, mono: true }, { name: "Took", text: (e) => e.ms ? ms(e.ms) : "", n: true }, { name: "Bytes", text: (e) => e.bytes ? short(e.bytes) : "", n: true },
    { name: "Stands for", text: (e) => e.sampled > 1 ? `×${e.sampled}` : "", n: true }, { name: "Call", text: (e) => e.call_id ?? "", make: (e) => e.call_id ? h("button", { type: "button", class: "open", onclick: () => openCall(e.call_id) }, `…${e.call_id.slice(-8)}`) : h("span") },
  ], (e) => e.seq, "No event matches.", "Events");
  const kind = h("select", { "aria-label": "Kind", id: "event-kind" });
  const search = h("input", { type: "search", id: "event-search", placeholder: "Search outcome, peer, call", "aria-label": "Search events" });
  const hold = h("button", { type: "button", "aria-pressed": "false", onclick: () => { held = !held; hold.setAttribute("aria-pressed", held); hold.textContent = held ? "Resume" : "Pause"; draw(); } }, "Pause");
  let held = false;
  let shownKinds = "";
  const found = () => {
    const words = search.value.trim().toLowerCase();
    return picture.events.filter((e) => (!kind.value || e.kind === kind.value) && (!words || [e.outcome, e.peer, e.call_id, e.direction].join(" ").toLowerCase().includes(words)));
  };
  const draw = () => {
    const kinds = [...new Set(picture.events.map((e) => e.kind))].sort();
    if (kinds.join() !== shownKinds) {
      shownKinds = kinds.join();
      const chosen = kind.value;
      kind.replaceChildren(h("option", { value: "" }, "All kinds"), ...kinds.map((one) => h("option", { value: one }, one)));
      kind.value = kinds.includes(chosen) ? chosen : "";
    }
    list.show(found().slice(-250).reverse());
  };
  kind.addEventListener("change", draw);
  search.addEventListener("input", draw);
  const save = h("button", { type: "button", onclick: () => {
    const url = URL.createObjectURL(new Blob([JSON.stringify(found(), null, 1)], { type: "application/json" }));
    h("a", { href: url, download: "exai-events.json" }).click();
    URL.revokeObjectURL(url);
  } }, "Export JSON");
  return { element: card("Events", [h("span", { class: "grow" }), h("div", { class: "filters" }, kind, search, hold, save)], list.element), changed: (kinds) => kinds.has("events") && !held && draw() };
}
