// Tokens are rows of one Float64Array, d numbers each.

/** x_i <- x_i / |x_i|, in place. */
export function normalise(x, d) {
  for (let o = 0; o < x.length; o += d) {
    let square = 0;
    for (let c = o; c < o + d; c++) square += x[c] * x[c];
    const length = Math.sqrt(square);
    for (let c = o; c < o + d; c++) x[c] /= length;
  }
  return x;
}

/** |x_i - x_j|^2. */
export function squaredDistance(x, i, j, d) {
  let q = 0;
  for (let c = 0; c < d; c++) q += (x[i * d + c] - x[j * d + c]) ** 2;
  return q;
}

/** Row i, as a view. */
export const row = (x, i, d) => x.subarray(i * d, i * d + d);
