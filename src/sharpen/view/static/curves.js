// Metrics of one run or of several on the same axes, growing while the runs train.

import { Tail, ask, every } from "./api.js";
import { chart } from "./chart.js";
import { badge, el, notes, put } from "./dom.js";
import { cent, finite, number, percent } from "./format.js";

export const title = "Curves";

const FIRST = ["reward/total", "solved", "groups/signal", "length", "entropy", "kl", "grad_norm", "truncated", "reward/correct"];
const SHARES = new Set(["solved", "groups/signal", "group/all_failed", "group/all_solved", "truncated", "clipped"]);
const SHOWN_FIRST = 6;
const rank = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
const AXES = { step: ["step", (r) => r.step], tokens: ["generated tokens", (r) => Number(r.cost && r.cost.generated_tokens)] };

export async function show(box, params, query) {
  const known = (await ask("runs")).runs;
  const asked = (query.get("runs") || params.run || "").split(",").filter(Boolean).map(Number);
  const wanted = new Set(asked.length ? asked : known.filter((r) => r.iterations).slice(0, 4).map((r) => r.id));
  const order = known.map((r) => r.id);
  const tails = new Map();
  const charts = new Map();
  let metrics = new Set((query.get("metrics") || "").split(",").filter(Boolean));
  let axis = query.get("axis") === "tokens" ? "tokens" : "step";
  let smoothing = Number(query.get("smoothing") || 0.6);
  if (!(smoothing >= 0 && smoothing < 1)) smoothing = 0;

  const tail = (id) => {
    if (!tails.has(id)) tails.set(id, new Tail(id));
    return tails.get(id);
  };
  const label = (id) => (known.find((r) => r.id === id) || { folder: `run ${id}` }).folder;
  const shown = () => order.filter((id) => wanted.has(id));
  const names = () => {
    const all = new Set();
    for (const id of shown()) for (const r of tail(id).records) for (const n of Object.keys(r.metrics || {})) all.add(n);
    return [...all].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  };
  const remember = () => {
    const words = new URLSearchParams({ runs: shown().join(","), metrics: [...metrics].join(","), axis, smoothing });
    history.replaceState(null, "", `#${params.run === undefined ? "/curves" : `/run/${params.run}/curves`}?${words}`);
  };

  const space = el("div.charts");
  const picker = el("div.chips", { role: "group", "aria-label": "Metrics" });
  const trouble = el("div");
  const filter = el("input", { type: "search", placeholder: "find a metric", "aria-label": "find a metric" });

  const series = (metric) => shown().map((id) => ({
    name: label(id),
    colour: order.indexOf(id),
    points: tail(id).records.map((r) => [AXES[axis][1](r), Number((r.metrics || {})[metric])]).filter((p) => finite(p[0]) && Number.isFinite(p[1])),
  }));
  const draw = () => {
    for (const [name, c] of charts) if (!metrics.has(name)) { c.node.remove(); charts.delete(name); }
    for (const [k, name] of names().filter((n) => metrics.has(n)).entries()) {
      if (!charts.has(name)) {
        const share = SHARES.has(name);
        charts.set(name, chart({ title: name, fixed: share ? [0, 0.25, 0.5, 0.75, 1] : null, write: share ? percent : number, tick: share ? cent : number }));
      }
      const c = charts.get(name);
      if (space.children[k] !== c.node) space.insertBefore(c.node, space.children[k] || null);
      c.draw(series(name).filter((s) => s.points.length), { smoothing, axis: AXES[axis][0] });
    }
    put(trouble, notes(shown().flatMap((id) => tail(id).broken.map((t) => `${label(id)}: ${t}`))), !names().length ? el("p.empty", {}, shown().length ? "Nothing has been recorded yet: curves appear after the first iteration." : "Pick a run.") : null);
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
  const look = async () => {
    const fresh = await Promise.all(shown().map((id) => tail(id).look()));
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
  const ticked = known.map((run) => {
    const tick = el("input", { type: "checkbox" });
    tick.checked = wanted.has(run.id);
    tick.addEventListener("change", async () => {
      if (tick.checked) wanted.add(run.id);
      else wanted.delete(run.id);
      remember();
      await look();
      chips();
      draw();
    });
    return el("label.run", {}, tick, el(`i.c${order.indexOf(run.id) % 8}`), run.folder, run.status === "live" ? badge("● live", "live") : null);
  });

  put(
    box,
    el("h1", {}, "Curves"),
    el("fieldset.runs", {}, el("legend", {}, "Runs"), ticked),
    el("div.controls", {}, el("label", { for: "axis" }, "along ", choose), el("label", { for: "smoothing" }, "smoothing ", slider), filter),
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
    keys: { "/": () => filter.focus(), t: () => { choose.value = axis === "step" ? "tokens" : "step"; choose.dispatchEvent(new Event("change")); } },
    help: { "/": "find a metric", t: "steps or tokens along the axis", "← →": "move the cursor of a chart that has the focus" },
  };
}
