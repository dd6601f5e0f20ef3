// The page: settings and their address, a worker that runs, recordings, and the player that shows what comes of it.
import { ALBERT } from "./albert.js";
import { npyOf } from "./archive.js";
import { clamp, number } from "./format.js";
import { FRONT } from "./front.js";
import { calm, Player } from "./player.js";
import { embeddedRecording, packedRecording, readRecording, startOf } from "./recorded.js";
import {
  commandOf,
  configOf,
  DEFAULTS,
  endOf,
  fair,
  hashOf,
  RANGES,
  STORIES,
  sentenceOf,
  stateOf,
  VIEW,
} from "./state.js";
import { tableOf } from "./table.js";
import { gammaCurve } from "./theory.js";

const LATER = 200; // milliseconds after which a change is written into the address
const NUMBERS = ["n", "d", "beta", "seed", "kappa", "until"];
const $ = (id) => document.getElementById(id);
const state = stateOf(location.hash);
let front = "beta";
let story = "";
let recording = null; // what was opened, and stays open while a flow runs from it
let given = null; // the start of that flow
let worker = null;
let id = 0;
let writing = 0;
const run = { current: null };
const player = new Player($("player"), { view: state, onView: writeSoon });

function writeSoon() {
  clearTimeout(writing);
  writing = setTimeout(() => history.replaceState(null, "", hashOf(state)), LATER);
}

// ---- runs ----

function ask(message) {
  if (!worker) {
    const source = new Blob([$("core").textContent], { type: "text/javascript" });
    worker = new Worker(URL.createObjectURL(source));
    worker.onmessage = ({ data }) => received(data);
  }
  id++;
  worker.postMessage({ id, ...message });
}

/** Begins the run of the present settings. */
function start() {
  Object.assign(state, fair(state));
  if (state.start === "given" && !given) state.start = "uniform";
  if (state.start === "given") Object.assign(state, { n: given.n, d: given.d });
  else given = null;
  const { n, d, beta, field: kind } = state;
  const plain = !state.repulsive && !state.causal && !state.kappa;
  const gamma = plain ? gammaCurve({ kind, n, beta }) : null;
  const overlay = given ? nextLayers() : null;
  show({
    frames: [],
    merges: [],
    n,
    axes: Math.min(d, 3),
    done: false,
    layers: false,
    gamma,
    overlay,
    words: given?.words,
  });
  run.current.began = performance.now();
  ask({ config: configOf(state, given?.tokens) });
}

function show(next) {
  run.current = next;
  player.told = false;
  player.show(next);
  describe();
  fillTable();
}

function received(message) {
  const now = run.current;
  if (message.id !== id) return;
  if (message.measured) {
    Object.assign(now.frames[message.measured.layer], message.measured);
    now.measured = message.measured.layer + 1;
  }
  if (message.frames) {
    if (!now.frames.length) now.first = performance.now() - now.began;
    now.frames.push(...message.frames);
    if (message.merges) now.merges = message.merges;
    Object.assign(now, { done: message.done, steps: message.steps, spent: message.spent });
  }
  player.refresh();
  if (!message.done) return;
  now.done = now.whole = true;
  fillTable();
  if (message.failed) player.say(`The run ended: ${message.failed}.`, true);
  else if (!player.playing && !recording) player.speakEnd();
}

function fillTable() {
  const { merges } = run.current;
  $("table").querySelector("div").replaceChildren(tableOf(merges));
  $("table").hidden = !merges.length;
}

// ---- recordings ----

async function open(files) {
  try {
    showRecording(await readRecording(files));
  } catch (error) {
    player.say(error.message, true);
  }
}

