// An episode turn by turn: what was seen, what was done, what it earned.

import { ask } from "./api.js";
import { badge, el, put, svg } from "./dom.js";
import { finite, number } from "./format.js";
import { address } from "./rollouts.js";
import { facts } from "./trace.js";

export const title = "Turns";

// Turns of a trace: each is what was given since the last one, and what was drawn.
export function turnsOf(segments) {
  const out = [];
  let seen = [];
  for (const s of segments) {
    if (s.trainable) {
      out.push({ seen, said: s });
      seen = [];
    } else seen.push(s);
  }
  return { turns: out, after: seen };
}

const mean = (values) => (values.length ? values.reduce((a, b) => a + b, 0) / values.length : null);

export async function show(box, params) {
  const t = await ask(`runs/${params.run}/rollouts/${params.step}/${params.group}/${params.trace}`);
  const { turns, after } = turnsOf(t.segments);
  const cards = [];
  let at = -1;
  let total = 0;
  const rows = turns.map(({ seen, said }, k) => {
    total += said.reward;
    const credit = mean((said.cols.adv || []).filter(finite).map(Number));
    const facts_ = [badge(`reward ${number(said.reward)}`, said.reward > 0 ? "yes" : said.reward < 0 ? "no" : "")];
    if (said.reward) facts_.push(badge(`${number(total)} so far`));
    for (const name of ["return", "value", "target"]) if (said.cols[name]) facts_.push(badge(`${name} ${number(said.cols[name].at(-1))}`, "note"));
    if (credit !== null) facts_.push(badge(`credit ${number(credit)}`, credit > 0 ? "plus" : credit < 0 ? "minus" : ""));
    facts_.push(badge(`${said.atoms} tokens`));
    const card = el(
      "li.turn",
      { tabindex: -1 },
      el("h2", {}, `Turn ${k + 1}`),
      el("div.seen", {}, seen.map((s) => el("div", {}, el("div.who", {}, s.role), el("pre", {}, s.text ?? "(no text)")))),
      el("div.done", {}, el("div.who", {}, said.role), el("pre", {}, said.text ?? "(no text)"), el("div.row", {}, facts_), said.state ? el("details", {}, el("summary", {}, "state it was taken in"), el("pre", {}, said.state)) : null),
    );
    cards.push(card);
    return card;
  });
  const move = (by) => {
    at = Math.max(0, Math.min(cards.length - 1, at + by));
    cards.forEach((c, i) => c.classList.toggle("at", i === at));
    if (cards[at]) cards[at].focus();
  };
  put(
    box,
    el("h1", {}, `Turns of iteration ${t.step}, group ${t.group}, trace ${t.trace}`),
    el("div.row", {}, facts(t), badge(`${turns.length} turns`)),
    el("p.links", {}, el("a", { href: address(params.run, t) }, "the whole trace"), el("a", { href: `#/run/${params.run}/rollouts/${params.step}/${params.group}` }, "group")),
    strip(turns, (k) => { at = k - 1; move(1); }),
    el("ol.turns", {}, rows),
    after.length ? el("div.turn", {}, el("h2", {}, "After the last turn"), after.map((s) => el("pre", {}, s.text ?? "(no text)"))) : null,
  );
  return {
    up: address(params.run, t),
    keys: { j: () => move(1), k: () => move(-1) },
    help: { "j / k": "next, previous turn" },
  };
}

// A bar for each turn: its reward up or down from a line, its credit as a dot.
function strip(turns, pick) {
  if (turns.length < 2) return null;
  const width = 26;
  const rewards = turns.map((t) => t.said.reward);
  const credits = turns.map((t) => mean((t.said.cols.adv || []).filter(finite).map(Number)));
  const most = Math.max(1e-9, ...rewards.map(Math.abs), ...credits.filter((c) => c !== null).map(Math.abs));
  const least = Math.min(0, ...rewards, ...credits.filter((c) => c !== null));
  const zero = least < 0 ? 44 : 70;
  const y = (v) => zero - ((least < 0 ? 34 : 60) * v) / most;
  const parts = turns.flatMap((t, k) => {
    const x = 8 + k * width;
    const r = rewards[k];
    const bar = svg(`rect.${r < 0 ? "minus" : "plus"}`, { x, y: Math.min(y(0), y(r)), width: width - 10, height: Math.max(1, Math.abs(y(r) - y(0))) });
    const dot = credits[k] === null ? null : svg("circle.credit", { cx: x + (width - 10) / 2, cy: y(credits[k]), r: 3 });
    const hit = svg("rect.hit", { x: x - 4, y: 0, width, height: 92, on: { click: () => pick(k) } }, svg("title", {}, `turn ${k + 1}: reward ${number(r)}${credits[k] === null ? "" : `, credit ${number(credits[k])}`}`));
    return [bar, dot, svg("text", { x: x + (width - 10) / 2, y: 88, "text-anchor": "middle" }, k + 1), hit];
  });
  const all = 16 + turns.length * width;
  const picture = svg("svg.strip", { viewBox: `0 0 ${all} 92`, width: all, height: 92, role: "img", "aria-label": `Rewards of ${turns.length} turns: ${rewards.map(number).join(", ")}` }, svg("line.axis", { x1: 0, x2: all, y1: zero, y2: zero }), parts);
  return el("figure.scroll", {}, picture, el("figcaption.soft", {}, "Bars are the rewards of turns, dots their mean credit."));
}
