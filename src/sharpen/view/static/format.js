// Numbers and texts for people.

export function number(x) {
  const v = Number(x);
  if (x === null || x === undefined) return "–";
  if (!Number.isFinite(v)) return Number.isNaN(v) ? "NaN" : v > 0 ? "∞" : "−∞";
  const size = Math.abs(v);
  if (size >= 1e9 || (size > 0 && size < 1e-3)) return v.toExponential(1).replace("e+", "e").replace(".0e", "e");
  if (size >= 1e6) return `${+(v / 1e6).toPrecision(3)}M`;
  if (size >= 1e4) return `${+(v / 1e3).toPrecision(3)}k`;
  return size < 1e3 ? String(+v.toPrecision(3)) : v.toFixed(0);
}

export function percent(share) {
  return share === null || share === undefined ? "–" : `${(100 * share).toFixed(1)} %`;
}

// A share on an axis.
export function cent(share) {
  return `${+(100 * share).toPrecision(3)} %`;
}

// [low, mean, high] of a share
export function interval(x) {
  return x ? `${(100 * x[0]).toFixed(1)} – ${(100 * x[2]).toFixed(1)}` : "";
}

export function whole(x) {
  return x === null || x === undefined ? "–" : Math.round(x).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

export function when(text) {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? "–" : date.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

// A task of the user's own without the folders it lies in.
export function taskName(task) {
  return String(task ?? "–").replace(/[^:]*[\\/]/g, "");
}

export function finite(x) {
  return (typeof x === "number" || typeof x === "string") && Number.isFinite(Number(x)) && x !== "";
}
