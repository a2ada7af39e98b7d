// The page: login, the strip, the panels and which of them is shown.
import { $, h, say, ms, usd, count } from "./dom.js";
import { all, ask, close, onChange, open, part, picture, post } from "./feed.js";
import { calls, events, overview, sessions } from "./live.js";
import { auditor, config, conversations, metrics } from "./history.js";
import { trial } from "./trial.js";

const PANELS = [["overview", "Overview", overview], ["calls", "Calls", calls], ["sessions", "Sessions", sessions],
  ["conversations", "Conversations", conversations], ["metrics", "Metrics", metrics], ["events", "Events", events],
  ["auditor", "Auditor", auditor], ["test", "Test", trial], ["config", "Configuration", config]];
let shown = null;

async function begin() {
  const known = await ask("/api/config");
  if (known.status === 401) {
    $("login").hidden = false;
    $("token").focus();
    return;
  }
  $("app").hidden = false;
  $("tabs").append(...PANELS.map(([id, name]) => h("a", { href: `#${id}`, id: `tab-${id}` }, name)));
  window.addEventListener("hashchange", () => route(true));
  document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); $("main").focus(); });
  $("logout").addEventListener("click", async () => { close(); await post("/api/logout"); location.reload(); });
  onChange((changed) => {
    if (["link", "health", "load", "strip", "session", "provider"].some((kind) => changed.has(kind))) strip();
    shown?.changed?.(changed);
  });
  setInterval(() => shown?.tick?.(), 1000);
  route(false);
  strip();
  open();
}

function route(byUser) {
  const [id, name, make] = PANELS.find(([one]) => `#${one}` === location.hash) ?? PANELS[0];
  for (const link of $("tabs").children) link.removeAttribute("aria-current");
  $(`tab-${id}`).setAttribute("aria-current", "page");
  $(`tab-${id}`).scrollIntoView({ block: "nearest", inline: "nearest" });
  document.title = `${name} · EXAI`;
  shown?.gone?.();
  shown = make();
  $("main").replaceChildren(...[shown.element].flat());
  shown.changed?.(new Set(["health", "load", "strip", "session", "provider", "call", "events", "sums", "breakdown", "client"]));
  if (byUser) { $("main").focus({ preventScroll: true }); say(`${name} is shown.`); }
}

// How the server is, in words.
function state() {
  if (!picture.linked) return ["Connecting…", "warn"];
  const health = all("health");
  if (part("load")?.draining) return ["Draining: no new calls are taken", "bad"];
  const down = health.filter(([name, one]) => one.status === "down" && !name.startsWith("provider:")).map(([name]) => name);
  if (down.length) return [`Not well: ${down.join(", ")} down`, "bad"];
  const sick = health.filter(([, one]) => one.status !== "ok").map(([name]) => name);
  const away = sick.filter((name) => name.startsWith("provider:")).map((name) => name.slice("provider:".length));
  const parts = sick.filter((name) => !name.startsWith("provider:"));
  if (sick.length) return [["Working", away.length && `without ${away.join(", ")}`, parts.length && `look at ${parts.join(", ")}`].filter(Boolean).join(", "), "warn"];
  return ["All is well", "ok"];
}

function strip() {
  const [words, tone] = state();
  const pill = $("state");
  if (pill.textContent !== words) pill.textContent = words;
  pill.className = `state ${tone}`;
  $("link").textContent = picture.linked ? "live" : "not connected";
  const load = part("load") ?? {};
  const { rates = {}, cost_today_usd } = part("strip") ?? {};
  const failed = rates.ended ? (100 * rates.failed) / rates.ended : 0;
  const numbers = [["Calls in flight", count(load.in_flight), load.waiting ? ` +${load.waiting} waiting` : ""],
    ["Throughput", (rates.per_second ?? 0).toFixed(2), " /s"],
    ["Errors, 5 min", `${failed.toFixed(1)} %`, rates.failed ? ` ${rates.failed} of ${rates.ended}` : ""],
    ["p50", ms(rates.p50_ms), ""], ["p95", ms(rates.p95_ms), ""], ["p99", ms(rates.p99_ms), ""],
    ["Sessions", count(all("session").length), ""], ["Cost today", usd(cost_today_usd), ""]];
  const box = $("strip");
  const cells = numbers.map(([name, value, more]) => `${name}|${value}|${more}`);
  if (box.dataset.shown === cells.join("\n")) return;
  box.dataset.shown = cells.join("\n");
  box.replaceChildren(...numbers.map(([name, value, more]) => h("div", { "data-number": name }, h("dt", {}, name), h("dd", {}, value, more && h("small", {}, more)))));
}

$("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await post("/api/login", { token: $("token").value });
  if (answer.ok) { location.reload(); return; }
  $("login-error").textContent = answer.status === 401 ? "That is not the token." : `The server answered ${answer.status}.`;
  $("token").select();
});

begin();
