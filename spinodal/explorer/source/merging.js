// Tokens that meet become one heavier token, and are remembered: spinodal.flows.time.merging.
//
// Two tokens nearer than MERGE are one. Long before, a pair contracts at a constant rate
//   lambda = -<x_i - x_j, f_i - f_j> / |x_i - x_j|^2,   delta(t) = delta(t_0) exp(-lambda (t - t_0)),
// so that a pair nearer than the capture radius becomes one token at once; the time of its merging is
// t_0 + log(delta / MERGE) / lambda, and until then its members are drawn where they are.
import { normalise, row, squaredDistance } from "./sphere.js";

export const MERGE = 1e-8;
const TOUCHING = 1e-14; // the rounding of a few steps
const STEADY = 1e-6; // of a merging time, what the change of lambda may move it by
const BLUR = 1e-7; // to which cosines tell distances
const FEW = 0.01; // a pass that merges a smaller part of the tokens is the last of its event

/** Nodes 0..n-1 are the tokens of the start; each later node is a merged pair of nodes. */
class Tree {
  constructor(n, d) {
    const most = 2 * n - 1;
    Object.assign(this, { n, d, size: n });
    this.parent = new Int32Array(most).fill(-1);
    this.first = Int32Array.from({ length: most }, (_, i) => i);
    this.second = new Int32Array(most);
    this.offset = new Float64Array(most * d);
    this.rate = new Float64Array(most);
    this.born = new Float64Array(most);
    this.time = new Float64Array(most);
  }

  /** The node of two nodes that were captured at `born` and merge at `time`. */
  join(halves, offsets, rate, born, time) {
    const node = this.size++;
    const [a, b] = halves;
    halves.forEach((half, side) => {
      this.parent[half] = node;
      this.rate[half] = rate;
      this.born[half] = born;
      this.offset.set(offsets[side], half * this.d);
    });
    this.first[node] = Math.min(this.first[a], this.first[b]);
    this.second[node] = Math.max(this.first[a], this.first[b]);
    this.time[node] = Math.max(time, this.time[a], this.time[b]);
    return node;
  }

  /** The directions of all n tokens, from those of the living nodes. */
  expand(living, x, time) {
    const { d, n } = this;
    const place = new Float64Array(this.size * d);
    living.forEach((node, k) => place.set(row(x, k, d), node * d));
    for (let node = this.size - 1; node >= 0; node--) {
      const p = this.parent[node];
      if (p < 0) continue;
      const fade = time >= this.time[p] ? 0 : Math.exp(-this.rate[node] * (time - this.born[node]));
      for (let c = 0; c < d; c++) place[node * d + c] = place[p * d + c] + fade * this.offset[node * d + c];
    }
    return normalise(place.slice(0, n * d), d);
  }

  /** Of each of the n tokens the living node that it is in. */
  owners() {
    const owner = new Int32Array(this.size);
    for (let node = this.size - 1; node >= 0; node--) {
      const p = this.parent[node];
      owner[node] = p < 0 ? node : owner[p];
    }
    return owner;
  }

  /** All merges so far, in order of time: time, clusters left, and the first tokens of both halves. */
  merges() {
    const found = [];
    for (let node = this.n; node < this.size; node++) {
      found.push({ time: this.time[node], clusters: 0, tokens: [this.first[node], this.second[node]] });
    }
    found.sort((a, b) => a.time - b.time);
    found.forEach((merge, k) => {
      merge.clusters = this.n - 1 - k;
    });
    return found;
  }
}

/** lambda of the tokens i and j, from positions x and drifts f; NaN where they coincide. */
function contraction(x, f, i, j, d) {
  let q = 0;
  let p = 0;
  for (let c = 0; c < d; c++) {
    const r = x[i * d + c] - x[j * d + c];
    q += r * r;
    p += r * (f[i * d + c] - f[j * d + c]);
  }
  return -p / q;
}

/**
 * The tokens that have not merged: their nodes and weights. A motion is {x, f, y, g, time, h}: positions and drifts
 * at the end of a step h, and at its beginning. On the circle tokens are kept in cyclic order, so that only
 * neighbours are compared; elsewhere distances are computed again when tokens can be near each other.
 */
export class ActiveTokens {
  constructor(x, w, d, radius) {
    const n = w.length;
    Object.assign(this, { d, radius, clearance: 0, tree: new Tree(n, d) });
    this.living = Array.from({ length: n }, (_, i) => i);
    if (d === 2) {
      const angle = this.living.map((i) => Math.atan2(x[2 * i + 1], x[2 * i]));
      this.living.sort((a, b) => angle[a] - angle[b]);
    }
    this.weights = Float64Array.from(this.living, (i) => w[i]);
  }

  /** The new directions once every near pair has merged or is captured; null if no pair was near. */
  mergeAndCapture(motion) {
    let now = motion;
    let changed = null;
    while (this.living.length > 1 && this.mayBeNear(now)) {
      const m = this.living.length;
      const pairs = this.mutualNearest(this.meetings(now));
      if (!pairs.length) break;
      now = this.join(pairs, now);
      changed = now.x;
      if (pairs.length < FEW * m) break;
    }
    return changed;
  }

