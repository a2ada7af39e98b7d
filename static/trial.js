// The test panel: consultations and a breaker's story on scratch keys, with how calls go now. Kept in this browser as a baseline, and what
// is worse than it is listed.
import { card, day, h, ms, pill, say, table } from "./dom.js";
import { get, part, post } from "./feed.js";

const KEPT = "exai-baseline";
const percent = (n) => `${n.toFixed(1)} %`;
const mib = (n) => `${(n / 1048576).toFixed(0)} MiB`;
// Name, field, how it is told, and the two that together make a regression: times as much, and more by so much than noise is.
const MEASURES = [
  ["Consultation on scratch keys, p50", "consultation_p50_ms", ms, 1.5, 25], ["Consultation on scratch keys, p95", "consultation_p95_ms", ms, 1.5, 50],
  ["First token on scratch keys, p50", "first_token_p50_ms", ms, 1.5, 25], ["Refusal by an open breaker", "refusal_ms", ms, 1.5, 10],
  ["Calls, p50", "p50_ms", ms, 1.1, 2], ["Calls, p95", "p95_ms", ms, 1.1, 5], ["Calls, p99", "p99_ms", ms, 1.1, 10],
  ["Errors", "errors", percent, 1.1, 0.5], ["Memory", "memory", mib, 1.1, 32 * 1048576],
];
const PARTS = { consultation: "Consultation", breaker: "Breaker" };

async function measured(report) {
  const { samples } = await get("/api/history?minutes=15");
  const rates = part("strip")?.rates ?? {};
  return { ...report.measures, at: Date.now(), p50_ms: rates.p50_ms, p95_ms: rates.p95_ms, p99_ms: rates.p99_ms,
    errors: rates.ended ? (100 * rates.failed) / rates.ended : 0, memory: samples.at(-1)?.memory_bytes };
}

function compared(before, now) {
  return MEASURES.map(([name, field, show, times, noise]) => {
    const [old, fresh] = [before[field] ?? null, now[field] ?? null];
    const known = old !== null && fresh !== null;
    const worse = known && fresh > old * times && fresh - old > noise;
    return { name, before: old === null ? "–" : show(old), now: fresh === null ? "–" : show(fresh), verdict: !known ? "not measured" : worse ? "regression" : "as good" };
  });
}

export function trial() {
  const steps = table([
    { name: "Test", text: (s) => PARTS[s.part] ?? s.part }, { name: "What must be so", text: (s) => s.what }, { name: "Seen", text: (s) => s.said },
    { name: "Result", text: (s) => s.ok ? "passed" : "failed", make: (s) => pill(s.ok ? "passed" : "failed", s.ok ? "ok" : "bad") },
  ], (s) => s.part + s.what, "No test has run since this page was opened.", "Results of the test");
  const list = table([
    { name: "Measure", text: (m) => m.name }, { name: "Baseline", text: (m) => m.before, n: true }, { name: "Now", text: (m) => m.now, n: true },
    { name: "Verdict", text: (m) => m.verdict, make: (m) => pill(m.verdict, { regression: "bad", "as good": "ok" }[m.verdict] ?? "") },
  ], (m) => m.name, "Capture a baseline, then compare.", "Comparison");
  const said = h("p", { class: "soft", id: "trial-said" }, "Twenty consultations and a breaker's whole story, against a double inside the server: no provider is asked, nothing is billed. It takes about 6 s.");
  const tell = (text) => { said.textContent = text; say(text); };
  const buttons = [];

  // Runs the test, then what is done with its result.
  async function run(then) {
    for (const button of buttons) button.disabled = true;
    tell("The test is running…");
    try {
      const answer = await post("/api/trial");
      const report = await answer.json();
      if (!answer.ok) throw new Error(report.error?.message ?? `The server answered ${answer.status}.`);
      steps.show(report.steps);
      await then(report);
    } catch (error) { tell(error.message); }
    for (const button of buttons) button.disabled = false;
  }
  const broken = (report) => report.ok ? "" : `${report.steps.filter((step) => !step.ok).length} of ${report.steps.length} checks failed. `;
  const capture = async (report) => {
    const now = await measured(report);
    localStorage.setItem(KEPT, JSON.stringify(now));
    tell(`${broken(report)}Baseline of ${day(now.at)} is kept in this browser.`);
  };
  const compare = async (report) => {
    const before = JSON.parse(localStorage.getItem(KEPT) ?? "null");
    if (!before) { tell(`${broken(report)}There is no baseline yet.`); return; }
    const rows = compared(before, await measured(report));
    list.show(rows);
    const worse = rows.filter((row) => row.verdict === "regression").map((row) => row.name);
    tell(`${broken(report)}${worse.length ? `Worse than the baseline of ${day(before.at)}: ${worse.join("; ")}.` : "No regression."}`);
  };
  const button = (id, label, cls, then) => h("button", { type: "button", id, class: cls, onclick: () => run(then) }, label);
  buttons.push(button("run-trial", "Run the test", "primary", async (report) => tell(report.ok ? `All ${report.steps.length} checks passed in ${ms(report.took_ms)}.` : broken(report))),
    button("capture", "Capture baseline", "", capture), button("compare", "Compare with baseline", "", compare));
  return { element: [card("Test", [h("span", { class: "grow" }), h("div", { class: "filters" }, buttons)], h("div", { class: "body" }, said), steps.element), card("Against the baseline", [], list.element)] };
}
