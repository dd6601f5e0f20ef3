// gamma(t), the common cosine of n tokens that begin orthogonal  [glpr2023], in y = log((1 + (n - 1) g) / (1 - g)):
//   SA: dt = (n - 1 + e^{b (1 - g)}) / (2 n) dy,   USA: dt = e^{-b g} / 2 dy,   gkpr: e^b slower.

/** Times and cosines from 0 to consensus, as pairs [t, g], by Simpson's rule. */
export function gammaCurve({ kind, n, beta }, points = 600) {
  const top = 40 + Math.log(n);
  const h = top / points;
  const cosine = (y) => 1 - n / (n - 1 + Math.exp(y));
  const slowness = (y) => {
    const g = cosine(y);
    if (kind === "sa") return (n - 1 + Math.exp(beta * (1 - g))) / (2 * n);
    return Math.exp(kind === "usa" ? -beta * g : beta * (1 - g)) / 2;
  };
  const curve = [[0, 0]];
  let time = 0;
  for (let k = 0; k < points; k++) {
    const y = k * h;
    time += (h / 6) * (slowness(y) + 4 * slowness(y + h / 2) + slowness(y + h));
    curve.push([time, cosine(y + h)]);
  }
  return curve;
}

/** gamma at increasing times, linear between the points of a curve. */
export function gammaAt(curve, times) {
  let j = 0;
  return times.map((time) => {
    while (j < curve.length - 2 && curve[j + 1][0] < time) j++;
    const [t0, g0] = curve[j];
    const [t1, g1] = curve[j + 1];
    return time >= t1 ? 1 : g0 + ((g1 - g0) * (time - t0)) / (t1 - t0);
  });
}
