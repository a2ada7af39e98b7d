// Lines over time, drawn as SVG.
import { h, svg, clock, day } from "./dom.js";

const [W, H, LEFT, BOTTOM, TOP] = [440, 160, 50, 18, 8];

export function chart(title, series, show, from, to) {
  const points = series.flatMap((one) => one.points).filter(([, y]) => Number.isFinite(y));
  const top = Math.max(0, ...points.map(([, y]) => y));
  const max = (top || 1) * 1.1;
  const x = (at) => LEFT + ((at - from) / Math.max(1, to - from)) * (W - LEFT - 8);
  const y = (value) => H - BOTTOM - (value / max) * (H - BOTTOM - TOP);
  const lines = (top ? [0, 0.5, 1] : [0]).map((part) => {
    const level = y((max / 1.1) * part);
    return [svg("line", { class: "grid", x1: LEFT, x2: W - 8, y1: level, y2: level }),
      svg("text", { x: LEFT - 6, y: level + 4, "text-anchor": "end" }, show((max / 1.1) * part))];
  });
  const label = to - from > 86400000 ? day : clock;
  const ends = [svg("text", { x: LEFT, y: H - 4 }, label(from)), svg("text", { x: W - 8, y: H - 4, "text-anchor": "end" }, label(to))];
  const paths = series.map((one, n) => {
    let pen = "M";
    const d = one.points.map(([at, value]) => {
      if (!Number.isFinite(value)) { pen = "M"; return ""; }
      const step = `${pen}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
      return step;
    }).join("");
    return svg("path", { class: `s${n % 4}`, d });
  });
  const last = series.map((one) => `${one.name} ${one.points.length ? show(one.points.at(-1)[1]) : "–"}`).join(", ");
  const picture = svg("svg", { class: "chart", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${title}: ${last}` }, lines.flat(), ends, paths);
  const legend = h("div", { class: "legend" }, series.map((one, n) => h("span", {}, h("i", { class: `k${n % 4}` }), `${one.name} ${one.points.length ? show(one.points.at(-1)[1]) : "–"}`)));
  const body = points.length ? [picture, legend] : [h("p", { class: "soft" }, "Nothing was measured in this time yet.")];
  return h("section", { class: "card", "aria-label": title }, h("header", {}, h("h2", {}, title)), h("div", { class: "body" }, body));
}
