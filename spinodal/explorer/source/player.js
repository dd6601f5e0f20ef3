// The player: shows a run, frame by frame, on one of three clocks, with what is measured beside it. A page may hold
// several. A run is {frames, merges, n, axes, done, gamma, words, layers, overlay}; its frames may still grow.
import { colours, hueColour, repaint } from "./canvas.js";
import { clamp, counted, countTicks, decade, decadeTicks, number, roundTicks } from "./format.js";
import { clusterCount, clustersOf } from "./measures.js";
import { Plot } from "./plot.js";
import { Stage, startHues } from "./stage.js";
import { gammaAt } from "./theory.js";

const WORLD_LINES = 128; // tokens whose angles are drawn
const REDRAW = 250; // milliseconds between two drawings of plots while a run grows
const SILENCE = 4000; // milliseconds between two announcements while it plays
const PAN = 150; // pixels a radian
const RATES = { movement: 0.2, log: 0.8 }; // of the coordinate, a second
const SECONDS = 12; // that the clock of time takes for a run
const LAYER = 1.1; // layers a second

/** One hue a word, the same wherever it stands. */
const wordHue = (word) =>
  Math.round([...word.trim()].reduce((sum, c) => (31 * sum + c.codePointAt(0)) % 1e9, 7) * 137.5) % 360;

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export class Player {
  /** `onView` is called after a change of the view, which the page may keep. */
  constructor(root, { view, onView = () => {} }) {
    const part = (name) => root.querySelector(`[data-part=${name}]`);
    Object.assign(this, { root, part, view, onView, run: null, playing: false, partners: [] });
    Object.assign(this, { last: 0, dirty: true, drawn: "", drawnAt: -REDRAW, spokenAt: 0, pointer: null });
    this.stage = new Stage(part("tokens"));
    this.plots = {};
    for (const name of ["cosines", "clusters", "third", "merges"]) {
      this.plots[name] = new Plot(part(name), part(name).nextElementSibling);
    }
    this.times = { stage: [], plots: [] }; // milliseconds of the last frames, for measurements
    this.listen();
    const tick = (now) => {
      requestAnimationFrame(tick); // first: an error in one frame does not end the rest
      this.tick(now);
    };
    requestAnimationFrame(tick);
  }

  /** Shows a run from its beginning, or from where the view stands. */
  show(run) {
    this.run = run;
    this.here = null;
    this.cache = { key: "" };
    if (run.frames.length) this.prepare();
    this.drawn = "";
    this.refresh();
  }

  prepare() {
    const { run } = this;
    run.hues = startHues(run.frames[0].places, run.axes, run.n);
    this.stage.setSize(run.n, run.axes);
  }

  /** Says that the run has grown, or that the view has changed. */
  refresh() {
    if (this.run?.frames.length && !this.run.hues) this.prepare();
    this.showControls();
    this.dirty = true;
  }

  // ---- clocks ----

  /** The coordinate of a frame on the clock that plays. */
  coordinate(frame) {
    if (this.view.clock === "time") return frame.time;
    if (this.view.clock === "movement") return frame.moved;
    const least = this.run.frames[1]?.time || 1e-3;
    return Math.log10(Math.max(frame.time, Math.min(least, 1e-2) || 1e-2));
  }

  bounds() {
    const { frames } = this.run;
    return [this.coordinate(frames[0]), this.coordinate(frames.at(-1))];
  }

  /** The frame at a coordinate, and the fraction to the next. */
  located(u) {
    const { frames } = this.run;
    if (frames.length < 2) return [0, 0];
    let [low, high] = [0, frames.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.coordinate(frames[middle]) <= u) low = middle;
      else high = middle;
    }
    const [p, q] = [this.coordinate(frames[low]), this.coordinate(frames[low + 1])];
    return [low, q > p ? clamp((u - p) / (q - p), 0, 1) : 1];
  }

  /** The index of the frame that is shown. */
  get shown() {
    const [a, b] = this.bounds();
    const [k, fraction] = this.located(a + this.view.at * (b - a));
    return fraction > 0.5 ? Math.min(k + 1, this.run.frames.length - 1) : k;
  }

  setClock(clock) {
    this.here = null;
    const frame = this.run?.frames.length ? this.run.frames[this.shown] : null;
    this.view.clock = clock;
    if (frame) {
      const [a, b] = this.bounds();
      this.view.at = clamp((this.coordinate(frame) - a) / (b - a || 1), 0, 1);
    }
    this.lead();
    this.changed();
  }

  seek(at) {
    this.view.at = clamp(at, 0, 1);
    this.here = null;
    this.told = false;
    if (this.playing) this.setPlaying(false);
    this.lead();
    this.changed();
  }

  /** Takes its partners, other players on the same clock, to where it is. */
  lead() {
    const { at, clock } = this.view;
    for (const partner of this.partners) {
      Object.assign(partner.view, { at, clock });
      partner.here = null;
      if (partner.playing) partner.setPlaying(false);
      partner.refresh();
    }
  }

  setPlaying(on) {
    this.playing = on;
    this.here = null; // the coordinate while it plays: a run that grows moves the ends, not what is shown
    this.told = false;
    if (on && this.view.at >= 1) this.view.at = 0;
    this.part("play").textContent = on ? "Pause" : "Play";
    this.changed();
  }

  changed() {
    this.refresh();
    this.onView();
  }

  tick(now) {
    const seconds = Math.min(0.1, (now - this.last) / 1000);
    this.last = now;
    const { run, view } = this;
    if (this.playing && run?.frames.length > 1) {
      const [a, b] = this.bounds();
      const span = b - a || 1;
      const even = run.layers ? (LAYER * span) / (run.frames.length - 1) : span / SECONDS;
      const rate = (run.layers || view.clock === "time" ? even : RATES[view.clock]) * 2 ** view.speed;
      this.here = Math.min(b, (this.here ?? a + view.at * span) + rate * seconds);
      view.at = (this.here - a) / span;
      this.lead();
      if (view.at >= 1 && run.done) {
        this.setPlaying(false);
        this.speakEnd();
      }
      this.dirty = true;
      this.onView();
    }
    if (this.dirty && run?.frames.length) {
      this.dirty = false;
      this.paint(now);
    }
  }

  // ---- drawing ----

  clustersAt(k) {
    const key = `${k} ${this.view.epsilon} ${this.run.measured}`;
    if (this.cache.key !== key) {
      this.cache = { key, ...clustersOf(this.run.frames[k].tree, this.view.epsilon) };
    }
    return this.cache;
  }

  huesOf(clusters) {
    const { run, view } = this;
    if (view.colour === "word" && run.words) return run.words.map(wordHue);
    if (view.colour === "order") return run.hues.map((_, i) => Math.round((300 * i) / run.n));
    if (view.colour !== "cluster") return run.hues;
    return run.hues.map((_, i) =>
      clusters.size[i] > 1 ? Math.round((137.5 * clusters.first[i]) % 360) : null,
    );
  }

  paint(now) {
    const { run, view, part } = this;
    const { frames } = run;
    const [a, b] = this.bounds();
    const u = a + view.at * (b - a);
    const [k, fraction] = this.located(u);
    const frame = frames[k];
    const clusters = this.clustersAt(k);
    const began = performance.now();
    const { turn, tilt } = view;
    const { words } = run;
    this.stage.draw({
      frames,
      k,
      fraction,
      turn,
      tilt,
      hues: this.huesOf(clusters),
      clusters,
      words,
      pointer: this.pointer,
      even: run.layers,
    });
    const middle = performance.now();
    const key = [frames.length, run.measured, run.merges.length, run.done, view.clock, view.epsilon].join();
    if (key !== this.drawn) {
      if (run.done || now - this.drawnAt > REDRAW) {
        this.drawn = key;
        this.drawnAt = now;
        this.drawPlots(a, b);
      } else this.dirty = true;
    }
    for (const name of ["cosines", "clusters", "third"]) this.plots[name].setCursor(u);
    this.plots.merges.setCursor(run.merges.length && frame.time > 0 ? Math.log10(frame.time) : null);
    this.remember(middle - began, performance.now() - middle);
    const time = frame.time + fraction * ((frames[k + 1]?.time ?? frame.time) - frame.time);
    part("now").textContent = run.layers
      ? `layer ${Math.round(time)}`
      : `t = ${number(+time.toPrecision(4))}`;
    const count = clusterCount(frame.tree, view.epsilon);
    const mean = Number.isNaN(frame.mean) ? "not measured yet" : frame.mean.toFixed(4);
    const said = `${counted(count, "cluster")}; mean cosine ${mean}`;
    part("at").value = view.at;
    part("at").setAttribute(
      "aria-valuetext",
      `${run.layers ? "layer" : "time"} ${time.toPrecision(3)}, ${said}`,
    );
    if (!this.playing || now - this.spokenAt > SILENCE) {
      this.spokenAt = now;
      if (!this.told) this.say(said + (run.done ? "." : "; still running."));
    }
  }

  remember(stage, plots) {
    this.times.stage.push(stage);
    this.times.plots.push(plots);
    for (const list of Object.values(this.times)) if (list.length > 600) list.shift();
  }

  drawPlots(a, b) {
    const { run, part, plots, view } = this;
    const { frames, merges, n } = run;
    const P = colours();
    const x = frames.map((frame) => this.coordinate(frame));
    const axis = { x: [a, b], xticks: this.ticks(x, a, b) };
    const cosines = this.cosineSeries(x, P);
    const yticks = [-1, 0, 1].map((at) => ({ at, text: number(at) }));
    plots.cosines.draw({ ...axis, y: [-1, 1], yticks, series: cosines });
    const top = Math.log2(n);
    const counts = frames.map((frame) => Math.log2(clusterCount(frame.tree, view.epsilon)));
    const followed = frames.map((frame) => Math.log2(frame.followed));
    plots.clusters.draw({
      ...axis,
      y: [0, top],
      yticks: countTicks(n),
      series: [
        { x, y: run.layers ? [] : followed, colour: P.muted, step: true, dash: [2, 3] },
        { x, y: counts, colour: P.accent, step: true },
      ],
    });
    const dotted = run.layers ? "" : "; dotted: tokens that have not merged";
    part("clusters-caption").textContent = `Clusters, log scale${dotted}`;
    if (run.axes === 2) this.drawAngles(axis, x);
    else this.drawEnergy(axis, P);
    this.drawMerges(top, P);
    const describe = (name, text) => part(name).setAttribute("aria-label", text);
    const [first, last] = [frames[0], frames.at(-1)];
    describe("cosines", `Mean cosine from ${first.mean.toFixed(2)} to ${last.mean.toFixed(2)}`);
    describe("clusters", `Clusters from ${2 ** counts[0]} to ${2 ** counts.at(-1)}`);
    const end = merges.length ? `, the last at t = ${number(merges.at(-1).time)}; all are in the table` : "";
    describe("merges", `${counted(merges.length, "merge")}${end}`);
  }

  ticks(x, a, b) {
    const { run, view } = this;
    if (view.clock === "time") return roundTicks(a, b, 5);
    if (view.clock === "log") return decadeTicks(a, b, 6);
    if (run.layers) return x.map((at, k) => ({ at, text: String(run.frames[k].time) }));
    const ticks = []; // where each power of ten of time is passed
    let before = null;
    run.frames.forEach((frame, i) => {
      if (frame.time <= 0) return;
      const k = Math.floor(Math.log10(frame.time));
      if (before !== null && k > before) ticks.push({ at: x[i], text: `t=${decade(k)}` });
      before = k;
    });
    return ticks;
  }

  cosineSeries(x, P) {
    const { run, part } = this;
    const { frames } = run;
    const quantile = (k) => frames.map((frame) => frame.quantiles[k]);
    const series = [
      { x, band: [quantile(0), quantile(4)], colour: P.accent },
      { x, band: [quantile(1), quantile(3)], colour: P.accent },
      { x, y: frames.map((frame) => frame.mean), colour: P.accent },
    ];
    let caption = "Cosines between tokens: mean, middle 50% and 90%";
    if (run.gamma) {
      const y = gammaAt(
        run.gamma,
        frames.map((frame) => frame.time),
      );
      series.push({ x, y, colour: P.theory, dash: [5, 4] });
      caption += "; dashed: γ(t) of orthogonal tokens";
    }
    if (run.overlay) {
      const kept = run.overlay.filter(({ time }) => time <= frames.at(-1).time);
      const at = kept.map(({ time }) => this.interpolated(time));
      series.push({ x: at, y: kept.map(({ mean }) => mean), dots: true, colour: P.theory, width: 4 });
      caption += "; dots: the model’s next layers";
    }
    part("cosines-caption").textContent = caption;
    return series;
  }

  /** The coordinate of a time between frames. */
  interpolated(time) {
    const { frames } = this.run;
    let k = frames.findIndex((frame) => frame.time >= time);
    if (k <= 0) k = Math.max(k, frames.length > 1 ? 1 : 0);
    const [before, after] = [frames[Math.max(k - 1, 0)], frames[k]];
    const part = after.time > before.time ? (time - before.time) / (after.time - before.time) : 0;
    const [p, q] = [this.coordinate(before), this.coordinate(after)];
    return p + clamp(part, 0, 1) * (q - p);
  }

  drawAngles(axis, x) {
    const { run, part, plots } = this;
    const series = [];
    for (let i = 0; i < Math.min(run.n, WORLD_LINES); i++) {
      const y = run.frames.map(({ places }) => Math.atan2(places[2 * i + 1], places[2 * i]));
      series.push({ x, y, colour: hueColour(run.hues[i]), width: 1, wrap: true });
    }
    const yticks = [
      [-Math.PI, "−π"],
      [0, "0"],
      [Math.PI, "π"],
    ].map(([at, text]) => ({ at, text }));
    plots.third.draw({ ...axis, y: [-Math.PI, Math.PI], yticks, series });
    part("third-caption").textContent = "Angles of the tokens: their world lines";
    part("third").setAttribute("aria-label", "Angles of the tokens: as many lines as clusters");
    this.figure("third").hidden = false;
  }

  drawEnergy(axis, P) {
    const { run, part, plots } = this;
    const known = run.frames.filter((frame) => Number.isFinite(frame.logEnergy));
    this.figure("third").hidden = !known.length;
    if (!known.length) return;
    const y = known.map((frame) => frame.logEnergy);
    const [low, high] = [Math.min(...y), Math.max(...y)];
    const margin = (high - low) * 0.06 || 0.5;
    const range = [low - margin, high + margin];
    const x = known.map((frame) => this.coordinate(frame));
    plots.third.draw({
      ...axis,
      y: range,
      yticks: roundTicks(...range, 3),
      series: [{ x, y, colour: P.accent }],
    });
    part("third-caption").textContent = "log of the energy";
    part("third").setAttribute("aria-label", `The energy ${y.at(-1) < y[0] ? "falls" : "rises"}`);
  }

  drawMerges(top, P) {
    const { run, plots } = this;
    const found = run.merges.filter((merge) => merge.time > 0);
    this.figure("merges").hidden = !found.length;
    if (!found.length) return;
    const x = found.map((merge) => Math.log10(merge.time));
    const low = Math.floor(Math.min(...x));
    const high = Math.max(low + 1, Math.ceil(Math.max(...x)));
    const y = found.map((merge) => Math.log2(merge.clusters));
    plots.merges.draw({
      x: [low, high],
      y: [-0.08 * top, 1.04 * top],
      xticks: decadeTicks(low, high, 6),
      yticks: countTicks(run.n),
      series: [{ x, y, colour: P.accent, dots: true }],
    });
  }

  figure(name) {
    return this.part(name).closest("figure");
  }

  // ---- words ----

  /** Shows a sentence, which a screen reader reads; `keep` holds it until the next call. */
  say(text, keep = false) {
    this.told = keep;
    const said = this.part("said");
    if (said.textContent !== text) said.textContent = text;
  }

  speakEnd() {
    const { run, view } = this;
    const last = run.frames.at(-1);
    const where = run.layers ? `layer ${last.time}` : `t = ${number(last.time)}`;
    const clusters = counted(clusterCount(last.tree, view.epsilon), "cluster");
    this.say(
      `It ends with ${clusters} at ${where}, mean cosine ${last.mean.toFixed(3)}, ${counted(run.merges.length, "merge")}.`,
      true,
    );
  }

  showControls() {
    const { part, view, run } = this;
    part("speed").value = view.speed;
    part("speed").setAttribute("aria-valuetext", `${2 ** view.speed} times`);
    part("colour").querySelector("[value=word]").hidden = !run?.words;
    part("colour").value = view.colour;
    part("epsilon").value = Math.log10(view.epsilon);
    part("epsilon-text").textContent = +view.epsilon.toPrecision(3);
    part("epsilon").setAttribute("aria-valuetext", `cosine at least 1 minus ${+view.epsilon.toPrecision(3)}`);
    part("time-name").textContent = run?.layers ? "layer" : "time";
    for (const radio of part("clocks").querySelectorAll("input")) radio.checked = radio.value === view.clock;
  }

  // ---- hands ----

  listen() {
    const { part, view, root } = this;
    const name = `clock-${[...document.querySelectorAll("[data-part=clocks]")].indexOf(part("clocks"))}`;
    for (const radio of part("clocks").querySelectorAll("input")) {
      radio.name = name;
      radio.onchange = () => this.setClock(radio.value);
    }
    part("play").onclick = () => this.setPlaying(!this.playing);
    part("at").oninput = (event) => this.seek(Number(event.target.value));
    part("speed").oninput = (event) => {
      view.speed = Number(event.target.value);
      this.changed();
    };
    part("colour").onchange = (event) => {
      view.colour = event.target.value;
      this.changed();
    };
    part("epsilon").oninput = (event) => {
      view.epsilon = 10 ** Number(event.target.value);
      this.changed();
    };
    this.listenToStage();
    for (const key of ["cosines", "clusters", "third"]) {
      const seek = (event) => {
        if (event.buttons !== 1) return;
        const left = part(key).getBoundingClientRect().left;
        const [a, b] = this.bounds();
        this.seek((this.plots[key].coordinate(event.clientX - left) - a) / (b - a || 1));
      };
      part(key).onpointerdown = seek;
      part(key).onpointermove = seek;
    }
    new ResizeObserver(() => {
      this.drawn = "";
      this.dirty = true;
    }).observe(root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      repaint();
      this.drawn = "";
      this.dirty = true;
    });
  }

  turnBy(turn, tilt) {
    this.view.turn += turn;
    this.view.tilt = clamp(this.view.tilt + tilt, -1.5, 1.5);
    this.changed();
  }

  listenToStage() {
    const canvas = this.part("tokens");
    let held = null;
    canvas.onpointerdown = (event) => {
      held = [event.clientX, event.clientY];
      canvas.setPointerCapture(event.pointerId);
    };
    canvas.onpointerup = () => {
      held = null;
    };
    canvas.onpointercancel = canvas.onpointerup;
    canvas.onpointerleave = () => {
      this.pointer = null;
      this.dirty = true;
    };
    canvas.onpointermove = (event) => {
      const box = canvas.getBoundingClientRect();
      this.pointer = [event.clientX - box.left, event.clientY - box.top];
      this.dirty = true;
      if (!held) return;
      this.turnBy(-(event.clientX - held[0]) / PAN, (event.clientY - held[1]) / PAN);
      held = [event.clientX, event.clientY];
    };
    canvas.onkeydown = (event) => {
      const turns = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === " ") this.setPlaying(!this.playing);
      else if (event.key in turns) this.turnBy(...turns[event.key]);
      else return;
      event.preventDefault();
      event.stopPropagation();
    };
  }
}
