// Parameters that stand at the front, as sliders: the value at a position, and the position of a value.

export const FRONT = {
  beta: {
    name: "β",
    min: 0,
    max: 1,
    step: 0.005,
    value: (v) => +(v < 0.5 ? 18 * v : 9 + 91 * (2 * v - 1) ** 2).toFixed(2),
    position: (beta) => (beta < 9 ? beta / 18 : 0.5 + Math.sqrt((beta - 9) / 91) / 2),
  },
  n: {
    name: "tokens",
    min: 1,
    max: 9,
    step: 0.125,
    value: (v) => Math.round(2 ** v),
    position: (n) => Math.log2(n),
  },
  kappa: {
    name: "noise κ",
    min: 0,
    max: 3,
    step: 0.05,
    value: (v) => +(10 ** v).toPrecision(3),
    position: (kappa) => Math.log10(Math.max(kappa, 1)),
  },
};
