// The starts of `spinodal simulate`, number for number.
import { normals, pcg64 } from "./random.js";

const GOLDEN = Math.PI * (3 - Math.sqrt(5));
const BITS = 200n; // after the binary point of the numbers from which sines are rounded
const ONE = 1n << BITS;
const TURN = 0x6487ed5110b4611a62633145c06e0e68948127044533e63a0105n; // 2 pi

/** [cos x, sin x] for 2^-20 < x < 2^20 or x = 0, rounded correctly: a browser's own differ from NumPy's in last bits. */
function onCircle(x) {
  const angle = (BigInt(x * 2 ** 80) << (BITS - 80n)) % TURN;
  const sums = [0n, 0n];
  let term = ONE;
  for (let k = 0n; term !== 0n; k++) {
    sums[k & 1n] += k & 2n ? -term : term;
    term = ((term * angle) >> BITS) / (k + 1n);
  }
  return sums.map((sum) => Number(sum) / 2 ** 200);
}

/** The sum of the squares of d numbers from v[o] on, in NumPy's order of additions. */
function squareOfRow(v, o, d) {
  const square = (c) => v[o + c] * v[o + c];
  let rest = 0;
  let sum = 0;
  if (d >= 8) {
    const lanes = Array.from({ length: 8 }, (_, lane) => square(lane));
    for (rest = 8; rest + 8 <= d; rest += 8)
      for (let lane = 0; lane < 8; lane++) lanes[lane] += square(rest + lane);
    const [a, b, c, e, f, g, h, k] = lanes;
    sum = a + b + (c + e) + (f + g + (h + k));
  }
  for (let c = rest; c < d; c++) sum += square(c);
  return sum;
}

/** x_i <- x_i / |x_i|, in place, with NumPy's bits for d <= 128. */
function normalise(x, d) {
  for (let o = 0; o < x.length; o += d) {
    const length = Math.sqrt(squareOfRow(x, o, d));
    for (let c = o; c < o + d; c++) x[c] /= length;
  }
  return x;
}

/** Unit vectors [n d]: uniform, orthonormal, lattice (d = 2 and 3), or given; moved by Gaussian steps of a size. */
export function startTokens({ start, n, d, seed, perturb = 0, tokens = null }) {
  const x = named(start, n, d, seed, tokens);
  if (perturb > 0) {
    const xi = normals(pcg64([seed, 1]), n * d);
    for (let i = 0; i < n * d; i++) x[i] += perturb * xi[i];
    normalise(x, d);
  }
  return x;
}

function named(start, n, d, seed, tokens) {
  if (start === "given") return normalise(Float64Array.from(tokens), d);
  if (start === "uniform") return normalise(normals(pcg64(seed), n * d), d);
  const x = new Float64Array(n * d);
  if (start === "orthonormal") {
    for (let i = 0; i < n; i++) x[i * d + i] = 1;
    return x;
  }
  for (let i = 0; i < n; i++) {
    if (d === 2) {
      x.set(onCircle((2 * Math.PI * i) / n), 2 * i);
    } else {
      const z = 1 - (2 * i + 1) / n;
      x.set([...onCircle(GOLDEN * i), z / Math.sqrt(1 - z * z)], 3 * i);
    }
  }
  return d === 2 ? x : normalise(x, 3);
}
