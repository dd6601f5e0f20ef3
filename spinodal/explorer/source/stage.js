// The tokens: on the circle, on the sphere seen from a side, or in three axes of a recording.
import { cleared, colours, hueColour } from "./canvas.js";

const LABELLED = 48; // tokens up to which all words are shown
const TRAILS = 128; // tokens up to which the way of each is shown
const TRAIL = 60; // frames
const NEAR = 12; // pixels within which a pointer is at a token

/** Positions [3 n] on the screen, depth last, at a fraction between two frames. */
function fillProjected(a, b, fraction, { axes, n, turn, tilt }, out) {
  const [ct, st, cl, sl] = [Math.cos(turn), Math.sin(turn), Math.cos(tilt), Math.sin(tilt)];
  for (let i = 0; i < n; i++) {
    const o = i * axes;
    const x = a[o] + fraction * (b[o] - a[o]);
    const y = a[o + 1] + fraction * (b[o + 1] - a[o + 1]);
    if (axes === 2) {
      out[3 * i] = x;
      out[3 * i + 1] = y;
      out[3 * i + 2] = 0;
      continue;
    }
    const z = a[o + 2] + fraction * (b[o + 2] - a[o + 2]);
    const u = ct * x + st * y;
    out[3 * i] = ct * y - st * x;
    out[3 * i + 1] = cl * z - sl * u;
    out[3 * i + 2] = sl * z + cl * u;
  }
}

/** A hue for each token, from its direction in a frame. */
export function startHues(places, axes, n) {
  return Array.from({ length: n }, (_, i) => {
    const angle = (Math.atan2(places[i * axes + 1], places[i * axes]) * 180) / Math.PI;
    return Math.round((angle + 360 + (axes > 2 ? 60 * places[i * axes + 2] : 0)) % 360);
  });
}

/**
 * Draws one moment: frames, the frame `k` and the fraction to the next, the view, colours and words; dots grow with their
 * clusters unless `even`.
 */
export class Stage {
  constructor(canvas) {
    this.canvas = canvas;
  }

  /** Makes room for n tokens on this many axes. */
  setSize(n, axes) {
    Object.assign(this, { n, axes, out: new Float32Array(3 * n), past: new Float32Array(3 * n) });
    this.order = Array.from({ length: n }, (_, i) => i);
  }

  draw({ frames, k, fraction, turn, tilt, hues, clusters, words, pointer, even }) {
    const { axes, n, out } = this;
    const [c, w, h] = cleared(this.canvas);
    const P = colours();
    const R = 0.45 * Math.min(w, h);
    const view = { axes, n, turn, tilt };
    const place = (positions, i) => [w / 2 + R * positions[3 * i], h / 2 - R * positions[3 * i + 1]];
    this.drawFrame(c, w / 2, h / 2, R, tilt);
    const next = frames[Math.min(k + 1, frames.length - 1)];
    fillProjected(frames[k].places, next.places, fraction, view, out);
    if (n <= TRAILS) this.drawTrails(c, frames, k, view, hues, place);
    for (let i = 0; i < n; i++) this.order[i] = i;
    if (axes > 2) this.order.sort((a, b) => out[3 * a + 2] - out[3 * b + 2]);
    const base = n > 600 ? 2.4 : n > 200 ? 3.2 : n > 60 ? 4.5 : 6;
    const fills = hues.map((hue) => (hue === null ? P.muted : hueColour(hue)));
    let near = -1;
    for (const i of this.order) {
      const depth = out[3 * i + 2];
      const [x, y] = place(out, i);
      const mass = even ? 1 : Math.sqrt(1 + (10 * (clusters.size[i] - 1)) / n);
      c.globalAlpha = axes > 2 ? Math.max(0.2, Math.min(1, 0.675 + 0.325 * depth)) : 0.85;
      c.fillStyle = fills[i];
      c.beginPath();
      c.arc(x, y, base * mass * (axes > 2 ? Math.max(0.4, 0.85 + 0.25 * depth) : 1), 0, 7);
      c.fill();
      if (pointer && Math.hypot(pointer[0] - x, pointer[1] - y) < NEAR) near = i;
    }
    c.globalAlpha = 1;
    if (words && n <= LABELLED) this.drawWords(c, words, clusters, place, w);
    if (near >= 0) this.drawLabel(c, words ? words[near] : `token ${near}`, place(out, near), w);
  }

