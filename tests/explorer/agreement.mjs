// Reads cases as JSON on the standard input and writes what the explorer's modules make of each.
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { ALBERT } from "../../spinodal/explorer/source/albert.js";
import { npyOf } from "../../spinodal/explorer/source/archive.js";
import { makeField } from "../../spinodal/explorer/source/field.js";
import { Flow } from "../../spinodal/explorer/source/flow.js";
import { clusterCount, clustersOf, LEVELS, measure } from "../../spinodal/explorer/source/measures.js";
import { NoisyFlow } from "../../spinodal/explorer/source/noise.js";
import { normals, pcg64, philox } from "../../spinodal/explorer/source/random.js";
import { MOST, packedRecording, readRecording, startOf } from "../../spinodal/explorer/source/recorded.js";
import { row } from "../../spinodal/explorer/source/sphere.js";
import { startTokens } from "../../spinodal/explorer/source/starts.js";
import {
  commandOf,
  configOf,
  fair,
  MOVED,
  ORTHONORMAL_D,
  RANGES,
  stateOf,
} from "../../spinodal/explorer/source/state.js";
import { gammaAt, gammaCurve } from "../../spinodal/explorer/source/theory.js";
import { Run } from "../../spinodal/explorer/source/work.js";
import { followed } from "./followed.mjs";

const equal = (n) => new Float64Array(n).fill(1 / n);

/** A run of the worker to its end. */
function ran(config) {
  const run = new Run(config);
  const { frames, failed } = run.next(Infinity);
  return { frames, merges: run.flow.merges(), failed };
}

const asked = {
  limits: () => ({ RANGES, MOVED, ORTHONORMAL_D, MOST, LEVELS }),
  followed: (c) => followed({ Flow, makeField, startTokens }, c),
  start: (c) => [...startTokens(c)],
  normals: (c) => [...normals(c.philox ? philox(...c.philox) : pcg64(c.seed), c.count)],
  noisy(c) {
    const flow = new NoisyFlow(makeField(c), startTokens(c), equal(c.n), c.d, c);
    while (flow.steps < c.steps) flow.advance();
    return [...flow.x];
  },
  measured(c) {
    const found = measure(Float64Array.from(c.tokens), c.n, c.d);
    const clusters = c.epsilons.map((epsilon) => clusterCount(found.tree, epsilon));
    const firsts = c.epsilons.map((epsilon) => [...clustersOf(found.tree, epsilon).first]);
    return { mean: found.mean, quantiles: found.quantiles, clusters, firsts };
  },
  /** What is measured of a flow of which many tokens are captured, by owners and token by token. */
  captured(c) {
    const flow = new Flow(makeField(c), startTokens(c), equal(c.n), c.d);
    while (flow.clusters > c.clusters) {
      flow.advance();
      flow.settle();
    }
    const x = flow.expand(flow.x, flow.hi);
    return [flow.active.tree.owners(), null].map((owner) => {
      const { mean, quantiles, tree } = measure(x, c.n, c.d, owner);
      return { mean, quantiles, clusters: c.epsilons.map((epsilon) => clusterCount(tree, epsilon)) };
    });
  },
  /** The tokens of a model that are in the page, and their mean cosines. */
  model() {
    const { n, d, frames, directions, words, step, beta } = packedRecording(ALBERT);
    const means = frames.map((_, k) => measure(row(directions, k, n * d), n, d).mean);
    return { words, step, beta, means };
  },
  gamma: (c) => gammaAt(gammaCurve(c), c.times),
  /** The frames of the worker: times and movement, clusters followed, and the merges. */
  frames(c) {
    const { frames, ...found } = ran(c);
    return {
      frames: frames.map(({ time, moved, followed, mean }) => ({ time, moved, followed, mean })),
      ...found,
    };
  },
  /** The run at an address of the page, and its command. */
  addressed({ address }) {
    const state = stateOf(address);
    return { command: commandOf(state), merges: ran(configOf(state)).merges };
  },
  /** The flow from a layer of a recording: its start as a file, its command and its merges. */
  async started({ file, layer, beta }) {
    const recording = await readRecording([new File([readFileSync(file)], basename(file))]);
    const { n, d, tokens } = startOf(recording, layer, RANGES.n[1], RANGES.d[1]);
    const state = fair({ n, d, beta, start: "given" });
    const npy = Buffer.from(await npyOf(tokens, n, d).arrayBuffer()).toString("base64");
    const { merges } = ran(configOf(state, tokens));
    return { npy, command: commandOf(state, `layer-${layer}.npy`), merges };
  },
};

const cases = JSON.parse(readFileSync(0, "utf8"));
const bits = (_, value) => (typeof value === "number" && !Number.isFinite(value) ? String(value) : value);
const found = await Promise.all(cases.map((c) => asked[c.asked](c)));
console.log(JSON.stringify(found, bits));
