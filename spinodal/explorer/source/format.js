// Numbers as a reader sees them, and ticks of axes.

/** 10^k with raised digits. */
export const decade = (k) =>
  `10${String(k).replace(/[-\d]/g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)])}`;

/** Four digits, or two and a power of ten. */
export function number(v) {
  if (v === 0) return "0";
  const size = Math.abs(v);
  if (size < 1e4 && size >= 1e-2) return String(+v.toPrecision(4));
  const k = Math.floor(Math.log10(size));
  return `${(v / 10 ** k).toFixed(2)}·${decade(k)}`;
}

/** A count with its noun. */
export const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** About `count` round numbers from a to b, as ticks {at, text}. */
export function roundTicks(a, b, count) {
  const raw = (b - a) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((m) => m * power >= raw) * power;
  const ticks = [];
  for (let v = Math.ceil(a / step) * step; v <= b + step * 1e-9; v += step) {
    const at = Math.abs(v) < step * 1e-9 ? 0 : v;
    ticks.push({ at, text: number(+at.toPrecision(12)) });
  }
  return ticks;
}

/** At most `count` powers of ten from 10^a to 10^b, as ticks at their logarithms. */
export function decadeTicks(a, b, count) {
  const step = Math.max(1, Math.ceil((b - a) / count));
  const ticks = [];
  for (let k = Math.ceil(a); k <= b; k += step) ticks.push({ at: k, text: decade(k) });
  return ticks;
}

/** Powers of two up to n, as ticks at their logarithms; every second one where there are many. */
export function countTicks(n) {
  const step = n > 32 ? 2 : 1;
  const ticks = [];
  for (let k = 0; 2 ** k <= n; k += step) ticks.push({ at: k, text: String(2 ** k) });
  return ticks;
}

export const clamp = (v, low, high) => Math.min(high, Math.max(low, v));
