// The player: shows a run, frame by frame, on one of three clocks, with what is measured beside it. A page may hold
// several. A run is {frames, merges, n, axes, done, gamma, words, layers, overlay}; its frames may still grow. That of a
// density has `density` in the place of tokens.
import { Charts, countOf } from "./charts.js";
import { clamp, counted, number } from "./format.js";
import { listen } from "./hands.js";
import { clustersOf } from "./measures.js";
import { Stage, startHues } from "./stage.js";

const REDRAW = 250; // milliseconds between two drawings of plots while a run grows
const SILENCE = 4000; // milliseconds between two announcements while it plays
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
    this.charts = new Charts(part);
    this.times = { stage: [], plots: [] }; // milliseconds of the last frames, for measurements
    listen(this);
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
    run.hues = run.density ? [] : startHues(run.frames[0].places, run.axes, run.n);
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
      const steady = run.layers || run.density || view.clock === "time";
      const rate = (steady ? even : RATES[view.clock]) * 2 ** view.speed;
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
    const began = performance.now();
    this.drawStage(k, fraction);
    const middle = performance.now();
    const key = [frames.length, run.measured, run.merges.length, run.done, view.clock, view.epsilon].join();
    if (key !== this.drawn) {
      if (run.done || now - this.drawnAt > REDRAW) {
        this.drawn = key;
        this.drawnAt = now;
        this.charts.draw(run, view, (one) => this.coordinate(one));
      } else this.dirty = true;
    }
    this.charts.setCursors(u, run.merges.length && frame.time > 0 ? Math.log10(frame.time) : null);
    this.remember(middle - began, performance.now() - middle);
    const time = frame.time + fraction * ((frames[k + 1]?.time ?? frame.time) - frame.time);
    part("now").textContent = run.layers
      ? `layer ${Math.round(time)}`
      : `t = ${number(+time.toPrecision(4))}`;
    const count = countOf(frame, view.epsilon);
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

  drawStage(k, fraction) {
    const { run, view } = this;
    const { frames, words } = run;
    if (run.density) {
      this.stage.drawDensity(run.density, k, fraction);
      return;
    }
    const clusters = this.clustersAt(k);
    this.stage.draw({
      frames,
      k,
      fraction,
      turn: view.turn,
      tilt: view.tilt,
      hues: this.huesOf(clusters),
      clusters,
      words,
      pointer: this.pointer,
      even: run.layers,
    });
  }

  remember(stage, plots) {
    this.times.stage.push(stage);
    this.times.plots.push(plots);
    for (const list of Object.values(this.times)) if (list.length > 600) list.shift();
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
    const clusters = counted(countOf(last, view.epsilon), "cluster");
    const merges = run.density ? "" : `, ${counted(run.merges.length, "merge")}`;
    this.say(`It ends with ${clusters} at ${where}, mean cosine ${last.mean.toFixed(3)}${merges}.`, true);
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
    for (const name of ["colour", "epsilon"]) part(name).closest("label").hidden = !!run?.density;
    part("time-name").textContent = run?.layers ? "layer" : "time";
    for (const radio of part("clocks").querySelectorAll("input")) radio.checked = radio.value === view.clock;
  }

  /** Draws the plots again, for a page of another size or colour. */
  redraw() {
    this.drawn = "";
    this.dirty = true;
  }

  /** Where on the stage a pointer is, null where there is none. */
  pointTo(place) {
    this.pointer = place;
    this.dirty = true;
  }

  turnBy(turn, tilt) {
    this.view.turn += turn;
    this.view.tilt = clamp(this.view.tilt + tilt, -1.5, 1.5);
    this.changed();
  }
}
