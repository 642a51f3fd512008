// The tree that the traces of a group make: steps that several share stand once.

import { ask } from "./api.js";
import { badge, el, notes, put, svg, verdict } from "./dom.js";
import { number } from "./format.js";
import { address } from "./rollouts.js";

export const title = "Tree";

export async function show(box, params) {
  const data = await ask(`runs/${params.run}/rollouts/${params.step}/${params.group}/tree`);
  const base = `#/run/${params.run}/rollouts/${params.step}/${params.group}`;
  const children = new Map(data.nodes.map((n) => [n.id, []]));
  for (const n of data.nodes) if (n.parent !== null) children.get(n.parent).push(n);
  const roots = data.nodes.filter((n) => n.parent === null);
  const depth = (n) => 1 + Math.max(0, ...children.get(n.id).map(depth));
  const most = Math.max(1, ...data.nodes.map((n) => n.visits ?? n.of));
  const items = new Map();
  const root = el("ul.tree", { role: "tree", "aria-label": "Tree of the group" });
  put(root, roots.map((n) => item(n, 0, { children, most, items, searched: data.searched, run: params.run, step: params.step, group: params.group })));

  const seen = () => [...root.querySelectorAll("[role=treeitem]")].filter((n) => n.offsetParent !== null);
  const reach = (node) => {
    for (const i of root.querySelectorAll("[role=treeitem]")) i.tabIndex = -1;
    node.tabIndex = 0;
    node.focus();
  };
  root.addEventListener("keydown", (event) => {
    const here = event.target.closest("[role=treeitem]");
    if (!here || event.target !== here) return;
    const all = seen();
    const at = all.indexOf(here);
    const open = here.getAttribute("aria-expanded");
    if (event.key === "ArrowDown" || event.key === "j") reach(all[Math.min(all.length - 1, at + 1)]);
    else if (event.key === "ArrowUp" || event.key === "k") reach(all[Math.max(0, at - 1)]);
    else if (event.key === "ArrowRight") open === "false" ? turn(here, true) : all[at + 1] && here.contains(all[at + 1]) && reach(all[at + 1]);
    else if (event.key === "ArrowLeft") open === "true" ? turn(here, false) : here.parentElement.closest("[role=treeitem]") && reach(here.parentElement.closest("[role=treeitem]"));
    else if (event.key === "Enter") here.querySelector("a") && here.querySelector("a").click();
    else return;
    event.preventDefault();
  });
  root.addEventListener("click", (event) => {
    const box_ = event.target.closest(".twist");
    const here = event.target.closest("[role=treeitem]");
    if (box_ && here) turn(here, here.getAttribute("aria-expanded") !== "true");
  });
  const all = (open) => { for (const i of root.querySelectorAll("[aria-expanded]")) turn(i, open); };
  const first = root.querySelector("[role=treeitem]");
  if (first) first.tabIndex = 0;
  put(
    box,
    el("h1", {}, `Tree of iteration ${params.step}, group ${params.group}`),
    el("div.row", {}, badge(`${data.traces} traces`), badge(`${data.nodes.length} segments`), badge(`${Math.max(0, ...roots.map(depth))} deep`), data.searched ? badge("visits and values are the search's", "strong") : null),
    notes(data.shared ? [] : ["The traces of this group share nothing that a model drew, so the tree is as wide as the group."]),
    el("p.links", {}, el("a", { href: base }, "group side by side"), el("button", { type: "button", on: { click: () => all(true) } }, "open all"), el("button", { type: "button", on: { click: () => all(false) } }, "close all")),
    data.nodes.length > 2 && data.nodes.length <= 400 ? sketch(roots, children, most, (id) => { reveal(items.get(id)); reach(items.get(id)); }) : null,
    root,
  );
  return {
    up: base,
    keys: { j: () => reach(seen()[0]), k: () => reach(seen()[0]), o: () => all(true), "-": () => all(false) },
    help: { "↑ ↓": "next, previous step", "→ ←": "open, close", Enter: "the trace that ends there", "o / -": "open all, close all" },
  };
}

function turn(node, open) {
  if (!node.hasAttribute("aria-expanded")) return;
  node.setAttribute("aria-expanded", open ? "true" : "false");
}

