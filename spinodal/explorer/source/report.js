// The players of a report: one for each recording in the page, all on one clock.
import { countOf } from "./charts.js";
import { calm, Player } from "./player.js";
import { embeddedRecording } from "./recorded.js";

const told = JSON.parse(document.getElementById("recordings").textContent);
const VIEW = { clock: "time", speed: 0, at: 0, turn: 0.6, tilt: 0.35 };
const MANY = 0.7; // clusters a token, above which words tell more than clusters
const players = [...document.querySelectorAll(".player")].map((root, k) => {
  const { epsilon } = told[k];
  const recording = embeddedRecording(told[k].recording);
  const alone = countOf(recording.frames.at(-1), epsilon) > MANY * recording.n;
  const colour = alone && recording.words ? "word" : "cluster";
  const player = new Player(root, { view: { ...VIEW, epsilon, colour } });
  player.show(recording);
  const label = `The tokens of ${recording.title}, layer by layer. Space plays, arrow keys turn them.`;
  player.part("tokens").setAttribute("aria-label", label);
  return player;
});
for (const player of players) player.partners = players.filter((other) => other !== player);
if (players.length && !calm()) players[0].setPlaying(true);

// what tests ask
window.report = { players };
