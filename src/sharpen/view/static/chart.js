// Curves with axes, a cursor that follows the pointer or the arrow keys, and the figures under it.

import { el, put, svg } from "./dom.js";
import { number } from "./format.js";

const LEFT = 48;
const RIGHT = 10;
const TOP = 8;
const BOTTOM = 34;
const POINTS_MOST = 1200;

// Round numbers (1, 2 or 5 times a power of ten apart) that cover a range.
export function ticks(low, high, most = 5) {
  if (!(high > low)) [low, high] = [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const rough = (high - low) / Math.max(1, most - 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * (1 - 1e-9));
  const out = [];
  for (let k = Math.floor(low / step + 1e-9); k <= Math.ceil(high / step - 1e-9); k++) out.push(+(k * step).toPrecision(12));
  return out;
}

// Exponential running mean, its start corrected for what came before it.
export function smooth(points, weight) {
  if (!weight) return points;
  let sum = 0;
  let mass = 0;
  return points.map(([x, y]) => {
    sum = weight * sum + (1 - weight) * y;
    mass = weight * mass + (1 - weight);
    return [x, sum / mass];
  });
}

// At most so many points: means of equal stretches.
export function thin(points, most = POINTS_MOST) {
  const size = Math.ceil(points.length / most);
  if (size <= 1) return points;
  const out = [];
  for (let k = 0; k < points.length; k += size) {
    const part = points.slice(k, k + size);
    out.push([part.reduce((a, p) => a + p[0], 0) / part.length, part.reduce((a, p) => a + p[1], 0) / part.length]);
  }
  return out;
}

const COLOURS = 8;

// The classes of a colour by its number.
export const coloured = (k) => `c${k % COLOURS}${k >= COLOURS ? ".again" : ""}`;

// A figure for `series` of {name, colour, points, area?}, where points are [x, y], or [x, y, low, high] with an `area`
// or where all have `bands`; colours repeat dashed. `draw` on the result takes new ones.
export function chart({ title, about = "", axis = "step", height = 190, zero = true, fixed = null, write = number, tick = number, marks = null, bands = false }) {
  const plot = svg("svg", { tabindex: 0, role: "img" });
  const keys = el("div.legend");
  const readout = el("div.readout", { "aria-live": "off" });
  const node = el("figure.chart", { data: { title } }, el("figcaption", {}, el("b", {}, title), about ? el("span.soft", {}, about) : null), plot, keys, readout);
  const state = { series: [], smoothing: 0, axis, cursor: null, width: 0 };

  const draw = () => {
    const width = Math.max(260, state.width || 340);
    const all = state.series.flatMap((s) => s.points);
    if (!all.length) return put(plot);
    const xs = all.map((p) => p[0]);
    const ys = all.flatMap((p) => [p[1], p[2], p[3]]).filter(Number.isFinite);
    const yt = fixed || ticks(zero ? Math.min(0, min(ys)) : min(ys), zero ? Math.max(0, max(ys)) : max(ys));
    const xlow = min(xs);
    const xhigh = max(xs) > xlow ? max(xs) : xlow + 1;
    const x = (v) => LEFT + ((v - xlow) / (xhigh - xlow)) * (width - LEFT - RIGHT);
    const y = (v) => {
      const span = yt[yt.length - 1] - yt[0];
      const share = Math.min(1, Math.max(0, (v - yt[0]) / span));
      return height - BOTTOM - share * (height - BOTTOM - TOP);
    };
    state.scale = { x, y, xlow, xhigh, width };
    plot.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const ends = state.series.filter((s) => s.points.length).map((s) => `${s.name} from ${write(s.points[0][1])} to ${write(s.points[s.points.length - 1][1])}`);
    plot.setAttribute("aria-label", `${title}: ${ends.join(", ")}. Arrow keys move a cursor.`);
    put(plot, frame({ yt, x, y, xlow, xhigh, width, height, axis: state.axis, tick, marks }), state.series.map((s) => curve(s, x, y, state.smoothing, bands)), svg("g.cursor"));
    cursor();
  };

  // What each curve is, and its figure where the cursor is or at its end.
  const legend = (points) => {
    const figure = (p) => [el("b", {}, write(p[1])), Number.isFinite(p[2]) ? ` (${write(p[2])} – ${write(p[3])})` : ""];
    const several = state.series.length > 1;
    put(keys, several ? points.map(([s, p]) => el("span.key", {}, el(`i.${coloured(s.colour)}`), s.name, " ", p ? figure(p) : null)) : null);
    return several ? null : points.map(([, p]) => (p ? figure(p) : null));
  };

  const cursor = () => {
    const layer = plot.querySelector(".cursor");
    if (!layer) return;
    if (state.cursor === null) {
      put(layer);
      const last = legend(state.series.map((s) => [s, s.points[s.points.length - 1]]));
      put(readout, last ? ["last: ", last] : "at the end");
      return;
    }
    const { x, y } = state.scale;
    const at = state.cursor;
    const near = state.series.map((s) => [s, s.points[nearest(s.points, at)]]).filter(([, p]) => p);
    put(layer, svg("line", { x1: x(at), x2: x(at), y1: TOP, y2: height - BOTTOM }), near.map(([s, p]) => svg(`circle.${coloured(s.colour)}`, { cx: x(p[0]), cy: y(p[1]), r: 3.5 })));
    const said = legend(state.series.map((s) => [s, s.points[nearest(s.points, at)]]));
    put(readout, `${state.axis} ${marks ? marks.find(([m]) => m === at)?.[1] : number(at)}`, said ? [": ", said] : null);
  };

  const steps = () => [...new Set(state.series.flatMap((s) => s.points.map((p) => p[0])))].sort((a, b) => a - b);
  plot.addEventListener("pointermove", (event) => {
    if (!state.scale) return;
    const box = plot.getBoundingClientRect();
    const px = ((event.clientX - box.left) / box.width) * state.scale.width;
    const value = state.scale.xlow + ((px - LEFT) / (state.scale.width - LEFT - RIGHT)) * (state.scale.xhigh - state.scale.xlow);
    const known = steps();
    state.cursor = known[nearest(known.map((v) => [v]), value)];
    cursor();
  });
  const leave = () => {
    state.cursor = null;
    cursor();
  };
  plot.addEventListener("pointerleave", leave);
  plot.addEventListener("blur", leave);
  plot.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9 }[event.key];
    if (!by || !state.series.length) return;
    const known = steps();
    const from = state.cursor === null ? (by < 0 ? known.length : -1) : known.indexOf(state.cursor);
    state.cursor = known[Math.min(known.length - 1, Math.max(0, from + by))];
    cursor();
    event.preventDefault();
  });
  new ResizeObserver(([entry]) => {
    const width = Math.round(entry.contentRect.width);
    if (width && width !== state.width) {
      state.width = width;
      draw();
    }
  }).observe(node);

  return {
    node,
    draw(series, options = {}) {
      Object.assign(state, options, { series });
      draw();
    },
  };
}

