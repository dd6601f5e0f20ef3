// Noise on the sphere: half of the Brownian motion, a midpoint step of the drift, half of the Brownian motion, as in
// spinodal.flows.time.noise. The numbers are Philox's, by (seed, step), those of the command line.
import { fillRate, makeRate } from "./field.js";
import { normals, philox } from "./random.js";
import { normalise } from "./sphere.js";

/** Brownian motion of generator Delta for a time tau, from the normal numbers xi [m d]. */
function brownian(x, tau, xi, d) {
  const out = new Float64Array(x.length);
  const size = Math.sqrt(2 * tau) * Math.exp((-(d - 2) * tau) / 6);
  for (let o = 0; o < x.length; o += d) {
    let radial = 0;
    for (let c = o; c < o + d; c++) radial += x[c] * xi[c];
    let square = 0;
    for (let c = o; c < o + d; c++) {
      out[c] = size * (xi[c] - x[c] * radial);
      square += out[c] ** 2;
    }
    const angle = Math.sqrt(square);
    const sinc = angle > 0 ? Math.sin(angle) / angle : 1;
    for (let c = o; c < o + d; c++) out[c] = Math.cos(angle) * x[c] + sinc * out[c];
  }
  return normalise(out, d);
}

/** dX = F dt + sqrt(2 / kappa) dW in steps of one size, with the interface of `Flow`. */
export class NoisyFlow {
  constructor(field, x, weights, d, { seed, kappa, step = 0.01 }) {
    Object.assign(this, { field, x, before: x, weights, d, seed, kappa, step, hi: 0, path: 0, steps: 0 });
    Object.assign(this, { resting: false, active: null, logEnergy: NaN });
    this.rate = makeRate(weights.length, d);
  }

  get clusters() {
    return this.weights.length;
  }

  displaced(x, h) {
    return normalise(
      x.map((v, i) => v + h * this.rate.drift[i]),
      this.d,
    );
  }

  advance() {
    const { d, field, weights, step, x } = this;
    const size = x.length;
    const xi = normals(philox(this.seed, this.steps), 2 * size);
    const tau = step / this.kappa / 2;
    const start = brownian(x, tau, xi.subarray(0, size), d);
    fillRate(field, start, weights, weights.length, d, this.rate);
    const middle = this.displaced(start, step / 2);
    fillRate(field, middle, weights, weights.length, d, this.rate);
    this.before = x;
    this.x = brownian(this.displaced(start, step), tau, xi.subarray(size), d);
    this.steps++;
    this.hi = this.steps * step;
    this.path = Math.sqrt(this.x.reduce((sum, v, i) => sum + (v - x[i]) ** 2, 0));
  }

  inside(theta) {
    return normalise(
      this.x.map((v, i) => this.before[i] + theta * (v - this.before[i])),
      this.d,
    );
  }

  timeInside(theta) {
    return this.hi - this.step * (1 - theta);
  }

  expand(x) {
    return x.slice();
  }

  merges() {
    return [];
  }

  settle() {
    return false;
  }
}
