// The list of runs: how each stands, a small curve, and accuracy before and after.

import { ask, every } from "./api.js";
import { badge, el, put, svg } from "./dom.js";
import { delta } from "./evaluation.js";
import { interval, number, percent, taskName, when } from "./format.js";

export const title = "Runs";

const STATUS = {
  live: ["● live", "live", "it is training now"],
  finished: ["finished", "yes", "trained and measured"],
  stopped: ["stopped", "", "it ended before it was done; `sharpen train --resume` goes on"],
  failed: ["failed", "no", "a defect ended it; its log.txt says where"],
};

export async function show(box) {
  const list = el("div");
  const filter = el("input", { type: "search", placeholder: "find runs", "aria-label": "find runs" });
  const all = el("button", { type: "button" }, "Pick all");
  const compare = el("a.button", { href: "#/curves", hidden: true }, "Compare curves");
  const picked = new Set();
  let at = -1;
  let known = { runs: [], folders: [] };
  const fitting = () => known.runs.filter((r) => words(r).includes(filter.value.trim().toLowerCase()));

  const pick = () => {
    compare.hidden = picked.size < 1;
    compare.setAttribute("href", `#/curves?runs=${[...picked].join(",")}`);
    compare.textContent = picked.size > 1 ? `Curves of ${picked.size} runs together` : "Curves of the run picked";
  };
  const draw = () => {
    const fit = fitting();
    all.hidden = fit.length < 2;
    all.textContent = fit.every((r) => picked.has(r.id)) ? "Pick none" : `Pick all ${fit.length}`;
    filter.hidden = known.runs.length < 2;
    const focus = document.activeElement && document.activeElement.dataset.key;
    const changed = () => { pick(); draw(); };
    put(list, fit.length ? grid(fit, picked, changed) : known.runs.length ? el("p.empty", {}, "No run fits.") : empty(known.folders));
    const again = focus && list.querySelector(`[data-key="${CSS.escape(focus)}"]`);
    if (again) again.focus();
    mark();
  };
  const mark = () => {
    const rows = [...list.querySelectorAll("tbody tr")];
    at = Math.min(at, rows.length - 1);
    rows.forEach((r, i) => r.classList.toggle("at", i === at));
    return rows;
  };
  const move = (by) => {
    at = Math.max(0, at + by);
    const rows = mark();
    if (rows[at]) rows[at].scrollIntoView({ block: "nearest" });
  };

  let last = "";
  const look = async () => {
    const data = await ask("runs");
    const now = JSON.stringify(data);
    if (now === last) return;
    last = now;
    known = data;
    draw();
  };
  filter.addEventListener("input", draw);
  all.addEventListener("click", () => {
    const fit = fitting();
    const every = fit.every((r) => picked.has(r.id));
    for (const r of fit) if (every) picked.delete(r.id); else picked.add(r.id);
    pick();
    draw();
  });
  put(box, el("div.row", {}, el("h1", {}, "Runs"), filter, all, compare), list);
  await look();
  const timer = every(3, look);
  return {
    stop: () => timer.stop(),
    keys: {
      j: () => move(1),
      k: () => move(-1),
      Enter: (e) => (e.target.closest && e.target.closest("a,button") ? e.target.click() : open(list, at)),
      x: () => {
        const tick = mark()[at] && mark()[at].querySelector("input");
        if (tick) tick.click();
      },
      a: () => all.click(),
      c: () => (location.hash = compare.getAttribute("href")),
      "/": () => filter.focus(),
    },
    help: { "j / k": "next, previous run", Enter: "open it", "/": "find runs", x: "pick it for a comparison", a: "pick all that are shown, or none", c: "curves of those picked" },
  };
}

function open(list, at) {
  const link = list.querySelectorAll("tbody tr")[at];
  if (link) location.hash = link.querySelector("a").getAttribute("href");
}

function empty(folders) {
  return el("div.empty", {}, el("p", {}, `There is no run below ${folders.join(", ")} yet.`), el("p.soft", {}, "Start one with ", el("code", {}, "sharpen train grpo"), ": it appears here by itself."));
}

function grid(runs, picked, changed) {
  const heads = ["", "run", "status", "iterations", "curve", "before", "after", "change", "started"];
  const rows = runs.map((run) => row(run, picked, changed));
  return el(
    "div.scroll",
    { role: "region", "aria-label": "Runs", tabindex: 0 },
    el("table.runs", {}, el("thead", {}, el("tr", {}, heads.map((h) => el("th", { scope: "col" }, h)))), el("tbody", {}, rows)),
  );
}

// What a run is found by.
const about = (run) => [run.name, run.task ? `on ${taskName(run.task)}` : null, run.seed === undefined ? null : `seed ${run.seed}`].filter(Boolean).join(" ");
const words = (run) => `${run.folder} ${about(run)}`.toLowerCase();

function row(run, picked, changed) {
  const tick = el("input", { type: "checkbox", "aria-label": `pick ${run.folder}`, data: { key: `pick${run.id}` } });
  tick.checked = picked.has(run.id);
  tick.addEventListener("change", () => {
    if (tick.checked) picked.add(run.id);
    else picked.delete(run.id);
    changed();
  });
  const [word, kind, told] = STATUS[run.status] || ["unreadable", "no", "its manifest cannot be read"];
  const name = el("td.name", { data: { label: "run" } }, el("a", { href: `#/run/${run.id}`, data: { key: `run${run.id}` } }, run.folder), el("span.soft", {}, about(run)), run.problem ? el("span.problem", {}, run.problem) : null);
  const cell = (label, ...inside) => el("td", { data: { label } }, inside);
  return el(
    "tr",
    {},
    el("td.tick", {}, tick),
    name,
    cell("status", badge(word, kind, told)),
    cell("iterations", run.iterations === undefined ? "–" : `${run.iterations}${run.total ? ` / ${run.total}` : ""}`),
    cell("curve", spark(run.spark || [], run.metric)),
    cell("before", share(run.before)),
    cell("after", share(run.after)),
    cell("change", delta(run)),
    cell("started", run.created ? when(run.created) : "–"),
  );
}

function share(x) {
  return x ? el("span", { title: `95 % interval ${interval(x)} %` }, percent(x[1])) : el("span.soft", {}, "–");
}

export function spark(values, metric) {
  if (values.length < 2) return el("span.soft", {}, values.length ? number(values[0]) : "–");
  const low = Math.min(...values);
  const high = Math.max(...values);
  const x = (i) => 2 + (116 * i) / (values.length - 1);
  const y = (v) => 24 - (20 * (v - low)) / (high - low || 1);
  const points = values.map((v, i) => `${x(i).toFixed(1)},${y(v).toFixed(1)}`).join(" ");
  const said = `${metric} from ${number(values[0])} to ${number(values[values.length - 1])}`;
  return svg("svg.spark", { viewBox: "0 0 120 28", role: "img", "aria-label": said }, svg("title", {}, said), svg("polyline", { points }), svg("circle", { cx: x(values.length - 1), cy: y(values[values.length - 1]), r: 2.5 }));
}