const min = (v) => v.reduce((a, b) => (b < a ? b : a), Infinity);
const max = (v) => v.reduce((a, b) => (b > a ? b : a), -Infinity);

function nearest(points, at) {
  let best = -1;
  for (let k = 0; k < points.length; k++) if (best < 0 || Math.abs(points[k][0] - at) < Math.abs(points[best][0] - at)) best = k;
  return best;
}

function frame({ yt, x, y, xlow, xhigh, width, height, axis, tick, marks }) {
  const bottom = height - BOTTOM;
  const across = yt.map((t) => [svg("line.grid", { x1: LEFT, x2: width - RIGHT, y1: y(t), y2: y(t) }), svg("text", { x: LEFT - 6, y: y(t) + 4, "text-anchor": "end" }, tick(t))]);
  const along = marks ? marks.map(([at]) => at) : ticks(xlow, xhigh, Math.max(3, Math.floor(width / 90))).filter((t) => t >= xlow && t <= xhigh && (axis !== "step" || t === Math.round(t)));
  return [
    across,
    along.map((t) => [svg("line.axis", { x1: x(t), x2: x(t), y1: bottom, y2: bottom + 4 }), svg("text", { x: x(t), y: bottom + 16, "text-anchor": "middle" }, marks ? marks.find(([at]) => at === t)[1] : number(t))]),
    svg("line.axis", { x1: LEFT, x2: width - RIGHT, y1: bottom, y2: bottom }),
    svg("text", { x: (LEFT + width - RIGHT) / 2, y: height - 4, "text-anchor": "middle" }, axis),
  ];
}

function curve(s, x, y, smoothing, bands) {
  const colour = coloured(s.colour);
  const whole = s.points.filter((p) => Number.isFinite(p[1]));
  const path = (points) => points.map((p) => `${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join(" ");
  const dots = () => whole.map((p) => svg(`circle.dot.${colour}`, { cx: x(p[0]), cy: y(p[1]), r: 3 }));
  if (bands) {
    const spread = whole.map((p) => svg(`line.band.${colour}`, { x1: x(p[0]), x2: x(p[0]), y1: y(p[2]), y2: y(p[3]) }));
    return [spread, svg(`polyline.mean.${colour}`, { points: path(whole) }), dots()];
  }
  if (whole.length === 1) return dots();
  if (s.area) {
    const side = (k) => thin(smooth(whole.map((p) => [p[0], p[k]]), smoothing));
    return [svg(`polygon.area.${colour}`, { points: `${path(side(2))} ${path(side(3).reverse())}` }), svg(`polyline.mean.${colour}`, { points: path(side(1)) })];
  }
  const soft = smooth(whole, smoothing);
  return [smoothing ? svg(`polyline.raw.${colour}`, { points: path(thin(whole)) }) : null, svg(`polyline.mean.${colour}`, { points: path(thin(soft)) })];
}
