// What was measured before and after training: shares, pass@k, calibration, and solutions side by side.

import { ask } from "./api.js";
import { chart } from "./chart.js";
import { badge, el, fold, notes, put, svg, table, verdict } from "./dom.js";
import { cent, interval, number, percent } from "./format.js";

export const title = "Evaluation";

const SHARES = [0, 0.25, 0.5, 0.75, 1];

export async function show(box, params) {
  const [data, calibrated] = await Promise.all([ask(`runs/${params.run}/evaluation`), ask(`runs/${params.run}/calibration`)]);
  const charts = [];
  const splits = data.splits.map((s) => {
    const c = passes(s);
    charts.push(c);
    return el("section.card", {}, el("h2", {}, s.about ? `${s.split}: ${s.about}` : s.split), measures(s), c ? c.node : null);
  });
  put(
    box,
    el("h1", {}, "Evaluation"),
    data.verdict ? el("p.verdict", {}, data.verdict) : null,
    data.splits.length ? el("div.two", {}, splits) : el("p.empty", {}, "Nothing has been measured yet (or the run was started with --eval-problems 0)."),
    el("h2", {}, "Calibration of the rollouts"),
    notes(calibrated.broken),
    calibrated.kinds.length ? el("div.two", {}, calibrated.kinds.map(reliability)) : el("p.soft", {}, calibrated.judged ? "These rollouts state no confidence. Recipes of the family calibration do (rlcr, with a task confident:TASK), and searches value their answers." : "There are no judged rollouts."),
    data.samples.length ? [el("h2", {}, "Solutions before and after"), data.samples.map(sample)] : null,
  );
  return { up: `#/run/${params.run}`, keys: {}, help: { "← →": "move the cursor of a chart that has the focus" } };
}

function share(x) {
  return x ? [percent(x[1]), " ", el("span.soft", {}, interval(x))] : "–";
}

function measures(s) {
  const rows = s.rows.map((r) => [r.name, share(r.before), share(r.after), moved(r)]);
  const more = s.means.map((r) => [r.name, number(r.before), number(r.after), ""]);
  const lengths = s.length.before != null || s.length.after != null ? [["tokens an answer", number(s.length.before), number(s.length.after), ""]] : [];
  const sizes = Object.entries(s.problems).map(([side, n]) => `${side}: ${n} problems, ${s.samples[side]} samples`).join("; ");
  const rule = s.paired ? " A change is that of the same problems, coloured when its interval leaves out 0 and six problems or more changed." : "";
  return [table(["measure", "before", "after", "change"], [...rows, ...more, ...lengths], `Measures on ${s.split}`, "numbers"), el("p.soft", {}, `Shares with 95 % intervals; ${sizes}.${rule}`)];
}

// How a measure changed, in points, coloured where chance does not explain it.
export function delta(r) {
  if (!r.before || !r.after) return el("span.soft", {}, "–");
  const mark = { up: " ▲", down: " ▼" }[r.move] || "";
  const about = r.by ? `problem by problem, 95 % interval ${signed(r.by[0])} to ${signed(r.by[2])}` : r.move === "unclear" ? "the intervals overlap" : "the intervals lie apart";
  return el(`span.${r.move || "unclear"}`, { title: about }, signed(r.after[1] - r.before[1]) + mark);
}

function signed(share) {
  return `${share < 0 ? "−" : "+"}${Math.abs(100 * share).toFixed(1)}`;
}

function moved(r) {
  return r.by ? [delta(r), " ", el("span.soft.under", {}, `${signed(r.by[0])} – ${signed(r.by[2])}`)] : delta(r);
}

function passes(s) {
  const series = [];
  const add = (name, points, colour) => points && points.length && series.push({ name, colour, points: points.map(([k, [low, mean, high]]) => [Math.log2(k), mean, low, high]) });
  add("pass@k before", s.pass.before, 7);
  add("pass@k after", s.pass.after, 0);
  if (s.maj.after && s.maj.after.length > 1) add("maj@k after", s.maj.after, 1);
  if (!series.length || series.every((x) => x.points.length < 2)) return null;
  const ks = [...new Set([...(s.pass.before || []), ...(s.pass.after || [])].map(([k]) => k))].sort((a, b) => a - b);
  const c = chart({ title: "pass@k", about: "chance that one of k samples is right", axis: "k", marks: ks.map((k) => [Math.log2(k), String(k)]), fixed: SHARES, write: percent, tick: cent, bands: true, height: 220 });
  c.draw(series, {});
  return c;
}

function reliability(kind) {
  const size = 280;
  const edge = 40;
  const at = (v) => edge + v * (size - edge - 24);
  const up = (v) => size - edge - v * (size - edge - 16);
  const most = Math.max(...kind.bins.map((b) => b.n));
  const bins = kind.bins.map((b) => svg("circle.c0.fill", { cx: at(b.said), cy: up(b.solved), r: (3 + 9 * Math.sqrt(b.n / most)).toFixed(1) }, svg("title", {}, `${b.n} traces said ${percent(b.said)}; ${percent(b.solved)} are right`)));
  const line = kind.bins.map((b) => `${at(b.said).toFixed(1)},${up(b.solved).toFixed(1)}`).join(" ");
  const marks = [0, 0.5, 1].map((v) => [svg("text", { x: at(v), y: size - edge + 16, "text-anchor": "middle" }, cent(v)), svg("text", { x: edge - 6, y: up(v) + 4, "text-anchor": "end" }, cent(v))]);
  const picture = svg(
    "svg.calibration",
    { viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": `Calibration: ${kind.bins.map((b) => `said ${percent(b.said)}, right ${percent(b.solved)}`).join("; ")}` },
    svg("rect.frame", { x: at(0), y: up(1), width: at(1) - at(0), height: up(0) - up(1) }),
    svg("line.ideal", { x1: at(0), y1: up(0), x2: at(1), y2: up(1) }),
    svg("polyline.mean.c0", { points: line }),
    bins,
    marks,
    svg("text", { x: (at(0) + at(1)) / 2, y: size - 4, "text-anchor": "middle" }, "said"),
    svg("text", { x: at(0) + 6, y: up(1) + 14 }, "right"),
  );
  const figures = [["traces", String(kind.n)], ["right", percent(kind.accuracy)], ["said on average", percent(kind.said)], ["ECE", number(kind.ece)], ["Brier", number(kind.brier)], ["AUROC", number(kind.auroc)]];
  return el("section.card", {}, el("h3", {}, kind.about), el("div.calibrated", {}, picture, table(["figure", ""], figures, "Figures of calibration", "numbers")), el("p.soft", {}, "On the line what is said is what comes out. A dot is a bin of a tenth; its size tells how many fall into it."));
}

function sample(s) {
  const side = (name) => {
    const x = s[name];
    return el("div", {}, el("h3", {}, name, " ", x ? verdict(x.solved) : null), el("pre", {}, x ? x.text : "–"));
  };
  const tone = { "wrong → right": "yes", "right → wrong": "no" }[s.kind] || "";
  return fold([badge(s.kind, tone), " ", String(s.problem).split("\n")[0].slice(0, 120)], el("pre", {}, String(s.problem)), s.answer != null ? el("p.soft", {}, `Expected answer: ${s.answer}`) : null, el("div.sides", {}, side("before"), side("after")));
}