function showRecording(next) {
  recording = next;
  given = null;
  state.at = 0;
  if (next.layers) state.clock = "time";
  $("step").value = +Number(next.step).toPrecision(3);
  if (next.beta !== undefined) state.beta = clamp(+Number(next.beta).toPrecision(4), 0, 100);
  story = "";
  show(next);
  if (next.measured === next.frames.length) {
    next.whole = true;
    id++; // what a run before still sends is for nobody
    return;
  }
  next.measured = 0;
  ask({ recording: { tokens: next.directions, layers: next.frames.length, n: next.n, d: next.d } });
}

/** The mean cosines of the layers after the one from which a flow started, at the times that they would take. */
function nextLayers() {
  const step = Number($("step").value) || 1;
  const { frames, layers } = recording;
  const from = frames[given.layer].time;
  const later = frames.slice(given.layer).filter((frame) => Number.isFinite(frame.mean));
  return later.map(({ time, mean }) => ({ time: (time - from) * (layers ? step : 1), mean }));
}

function startFromLayer() {
  const layer = player.shown;
  given = { layer, ...startOf(recording, layer, RANGES.n[1], RANGES.d[1]), words: recording.words };
  if (given.n < recording.n) given.words = null;
  Object.assign(state, { start: "given", causal: 0, repulsive: 0, kappa: 0, at: 0, clock: "movement" });
  start();
  const part =
    given.kept < 0.999 ? `; ${given.d} axes keep ${(100 * given.kept).toFixed(1)}% of their squares` : "";
  const some = given.n < recording.n ? `, the first ${given.n}` : "";
  story = `The flow from ${recording.layers ? "layer" : "t ="} ${number(recording.frames[layer].time)} of ${recording.title}${some}${part}.`;
  describe();
  if (!calm()) player.setPlaying(true);
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(npyOf(given.tokens, given.n, given.d));
  link.download = fileOfStart();
  link.click();
}

const fileOfStart = () => (given ? `layer-${given.layer}.npy` : "start.npy");

// ---- words and settings ----

function describe() {
  const playing = run.current === recording;
  $("what").textContent = story || (playing ? recordedSentence() : sentenceOf(state));
  $("facts").hidden = !(playing && recording.sentences.length);
  if (playing) $("facts").textContent = recording.sentences.join(" ");
  player.part("tokens").setAttribute("aria-label", `${$("what").textContent} Arrow keys turn it.`);
  $("command").textContent = playing
    ? (recording.command ?? (recording.density ? "" : "Start the flow from a layer to have its command."))
    : commandOf(state, fileOfStart());
  for (const name of ["command", "copy"]) $(name).hidden = !$("command").textContent;
  $("recorded").hidden = !recording;
  $("flow").hidden = !playing || !!recording.density;
  $("flow").textContent = `Start the flow from this ${recording?.layers ? "layer" : "time"}`;
  $("rerun").hidden = !playing || !recording.settings;
  $("back").hidden = playing;
  $("save").hidden = playing || !given;
  $("step").parentElement.hidden = !recording?.layers;
  $("start").querySelector("[value=given]").hidden = !given;
  for (const key of ["field", "start"]) $(key).value = state[key];
  for (const key of NUMBERS)
    $(key).value = (key === "kappa" || key === "until") && !state[key] ? "" : state[key];
  $("until").placeholder = endOf(state) || "consensus";
  for (const key of ["causal", "repulsive"]) $(key).checked = !!state[key];
  for (const button of $("stories").children)
    button.setAttribute("aria-pressed", button.dataset.story === story);
  showFront();
  writeSoon();
}

function recordedSentence() {
  const { title, n, d, density } = recording;
  if (density) return `${title}: its height over the inner circle, and its map over time and angle.`;
  const how = d > 3 ? "their directions in three main axes, centred and scaled" : "as they were recorded";
  return `${title}: ${n} tokens, ${how}.`;
}

function showFront() {
  const { name, min, max, step, position } = FRONT[front];
  $("front-name").textContent = name;
  Object.assign($("front"), { min, max, step });
  $("front").value = position(state[front]);
  $("front-value").textContent = state[front];
  $("front").setAttribute("aria-valuetext", `${name} ${state[front]}`);
  $("front").parentElement.hidden = run.current === recording;
}

