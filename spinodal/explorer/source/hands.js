// What the controls of a player do, its pointer and its keys.
import { repaint } from "./canvas.js";

const PAN = 150; // pixels a radian
const TURNS = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };

export function listen(player) {
  const { part, view, root } = player;
  const name = `clock-${[...document.querySelectorAll("[data-part=clocks]")].indexOf(part("clocks"))}`;
  for (const radio of part("clocks").querySelectorAll("input")) {
    radio.name = name;
    radio.onchange = () => player.setClock(radio.value);
  }
  part("play").onclick = () => player.setPlaying(!player.playing);
  part("at").oninput = (event) => player.seek(Number(event.target.value));
  const change = (control, key, read) => {
    part(control).oninput = (event) => {
      view[key] = read(event.target.value);
      player.changed();
    };
  };
  change("speed", "speed", Number);
  change("colour", "colour", String);
  change("epsilon", "epsilon", (value) => 10 ** Number(value));
  listenToStage(player);
  for (const key of ["cosines", "clusters", "third"]) {
    const seek = (event) => {
      if (event.buttons !== 1) return;
      const left = part(key).getBoundingClientRect().left;
      const [a, b] = player.bounds();
      player.seek((player.charts.plots[key].coordinate(event.clientX - left) - a) / (b - a || 1));
    };
    part(key).onpointerdown = seek;
    part(key).onpointermove = seek;
  }
  new ResizeObserver(() => player.redraw()).observe(root);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    repaint();
    player.redraw();
  });
}

function listenToStage(player) {
  const canvas = player.part("tokens");
  let held = null;
  canvas.onpointerdown = (event) => {
    held = [event.clientX, event.clientY];
    canvas.setPointerCapture(event.pointerId);
  };
  canvas.onpointerup = () => {
    held = null;
  };
  canvas.onpointercancel = canvas.onpointerup;
  canvas.onpointerleave = () => player.pointTo(null);
  canvas.onpointermove = (event) => {
    const box = canvas.getBoundingClientRect();
    player.pointTo([event.clientX - box.left, event.clientY - box.top]);
    if (!held) return;
    player.turnBy(-(event.clientX - held[0]) / PAN, (event.clientY - held[1]) / PAN);
    held = [event.clientX, event.clientY];
  };
  canvas.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") player.setPlaying(!player.playing);
    else if (event.key in TURNS) player.turnBy(...TURNS[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
}
