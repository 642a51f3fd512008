// The traces of one group side by side.

import { ask } from "./api.js";
import { badge, el, put } from "./dom.js";
import { number } from "./format.js";
import { address, list } from "./rollouts.js";
import { columnsOf, hint, legend, picker, scale, segment, told } from "./segments.js";
import { choose, facts, firstColour } from "./trace.js";

export const title = "Group";

export async function show(box, params) {
  const { traces } = await ask(`runs/${params.run}/rollouts/${params.step}/${params.group}`);
  const base = `#/run/${params.run}/rollouts/${params.step}/${params.group}`;
  const columns = columnsOf(traces);
  const given = shared(traces);
  const readout = el("div.token", { role: "status" });
  const key = el("div");
  const space = el("div.side");
  let at = -1;
  const tell = (s, i) => told(readout, s, i);
  const card = (t, colours) => el(
    "article.trace",
    { tabindex: -1 },
    el("h2", {}, el("a", { href: address(params.run, t) }, `trace ${t.trace}`)),
    el("div.row", {}, facts(t)),
    t.segments.slice(given.length).map((s, k) => segment(s, k + given.length, colours, tell)),
  );
  const draw = (name) => {
    const colours = name ? scale(traces, name) : null;
    put(key, legend(colours));
    put(readout, hint(traces, columns));
    put(space, traces.map((t) => card(t, colours)));
  };
  const select = picker(columns, firstColour(columns), (name) => {
    choose(name);
    draw(name);
  });
  const judged = traces.filter((t) => t.solved !== null);
  const rewards = traces.map((t) => t.reward).filter((r) => r !== null).map(Number);
  put(
    box,
    el("h1", {}, `Iteration ${params.step}, group ${params.group}`),
    el("div.row", {}, badge(`${traces.length} traces`), judged.length ? badge(`${judged.filter((t) => t.solved).length} of ${judged.length} right`, "strong") : null, rewards.length ? badge(`mean reward ${number(rewards.reduce((a, b) => a + b, 0) / rewards.length)}`) : null),
    el("p.links", {}, el("a", { href: `${base}/tree` }, "tree"), el("a", { href: back(params) }, "all rollouts")),
    given.length ? el("details.given", { open: given.reduce((n, s) => n + (s.text || "").length, 0) < 900 }, el("summary", {}, "What all were given"), given.map((s, k) => segment(s, k, null, tell))) : null,
    columns.length ? el("div.controls.sticky", {}, el("label", { for: "colour" }, "colour tokens by ", select), key, readout) : null,
    space,
  );
  draw(select.value);
  const move = (by) => {
    const all = [...space.children];
    at = Math.max(0, Math.min(all.length - 1, at + by));
    all.forEach((c, i) => c.classList.toggle("at", i === at));
    all[at].focus();
  };
  return {
    up: back(params),
    keys: { j: () => move(1), k: () => move(-1), t: () => (location.hash = `${base}/tree`), Enter: (e) => (e.target.closest && e.target.closest("a,button,summary") ? e.target.click() : traces[at] && (location.hash = address(params.run, traces[at]))) },
    help: { "j / k": "next, previous trace", Enter: "open it whole", t: "the group as a tree" },
  };
}

function back(params) {
  return `#/run/${params.run}/rollouts${list.run === params.run && list.query ? `?${list.query}` : ""}`;
}

// Segments that nobody drew and that all traces begin with.
function shared(traces) {
  const out = [];
  const [first, ...rest] = traces;
  for (let k = 0; k < first.segments.length; k++) {
    const s = first.segments[k];
    const same = (t) => t.segments[k] && t.segments[k].text === s.text && t.segments[k].role === s.role && !t.segments[k].trainable;
    if (s.trainable || s.text === null || !rest.every(same)) break;
    out.push(s);
  }
  return out;
}