/** A setting by hand: the run begins again, from where it plays. */
function set(key, value) {
  state[key] = value;
  story = given && key === "beta" ? story : "";
  if (player.playing) state.at = 0;
  start();
}

async function copy() {
  const text = $("command").textContent;
  try {
    await navigator.clipboard.writeText(text);
    player.say(`Copied: ${text}`, true);
  } catch {
    getSelection().selectAllChildren($("command"));
    player.say("The command is selected: the browser does not let this page copy it.", true);
  }
}

for (const [name, values, sentence, parameter] of STORIES) {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", textContent: name });
  button.dataset.story = sentence;
  button.onclick = () => {
    if (!values) {
      showRecording(packedRecording(ALBERT));
      story = sentence;
      describe();
      if (!calm()) player.setPlaying(true);
      return;
    }
    const view = Object.fromEntries(VIEW.map((key) => [key, state[key]]));
    Object.assign(state, DEFAULTS, view, values, { at: 0 });
    [front, story, recording] = [parameter, sentence, null];
    start();
    if (!calm()) player.setPlaying(true);
  };
  $("stories").append(button);
}

$("front").oninput = (event) => {
  const told = story;
  set(front, FRONT[front].value(Number(event.target.value)));
  story = told; // a story goes on while its parameter is moved
  describe();
};
for (const key of ["field", "start"]) $(key).onchange = (event) => set(key, event.target.value);
for (const key of NUMBERS) [$(key).min, $(key).max] = RANGES[key];
for (const key of NUMBERS) $(key).onchange = (event) => set(key, Number(event.target.value));
for (const key of ["causal", "repulsive"])
  $(key).onchange = (event) => set(key, Number(event.target.checked));
$("settings").onsubmit = (event) => event.preventDefault();
$("skip").onclick = (event) => {
  event.preventDefault(); // the address keeps the state, not a place in the page
  $("settings").focus();
};
$("copy").onclick = copy;
$("open").onclick = () => $("file").click();
$("file").onchange = (event) => open([...event.target.files]);
$("flow").onclick = startFromLayer;
$("rerun").onclick = () => {
  Object.assign(state, fair({ ...state, ...recording.settings }), { at: 0 });
  start();
};
$("back").onclick = () => showRecording(recording);
$("save").onclick = save;
$("step").onchange = () => {
  if (!given) return;
  run.current.overlay = nextLayers();
  player.show(run.current);
};

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", () => document.body.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  open([...event.dataTransfer.files]);
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { target, key } = event;
  if (
    key === " " &&
    !target.matches("button, select, summary, [type=checkbox], [type=radio], [type=number]")
  ) {
    event.preventDefault();
    player.setPlaying(!player.playing);
  } else if (!target.matches("input, select, button, summary, a")) {
    if (key === "ArrowLeft" || key === "ArrowRight") {
      event.preventDefault();
      player.seek(state.at + (key === "ArrowLeft" ? -0.01 : 0.01));
    } else if (key === "r") set("seed", (state.seed + 1) % 2 ** 32);
    else if (key === "c") copy();
  }
});
addEventListener("hashchange", () => {
  Object.assign(state, stateOf(location.hash));
  [recording, story, front] = [null, "", "beta"];
  start();
});

// what tests and measurements ask
window.explorer = {
  state,
  player,
  run,
  id: () => id,
  stop() {
    worker.terminate();
    worker = null;
  },
};

const embedded = JSON.parse($("embedded").textContent);
if (embedded?.settings && location.hash.length < 2)
  Object.assign(state, fair({ ...state, ...embedded.settings }));
if (embedded) {
  const { at, clock } = state;
  showRecording(embeddedRecording(embedded));
  if (location.hash.length > 1) Object.assign(state, { at, clock });
} else start();
if (!calm() && !location.hash.includes("at=")) player.setPlaying(true);
