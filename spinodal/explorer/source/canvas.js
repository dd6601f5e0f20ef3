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
