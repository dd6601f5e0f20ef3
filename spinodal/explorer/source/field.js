// Attention among weighted tokens on a sphere, by differences: with q = |x_i - x_j|^2 and e = exp(-beta q / 2),
//
//   num_i = sum_j w_j e ((x_j - x_i) + q x_i / 2),   Z_i = sum_j w_j e   [spinodal.flows.engines.direct],
//
//   sa    num / Z        usa   exp(beta) num        gkpr  num
//
// No digit is lost near a cluster. On the circle the sum is one of sines, x_i x x_j.
const EPS = 2 ** -52;
const TILE = 512;
const ADDITIONS = 96;
const ROUND = 6755399441055744; // 1.5 * 2^52: what is added to it is rounded to an integer
const POWERS = Float64Array.from({ length: 1025 }, (_, k) => 2 ** -k);

/** A field: kind sa, usa or gkpr; `repulsive` is V = -I; `causal`: token i reads the tokens j <= i. */
export function makeField({ kind = "sa", beta = 1, causal = false, repulsive = false }) {
  const clock = kind === "sa" ? 0 : kind === "usa" ? Math.exp(beta) : 1;
  return { kind, beta, causal, sign: repulsive ? -1 : 1, clock, merges: !causal };
}

/** Room for the rate of m tokens: drift [m d], a bound on its error [m], and the scaled Z [m]. */
export function makeRate(m, d) {
  return {
    drift: new Float64Array(m * d),
    bound: new Float64Array(m),
    Z: new Float64Array(m),
    spread: new Float64Array(m),
    others: new Float64Array(m),
    force: new Float64Array(m),
  };
}

/** Fills `rate` with the drift of m tokens x [m d] of weights w [m]. */
export function fillRate(field, x, w, m, d, rate) {
  const kappa = field.beta / (2 * Math.LN2);
  const { drift, bound, Z, spread, others, force } = rate;
  for (let i = 0; i < m; i++) spread[i] = others[i] = force[i] = 0;
  for (let i = 0; i < m * d; i++) drift[i] = 0;
  if (d === 2) pullOnCircle(x, w, m, kappa, field.causal, rate);
  else if (d === 3) pullOnSphere(x, w, m, kappa, field.causal, rate);
  else pullInSpace(x, w, m, d, kappa, field.causal, rate);
  const noise = EPS * (8 + Math.max(Math.sqrt(TILE + m / TILE), Math.min(m, ADDITIONS + m / TILE) / 2));
  for (let i = 0; i < m; i++) {
    const o = i * d;
    Z[i] = others[i] + w[i];
    const clock = field.clock === 0 ? 1 / Z[i] : field.clock;
    if (d === 2) {
      drift[o] = -x[o + 1] * force[i];
      drift[o + 1] = x[o] * force[i];
    } else {
      spread[i] = Math.max(0, -2 * removeRadial(drift, x, o, d)); // <x_i, x_j - x_i> = -q / 2
      removeRadial(drift, x, o, d); // what rounding left of the first
    }
    for (let c = o; c < o + d; c++) drift[c] *= clock * field.sign;
    bound[i] = clock * (noise * Math.sqrt(spread[i] * others[i]) + 2 * EPS * field.beta * spread[i] + 1e-300);
  }
}

/** v <- v - <v, x> x of one token; returns <v, x>. */
function removeRadial(v, x, o, d) {
  let radial = 0;
  for (let c = o; c < o + d; c++) radial += v[c] * x[c];
  for (let c = o; c < o + d; c++) v[c] -= radial * x[c];
  return radial;
}

/** 2^-y for y >= 0, to 3e-16: Estrin's scheme on [-1/2, 1/2], times a power of two. */
function halved(y) {
  const k = ROUND - y - ROUND;
  const t = -y - k;
  const t2 = t * t;
  const t4 = t2 * t2;
  // biome-ignore lint/suspicious/noApproximativeNumericConstant: of the best polynomial, not of the series
  const low = 1 + 0.69314718055995 * t + (0.24022650695910097 + 0.055504108664447716 * t) * t2;
  const middle =
    0.009618129107606888 +
    0.0013333558230164972 * t +
    (0.00015403530441736047 + 1.5252657260200835e-5 * t) * t2;
  const high = 1.3215442587921685e-6 + 1.0208690299958301e-7 * t + 7.072585949269215e-9 * t2;
  return (low + (middle + high * t4) * t4) * (k < -1000 ? 0 : POWERS[-k | 0]);
}

// Each pair is visited once and pulls at both of its tokens, or, under a causal mask, at the later one.

function pullOnCircle(x, w, m, kappa, causal, { force, spread, others }) {
  for (let i = 1; i < m; i++) {
    const xi = x[2 * i];
    const yi = x[2 * i + 1];
    const wi = causal ? 0 : w[i];
    let a = 0;
    let s = 0;
    let z = 0;
    for (let j = 0; j < i; j++) {
      const dx = x[2 * j] - xi;
      const dy = x[2 * j + 1] - yi;
      const q = dx * dx + dy * dy;
      const sine = xi * dy - yi * dx;
      const e = halved(kappa * q);
      const ej = w[j] * e;
      const ei = wi * e;
      a += ej * sine;
      s += ej * q;
      z += ej;
      force[j] -= ei * sine;
      spread[j] += ei * q;
      others[j] += ei;
    }
    force[i] += a;
    spread[i] += s;
    others[i] += z;
  }
}

function pullOnSphere(x, w, m, kappa, causal, { drift, others }) {
  for (let i = 1; i < m; i++) {
    const xi = x[3 * i];
    const yi = x[3 * i + 1];
    const ui = x[3 * i + 2];
    const wi = causal ? 0 : w[i];
    let a = 0;
    let b = 0;
    let c = 0;
    let z = 0;
    for (let j = 0; j < i; j++) {
      const dx = x[3 * j] - xi;
      const dy = x[3 * j + 1] - yi;
      const du = x[3 * j + 2] - ui;
      const e = halved(kappa * (dx * dx + dy * dy + du * du));
      const ej = w[j] * e;
      const ei = wi * e;
      a += ej * dx;
      b += ej * dy;
      c += ej * du;
      z += ej;
      drift[3 * j] -= ei * dx;
      drift[3 * j + 1] -= ei * dy;
      drift[3 * j + 2] -= ei * du;
      others[j] += ei;
    }
    drift[3 * i] += a;
    drift[3 * i + 1] += b;
    drift[3 * i + 2] += c;
    others[i] += z;
  }
}

function pullInSpace(x, w, m, d, kappa, causal, { drift, others }) {
  for (let i = 1; i < m; i++) {
    const I = i * d;
    const wi = causal ? 0 : w[i];
    for (let j = 0; j < i; j++) {
      const J = j * d;
      let q = 0;
      for (let c = 0; c < d; c++) {
        const r = x[J + c] - x[I + c];
        q += r * r;
      }
      const e = halved(kappa * q);
      const ej = w[j] * e;
      const ei = wi * e;
      for (let c = 0; c < d; c++) {
        const r = x[J + c] - x[I + c];
        drift[I + c] += ej * r;
        drift[J + c] -= ei * r;
      }
      others[i] += ej;
      others[j] += ei;
    }
  }
}