  /** A density at a fraction between two rows: its height over an inner circle, an angle a direction. */
  drawDensity({ codes, columns, circle }, k, fraction) {
    const [c, w, h] = cleared(this.canvas);
    const P = colours();
    const R = 0.45 * Math.min(w, h);
    const next = Math.min((k + 1) * columns, codes.length - columns);
    const point = (j, mirrored) => {
      const code = codes[k * columns + j] * (1 - fraction) + codes[next + j] * fraction;
      const r = R * (0.55 + (0.45 * code) / 255);
      const angle = circle
        ? (2 * Math.PI * j) / (columns - 1)
        : Math.PI / 2 + ((mirrored ? 1 : -1) * Math.PI * j) / (columns - 1);
      c.lineTo(w / 2 + r * Math.cos(angle), h / 2 - r * Math.sin(angle));
    };
    c.beginPath();
    for (let j = 0; j < columns; j++) point(j, false);
    if (!circle) for (let j = columns - 1; j >= 0; j--) point(j, true);
    c.closePath();
    c.fillStyle = P.accent;
    c.globalAlpha = 0.3;
    c.fill();
    c.globalAlpha = 1;
    c.strokeStyle = P.accent;
    c.lineWidth = 1.5;
    c.stroke();
    c.beginPath();
    c.arc(w / 2, h / 2, 0.55 * R, 0, 7);
    c.fillStyle = P.page;
    c.fill();
    c.strokeStyle = P.rule;
    c.stroke();
  }

  /** The outline, and parallels, by which turning is seen. */
  drawFrame(c, x, y, R, tilt) {
    c.lineWidth = 1.2;
    c.strokeStyle = colours().rule;
    c.beginPath();
    c.arc(x, y, R, 0, 7);
    c.stroke();
    if (this.axes === 2) return;
    c.globalAlpha = 0.6;
    for (const latitude of [-Math.PI / 3, 0, Math.PI / 3]) {
      const r = Math.cos(latitude) * R;
      c.beginPath();
      c.ellipse(x, y - R * Math.sin(latitude) * Math.cos(tilt), r, r * Math.abs(Math.sin(tilt)), 0, 0, 7);
      c.stroke();
    }
    c.globalAlpha = 1;
  }

  drawTrails(c, frames, k, view, hues, place) {
    const { n, past, out } = this;
    const from = Math.max(0, k - TRAIL);
    if (k === from) return;
    const step = Math.max(1, Math.ceil((k - from) / 24));
    const paths = Array.from({ length: n }, () => new Path2D());
    for (let f = from; f <= k; f += step) {
      fillProjected(frames[f].places, frames[f].places, 0, view, past);
      for (let i = 0; i < n; i++) {
        if (f === from) paths[i].moveTo(...place(past, i));
        else paths[i].lineTo(...place(past, i));
      }
    }
    c.lineWidth = 1.4;
    c.globalAlpha = 0.35;
    for (let i = 0; i < n; i++) {
      paths[i].lineTo(...place(out, i));
      c.strokeStyle = hues[i] === null ? colours().muted : hueColour(hues[i]);
      c.stroke(paths[i]);
    }
    c.globalAlpha = 1;
  }

  /** The words, those of one cluster beside each other, where there is room for them. */
  drawWords(c, words, clusters, place, w) {
    const P = colours();
    const taken = [];
    c.font = `12px ${P.sans}`;
    c.fillStyle = P.ink;
    c.textBaseline = "middle";
    const front = [...this.order].reverse();
    for (const first of new Set(front.map((i) => clusters.first[i]))) {
      const members = words.filter((_, i) => clusters.first[i] === first);
      const text = members.slice(0, 4).join(" · ") + (members.length > 4 ? ` + ${members.length - 4}` : "");
      const [x, y] = place(this.out, first);
      const width = c.measureText(text).width;
      const left = x + 9 + width > w ? x - 9 - width : x + 9;
      if (taken.some(([l, t, r]) => Math.abs(t - y) < 13 && left < r && left + width > l)) continue;
      taken.push([left, y, left + width]);
      c.fillText(text, left, y);
    }
  }

  drawLabel(c, text, [x, y], w) {
    const P = colours();
    c.font = `13px ${P.sans}`;
    c.textBaseline = "middle";
    const width = c.measureText(text).width + 10;
    const left = Math.min(x + 8, w - width);
    c.fillStyle = P.page;
    c.fillRect(left, y - 22, width, 20);
    c.strokeStyle = P.rule;
    c.strokeRect(left, y - 22, width, 20);
    c.fillStyle = P.ink;
    c.fillText(text, left + 5, y - 12);
  }
}
