"""Tokens on a sphere, moving through the layers: a canvas with its own few lines of script, and no network."""

import json
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from spinodal.figures import printable

STYLE = """
.sphere{display:grid;grid-template-columns:minmax(0,560px);gap:.5rem;margin:1.1rem 0}
.sphere canvas{width:100%;aspect-ratio:1;touch-action:none;cursor:grab;border:1px solid var(--rule)}
.sphere .controls{display:flex;gap:.8rem;align-items:center;font-size:.9rem;color:var(--muted)}
.sphere input{flex:1}
.sphere button{font:inherit;color:var(--ink);background:none;border:1px solid var(--rule);padding:.15rem .7rem}
"""

SCRIPT = """
(() => {
  const data = JSON.parse(document.getElementById("sphere-data").textContent);
  const canvas = document.getElementById("sphere-canvas"), c = canvas.getContext("2d");
  const slider = document.getElementById("sphere-layer"), said = document.getElementById("sphere-said");
  const play = document.getElementById("sphere-play"), T = data.places.length;
  let turn = 0.5, tilt = 0.35, held = null, mouse = null, playing = false, last = 0;
  const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const hue = [0, 1, 2, 3, 4, 5].map(k => "--model-" + k);
  function place(i, t) {
    const k = Math.min(T - 2, Math.floor(t)), f = t - k, a = data.places[k][i], b = data.places[k + 1][i];
    const p = a.map((v, j) => v + f * (b[j] - v));
    const x = Math.cos(turn) * p[0] + Math.sin(turn) * p[2], z = Math.cos(turn) * p[2] - Math.sin(turn) * p[0];
    return [x, Math.cos(tilt) * p[1] - Math.sin(tilt) * z, Math.sin(tilt) * p[1] + Math.cos(tilt) * z];
  }
  function draw() {
    const side = canvas.clientWidth, ratio = window.devicePixelRatio || 1, t = Number(slider.value);
    canvas.width = canvas.height = side * ratio;
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    const R = 0.44 * side, m = side / 2;
    c.strokeStyle = css("--rule");
    c.beginPath(); c.arc(m, m, R, 0, 2 * Math.PI); c.stroke();
    const layer = Math.round(t), seen = data.words.map((w, i) => [place(i, t), i]).sort((a, b) => a[0][2] - b[0][2]);
    const size = {};
    for (const b of data.branch[layer]) size[b] = (size[b] || 0) + 1;
    let near = null;
    for (const [[x, y, z], i] of seen) {
      const X = m + R * x, Y = m - R * y, b = data.branch[layer][i];
      c.globalAlpha = 0.35 + 0.65 * (z + 1) / 2;
      c.fillStyle = size[b] > 1 ? css(hue[b % 6]) : css("--muted");
      c.beginPath(); c.arc(X, Y, size[b] > 1 ? 5 : 3.5, 0, 2 * Math.PI); c.fill();
      if (data.words.length <= 40) { c.font = "11px sans-serif"; c.fillText(data.words[i], X + 7, Y + 4); }
      if (mouse && Math.hypot(mouse[0] - X, mouse[1] - Y) < 9) near = i;
    }
    c.globalAlpha = 1;
    const groups = Object.keys(size).length;
    said.textContent = "layer " + layer + ", " + groups + " clusters" + (near === null ? "" : ": " + data.words[near]);
  }
  function step(now) {
    if (!playing) return;
    slider.value = (Number(slider.value) + (now - last) / 900) % (T - 1);
    last = now; draw(); requestAnimationFrame(step);
  }
  play.onclick = () => { playing = !playing; play.textContent = playing ? "pause" : "play"; last = performance.now();
    requestAnimationFrame(step); };
  slider.oninput = draw;
  canvas.onpointerdown = e => { held = [e.clientX, e.clientY, turn, tilt]; canvas.setPointerCapture(e.pointerId); };
  canvas.onpointerup = () => { held = null; };
  canvas.onpointermove = e => {
    const box = canvas.getBoundingClientRect();
    mouse = [e.clientX - box.left, e.clientY - box.top];
    if (held) { turn = held[2] + (e.clientX - held[0]) / 150;
      tilt = Math.max(-1.5, Math.min(1.5, held[3] + (e.clientY - held[1]) / 150)); }
    draw();
  };
  window.addEventListener("resize", draw);
  draw();
})();
"""


def sphere(places: Float[np.ndarray, "t n 3"], words: Sequence[str], branch: Sequence[Sequence[int]]) -> str:
    """The element, its data and its script; to be put into a page once, after STYLE."""
    data = {
        "places": places.round(3).tolist(),
        "words": [printable(word) for word in words],
        "branch": [list(row) for row in branch],
    }
    # no text of a token may close the script
    text = json.dumps(data, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")
    return (
        '<div class="sphere"><canvas id="sphere-canvas" aria-label="tokens on a sphere"></canvas>'
        f'<div class="controls"><button id="sphere-play">play</button><input id="sphere-layer" type="range" min="0" '
        f'max="{len(places) - 1}" step="0.02" value="0" aria-label="layer"><span id="sphere-said"></span></div></div>'
        f'<script type="application/json" id="sphere-data">{text}</script><script>{SCRIPT}</script>'
    )
