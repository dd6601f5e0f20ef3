// What is measured of a run, beside the stage: cosines, clusters and merges, and the energy, the world lines on the circle
// or the map of a density. Each is drawn once; a line over it says when.
import { colours, hueColour } from "./canvas.js";
import { clamp, counted, countTicks, decade, decadeTicks, number, roundTicks } from "./format.js";
import { clusterCount } from "./measures.js";
import { Plot } from "./plot.js";
import { gammaAt } from "./theory.js";

const WORLD_LINES = 128; // tokens whose angles are drawn
const PI = Math.PI;
const ANGLES = [
  [-PI, "−π"],
  [0, "0"],
  [PI, "π"],
  [2 * PI, "2π"],
].map(([at, text]) => ({ at, text }));

/** The number of clusters of a frame at epsilon; of a density it is known. */
export const countOf = (frame, epsilon) => frame.count ?? clusterCount(frame.tree, epsilon);

export class Charts {
  constructor(part) {
    this.part = part;
    this.plots = {};
    for (const name of ["cosines", "clusters", "third", "merges"]) {
      this.plots[name] = new Plot(part(name), part(name).nextElementSibling);
    }
  }

  /** Moves the lines to a coordinate of the clock and, among merges, to a decade of time or out of sight. */
  setCursors(at, decadeOfTime) {
    for (const name of ["cosines", "clusters", "third"]) this.plots[name].setCursor(at);
    this.plots.merges.setCursor(decadeOfTime);
  }

  /** Draws all of a run; `coordinate` places its frames on the clock of the view. */
  draw(run, view, coordinate) {
    const { frames, merges, n } = run;
    const x = frames.map(coordinate);
    const [a, b] = [x[0], x.at(-1)];
    Object.assign(this, { run, x, coordinate });
    const axis = { x: [a, b], xticks: this.ticks(view.clock, a, b) };
    const yticks = [-1, 0, 1].map((at) => ({ at, text: number(at) }));
    this.plots.cosines.draw({ ...axis, y: [-1, 1], yticks, series: this.cosineSeries() });
    const top = Math.log2(n);
    const counts = frames.map((frame) => countOf(frame, view.epsilon));
    this.drawClusters(axis, top, counts);
    this.part("third").classList.toggle("map", !!run.density);
    if (run.density) this.drawMap(axis);
    else if (run.axes === 2) this.drawAngles(axis);
    else this.drawEnergy(axis);
    this.drawMerges(top);
    const [first, last] = [frames[0], frames.at(-1)];
    this.describe("cosines", `Mean cosine from ${first.mean.toFixed(2)} to ${last.mean.toFixed(2)}`);
    this.describe("clusters", `Clusters from ${counts[0]} to ${counts.at(-1)}`);
    const end = merges.length ? `, the last at t = ${number(merges.at(-1).time)}; all are in the table` : "";
    this.describe("merges", `${counted(merges.length, "merge")}${end}`);
  }

  describe(name, text, caption = "") {
    this.part(name).setAttribute("aria-label", text);
    if (caption) this.part(`${name}-caption`).textContent = caption;
  }

  /** Shows the figure of a plot, or hides it. */
  show(name, shown) {
    this.part(name).closest("figure").hidden = !shown;
    return shown;
  }

  ticks(clock, a, b) {
    const { run, x } = this;
    if (clock === "time") return roundTicks(a, b, 5);
    if (clock === "log") return decadeTicks(a, b, 6);
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

  cosineSeries() {
    const { run, x } = this;
    const { frames } = run;
    const P = colours();
    const quantile = (k) => frames.map((frame) => frame.quantiles[k]);
    const series = [{ x, y: frames.map((frame) => frame.mean), colour: P.accent }];
    let caption = "Mean cosine between two tokens";
    if (!run.density) {
      series.unshift(
        { x, band: [quantile(0), quantile(4)], colour: P.accent },
        { x, band: [quantile(1), quantile(3)], colour: P.accent },
      );
      caption = "Cosines between tokens: mean, middle 50% and 90%";
    }
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
    this.part("cosines-caption").textContent = caption;
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

  drawClusters(axis, top, counts) {
    const { run, x } = this;
    const P = colours();
    const dotted = !run.layers && !run.density;
    const followed = dotted ? run.frames.map((frame) => Math.log2(frame.followed)) : [];
    const series = [
      { x, y: followed, colour: P.muted, step: true, dash: [2, 3] },
      { x, y: counts.map(Math.log2), colour: P.accent, step: true },
    ];
    this.plots.clusters.draw({ ...axis, y: [0, top], yticks: countTicks(run.n), series });
    const said = dotted ? "; dotted: tokens that have not merged" : "";
    this.part("clusters-caption").textContent = `Clusters, log scale${said}`;
  }

  drawMap(axis) {
    const { density, frames } = this.run;
    const end = density.circle ? 2 * PI : PI;
    const series = [{ x: this.x, map: density, rows: frames.length }];
    this.plots.third.draw({
      ...axis,
      y: [0, end],
      yticks: ANGLES.filter(({ at }) => at >= 0 && at <= end),
      series,
    });
    const what = density.circle ? "angle" : "angle from the axis";
    const [least, most] = [density.least, density.most].map((v) => number(+v.toPrecision(2)));
    const text = `Density over time and ${what}, from ${least} to ${most} times the uniform one, log scale`;
    this.describe("third", text, text);
    this.show("third", true);
  }

  drawAngles(axis) {
    const { run, x, plots } = this;
    const series = [];
    for (let i = 0; i < Math.min(run.n, WORLD_LINES); i++) {
      const y = run.frames.map(({ places }) => Math.atan2(places[2 * i + 1], places[2 * i]));
      series.push({ x, y, colour: hueColour(run.hues[i]), width: 1, wrap: true });
    }
    plots.third.draw({ ...axis, y: [-PI, PI], yticks: ANGLES.slice(0, 3), series });
    const text = "Angles of the tokens: as many lines as clusters";
    this.describe("third", text, "Angles of the tokens: their world lines");
    this.show("third", true);
  }

  drawEnergy(axis) {
    const known = this.run.frames.filter((frame) => Number.isFinite(frame.logEnergy));
    if (!this.show("third", known.length > 0)) return;
    const y = known.map((frame) => frame.logEnergy);
    const [low, high] = [Math.min(...y), Math.max(...y)];
    const margin = (high - low) * 0.06 || 0.5;
    const range = [low - margin, high + margin];
    const series = [{ x: known.map(this.coordinate), y, colour: colours().accent }];
    this.plots.third.draw({ ...axis, y: range, yticks: roundTicks(...range, 3), series });
    this.describe("third", `The energy ${y.at(-1) < y[0] ? "falls" : "rises"}`, "log of the energy");
  }

  drawMerges(top) {
    const { run, plots } = this;
    const found = run.merges.filter((merge) => merge.time > 0);
    if (!this.show("merges", found.length > 0)) return;
    const x = found.map((merge) => Math.log10(merge.time));
    const low = Math.floor(Math.min(...x));
    const high = Math.max(low + 1, Math.ceil(Math.max(...x)));
    const y = found.map((merge) => Math.log2(merge.clusters));
    plots.merges.draw({
      x: [low, high],
      y: [-0.08 * top, 1.04 * top],
      xticks: decadeTicks(low, high, 6),
      yticks: countTicks(run.n),
      series: [{ x, y, colour: colours().accent, dots: true }],
    });
  }
}
