// The test panel: how calls go now, kept in this browser as a baseline, and what is worse than it.
import { card, day, h, ms, say, table } from "./dom.js";
import { get, part } from "./feed.js";

const KEPT = "exai-baseline";
// A regression is a tenth worse, and more than noise.
const WORSE = 1.1;
const MEASURES = [["p50", "p50_ms", ms, 2], ["p95", "p95_ms", ms, 5], ["p99", "p99_ms", ms, 10], ["Errors", "errors", (n) => `${n.toFixed(1)} %`, 0.5], ["Memory", "memory", (n) => `${(n / 1048576).toFixed(0)} MiB`, 8 * 1048576]];

async function measure() {
  const { samples } = await get("/api/history?minutes=15");
  const rates = part("strip")?.rates ?? {};
  return { at: Date.now(), p50_ms: rates.p50_ms, p95_ms: rates.p95_ms, p99_ms: rates.p99_ms, errors: rates.ended ? (100 * rates.failed) / rates.ended : 0, memory: samples.at(-1)?.memory_bytes ?? 0 };
}

export function trial() {
  const list = table([
    { name: "Measure", text: (m) => m.name }, { name: "Baseline", text: (m) => m.before, n: true }, { name: "Now", text: (m) => m.now, n: true }, { name: "Verdict", text: (m) => m.verdict },
  ], (m) => m.name, "Capture a baseline, then compare.", "Comparison");
  const said = h("p", { class: "soft", id: "trial-said" });
  const kept = () => JSON.parse(localStorage.getItem(KEPT) ?? "null");
  const tell = (text) => { said.textContent = text; say(text); };
  const capture = h("button", { type: "button", id: "capture", onclick: async () => {
    const now = await measure();
    localStorage.setItem(KEPT, JSON.stringify(now));
    tell(`Baseline of ${day(now.at)} is kept in this browser.`);
  } }, "Capture baseline");
  const compare = h("button", { type: "button", id: "compare", onclick: async () => {
    const before = kept();
    if (!before) { tell("There is no baseline yet."); return; }
    const now = await measure();
    const rows = MEASURES.map(([name, field, show, noise]) => {
      const [old, fresh] = [before[field], now[field]];
      const known = old !== undefined && old !== null && fresh !== undefined && fresh !== null;
      const worse = known && fresh > old * WORSE && fresh - old > noise;
      return { name, before: known ? show(old) : "–", now: known ? show(fresh) : "–", verdict: !known ? "not measured" : worse ? "regression" : "as good" };
    });
    list.show(rows);
    const regressions = rows.filter((row) => row.verdict === "regression").map((row) => row.name);
    tell(regressions.length ? `Worse than the baseline: ${regressions.join(", ")}.` : "No regression.");
  } }, "Compare with baseline");
  return { element: card("Test", [h("span", { class: "grow" }), h("div", { class: "filters" }, capture, compare)], h("div", { class: "body" }, said), list.element) };
}
