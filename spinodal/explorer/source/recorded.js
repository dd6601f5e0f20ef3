// A recording: tokens that a model or a simulation left, layer by layer or time by time, as frames to be played.
import { readNpz, readSafetensors } from "./archive.js";
import { LEVELS } from "./measures.js";
import { normalise, row } from "./sphere.js";

export const MOST = 2048; // tokens
const FEWEST_ROWS = 3000; // tokens from which axes are found
const TURNS = 40; // of the power iteration

/**
 * The recording in files that were dropped or chosen: trajectory.safetensors or trajectory.npz, and beside it
 * observe.json or run.json for its words and settings.
 */
export async function readRecording(files) {
  let arrays = null;
  let record = {};
  let title = "";
  for (const file of files) {
    if (file.name.endsWith(".safetensors") || file.name.endsWith(".npz")) {
      const read = file.name.endsWith(".npz") ? readNpz : readSafetensors;
      try {
        arrays = await read(await file.arrayBuffer());
      } catch (error) {
        throw new Error(`${file.name}: ${error.message}`);
      }
      title = file.name;
    } else if (file.name.endsWith(".json")) {
      try {
        record = JSON.parse(await file.text());
      } catch {
        throw new Error(`${file.name}: This is no JSON, or it is damaged.`);
      }
    } else {
      throw new Error(
        `${file.name}: Recordings end in .safetensors or .npz, with observe.json for the words.`,
      );
    }
  }
  if (!arrays) throw new Error("There is no trajectory.safetensors or trajectory.npz among the files.");
  return recordingOf({
    ...sequenceOf(arrays, title),
    title: record.model ?? title,
    ...toldBy(record),
    arrays,
  });
}

/** Tokens [t n d] of the first sequence, without padding, and their times. */
function sequenceOf(arrays, title) {
  const found = arrays.tokens ?? Object.values(arrays).find((array) => array.shape.length > 2);
  if (!found || found.shape.length < 3 || found.shape.length > 4) {
    throw new Error(`${title}: There is no array \`tokens\` of layers x tokens x d in it.`);
  }
  const [t, b, all, d] =
    found.shape.length === 4 ? found.shape : [found.shape[0], 1, ...found.shape.slice(1)];
  const here = [...Array(all).keys()].filter((i) => !arrays.valid || arrays.valid.data[i]);
  const n = here.length;
  if (n < 2 || n > MOST) throw new Error(`${title}: It has ${n} tokens; from 2 to ${MOST} can be shown.`);
  const tokens = new Float32Array(t * n * d);
  for (let k = 0; k < t; k++)
    here.forEach((i, to) => tokens.set(row(found.data, k * b * all + i, d), (k * n + to) * d));
  if (!tokens.every(Number.isFinite)) throw new Error(`${title}: Some of its numbers are not finite.`);
  const times = arrays.times ? Array.from(arrays.times.data, Number) : [...Array(t).keys()];
  if (times.length !== t) throw new Error(`${title}: It has ${times.length} times for ${t} layers.`);
  return { n, d, times, tokens };
}

/** What a record beside a trajectory tells. */
function toldBy(record) {
  const words = record.shown?.words ?? null;
  const layers = record.model === undefined ? undefined : true;
  return {
    words,
    layers,
    step: record.clock?.step_at_beta,
    beta: record.beta,
    sentences: record.summary ?? [],
  };
}

function mergesOf({ merge_time: time, merge_clusters: clusters, merge_first: first, merge_second: second }) {
  if (!time || !clusters || !first || !second) return [];
  return Array.from(time.data, (t, k) => ({
    time: t,
    clusters: clusters.data[k],
    tokens: [first.data[k], second.data[k]],
  }));
}

/** A recording as the player takes it; `told` has n, d, times, tokens [t n d], title, and what else is known. */
export function recordingOf(told) {
  const { n, d, times, tokens, words } = told;
  const layers = told.layers ?? times.every((time, k) => time === k);
  const directions =
    tokens &&
    normalise(
      Float32Array.from(tokens, (v) => (v === 0 ? 1e-30 : v)),
      d,
    );
  const places = told.places ?? placesOf(directions, d);
  const axes = Math.min(d, 3);
  let moved = 0;
  const frames = times.map((time, t) => {
    if (told.moved) moved = told.moved[t];
    else if (t > 0) moved += movement(row(directions, t - 1, n * d), row(directions, t, n * d), n);
    return { ...unmeasured(n), time, moved, places: row(places, t, n * axes), logEnergy: NaN, followed: n };
  });
  const merges = told.merges ?? mergesOf(told.arrays ?? {});
  for (const frame of frames) frame.followed = n - merges.filter((merge) => merge.time <= frame.time).length;
  return {
    n,
    d,
    axes,
    frames,
    merges,
    directions,
    layers,
    done: true,
    gamma: null,
    title: told.title,
    words: words?.length === n ? words : null,
    step: told.step ?? 1,
    beta: told.beta,
    sentences: told.sentences ?? [],
    settings: told.settings ?? null,
    command: told.command,
  };
}

const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;

const floatsOf = (text) => text && new Float32Array(bytesOf(text));

/**
 * The recording that the library wrote into a page: tokens, or their `places` on the stage alone; arrays are base64 of
 * single precision.
 */
export function embeddedRecording(told) {
  if (told.codes) return densityOf(told);
  const recording = recordingOf({
    ...told,
    tokens: floatsOf(told.tokens),
    places: floatsOf(told.places),
  });
  told.measures.forEach(({ mean, quantiles, a, b, q }, k) => {
    const tree = {
      a: new Uint16Array(bytesOf(a)),
      b: new Uint16Array(bytesOf(b)),
      q: new Float32Array(bytesOf(q)),
    };
    Object.assign(recording.frames[k], { mean, quantiles, tree });
  });
  recording.measured = recording.frames.length;
  return recording;
}

