// What stage and plots share: a canvas in the pixels of the screen, and the colours of the style sheet.
let palette = null;

/** Forgets the colours: they are read again from the style sheet. */
export function repaint() {
  palette = null;
}

export function colours() {
  if (palette) return palette;
  const css = getComputedStyle(document.documentElement);
  const read = (name) => css.getPropertyValue(`--${name}`).trim();
  palette = { dark: matchMedia("(prefers-color-scheme: dark)").matches };
  for (const name of ["ink", "muted", "rule", "accent", "theory", "page", "sans"]) palette[name] = read(name);
  return palette;
}

/** Pixels of the codes 0 to 255 of a density: from the page's colour over the accent to that of the ink. */
export function shades() {
  const P = colours();
  const channels = (colour) => [1, 3, 5].map((k) => Number.parseInt(colour.slice(k, k + 2), 16));
  const [page, accent, ink] = [P.page, P.accent, P.ink].map(channels);
  return Uint32Array.from({ length: 256 }, (_, code) => {
    const [from, to, part] = code < 128 ? [page, accent, code / 128] : [accent, ink, code / 128 - 1];
    const [r, g, b] = from.map((v, k) => Math.round(v + part * (to[k] - v)));
    return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  });
}

/** The colour of a hue, readable on the page. */
export const hueColour = (hue) => `hsl(${hue} 70% ${colours().dark ? 68 : 42}%)`;

/** The cleared context of a canvas, with the width and height it has on the page. */
export function cleared(canvas) {
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  const [w, h] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
    canvas.width = Math.round(w * ratio);
    canvas.height = Math.round(h * ratio);
  }
  const c = canvas.getContext("2d");
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, w, h);
  return [c, w, h];
}
