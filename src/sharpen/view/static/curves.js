// Metrics of one run or of several on the same axes, growing while the runs train.

import { Tail, ask, every } from "./api.js";
import { chart, coloured } from "./chart.js";
import { badge, el, notes, put } from "./dom.js";
import { cent, finite, number, percent, taskName } from "./format.js";
import { families, joined } from "./together.js";

export const title = "Curves";

const HELD_OUT = "held-out ";
const FIRST = ["held-out accuracy", "reward/total", "solved", "groups/signal", "length", "entropy", "kl", "grad_norm", "truncated", "reward/correct"];
const SHARES = new Set(["solved", "groups/signal", "group/all_failed", "group/all_solved", "truncated", "clipped"]);
const REST = 10; // rounds between two looks at runs that do not train
const SHOWN_FIRST = 6;
const rank = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
const isShare = (name) => SHARES.has(name) || name.startsWith(HELD_OUT);
const AXES = { step: ["step", (r) => r.step], tokens: ["generated tokens", (r) => Number(r.cost && r.cost.generated_tokens)] };

export async function show(box, params, query) {
  const known = (await ask("runs")).runs;
  const asked = (query.get("runs") || params.run || "").split(",").filter(Boolean).map(Number);
  const wanted = new Set(asked.length ? asked : known.filter((r) => r.iterations).slice(0, 4).map((r) => r.id));
  const order = known.map((r) => r.id);
  const metricsOf = new Map();
  const heldOutOf = new Map();
  const charts = new Map();
  let metrics = new Set((query.get("metrics") || "").split(",").filter(Boolean));
  let axis = query.get("axis") === "tokens" ? "tokens" : "step";
  let smoothing = Number(query.get("smoothing") || 0.6);
  if (!(smoothing >= 0 && smoothing < 1)) smoothing = 0;

  const tail = (tails, id, what) => {
    if (!tails.has(id)) tails.set(id, new Tail(id, what));
    return tails.get(id);
  };
  const tailsOf = (id) => [tail(metricsOf, id, "metrics"), tail(heldOutOf, id, "curve")];
  const label = (id) => (known.find((r) => r.id === id) || { folder: `run ${id}` }).folder;
  const shown = () => order.filter((id) => wanted.has(id));
  const kindred = () => families(known.filter((r) => wanted.has(r.id)));
  let together = query.get("seeds") ? query.get("seeds") === "together" : kindred().some((f) => f.length > 1);
  // of a run apart the place in the list, of a family that among those shown, so that few families differ
  const colours = () => new Map(together ? kindred().flatMap((f, k) => f.map((run) => [run, k])) : known.map((run, k) => [run, k]));
  const names = () => {
    const all = new Set();
    for (const id of shown()) {
      const [metrics, heldOut] = tailsOf(id);
      for (const r of metrics.records) for (const n of Object.keys(r.metrics || {})) all.add(n);
      for (const r of heldOut.records) for (const n of Object.keys(r)) if (n === "accuracy" || (n.startsWith("pass@") && n !== "pass@1")) all.add(HELD_OUT + n);
    }
    return [...all].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  };
  const remember = () => {
    const words = new URLSearchParams({ runs: shown().join(","), metrics: [...metrics].join(","), axis, smoothing, seeds: together ? "together" : "apart" });
    history.replaceState(null, "", `#${params.run === undefined ? "/curves" : `/run/${params.run}/curves`}?${words}`);
  };

  const space = el("div.charts");
  const picker = el("div.chips", { role: "group", "aria-label": "Metrics" });
  const trouble = el("div");
  const filter = el("input", { type: "search", placeholder: "find a metric", "aria-label": "find a metric" });

  const points = (id, metric) => {
    const [metrics, heldOut] = tailsOf(id);
    const own = metric.startsWith(HELD_OUT);
    const value = own ? (r) => r[metric.slice(HELD_OUT.length)] : (r) => (r.metrics || {})[metric];
    return (own ? heldOut : metrics).records.map((r) => [AXES[axis][1](r), Number(value(r))]).filter((p) => finite(p[0]) && Number.isFinite(p[1]));
  };
  const family = (runs, metric, colour) => {
    const curves = runs.map((r) => points(r.id, metric)).filter((c) => c.length);
    const one = runs.length === 1;
    const name = one ? label(runs[0].id) : `${runs[0].name} on ${taskName(runs[0].task)}, ${curves.length} seeds`;
    return { name, colour: colour.get(runs[0]), points: curves.length > 1 ? joined(curves) : curves[0] || [], area: curves.length > 1 };
  };
  const apart = () => known.filter((r) => wanted.has(r.id)).map((r) => [r]);
  const draw = () => {
    const [drawn, colour] = [together ? kindred() : apart(), colours()];
    for (const [name, c] of charts) if (!metrics.has(name)) { c.node.remove(); charts.delete(name); }
    for (const [k, name] of names().filter((n) => metrics.has(n)).entries()) {
      if (!charts.has(name)) {
        const share = isShare(name);
        charts.set(name, chart({ title: name, fixed: share ? [0, 0.25, 0.5, 0.75, 1] : null, write: share ? percent : number, tick: share ? cent : number }));
      }
      const c = charts.get(name);
      if (space.children[k] !== c.node) space.insertBefore(c.node, space.children[k] || null);
      c.draw(drawn.map((runs) => family(runs, name, colour)).filter((s) => s.points.length), { smoothing, axis: AXES[axis][0] });
    }
    put(trouble, notes(shown().flatMap((id) => tailsOf(id).flatMap((t) => t.broken).map((t) => `${label(id)}: ${t}`))), !names().length ? el("p.empty", {}, shown().length ? "Nothing has been recorded yet: curves appear after the first iteration." : "Pick a run.") : null);
  };
  const chips = () => {
    const found = names().filter((n) => n.includes(filter.value.trim()));
    put(picker, found.map((name) => {
      const chip = el("button.chip", { type: "button", "aria-pressed": metrics.has(name) ? "true" : "false" }, name);
      chip.addEventListener("click", () => {
        if (metrics.has(name)) metrics.delete(name);
        else metrics.add(name);
        chip.setAttribute("aria-pressed", metrics.has(name) ? "true" : "false");
        remember();
        draw();
      });
      return chip;
    }));
  };
  const idle = (id) => (known.find((r) => r.id === id) || {}).status !== "live";
  let round = 0;
  const look = async () => {
    const due = shown().filter((id) => round % REST === 0 || !idle(id) || !metricsOf.has(id));
    round += 1;
    const fresh = await Promise.all(due.flatMap((id) => tailsOf(id).map((t) => t.look())));
    if (!fresh.some(Boolean)) return;
    const before = metrics.size;
    if (!metrics.size) metrics = new Set(FIRST.filter((n) => names().includes(n)).slice(0, SHOWN_FIRST));
    if (!metrics.size) metrics = new Set(names().slice(0, SHOWN_FIRST));
    if (before !== metrics.size || picker.childElementCount === 0 || !filter.value) chips();
    draw();
  };

  filter.addEventListener("input", chips);
  const slider = el("input", { type: "range", min: 0, max: 0.98, step: 0.02, id: "smoothing" });
  slider.value = String(smoothing);
  slider.addEventListener("input", () => { smoothing = Number(slider.value); remember(); draw(); });
  const choose = el("select", { id: "axis" }, Object.entries(AXES).map(([k, [text]]) => el("option", { value: k }, text)));
  choose.value = axis;
  choose.addEventListener("change", () => { axis = choose.value; remember(); draw(); });
  const join = el("input", { type: "checkbox", id: "together" });
  join.checked = together;
  join.addEventListener("change", () => { together = join.checked; remember(); paint(); draw(); });
  const swatches = new Map(known.map((run) => [run, el("i")]));
  const paint = () => {
    const colour = colours();
    for (const [run, i] of swatches) i.className = colour.has(run) ? coloured(colour.get(run)).replace(".", " ") : "";
  };
  paint();
  const ticked = known.map((run) => {
    const tick = el("input", { type: "checkbox" });
    tick.checked = wanted.has(run.id);
    tick.addEventListener("change", async () => {
      if (tick.checked) wanted.add(run.id);
      else wanted.delete(run.id);
      remember();
      paint();
      await look();
      chips();
      draw();
    });
    return el("label.run", {}, tick, swatches.get(run), run.folder, run.status === "live" ? badge("● live", "live") : null);
  });

  put(
    box,
    el("h1", {}, "Curves"),
    el("fieldset.runs", {}, el("legend", {}, "Runs"), ticked),
    el("div.controls", {}, el("label", { for: "axis" }, "along ", choose), el("label", { for: "smoothing" }, "smoothing ", slider), el("label", { for: "together", title: "runs that differ by their seed alone as their mean, in a band from the lowest to the highest" }, join, " seeds together"), filter),
    picker,
    trouble,
    space,
  );
  await look();
  chips();
  draw();
  const timer = every(2, look);
  return {
    stop: () => timer.stop(),
    up: params.run === undefined ? "#/" : `#/run/${params.run}`,
    keys: { "/": () => filter.focus(), s: () => join.click(), t: () => { choose.value = axis === "step" ? "tokens" : "step"; choose.dispatchEvent(new Event("change")); } },
    help: { "/": "find a metric", s: "seeds together or apart", t: "steps or tokens along the axis", "← →": "move the cursor of a chart that has the focus" },
  };
}
