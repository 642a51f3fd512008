// Segments of a trace, coloured by who said them, and their tokens by a column of numbers.

import { el, put } from "./dom.js";
import { finite, number } from "./format.js";

const ROLES = new Set(["system", "user", "assistant", "tool"]);

export const ABOUT = {
  adv: "credit",
  logp: "log-prob when drawn",
  logp_old: "log-prob before the update",
  logp_ref: "log-prob of the reference",
  entropy: "entropy (nats)",
  ratio: "ratio of policy to reference",
  value: "value",
  target: "target of the value model",
  return: "return",
};
const BOTH_WAYS = new Set(["adv", "ratio", "return"]);
const ORDER = ["adv", "entropy", "logp", "logp_old", "logp_ref", "ratio", "value", "target"];

// Columns that any of some traces has, the telling ones first.
export function columnsOf(traces) {
  const all = new Set();
  for (const t of traces) for (const s of t.segments) for (const name of Object.keys(s.cols)) all.add(name);
  const rank = (n) => (ORDER.includes(n) ? ORDER.indexOf(n) : ORDER.length);
  return [...all].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
}

export function label(name) {
  return ABOUT[name] ? `${ABOUT[name]} (${name})` : name;
}

// How the numbers of a column become a tint: by size around 0 (a ratio around 1), or from the least to the most.
export function scale(traces, name) {
  const values = traces.flatMap((t) => t.segments.flatMap((s) => s.cols[name] || [])).filter(finite).map((v) => bent(name, Number(v)));
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (!values.length) return null;
  const both = BOTH_WAYS.has(name) || (low < 0 && high > 0);
  const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
  const rare = name.startsWith("logp");
  return {
    name,
    both,
    ends: both ? [unbent(name, -most), unbent(name, 0), unbent(name, most)] : rare ? [high, low] : [low, high],
    tint(value) {
      if (!finite(value)) return null;
      const v = bent(name, Number(value));
      if (both) return [v < 0 ? "minus" : "plus", (Math.abs(v) / most) * 70];
      const share = high > low ? (v - low) / (high - low) : 0;
      return ["plain", (rare ? 1 - share : share) * 70];
    },
  };
}

const bent = (name, v) => (name === "ratio" ? Math.log(Math.max(v, 1e-30)) : v);
const unbent = (name, v) => (name === "ratio" ? Math.exp(v) : v);

export function legend(s) {
  if (!s) return null;
  const ends = s.ends.map((v) => el("span", {}, number(v)));
  return el("div.scale", { role: "img", "aria-label": `${label(s.name)}: from ${number(s.ends[0])} to ${number(s.ends[s.ends.length - 1])}` }, el(s.both ? "div.ramp.both" : "div.ramp"), el("div.ends", {}, ends));
}

// One segment; `tell(segment, token or null)` is called when a token is pointed at or reached by the arrow keys.
export function segment(s, k, colours, tell) {
  const role = ROLES.has(s.role) ? s.role : "other";
  const who = [s.role];
  if (s.by && s.by !== "data") who.push(`by ${s.by}`);
  if (s.trainable) who.push("trained on");
  if (s.fresh) who.push("a new context begins");
  if (s.moved) who.push("moved from another context");
  if (s.reward) who.push(`reward ${number(s.reward)}`);
  const credit = s.cols.adv && s.cols.adv.filter(finite).map(Number);
  if (credit && credit.length) who.push(`mean credit ${number(credit.reduce((a, b) => a + b, 0) / credit.length)}`);
  for (const [name, value] of Object.entries(s.notes)) who.push(`${name} ${number(value)}`);
  who.push(`${s.atoms} ${s.tokens === null && s.text === null ? "atoms" : "tokens"}`);
  const body = el("div.said");
  const node = el(`section.seg.${role}`, { "aria-label": `segment ${k + 1}, ${s.role}` }, el("div.who", {}, who.join(" · ")), body);
  const values = colours && s.cols[colours.name];
  if (s.pieces && Object.keys(s.cols).length) tokens(body, s, s.pieces, colours, values, tell);
  else {
    add(body, s.text === null ? "(no text)" : s.text);
    if (values) strip(node, s, colours, values, tell);
  }
  return node;
}

function add(body, text) {
  body.append(document.createTextNode(text));
}

function tinted(node, colours, value) {
  const tint = colours && colours.tint(value);
  if (!tint) return;
  node.classList.add(tint[0]);
  node.style.setProperty("--t", tint[1].toFixed(0));
}

function tokens(body, s, pieces, colours, values, tell) {
  pieces.forEach((piece, i) => {
    const text = piece === "" ? "·" : piece.replaceAll("\n", "↵\n");
    const node = el("span.tok", { data: { i } }, text);
    if (values) tinted(node, colours, values[i]);
    body.append(node);
  });
  walkable(body, s, tell);
}

// Where the texts of tokens are not known: a cell for each.
function strip(node, s, colours, values, tell) {
  const cells = el("div.strip", { "aria-label": `${label(colours.name)} of each token` });
  values.forEach((value, i) => {
    const cell = el("i.tok", { data: { i } });
    tinted(cell, colours, value);
    cells.append(cell);
  });
  node.append(cells);
  walkable(cells, s, tell);
}

// Pointing at a token tells of it; so does going to it with the arrow keys once the text has the focus.
function walkable(body, s, tell) {
  let at = -1;
  const go = (to) => {
    const all = body.children;
    if (all[at]) all[at].classList.remove("on");
    at = Math.max(0, Math.min(all.length - 1, to));
    all[at].classList.add("on");
    tell(s, at);
  };
  body.tabIndex = 0;
  let under = null;
  // pointermove, for the browser reports "over" also when the text moves under a pointer at rest
  body.addEventListener("pointermove", (event) => {
    const token = event.target.closest(".tok");
    if (token && token !== under) tell(s, Number(token.dataset.i));
    under = token;
  });
  body.addEventListener("focus", () => body.children.length && go(Math.max(0, at)));
  body.addEventListener("blur", () => body.children[at] && body.children[at].classList.remove("on"));
  body.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[event.key];
    if (!by) return;
    go(at + by);
    event.preventDefault();
  });
}

// Everything known of one token, in a line.
export function told(node, s, i) {
  const text = s.pieces ? JSON.stringify(s.pieces[i]) : "";
  const id = s.tokens ? ` (${s.tokens[i]})` : "";
  const figures = Object.entries(s.cols).map(([name, values]) => el("span.figure", {}, `${ABOUT[name] || name} `, el("b", {}, number(values[i]))));
  put(node, el("span.figure", {}, `token ${i + 1} `, el("code", {}, text), id), figures);
}

// What stands where a token is told of, before one is.
export function hint(traces, columns) {
  if (!columns.length) return null;
  const known = traces.some((t) => t.segments.some((s) => s.pieces));
  return el("span.soft", {}, known ? "Point at a token, or walk over them with the arrow keys." : "The run has exported no tokenizer yet: tokens are cells under the text.");
}

export function picker(columns, chosen, changed) {
  const select = el("select", { id: "colour" }, el("option", { value: "" }, "nothing"), columns.map((c) => el("option", { value: c }, label(c))));
  select.value = chosen;
  select.addEventListener("change", () => changed(select.value));
  return select;
}
