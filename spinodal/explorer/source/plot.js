// A plot: curves, bands and dots over one axis, and a line that says when. The line is an element of its own, so that
// curves are drawn once and not in every frame.
import { cleared, colours, shades } from "./canvas.js";

const [LEFT, BOTTOM, TOP, RIGHT] = [46, 20, 6, 10];

export class Plot {
  constructor(canvas, line) {
    Object.assign(this, { canvas, line, x0: 0, x1: 1, width: 0 });
  }

  /** Horizontal pixel of a coordinate. */
  pixel(v) {
    return LEFT + ((v - this.x0) / (this.x1 - this.x0 || 1)) * (this.width - LEFT - RIGHT);
  }

  /** The coordinate at a horizontal pixel. */
  coordinate(pixel) {
    return this.x0 + ((pixel - LEFT) / (this.width - LEFT - RIGHT)) * (this.x1 - this.x0);
  }

  /**
   * series: {x, y, colour}, with step, dash, width, or wrap (angles); {x, band: [low, high]}; {x, y, dots: true}; or
   * {x, map, rows}, a density with a row of codes at each x.
   * Ticks are {at, text}.
   */
  draw({ x: [x0, x1], y: [y0, y1], xticks, yticks, series }) {
    const [c, w, h] = cleared(this.canvas);
    Object.assign(this, { x0, x1, width: w });
    const py = (v) => h - BOTTOM - ((v - y0) / (y1 - y0 || 1)) * (h - BOTTOM - TOP);
    this.drawAxes(c, w, h, xticks, yticks, py);
    c.save();
    c.beginPath();
    c.rect(LEFT, 0, w - LEFT - RIGHT + 4, h - BOTTOM + 1);
    c.clip();
    for (const one of series) {
      const every = Math.max(1, Math.floor(one.x.length / (2 * w)));
      if (one.band) this.drawBand(c, one, every, py);
      else if (one.dots) this.drawDots(c, one, py);
      else if (one.map) this.drawMap(c, one, py(y0), py(y1));
      else this.drawCurve(c, one, every, py);
    }
    c.restore();
  }

  drawAxes(c, w, h, xticks, yticks, py) {
    const P = colours();
    c.font = `11px ${P.sans}`;
    c.fillStyle = P.muted;
    c.strokeStyle = P.rule;
    c.lineWidth = 1;
    c.textAlign = "right";
    c.textBaseline = "middle";
    for (const { at, text } of yticks) {
      c.beginPath();
      c.moveTo(LEFT, py(at));
      c.lineTo(w - RIGHT, py(at));
      c.stroke();
      c.fillText(text, LEFT - 5, py(at));
    }
    c.textAlign = "center";
    c.textBaseline = "top";
    let end = -Infinity;
    for (const { at, text } of xticks) {
      const x = this.pixel(at);
      const half = c.measureText(text).width / 2;
      if (x - half < end + 8 || x + half > w) continue;
      end = x + half;
      c.fillText(text, x, h - BOTTOM + 5);
      c.beginPath();
      c.moveTo(x, h - BOTTOM);
      c.lineTo(x, h - BOTTOM + 3);
      c.stroke();
    }
  }

  drawBand(c, { x, band: [low, high], colour }, every, py) {
    c.beginPath();
    for (let i = 0; i < x.length; i += every) c.lineTo(this.pixel(x[i]), py(high[i]));
    for (let i = x.length - 1; i >= 0; i -= every) c.lineTo(this.pixel(x[i]), py(low[i]));
    c.fillStyle = colour;
    c.globalAlpha = 0.22;
    c.fill();
    c.globalAlpha = 1;
  }

  /** A column of colours for each row, as wide as the time to the next. */
  drawMap(c, { x, map: { codes, columns }, rows }, bottom, top) {
    const image = new ImageData(rows, columns);
    const pixels = new Uint32Array(image.data.buffer);
    const shade = shades();
    for (let k = 0; k < rows; k++)
      for (let j = 0; j < columns; j++) pixels[(columns - 1 - j) * rows + k] = shade[codes[k * columns + j]];
    const sheet = new OffscreenCanvas(rows, columns);
    sheet.getContext("2d").putImageData(image, 0, 0);
    for (let k = 0; k < rows; k++) {
      const from = this.pixel(x[k]);
      const to = k + 1 < rows ? this.pixel(x[k + 1]) : from;
      c.drawImage(sheet, k, 0, 1, columns, from, top, to - from + 1, bottom - top);
    }
  }

  drawDots(c, { x, y, colour, width = 2.6 }, py) {
    c.fillStyle = colour;
    for (let i = 0; i < x.length; i++) {
      c.beginPath();
      c.arc(this.pixel(x[i]), py(y[i]), width, 0, 7);
      c.fill();
    }
  }

  drawCurve(c, { x, y, colour, step, dash, wrap, width = 1.8 }, every, py) {
    c.strokeStyle = colour;
    c.lineWidth = width;
    c.setLineDash(dash ?? []);
    c.beginPath();
    let before = NaN;
    for (let i = 0; i < x.length; i += every) {
      if (!Number.isFinite(y[i])) continue;
      const apart = Number.isNaN(before) || (wrap && Math.abs(y[i] - before) > Math.PI);
      if (!apart && step) c.lineTo(this.pixel(x[i]), py(before));
      if (apart) c.moveTo(this.pixel(x[i]), py(y[i]));
      else c.lineTo(this.pixel(x[i]), py(y[i]));
      before = y[i];
    }
    c.stroke();
    c.setLineDash([]);
  }

  /** Moves the line to a coordinate, or out of sight. */
  setCursor(at) {
    const seen = at !== null && this.width && at >= this.x0 && at <= this.x1;
    const x = seen ? this.pixel(at) : -9;
    this.line.style.transform = `translateX(${x.toFixed(1)}px)`;
  }
}
