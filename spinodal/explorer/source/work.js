// The worker: runs a flow, or measures a recording, and sends what is to be seen in batches.
import { makeField } from "./field.js";
import { Flow } from "./flow.js";
import { measure } from "./measures.js";
import { NoisyFlow } from "./noise.js";
import { normals, pcg64 } from "./random.js";
import { normalise, row } from "./sphere.js";
import { startTokens } from "./starts.js";

const BATCH = 40; // milliseconds
const MOVE = 0.02; // movement between two frames: root of the mean square, over tokens
const MANY = 3000; // frames after which the movement between two is doubled
const WAIT = 1.5; // a longer time, as a multiple, has a frame of its own
const END = 1e300;

/** Three directions of R^d, the same for all runs, scaled so that a random token keeps its length. */
function shadowAxes(d) {
  const axes = normals(pcg64(0), 3 * d);
  for (let a = 0; a < 3; a++) {
    const mine = row(axes, a, d);
    for (let b = 0; b < a; b++) {
      const other = row(axes, b, d);
      const part = mine.reduce((sum, v, c) => sum + v * other[c], 0);
      for (let c = 0; c < d; c++) mine[c] -= part * other[c];
    }
    normalise(mine, d);
  }
  return axes.map((v) => v * Math.sqrt(d / 3));
}

/** Positions of tokens [n d] on the stage: themselves for d <= 3, else their shadow on three axes. */
function placesOf(tokens, n, d, shadow) {
  if (!shadow) return Float32Array.from(tokens);
  const places = new Float32Array(3 * n);
  for (let i = 0; i < n; i++) {
    for (let a = 0; a < 3; a++) {
      let sum = 0;
      for (let c = 0; c < d; c++) sum += shadow[a * d + c] * tokens[i * d + c];
      places[3 * i + a] = sum;
    }
  }
  return places;
}

/** A run of a configuration; `next(milliseconds)` works for that long and returns what is new. */
export class Run {
  constructor(config) {
    const { n, d } = config;
    const weights = new Float64Array(n).fill(1 / n);
    const field = makeField(config);
    const x = startTokens(config);
    Object.assign(this, { config, frames: [], kept: 0, known: -1, since: 0, moved: 0, spacing: MOVE });
    this.flow =
      config.kappa > 0 ? new NoisyFlow(field, x, weights, d, config) : new Flow(field, x, weights, d);
    this.limit = config.until > 0 ? config.until : Infinity;
    this.shadow = d > 3 ? shadowAxes(d) : null;
    this.last = { time: 0, moved: 0 };
    this.keep(0, 0, this.flow.expand(this.flow.x, 0), this.flow.logEnergy);
  }

  keep(time, moved, tokens, logEnergy) {
    const { n, d } = this.config;
    const places = placesOf(tokens, n, d, this.shadow);
    this.frames.push({
      time,
      moved,
      places,
      ...measure(tokens, n, d, this.flow.active?.tree.owners()),
      logEnergy,
      followed: this.flow.clusters,
    });
    this.last = { time, moved };
    this.kept++;
    if (this.kept % MANY === 0) this.spacing *= 2;
  }

  /** When to stop: the limit, or once one token is followed the time of the last merge. */
  get end() {
    const { flow } = this;
    if (!flow.active || flow.clusters > 1) return this.limit;
    return Math.min(this.limit, Math.max(flow.hi, flow.merges().at(-1)?.time ?? 0));
  }

  next(milliseconds = BATCH) {
    const stop = performance.now() + milliseconds;
    let done = false;
    let failed = "";
    try {
      do done = !this.step();
      while (!done && performance.now() < stop);
    } catch (error) {
      [done, failed] = [true, error.message];
    }
    const list = this.flow.merges();
    const merges = list.length === this.known ? null : list;
    this.known = list.length;
    const { frames, flow } = this;
    this.frames = [];
    return { frames, merges, done, failed, steps: flow.steps };
  }

  /** One step and its frames; false at the end. */
  step() {
    const { flow, end } = this;
    if (!(flow.hi < end)) return false;
    if (flow.resting && end === Infinity)
      throw new Error(`the tokens rest in ${flow.clusters} clusters: no consensus`);
    if (flow.hi > END) throw new Error(`no consensus before t = 1e300: ${flow.clusters} clusters are left`);
    flow.advance(Math.min(end, 1e305));
    const ds = flow.path / Math.sqrt(flow.clusters);
    const count = Math.min(50, Math.floor((this.since + ds) / this.spacing));
    for (let k = 1; k <= count; k++) {
      const theta = (k * this.spacing - this.since) / ds;
      if (!(theta > 0 && theta < 1)) continue;
      const time = Math.max(flow.timeInside(theta), this.last.time); // late times are rounded
      this.keep(time, this.moved + theta * ds, flow.inside(theta, time), NaN);
    }
    this.since = (this.since + ds) % this.spacing;
    this.moved += ds;
    const merged = flow.settle();
    const waited = flow.hi > WAIT * this.last.time;
    const further = this.moved - this.last.moved > this.spacing / 4;
    const fresh = flow.hi > this.last.time || this.moved > this.last.moved; // late times may not tell steps apart
    if (fresh && (merged || waited || further || flow.hi >= end)) {
      this.keep(flow.hi, this.moved, flow.expand(flow.x, flow.hi), flow.logEnergy);
    }
    return true;
  }
}

/** Measures the layers of a recording, one a batch. */
function* measuredLayers({ tokens, layers, n, d }) {
  for (let t = 0; t < layers; t++) yield { layer: t, ...measure(row(tokens, t, n * d), n, d) };
}

let generation = 0;

function answer({ id, config, recording }) {
  const mine = ++generation;
  const post = (message) => self.postMessage({ id, ...message });
  const soon = (work) => setTimeout(() => mine === generation && work(), 0);
  if (recording) {
    const layers = measuredLayers(recording);
    const go = () => {
      const { value, done } = layers.next();
      post(done ? { done } : { measured: value, done });
      if (!done) soon(go);
    };
    go();
    return;
  }
  const run = new Run(config);
  let spent = 0;
  const go = () => {
    const began = performance.now();
    const found = run.next(run.kept < 2 ? 5 : BATCH);
    spent += performance.now() - began;
    post({ ...found, spent });
    if (!found.done) soon(go);
  };
  go();
}

if (typeof WorkerGlobalScope !== "undefined") {
  self.onmessage = ({ data }) => {
    try {
      answer(data);
    } catch (error) {
      self.postMessage({ id: data.id, done: true, failed: error.message });
    }
  };
}
