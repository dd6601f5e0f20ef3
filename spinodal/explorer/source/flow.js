// Dormand-Prince 5(4) along the length of the path in the place of time: spinodal.flows.time.dormand_prince and
// AdaptiveIntegrator. A wait of e^beta costs no more than the way that is gone in it:
//
//   dx/ds = sigma F,   dt/ds = sigma = 1 / |F|.
//
//   symbol  meaning                                             shape
//   k       sigma F at the seven stages                         7 [m d]
//   sigma   time per path length at the seven stages            7
//   noise   bound on the error of the drift, over the drift     7
import { fillRate, makeRate } from "./field.js";
import { ActiveTokens } from "./merging.js";
import { normalise, row } from "./sphere.js";

const A = [
  [],
  [1 / 5],
  [3 / 40, 9 / 40],
  [44 / 45, -56 / 15, 32 / 9],
  [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
  [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
  [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
];
const E = [-71 / 57600, 0, 71 / 16695, -71 / 1920, 17253 / 339200, -22 / 525, 1 / 40];
const P = [
  [1, -8048581381 / 2820520608, 8663915743 / 2820520608, -12715105075 / 11282082432],
  [0, 0, 0, 0],
  [0, 131558114200 / 32700410799, -68118460800 / 10900136933, 87487479700 / 32700410799],
  [0, -1754552775 / 470086768, 14199869525 / 1410260304, -10690763975 / 1880347072],
  [0, 127303824393 / 49829197408, -318862633887 / 49829197408, 701980252875 / 199316789632],
  [0, -282668133 / 205662961, 2019193451 / 616988883, -1453857185 / 822651844],
  [0, 40617522 / 29380423, -110615467 / 29380423, 69997945 / 29380423],
];
const END = 1e305; // a time beyond all others
const FIRST = 1e-3; // path length of the first step
const BLUR = 10; // bounds on the error of a drift below which it gives no direction to go
const CLOSING = 0.8; // of the path that is left to a point of rest, the longest next step
const MET = 1e-12; // what is left of a path to rest, when the rest of it is rounding
const PUNCTUAL = 0.3; // of the tolerance: relative error of a late time
const ROUNDING = 1e-17; // a step that moves no token by more is none
const [SAFETY, SHRINK, GROW] = [0.9, 0.1, 10];

/** p_j(theta) of the interpolant, to fourth order. */
const weightAt = (j, theta) => (((P[j][3] * theta + P[j][2]) * theta + P[j][1]) * theta + P[j][0]) * theta;

/** |v|, without overflow or underflow of the squares. */
function norm(v) {
  let square = 0;
  for (let i = 0; i < v.length; i++) square += v[i] * v[i];
  if (square > 1e-250 && square < 1e250) return Math.sqrt(square);
  let top = 0;
  for (let i = 0; i < v.length; i++) top = Math.max(top, Math.abs(v[i]));
  if (!(top > 0 && top < Infinity)) return top;
  square = 0;
  for (let i = 0; i < v.length; i++) square += (v[i] / top) ** 2;
  return top * Math.sqrt(square);
}

export class Flow {
  constructor(field, x, weights, d, tolerance = 1e-8) {
    Object.assign(this, { field, d, tolerance, hi: 0, lo: 0, h: 0, path: 0, steps: 0 });
    Object.assign(this, { error: 1, taken: 0, proposed: FIRST, shortest: Infinity, slowest: 1e-300 });
    const radius = Math.min(1e-3, Math.max(1e-8, 0.1 * Math.sqrt(tolerance)));
    this.active = field.merges ? new ActiveTokens(x, weights, d, radius) : null;
    const order = this.active ? this.active.living : [...weights.keys()];
    this.x = new Float64Array(order.length * d);
    order.forEach((i, k) => this.x.set(row(x, i, d), k * d));
    this.weights = this.active ? this.active.weights : weights;
    this.begin();
    this.settle();
  }

  get clusters() {
    return this.weights.length;
  }

  /** Evaluates the rate at the present state as stage 0 of the next step. */
  begin() {
    const m = this.clusters;
    const size = m * this.d;
    this.k = Array.from({ length: 7 }, () => new Float64Array(size));
    this.sigma = new Float64Array(7);
    this.noise = new Float64Array(7);
    this.rate = makeRate(m, this.d);
    this.y = new Float64Array(size);
    this.before = this.x;
    this.h = 0;
    fillRate(this.field, this.x, this.weights, m, this.d, this.rate);
    this.setFirstStage();
  }

  setFirstStage() {
    this.setStage(0);
    this.shortest = Math.min(this.shortest, this.sigma[0]);
  }

  setStage(j) {
    const { drift, bound } = this.rate;
    const k = this.k[j];
    const speed = norm(drift);
    const doubt = norm(bound);
    const sigma = 1 / Math.max(Math.hypot(speed, BLUR * doubt), this.slowest);
    this.sigma[j] = sigma;
    this.noise[j] = doubt * sigma;
    if (j === 0) this.resting = speed <= doubt;
    for (let i = 0; i < k.length; i++) k[i] = drift[i] * sigma;
  }

  /** y = normalise(x + sum_j a_j k_j). */
  fillState(x, a, y) {
    const size = x.length;
    y.fill(0);
    for (let j = 0; j < a.length; j++) {
      if (a[j] === 0) continue;
      const k = this.k[j];
      const factor = a[j];
      for (let i = 0; i < size; i++) y[i] += factor * k[i];
    }
    for (let i = 0; i < size; i++) y[i] += x[i];
    return normalise(y, this.d);
  }

  /** Tries a step of path h, whose end is y; returns its error over the tolerance. */
  tryStep(h) {
    for (let j = 1; j < 7; j++) {
      const a = A[j].map((entry) => h * entry);
      this.fillState(this.x, a, this.y);
      fillRate(this.field, this.y, this.weights, this.clusters, this.d, this.rate);
      this.setStage(j);
    }
    const since = Math.max(this.shortest, PUNCTUAL * this.hi);
    let late = 0;
    let unsure = 0;
    for (let j = 0; j < 7; j++) {
      late += E[j] * this.sigma[j];
      unsure += Math.abs(E[j]) * this.noise[j] * this.sigma[j];
    }
    late = Math.max(Math.abs(late) - unsure, 0) / since;
    return (h * Math.max(this.largestError(), late)) / this.tolerance;
  }

  /** max_i |sum_j E_j k_ji|, NaN where one is NaN. */
  largestError() {
    const { d, k } = this;
    let top = 0;
    for (let o = 0; o < this.x.length; o += d) {
      let square = 0;
      for (let c = o; c < o + d; c++) {
        let sum = 0;
        for (let j = 0; j < 7; j++) sum += E[j] * k[j][c];
        square += sum * sum;
      }
      if (!(square <= top)) top = square;
    }
    return Math.sqrt(top);
  }

  /** The time from the beginning of a step of path h to a fraction theta of it. */
  elapsed(h, theta) {
    let sum = 0;
    for (let j = 0; j < 7; j++) sum += this.sigma[j] * weightAt(j, theta);
    return h * sum;
  }

  /** theta with elapsed(h, theta) = time, by bisection. */
  fractionAt(time, h) {
    if (!(time > 0 && time < this.elapsed(h, 1))) return time > 0 ? 1 : 0;
    let low = 0;
    let high = 1;
    for (let i = 0; i < 60; i++) {
      const middle = (low + high) / 2;
      if (this.elapsed(h, middle) < time) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  }

  timeLeft(limit) {
    return limit - this.hi - this.lo;
  }

  /** hi + lo <- hi + lo + h in two doubles, or the limit where h reaches it. */
  advanceClock(h, limit) {
    this.h = h;
    this.steps++;
    if (h >= this.timeLeft(limit)) {
      this.hi = limit;
      this.lo = 0;
      return;
    }
    const total = this.hi + h;
    const virtual = total - this.hi;
    const rest = this.hi - (total - virtual) + (h - virtual) + this.lo;
    this.hi = total + rest;
    this.lo = rest - (this.hi - total);
  }

  /** One step, not beyond the limit. */
  advance(limit = END) {
    if (this.resting) {
      this.before = this.x;
      this.path = 0;
      this.advanceClock(Math.min(this.timeLeft(limit), END), limit);
      return;
    }
    let h = this.proposed;
    let most = GROW;
    let error = this.tryStep(h);
    while (!(error <= 1)) {
      const factor = Number.isFinite(error) ? SAFETY * error ** -0.2 : SHRINK;
      h *= Math.min(SAFETY, Math.max(SHRINK, factor));
      most = 1;
      if (!(h > ROUNDING)) throw new Error(`the step underflows at t = ${this.hi}`);
      error = this.tryStep(h);
    }
    const duration = this.elapsed(h, 1);
    if (duration > this.timeLeft(limit)) {
      this.arrive(h, limit);
      return;
    }
    const first = 1 / this.sigma[0];
    const last = 1 / this.sigma[6];
    const rest = last < first ? (h * last) / (first - last) : Infinity;
    if (rest < MET && !this.active) this.slowest = last;
    this.proposed = Math.min(most * h, this.following(h, error), CLOSING * rest);
    this.error = Math.max(error, 1e-4);
    this.taken = h;
    this.finish(h, duration, limit);
  }

  /** The step after one of path h that was accepted with an error  [spinodal.integrate.control]. */
  following(h, error) {
    if (error === 0) return h * GROW;
    const steady = error ** -0.2;
    const trend = this.taken > 0 ? (h / this.taken) * (this.error / error ** 2) ** 0.2 : steady;
    return h * Math.min(GROW, Math.max(SHRINK, SAFETY * Math.min(steady, trend)));
  }

  /** A step shorter than h that ends at the limit; what is missing of the time is added along a straight line. */
  arrive(h, limit) {
    const left = this.timeLeft(limit);
    const part = this.fractionAt(left, h) * h;
    this.tryStep(part);
    const missed = left - this.elapsed(part, 1);
    const end = this.y.slice();
    for (let i = 0; i < end.length; i++) end[i] += missed * this.rate.drift[i];
    this.y = normalise(end, this.d);
    this.finish(part, left, limit);
  }

  finish(h, duration, limit) {
    this.before = this.x;
    this.x = this.y.slice();
    this.path = h;
    this.advanceClock(duration, limit);
  }

  /** All tokens at a time within the last step; to be called before `settle`. */
  at(time) {
    if (time === this.hi || this.before === this.x) return this.expand(this.x, time);
    return this.inside(this.fractionAt(this.h + (time - this.hi - this.lo), this.path), time);
  }

  /** All tokens at a fraction of the path of the last step, whose time is `timeInside`. */
  inside(theta, time) {
    const a = P.map((_, j) => this.path * weightAt(j, theta));
    return this.expand(this.fillState(this.before, a, new Float64Array(this.x.length)), time);
  }

  timeInside(theta) {
    return this.hi - this.h + this.elapsed(this.path, theta) + this.lo;
  }

  expand(x, time) {
    return this.active ? this.active.tree.expand(this.active.living, x, time) : x.slice();
  }

  merges() {
    return this.active ? this.active.tree.merges() : [];
  }

  /** What has to happen between two steps: merging. Returns whether tokens merged. */
  settle() {
    if (this.active && this.clusters > 1) {
      const g = this.k[0].map((v) => v / this.sigma[0]);
      const motion = { x: this.x, f: this.rate.drift, y: this.before, g, time: this.hi, h: this.h };
      const met = this.active.mergeAndCapture(motion);
      if (met) {
        this.x = met;
        this.weights = this.active.weights;
        this.begin();
        return true;
      }
    }
    this.setFirstStage();
    return false;
  }

  /** log of E = (1 / 2b) sum_ij w_i w_j e^{b <x_i, x_j>}, of |m|^2 / 2 at b = 0; NaN where the field has none. */
  get logEnergy() {
    const { beta, causal } = this.field;
    const { weights: w, d, x } = this;
    if (causal) return NaN;
    let sum = 0;
    if (beta > 0) {
      for (let i = 0; i < w.length; i++) sum += w[i] * this.rate.Z[i];
      return Math.log(sum) + beta - Math.log(2 * beta);
    }
    for (let c = 0; c < d; c++) {
      let mean = 0;
      for (let i = 0; i < w.length; i++) mean += w[i] * x[i * d + c];
      sum += mean * mean;
    }
    return Math.log(sum / 2);
  }
}
