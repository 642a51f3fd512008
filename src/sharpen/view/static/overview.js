// A run at a glance: how it stands, what went wrong, a few curves, what it cost, and what it was given.

import { Tail, ask, every } from "./api.js";
import { chart } from "./chart.js";
import { badge, coded, el, fold, notes, put, table } from "./dom.js";
import { cent, duration, number, percent, taskName, whole, when } from "./format.js";

export const title = "Overview";

const CURVES = ["reward/total", "solved", "length", "entropy"];

export async function show(box, params, query, name) {
  const head = el("div");
  const found = el("div");
  const charts = new Map();
  const space = el("div.charts.few");
  const below = el("div");
  const tail = new Tail(params.run);

  const look = async () => {
    const data = await ask(`runs/${params.run}`);
    const left = data.total && data.iterations && data.status === "live" ? (data.seconds / data.iterations) * (data.total - data.iterations) : null;
    const tone = { live: "live", finished: "yes", failed: "no" }[data.status] || "";
    put(
      head,
      el("h1", {}, name),
      el("div.row", {}, badge(data.status === "live" ? "● live" : data.status, tone), badge(`${data.name} on ${taskName(data.task)}, seed ${data.seed}`, "strong"), badge(`${data.iterations}${data.total ? ` of ${data.total}` : ""} iterations`), data.seconds ? badge(`${duration(data.seconds)} of training`) : null, left ? badge(`about ${duration(left)} left`) : null),
      data.before || data.after ? el("p.verdict", {}, `Accuracy on ${data.split}: `, el("b", {}, data.before ? percent(data.before[1]) : "–"), " before, ", el("b", {}, data.after ? percent(data.after[1]) : "–"), data.after ? " after." : " after: not measured yet.") : null,
      notes([...(data.problem ? [data.problem] : []), ...data.broken.slice(0, 5)]),
    );
    put(below, costs(data), given(data));
  };
  const grow = async () => {
    if (!(await tail.look())) return false;
    for (const metric of CURVES) {
      const points = tail.records.map((r) => [r.step, Number((r.metrics || {})[metric])]).filter((p) => Number.isFinite(p[1]));
      if (!points.length) continue;
      if (!charts.has(metric)) {
        const c = chart({ title: metric, height: 160, ...(metric === "solved" ? { fixed: [0, 0.25, 0.5, 0.75, 1], write: percent, tick: cent } : {}) });
        charts.set(metric, c);
        space.append(c.node);
      }
      charts.get(metric).draw([{ name: metric, colour: 0, points }], { smoothing: 0.6 });
    }
    return true;
  };
  const judge = async () => {
    const data = await ask(`runs/${params.run}/findings`);
    put(found, el("h2", {}, "Findings"), data.findings.length ? data.findings.map((f) => el(`div.finding.${f.severity}`, {}, el("h3", {}, el("span.word", {}, f.severity), f.title), el("p", {}, coded(f.text)))) : el("p.soft", {}, data.iterations ? "None of the usual failures was seen in this run." : "There is nothing to judge yet."));
  };
  await look();
  await grow();
  await judge().catch((error) => put(found, notes([error.message])));
  put(box, head, found, el("div.row", {}, el("h2", {}, "Curves"), el("a", { href: `#/run/${params.run}/curves` }, "all curves")), space, below);
  const timer = every(3, async () => {
    if (!(await grow())) return;
    await look();
    await judge();
  });
  return { stop: () => timer.stop(), up: "#/", keys: { c: () => (location.hash = `#/run/${params.run}/curves`), o: () => (location.hash = `#/run/${params.run}/rollouts`), e: () => (location.hash = `#/run/${params.run}/evaluation`), m: () => (location.hash = `#/run/${params.run}/recipe`) }, help: { c: "curves", o: "rollouts", e: "evaluation", m: "the method: its recipe" } };
}

function costs(data) {
  const rows = Object.entries(data.cost).map(([name, v]) => [name.replaceAll("_", " "), whole(v), number(v / Math.max(1, data.iterations))]);
  return rows.length ? [el("h2", {}, "Cost"), table(["spent", "in all", "an iteration"], rows, "Cost", "numbers")] : null;
}

function given(data) {
  const m = data.manifest;
  const plain = (x) => (x === null || typeof x !== "object" ? String(x) : JSON.stringify(x));
  const rows = (o) => Object.entries(o || {}).map(([k, v]) => [k, plain(v)]);
  const first = [["started", when(m.created)], ["longest answer", `${m.max_tokens ?? "–"} tokens`], ["named", m.origin ? [m.origin.recipe, ...(m.origin.set || []).map((s) => `--set ${s}`)].join(" ") : "–"], ["commit", m.git ? `${m.git.commit}${m.git.changed ? ", with changes" : ""}` : "–"]];
  return [el("h2", {}, "What it was given"), table(["what", "value"], first, "The run"), fold("Setup", table(["option", "value"], rows(data.setup), "Setup")), fold("Versions", table(["package", "version"], rows(m.versions), "Versions"))];
}
