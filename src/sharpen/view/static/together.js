// Runs that differ by their seed alone, as one curve: the mean, in a band from the lowest to the highest.

const PLACES_MOST = 400;

// What runs share but for the seed; a run without a name is alone.
export const kin = (run) => (run.name ? JSON.stringify([run.name, run.task]) : `run ${run.id}`);

// Runs by what they share, in order of the first of each.
export function families(runs) {
  const out = new Map();
  for (const run of runs) out.set(kin(run), [...(out.get(kin(run)) || []), run]);
  return [...out.values()];
}

// The value of a curve, points [x, y] of rising x, at a place: linear between points, level beyond the ends.
export function between(points, at) {
  let k = points.findIndex(([x]) => x >= at);
  if (k < 0) k = points.length - 1;
  const [x1, y1] = points[k];
  if (k === 0 || at >= x1) return y1;
  const [x0, y0] = points[k - 1];
  return y0 + ((y1 - y0) * (at - x0)) / (x1 - x0);
}

// Curves as points [x, mean, low, high], to where the first of them ends.
export function joined(curves) {
  const end = Math.min(...curves.map((c) => c[c.length - 1][0]));
  const places = [...new Set(curves.flatMap((c) => c.map(([x]) => x)))].filter((x) => x <= end).sort((a, b) => a - b);
  const every = Math.ceil(places.length / PLACES_MOST) || 1;
  return places.filter((_, k) => k % every === 0 || k === places.length - 1).map((x) => {
    const ys = curves.map((c) => between(c, x));
    return [x, ys.reduce((a, b) => a + b, 0) / ys.length, Math.min(...ys), Math.max(...ys)];
  });
}