/** A recording whose tokens are bytes, as the page has one; cosines are measured of these. */
export function packedRecording({ bytes, ...told }) {
  return recordingOf({ ...told, tokens: new Int8Array(bytesOf(bytes)) });
}

/** The run of a density as `spinodal explore` wrote it: at each time a row of codes, log of density over uniform. */
export function densityOf({ times, moved, means, clusters, codes, columns, circle, least, most, ...told }) {
  const quantiles = LEVELS.map(() => NaN);
  const frames = times.map((time, k) => {
    const [mean, count] = [means[k], clusters[k]];
    return { time, moved: moved[k], mean, count, quantiles, logEnergy: NaN };
  });
  return {
    ...told,
    step: 1,
    n: Math.max(2, ...clusters),
    axes: 2,
    frames,
    merges: [],
    done: true,
    measured: frames.length,
    density: { codes: new Uint8Array(bytesOf(codes)), columns, circle, least, most },
  };
}

/** In the place of measures that are not there yet: every token alone. */
function unmeasured(n) {
  const nobody = new Uint16Array(n - 1);
  const tree = { a: nobody, b: nobody, q: new Float32Array(n - 1).fill(Infinity) };
  return { mean: NaN, quantiles: LEVELS.map(() => NaN), tree };
}

/** Root of the mean square, over tokens, of the way from one frame to the next. */
function movement(a, b, n) {
  let square = 0;
  for (let i = 0; i < a.length; i++) square += (a[i] - b[i]) ** 2;
  return Math.sqrt(square / n);
}

/** Directions [t n d] in their three main axes, less their mean and scaled to fill the stage; for d <= 3 themselves. */
function placesOf(directions, d) {
  if (d <= 3) return directions;
  const rows = directions.length / d;
  const every = Math.max(1, Math.floor(rows / FEWEST_ROWS));
  const mean = new Float64Array(d);
  for (let r = 0; r < rows; r++) for (let c = 0; c < d; c++) mean[c] += directions[r * d + c] / rows;
  const axes = mainAxes(directions, mean, d, every);
  const places = new Float32Array(3 * rows);
  const length = new Float64Array(rows);
  for (let r = 0; r < rows; r++) {
    axes.forEach((axis, a) => {
      let sum = 0;
      for (let c = 0; c < d; c++) sum += axis[c] * (directions[r * d + c] - mean[c]);
      places[3 * r + a] = sum;
    });
    length[r] = Math.hypot(...row(places, r, 3));
  }
  const scale = 1 / (length.toSorted()[Math.floor(0.98 * (rows - 1))] || 1);
  return places.map((v) => v * scale);
}

/** Three directions of most spread, by power iteration on the covariance. */
function mainAxes(x, mean, d, every) {
  const axes = [];
  for (let a = 0; a < 3; a++) {
    let axis = Float64Array.from({ length: d }, (_, c) => Math.sin(1 + c * (a + 1.7)));
    for (let turn = 0; turn < TURNS; turn++) {
      const next = new Float64Array(d);
      for (let o = 0; o < x.length; o += every * d) {
        let along = 0;
        for (let c = 0; c < d; c++) along += (x[o + c] - mean[c]) * axis[c];
        for (let c = 0; c < d; c++) next[c] += along * (x[o + c] - mean[c]);
      }
      for (const other of axes) {
        const part = next.reduce((sum, v, c) => sum + v * other[c], 0);
        for (let c = 0; c < d; c++) next[c] -= part * other[c];
      }
      const length = Math.sqrt(next.reduce((sum, v) => sum + v * v, 0));
      if (!(length > 0)) break;
      axis = next.map((v) => v / length);
    }
    axes.push(axis);
  }
  return axes;
}

/**
 * Unit vectors [n r] of at most `most` tokens of one layer, from which a flow starts: coordinates in the span of the
 * tokens, or in `widest` main axes where that has more dimensions; `kept` is the share of the squares that they keep.
 */
export function startOf(recording, layer, most, widest) {
  const n = Math.min(recording.n, most);
  const { d } = recording;
  const x = Float64Array.from(row(recording.directions, layer, recording.n * d).subarray(0, n * d));
  normalise(x, d);
  if (d <= widest) return { n, d, tokens: x, kept: 1 };
  const { tokens, r } = spanCoordinates(x, n, d, widest);
  const kept = tokens.reduce((sum, v) => sum + v * v, 0) / n;
  return { n, d: r, tokens: normalise(tokens, r), kept };
}

/** Pivoted Gram-Schmidt: coordinates of x [n d] along at most `widest` of its own directions. */
function spanCoordinates(x, n, d, widest) {
  const rest = x.slice();
  const r = Math.min(n, widest);
  const tokens = new Float64Array(n * r);
  for (let a = 0; a < r; a++) {
    const square = (i) => row(rest, i, d).reduce((sum, v) => sum + v * v, 0);
    let pivot = 0;
    for (let i = 1, top = square(0); i < n; i++) {
      const mine = square(i);
      if (mine > top) [pivot, top] = [i, mine];
    }
    const axis = row(rest, pivot, d).slice();
    const length = Math.sqrt(square(pivot));
    if (length < 1e-9) break;
    for (let c = 0; c < d; c++) axis[c] /= length;
    for (let i = 0; i < n; i++) {
      const part = row(rest, i, d).reduce((sum, v, c) => sum + v * axis[c], 0);
      tokens[i * r + a] = part;
      for (let c = 0; c < d; c++) rest[i * d + c] -= part * axis[c];
    }
  }
  return { tokens, r };
}