function reveal(node) {
  for (let up = node.parentElement.closest("[role=treeitem]"); up; up = up.parentElement.closest("[role=treeitem]")) turn(up, true);
}

function item(n, level, all) {
  const below = all.children.get(n.id);
  const share = n.judged ? n.solved / n.judged : null;
  const facts = [];
  if (n.visits !== null) facts.push(`${number(n.visits)} visit${n.visits === 1 ? "" : "s"}`);
  else if (n.of > 1) facts.push(`${n.of} traces`);
  if (n.q !== null) facts.push(`q ${number(n.q)}`);
  if (n.value !== null) facts.push(`value ${number(n.value)}`);
  if (n.target !== null) facts.push(`target ${number(n.target)}`);
  if (n.logp !== null) facts.push(`log-prob ${number(n.logp)}`);
  if (share !== null && n.of > 1) facts.push(`${n.solved} of ${n.judged} right`);
  const weight = all.searched && n.visits === null ? 1 : (n.visits ?? n.of) / all.most;
  const text = n.text === "" ? (n.trainable ? "(nothing)" : "(empty)") : n.text;
  const ends = n.ends.map((e) => el("span.end", {}, el("a", { href: address(all.run, { step: all.step, group: all.group, trace: e.trace }), tabindex: -1 }, `trace ${e.trace}`), " ", verdict(e.solved), e.end !== "stop" ? badge(e.end) : null, e.reward !== null ? badge(`reward ${number(e.reward)}`) : null));
  const node = el(
    `li.${n.trainable ? "drawn" : "given"}`,
    { role: "treeitem", tabindex: -1, "aria-level": level + 1, "aria-expanded": below.length ? (level < 6 ? "true" : "false") : null },
    el("div.step", { css: { "--w": (100 * weight).toFixed(0) } }, below.length ? el("span.twist", { "aria-hidden": "true" }, "▸") : el("span.twist.none"), el("span.text", {}, text), el("span.facts", {}, facts.join(" · ")), ends),
    below.length ? el("ul", { role: "group" }, below.map((c) => item(c, level + 1, all))) : null,
  );
  all.items.set(n.id, node);
  return node;
}

// A small picture of the whole: width of a line by visits, colour of a dot by the share of right answers below.
function sketch(roots, children, most, pick) {
  const ends = (n) => (children.get(n.id).length ? children.get(n.id).reduce((sum, c) => sum + ends(c), 0) : 1);
  const row = Math.min(18, Math.max(9, 330 / roots.reduce((sum, n) => sum + ends(n), 0)));
  const column = 64;
  const place = new Map();
  let leaves = 0;
  let deepest = 0;
  const lay = (n, level) => {
    deepest = Math.max(deepest, level);
    const below = children.get(n.id).map((c) => lay(c, level + 1));
    const y = below.length ? (below[0] + below[below.length - 1]) / 2 : leaves++ * row;
    place.set(n.id, [level * column, y, n]);
    return y;
  };
  roots.forEach((n) => lay(n, 0));
  const width = deepest * column + 24;
  const height = Math.max(row, leaves * row) + 8;
  const parts = [];
  for (const [x, y, n] of place.values()) {
    if (n.parent === null) continue;
    const [px, py] = place.get(n.parent);
    const mid = (px + x) / 2;
    parts.push(svg("path", { d: `M${px + 12},${py + 12} C${mid + 12},${py + 12} ${mid + 12},${y + 12} ${x + 12},${y + 12}`, "stroke-width": (1 + 5 * ((n.visits ?? n.of) / most)).toFixed(1) }));
  }
  for (const [x, y, n] of place.values()) {
    const kind = !n.judged ? "none" : n.solved === n.judged ? "yes" : n.solved ? "some" : "no";
    parts.push(svg(`circle.${n.trainable ? kind : "given"}`, { cx: x + 12, cy: y + 12, r: row < 12 ? 3.2 : n.ends.length ? 5 : 3.5, on: { click: () => pick(n.id) } }, svg("title", {}, `${n.text.slice(0, 80)}${n.visits !== null ? `\n${n.visits} visits, q ${number(n.q)}` : ""}`)));
  }
  const picture = svg("svg.sketch", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `A tree of ${place.size} segments, ${leaves} leaves; the list below has the same.` }, parts);
  return el("div.scroll.sketched", {}, picture);
}
