// The state of the page: kept in the address, and told as the command that yields the same run.
import { clamp } from "./format.js";

export const DEFAULTS = {
  field: "sa",
  n: 64,
  d: 3,
  beta: 4,
  start: "uniform",
  seed: 0,
  kappa: 0,
  causal: 0,
  repulsive: 0,
  until: 0,
  epsilon: 0.001,
  clock: "movement",
  speed: 0,
  at: 0,
  turn: 0.6,
  tilt: 0.35,
  colour: "start",
};
export const VIEW = ["epsilon", "clock", "speed", "at", "turn", "tilt", "colour"];
const OPTIONS = {
  field: ["sa", "usa", "gkpr"],
  start: ["uniform", "lattice", "orthonormal", "given"],
  clock: ["movement", "log", "time"],
  colour: ["start", "cluster", "order", "word"],
};
export const RANGES = {
  n: [2, 512],
  d: [2, 64],
  beta: [0, 100],
  seed: [0, 2 ** 32 - 1],
  kappa: [0, 1e6],
  causal: [0, 1],
  repulsive: [0, 1],
  until: [0, 1e300],
  epsilon: [1e-6, 1],
  speed: [-2, 3],
  at: [0, 1],
  tilt: [-1.5, 1.5],
};
const WHOLE = ["n", "d", "seed", "causal", "repulsive"];
export const MOVED = 1e-3; // by which a lattice is moved: as it is it rests
export const ORTHONORMAL_D = 8; // the smallest dimension of an orthonormal start

/** Stories: name, settings (null: the tokens of a trained model), sentence, parameter at the front. */
export const STORIES = [
  [
    "One point",
    { n: 64, d: 3, beta: 1 },
    "At small β all tokens run to one point, and the energy climbs all the way.",
    "beta",
  ],
  [
    "Clusters that last",
    { n: 32, d: 2, beta: 9 },
    "A few clusters form by t = 20 and look final; each waits about e^β for the next.",
    "beta",
  ],
  [
    "Until t = 10²⁰",
    { n: 200, d: 2, beta: 25 },
    "The last merge comes after 10²⁰ units of time; the clock of movement gets there in seconds.",
    "beta",
  ],
  [
    "Kuramoto",
    { field: "usa", n: 100, d: 2, beta: 0 },
    "β = 0 on the circle is Kuramoto’s model: oscillators synchronise.",
    "n",
  ],
  [
    "Causal",
    { n: 32, d: 3, beta: 2, causal: 1 },
    "Under a causal mask the first token never moves, and all others come to it.",
    "beta",
  ],
  [
    "Icosahedron",
    { field: "usa", n: 12, d: 3, beta: 3, repulsive: 1 },
    "With V = −I tokens spread: twelve become the corners of an icosahedron.",
    "n",
  ],
  [
    "Orthogonal",
    { n: 64, d: 64, beta: 5, start: "orthonormal" },
    "Orthogonal tokens keep one common cosine, which is γ(t), the dashed curve.",
    "beta",
  ],
  [
    "A model’s tokens",
    null,
    "Octane and butane in a trained ALBERT, layer by layer; a flow started from any layer runs beside the model’s next ones.",
    "beta",
  ],
  [
    "Noise",
    { n: 128, d: 3, beta: 4, kappa: 30 },
    "With noise tokens never meet; where it is strong they do not even gather.",
    "kappa",
  ],
];

/** The values put right where they have no meaning, each alone and together. */
export function fair(values) {
  const s = { ...DEFAULTS, ...values };
  for (const [key, allowed] of Object.entries(OPTIONS)) if (!allowed.includes(s[key])) s[key] = DEFAULTS[key];
  for (const [key, [low, high]] of Object.entries(RANGES)) {
    const value = Number(s[key]);
    s[key] = Number.isNaN(value)
      ? DEFAULTS[key]
      : clamp(WHOLE.includes(key) ? Math.round(value) : value, low, high);
  }
  if (s.start === "orthonormal") {
    if (s.d < ORTHONORMAL_D) s.d = clamp(s.n, ORTHONORMAL_D, RANGES.d[1]);
    s.n = Math.min(s.n, s.d);
  }
  if (s.start === "lattice" && s.d > 3) s.start = "uniform";
  return s;
}

/** The state of an address such as #n=200&d=2&beta=25. */
export function stateOf(hash) {
  const given = {};
  for (const [key, text] of new URLSearchParams(hash.replace(/^#/, ""))) {
    if (key in DEFAULTS) given[key] = typeof DEFAULTS[key] === "number" ? Number(text) : text;
  }
  if (given.start === "given") delete given.start; // tokens do not fit into an address
  return fair(given);
}

/** The address of a state: what differs from the defaults. */
export function hashOf(state) {
  const told = new URLSearchParams();
  for (const [key, value] of Object.entries(DEFAULTS)) {
    if (state[key] !== value)
      told.set(
        key,
        VIEW.includes(key) && key !== "epsilon" && typeof value === "number"
          ? +state[key].toFixed(4)
          : state[key],
      );
  }
  return `#${told}`;
}

/** The time at which a run ends; 0 is consensus. */
export function endOf({ until, kappa, repulsive, causal }) {
  if (until > 0) return until;
  if (kappa > 0) return 20;
  if (repulsive) return 200;
  return causal ? 1e4 : 0;
}

export const perturbationOf = ({ start }) => (start === "lattice" ? MOVED : 0);

/** What the worker is asked to run. */
export function configOf(state, tokens = null) {
  const { field: kind, n, d, beta, start, seed, kappa, causal, repulsive } = state;
  const flags = { causal: !!causal, repulsive: !!repulsive };
  return {
    kind,
    n,
    d,
    beta,
    start,
    seed,
    kappa,
    ...flags,
    until: endOf(state),
    perturb: perturbationOf(state),
    tokens,
  };
}

/** The command that yields the same run; `file` holds the tokens of a start from a recording. */
export function commandOf(s, file = "start.npy") {
  const given = s.start === "given";
  const size = given ? [] : [`--n ${s.n}`, `--d ${s.d}`];
  const start = given ? [`--start ${file}`] : s.start === "uniform" ? [] : [`--start ${s.start}`];
  return [
    `spinodal simulate --field ${s.field}`,
    ...size,
    `--beta ${s.beta}`,
    ...start,
    ...(perturbationOf(s) ? [`--perturb ${MOVED}`] : []),
    ...(s.causal ? ["--causal"] : []),
    ...(s.repulsive ? ["--repulsive"] : []),
    ...(s.kappa ? [`--noise ${s.kappa}`] : []),
    ...(s.seed ? [`--seed ${s.seed}`] : []),
    `--until ${endOf(s) || "consensus"} --out runs/explored`,
  ].join(" ");
}

/** What runs, in a sentence. */
export function sentenceOf(s) {
  const where =
    s.d === 2
      ? "circle"
      : s.d === 3
        ? "sphere"
        : `sphere of R${String(s.d).replace(/\d/g, (c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])}`;
  const how = s.field === "sa" ? "softmax attention" : "attention without softmax";
  const verb = s.repulsive ? "repel" : "attract";
  const mask = s.causal ? ", each seeing those before it" : "";
  const noise = s.kappa ? `, with noise κ = ${s.kappa}` : "";
  return `${s.n} tokens on the ${where} ${verb} each other by ${how} at β = ${s.beta}${mask}${noise}.`;
}
