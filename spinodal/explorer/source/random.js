// The random numbers of NumPy, so that a seed means the same in a browser and on the command line.
//
//   default_rng(seed)        SeedSequence, then PCG64 (XSL-RR 128/64)
//   Philox(key, counter)     of 4 x 64 bits and ten rounds
//   standard_normal          the ziggurat of 256 layers
//
// Words of 64 and 128 bits are BigInt.
import { WIDTHS } from "./ziggurat.js";

const MASK64 = (1n << 64n) - 1n;
const MASK128 = (1n << 128n) - 1n;
const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;

/** SeedSequence(entropy).generate_state(count, uint32); entropy is a list of words of 32 bits. */
function seedWords(entropy, count) {
  const pool = new Uint32Array(4);
  let constant = 0x43b0d7e5;
  const hashed = (word) => {
    let v = word ^ constant;
    constant = Math.imul(constant, 0x931e8875);
    v = Math.imul(v, constant);
    return (v ^ (v >>> 16)) >>> 0;
  };
  const mixed = (x, y) => {
    const r = Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y);
    return (r ^ (r >>> 16)) >>> 0;
  };
  for (let i = 0; i < 4; i++) pool[i] = hashed(i < entropy.length ? entropy[i] : 0);
  for (let i = 0; i < 4; i++)
    for (let j = 0; j < 4; j++) if (i !== j) pool[j] = mixed(pool[j], hashed(pool[i]));
  for (let i = 4; i < entropy.length; i++)
    for (let j = 0; j < 4; j++) pool[j] = mixed(pool[j], hashed(entropy[i]));
  const state = new Uint32Array(count);
  constant = 0x8b51f9dd;
  for (let i = 0; i < count; i++) {
    let v = pool[i % 4] ^ constant;
    constant = Math.imul(constant, 0x58f38ded);
    v = Math.imul(v, constant);
    state[i] = v ^ (v >>> 16);
  }
  return state;
}

/** The words of 32 bits of an integer, lowest first. */
function wordsOf(integer) {
  const words = [];
  let left = BigInt(integer);
  do {
    words.push(Number(left & 0xffffffffn));
    left >>= 32n;
  } while (left > 0n);
  return words;
}

/** default_rng(seed), seed an integer or a list of them, as a function that gives the next 64 bits. */
export function pcg64(seed) {
  const w = seedWords([seed].flat().flatMap(wordsOf), 8);
  const word = (k) => BigInt(w[2 * k]) | (BigInt(w[2 * k + 1]) << 32n);
  const increment = ((((word(2) << 64n) | word(3)) << 1n) | 1n) & MASK128;
  let state = (increment + ((word(0) << 64n) | word(1))) & MASK128;
  const step = () => {
    state = (state * MULTIPLIER + increment) & MASK128;
  };
  step();
  return () => {
    step();
    const x = (state >> 64n) ^ (state & MASK64);
    const turn = state >> 122n;
    return ((x >> turn) | (x << ((64n - turn) & 63n))) & MASK64;
  };
}

/** Philox(key=seed, counter=[0, 0, 0, step]), as a function that gives the next 64 bits. */
export function philox(seed, step) {
  const key = BigInt(seed);
  const last = BigInt(step);
  let count = 0n;
  let block = [];
  let at = 4;
  const rounds = () => {
    let [a, b, c, d] = [count, 0n, 0n, last];
    let k0 = key & MASK64;
    let k1 = key >> 64n;
    for (let r = 0; r < 10; r++) {
      const p = a * 0xd2e7470ee14c6c93n;
      const q = c * 0xca5a826395121157n;
      [a, b, c, d] = [(q >> 64n) ^ b ^ k0, q & MASK64, (p >> 64n) ^ d ^ k1, p & MASK64];
      k0 = (k0 + 0x9e3779b97f4a7c15n) & MASK64;
      k1 = (k1 + 0xbb67ae8584caa73bn) & MASK64;
    }
    return [a, b, c, d];
  };
  return () => {
    if (at === 4) {
      count += 1n;
      block = rounds();
      at = 0;
    }
    return block[at++];
  };
}

const TAIL = 3.654152885361009; // where the lowest layer ends
const UNIT = 2 ** 52;
const width = new Float64Array(Uint8Array.from(atob(WIDTHS), (c) => c.charCodeAt(0)).buffer);
// two tables that only decide: the density at x_i, and 2^52 x_{i-1} / x_i, below which a layer is all inside
const density = width.map((w, i) => (i ? Math.exp(-0.5 * (w * UNIT) ** 2) : 1));
const inside = width.map((w, i) => {
  const part = i === 0 ? TAIL / (w * UNIT) : i === 1 ? 0 : width[i - 1] / w;
  return Math.floor(part * UNIT);
});

/** `count` standard normal numbers from a source of 64 bits, as NumPy draws them. */
export function normals(next, count) {
  const uniform = () => Number(next() >> 11n) / 2 ** 53;
  const draw = () => {
    for (;;) {
      const bits = next();
      const layer = Number(bits & 0xffn);
      const negative = (bits >> 8n) & 1n;
      const k = Number((bits >> 9n) & 0xfffffffffffffn);
      const x = negative ? -k * width[layer] : k * width[layer];
      if (k < inside[layer]) return x;
      if (layer === 0) {
        for (;;) {
          const a = -Math.log1p(-uniform()) / TAIL;
          const b = -Math.log1p(-uniform());
          if (b + b > a * a) return (k / 256) & 1 ? -(TAIL + a) : TAIL + a;
        }
      }
      const height = (density[layer - 1] - density[layer]) * uniform() + density[layer];
      if (height < Math.exp(-0.5 * x * x)) return x;
    }
  };
  return Float64Array.from({ length: count }, draw);
}