  mayBeNear({ x, y }) {
    const d = this.d;
    if (d === 2) return true;
    let most = 0;
    for (let o = 0; o < x.length; o += d) {
      let q = 0;
      for (let c = o; c < o + d; c++) q += (x[c] - y[c]) ** 2;
      most = Math.max(most, q);
    }
    this.clearance -= 2 * Math.sqrt(most);
    return this.clearance <= this.radius;
  }

  /** Of each token its nearest other, of two as near the first; on the circle the next one. */
  neighbours(x) {
    const m = this.living.length;
    const d = this.d;
    const near = new Int32Array(m);
    if (d === 2) for (let i = 0; i < m; i++) near[i] = (i + 1) % m;
    else {
      // along one coordinate, as far as it alone does not part a pair by more than the nearest is away
      const order = Uint16Array.from({ length: m }, (_, i) => i).sort((i, j) => x[i * d] - x[j * d]);
      for (let place = 0; place < m; place++) {
        const i = order[place];
        let least = Infinity;
        for (const way of [-1, 1]) {
          for (let k = place + way; k >= 0 && k < m; k += way) {
            const j = order[k];
            if ((x[j * d] - x[i * d]) ** 2 > least) break;
            const q = squaredDistance(x, i, j, d);
            if (q < least || (q === least && j < near[i])) [least, near[i]] = [q, j];
          }
        }
      }
    }
    return near.subarray(0, m > 2 ? m : 1);
  }

  /** The pairs that may merge, nearest first. */
  meetings(motion) {
    const found = [];
    let least = Infinity;
    this.neighbours(motion.x).forEach((j, i) => {
      const delta = Math.sqrt(squaredDistance(motion.x, i, j, this.d));
      least = Math.min(least, delta);
      const meeting = this.meeting(i, j, delta, motion);
      if (meeting) found.push({ i, j, delta, ...meeting });
    });
    this.clearance = least - BLUR;
    const low = (p) => Math.min(p.i, p.j);
    const high = (p) => Math.max(p.i, p.j);
    return found.sort((a, b) => a.delta - b.delta || low(a) - low(b) || high(a) - high(b));
  }

  /** When and at what rate two tokens merge; null while they may not. */
  meeting(i, j, delta, { x, f, y, g, time, h }) {
    const d = this.d;
    if (delta >= this.radius) return null;
    const rate = contraction(x, f, i, j, d);
    if (delta < TOUCHING || (delta <= MERGE && rate >= 0)) {
      const before = Math.sqrt(squaredDistance(y, i, j, d));
      const part = Math.log(before / MERGE) / Math.log(before / delta);
      const known = Math.abs(part) < Infinity;
      return { when: known ? Math.max(time - h * (1 - Math.min(part, 1)), 0) : time, rate: 0 };
    }
    if (delta > MERGE && rate > 0 && h > 0) {
      const left = Math.log(delta / MERGE) / rate;
      const change = Math.abs(rate - contraction(y, g, i, j, d)) / h / (2 * rate);
      if (change * left * left <= STEADY * (time + left)) return { when: time + left, rate };
    }
    return null;
  }

  /** Of pairs in order of distance those whose tokens are each other's nearest, in order of their first token. */
  mutualNearest(pairs) {
    const best = new Int32Array(this.living.length).fill(-1);
    pairs.forEach((p, k) => {
      if (best[p.i] < 0) best[p.i] = k;
      if (best[p.j] < 0) best[p.j] = k;
    });
    return pairs.filter((p, k) => best[p.i] === k && best[p.j] === k).sort((a, b) => a.i - b.i);
  }

  /** The motion with each pair replaced by its centre of mass, in the row of its first token. */
  join(pairs, motion) {
    const d = this.d;
    const gone = new Set(pairs.map((p) => p.j));
    const partner = new Map(pairs.map((p) => [p.i, p]));
    const keep = [...this.living.keys()].filter((i) => !gone.has(i));
    const thinned = (part) => {
      const out = new Float64Array(keep.length * d);
      keep.forEach((i, to) => {
        const p = partner.get(i);
        if (!p) {
          out.set(row(part, i, d), to * d);
          return;
        }
        const a = this.weights[i];
        const b = this.weights[p.j];
        for (let c = 0; c < d; c++) {
          out[to * d + c] = (a / (a + b)) * part[i * d + c] + (b / (a + b)) * part[p.j * d + c];
        }
      });
      return out;
    };
    const [x, f, y, g] = [motion.x, motion.f, motion.y, motion.g].map(thinned);
    const living = keep.map((i) => this.living[i]);
    const weights = Float64Array.from(keep, (i) => this.weights[i]);
    keep.forEach((i, to) => {
      const p = partner.get(i);
      if (!p) return;
      normalise(row(x, to, d), d);
      const offsets = [i, p.j].map((k) =>
        row(motion.x, k, d).map((v, c) => (p.rate === 0 ? 0 : v - x[to * d + c])),
      );
      living[to] = this.tree.join([this.living[i], this.living[p.j]], offsets, p.rate, motion.time, p.when);
      weights[to] = this.weights[i] + this.weights[p.j];
    });
    this.living = living;
    this.weights = weights;
    return { x, f, y, g, time: motion.time, h: motion.h };
  }
}
