// What is measured of tokens at one time: the cosines of all pairs, and who is in one cluster with whom at any
// threshold. Clusters are the connected components of pairs with cosines >= 1 - epsilon; the minimum spanning tree
// of the distances has those of every epsilon.
import { row, squaredDistance } from "./sphere.js";

const BINS = 400;
export const LEVELS = [0.05, 0.25, 0.5, 0.75, 0.95];

/**
 * The mean cosine, its quantiles at LEVELS (to .005), and the spanning tree {a, b, q}: n - 1 pairs, nearest first, with
 * their squared distances q = 2 (1 - cos). Prim's algorithm meets each pair once. Tokens of one `owner`, a cluster that
 * was captured, count as one heavier token at the place of its first.
 */
export function measure(x, n, d, owner = null) {
  const { heads, weight, edges, inside } = groupsOf(x, n, d, owner);
  const m = heads.length;
  const bins = new Float64Array(BINS + 1);
  const left = Int32Array.from({ length: m - 1 }, (_, i) => i + 1);
  const best = new Float64Array(m).fill(Infinity);
  const link = new Int32Array(m);
  const y = new Float64Array(m * d);
  heads.forEach((i, k) => y.set(row(x, i, d), k * d));
  const z = d - 1; // the third coordinate, or the second again, without weight
  const third = d === 2 ? 0 : 1;
  let here = 0;
  for (let count = m - 1; count > 0; count--) {
    let nearest = 0;
    let least = Infinity;
    const [hx, hy, hz] = [y[here * d], y[here * d + 1], y[here * d + z]];
    for (let k = 0; k < count; k++) {
      const j = left[k];
      let q = 0;
      if (d <= 3) {
        const o = j * d;
        const dx = y[o] - hx;
        const dy = y[o + 1] - hy;
        const dz = y[o + z] - hz;
        q = dx * dx + dy * dy + third * dz * dz;
      } else q = squaredDistance(y, here, j, d);
      const pairs = weight[here] * weight[j];
      bins[((1 - q / 4) * BINS + 0.5) | 0] += pairs;
      if (q < best[j]) {
        best[j] = q;
        link[j] = here;
      }
      if (best[j] < least) {
        least = best[j];
        nearest = k;
      }
    }
    here = left[nearest];
    left[nearest] = left[count - 1];
    edges.push([heads[link[here]], heads[here], least]);
  }
  bins[BINS] += inside;
  const pairs = (n * (n - 1)) / 2;
  return { mean: meanCosine(x, n, d), quantiles: quantilesOf(bins, pairs), tree: treeOf(edges) };
}

/** (|sum_i x_i|^2 - sum_i |x_i|^2) / (n (n - 1)). */
function meanCosine(x, n, d) {
  let sum = 0;
  for (let c = 0; c < d; c++) {
    let all = 0;
    for (let i = 0; i < n; i++) {
      all += x[i * d + c];
      sum -= x[i * d + c] ** 2;
    }
    sum += all * all;
  }
  return sum / (n * (n - 1));
}

/** The first token and the number of tokens of each owner, the pairs within owners, and edges that join them. */
function groupsOf(x, n, d, owner) {
  const heads = [];
  const weight = [];
  const edges = [];
  const place = new Map();
  let inside = 0;
  for (let i = 0; i < n; i++) {
    const key = owner ? owner[i] : i;
    const k = place.get(key);
    if (k === undefined) {
      place.set(key, heads.length);
      heads.push(i);
      weight.push(1);
      continue;
    }
    inside += weight[k]++;
    edges.push([heads[k], i, squaredDistance(x, heads[k], i, d)]);
  }
  return { heads, weight, edges, inside };
}

function quantilesOf(bins, pairs) {
  let k = 0;
  let below = 0;
  return LEVELS.map((level) => {
    while (below + bins[k] < level * pairs) below += bins[k++];
    return (2 * k) / BINS - 1;
  });
}

/** Edges [a, b, q] as arrays, nearest first. */
export function treeOf(edges) {
  edges.sort((a, b) => a[2] - b[2]);
  return {
    a: Uint16Array.from(edges, (edge) => edge[0]),
    b: Uint16Array.from(edges, (edge) => edge[1]),
    q: Float32Array.from(edges, (edge) => edge[2]),
  };
}

/** The number of clusters at epsilon. */
export function clusterCount(tree, epsilon) {
  let low = 0;
  let high = tree.q.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (tree.q[middle] <= 2 * epsilon) low = middle + 1;
    else high = middle;
  }
  return tree.q.length + 1 - low;
}

/** Of each token the first token of its cluster at epsilon, and the number of tokens in it. */
export function clustersOf(tree, epsilon) {
  const n = tree.q.length + 1;
  const root = Uint16Array.from({ length: n }, (_, i) => i);
  const find = (token) => {
    let i = token;
    while (root[i] !== i) {
      root[i] = root[root[i]];
      i = root[i];
    }
    return i;
  };
  for (let k = 0; k < n - 1 && tree.q[k] <= 2 * epsilon; k++) {
    const a = find(tree.a[k]);
    const b = find(tree.b[k]);
    root[Math.max(a, b)] = Math.min(a, b);
  }
  const first = root.map((_, i) => find(i));
  const size = new Uint16Array(n);
  for (const i of first) size[i]++;
  return { first, size: first.map((i) => size[i]) };
}
