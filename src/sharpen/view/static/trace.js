// One trace whole: segments by role, tokens tinted by a column, rewards by name.

import { ask } from "./api.js";
import { badge, el, put, verdict } from "./dom.js";
import { number } from "./format.js";
import { address, beside, list } from "./rollouts.js";
import { columnsOf, hint, label, legend, picker, scale, segment, told } from "./segments.js";

export const title = "Rollout";

let colour = null; // what the reader chose last, for the next trace

export function facts(t) {
  const out = [verdict(t.solved)];
  if (t.reward !== null) out.push(badge(`total ${number(t.reward)}`, "strong"));
  for (const [name, value] of Object.entries(t.rewards)) out.push(badge(`${name} ${number(value)}`));
  for (const [name, value] of Object.entries(t.notes)) out.push(badge(`${name} ${number(value)}`, "note"));
  if (t.end !== "stop") out.push(badge({ length: "truncated", cut: "cut", error: "error" }[t.end] || t.end, t.end === "cut" ? "" : "no"));
  return out;
}

// The column to begin with: the one chosen before, else credit.
export function firstColour(columns) {
  if (colour !== null && (colour === "" || columns.includes(colour))) return colour;
  return columns.includes("adv") ? "adv" : columns[0] || "";
}

export function choose(value) {
  colour = value;
}

export async function show(box, params) {
  const t = await ask(`runs/${params.run}/rollouts/${params.step}/${params.group}/${params.trace}`);
  const base = `#/run/${params.run}/rollouts/${params.step}/${params.group}`;
  const columns = columnsOf([t]);
  const key = el("div");
  const readout = el("div.token", { role: "status" });
  const body = el("div.segments");
  const turns = t.segments.filter((s) => s.trainable).length;
  const tell = (s, i) => told(readout, s, i);
  const draw = (name) => {
    const colours = name ? scale([t], name) : null;
    put(key, legend(colours));
    put(readout, hint([t], columns));
    put(body, t.segments.map((s, k) => segment(s, k, colours, tell)));
  };
  const pick = (name) => {
    choose(name);
    draw(name);
  };
  const select = picker(columns, firstColour(columns), pick);
  const step = (by) => {
    const to = beside(params, by);
    if (to) location.hash = address(params.run, to);
  };
  const near = (by, text) => (beside(params, by) ? el("a", { href: address(params.run, beside(params, by)) }, text) : null);
  put(
    box,
    el("h1", {}, `Iteration ${t.step}, group ${t.group}, trace ${t.trace}`),
    el("div.row", {}, facts(t), badge(`${t.length} trained tokens`), t.agent !== "policy" ? badge(t.agent) : null, t.episode ? badge(`episode ${t.episode}`) : null),
    el("p.links", {}, el("a", { href: base }, "group"), el("a", { href: `${base}/tree` }, "tree"), turns > 1 ? el("a", { href: address(params.run, t, "/turns") }, "turns") : null, near(-1, "‹ before"), near(1, "after ›")),
    el("p.soft", {}, `problem ${t.problem}${t.parent ? `, made from ${t.parent}` : ""}`),
    columns.length ? el("div.controls.sticky", {}, el("label", { for: "colour" }, "colour tokens by ", select), key, readout) : null,
    body,
  );
  draw(select.value);
  return {
    up: `#/run/${params.run}/rollouts${list.run === params.run && list.query ? `?${list.query}` : ""}`,
    keys: {
      j: () => step(1),
      k: () => step(-1),
      g: () => (location.hash = base),
      t: () => (location.hash = `${base}/tree`),
      e: () => turns > 1 && (location.hash = address(params.run, t, "/turns")),
      c: () => {
        const at = [...select.options].findIndex((o) => o.value === select.value);
        select.value = select.options[(at + 1) % select.options.length].value;
        pick(select.value);
      },
    },
    help: { "j / k": "next, previous rollout of the list", g: "its group", t: "the tree of its group", e: "its turns", c: `colour by the next column (${columns.map(label).join(", ")})`, "← →": "walk over the tokens of a segment that has the focus" },
  };
}
