"""Writes what the tests of this folder hold the code to: run it on code whose numbers are known to be right.

    python tests/pins/write.py inputs models saved options printed folders stopped recipes

Each name writes its part of data/ anew. A part is written again only where an issue says that its numbers were wrong,
and then a commit says which; a move of code leaves all of data/ as it is. `folders` writes those that are missing.
`recipes` pins the small forms that take less than 20 seconds; test_pins.py marks those that are slow.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))

import pinned_commands as commands
import pinned_models as models
from pinned_commands import DATA, FINISHED, FOLDERS, INPUTS, OPTIONS, PRINTED

WORDS = (
    "phase", "liquid", "vapour", "mixture", "token", "split", "root", "field", "cluster", "energy", "time", "sphere",
    "and", "of", "the", "in", "to", "is",
)  # fmt: skip
LONGEST = 20.0  # seconds of a recipe's small form that is still pinned


def inputs() -> None:
    """Text, pairs, tokens, matrices and states that the commands read."""
    INPUTS.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(0)
    lines = [" ".join(chance.choice(WORDS, 9)) for _ in range(120)]
    (INPUTS / "corpus.txt").write_text("\n".join(lines) + "\n")
    (INPUTS / "lines.txt").write_text(
        "the phase of the mixture\na token in the field\n".replace("a ", "the ")
    )
    pairs = (chance.choice(WORDS, 2) for _ in range(120))
    (INPUTS / "pairs.tsv").write_text("".join(f"{a} {b}\t{b} {a}\n" for a, b in pairs))
    (INPUTS / "modes.txt").write_text("# k amplitude phase\n0 1 0\n3 0.004 1.0\n1 0.0005 0\n")
    x = chance.standard_normal((5, 3))
    for name, value in {
        "x": 3 * x / np.linalg.norm(x, axis=1, keepdims=True),
        "w": np.array([0.4, 0.3, 0.1, 0.1, 0.1]),
        "q": chance.standard_normal((2, 3, 3)),
        "t": np.array([0.2, 0.4]),
        "turned": 2 * np.pi * np.arange(3) / 3,
        "bent": np.array([0, 0, np.pi]),
        "near": np.array([0.1, -0.05, 0.0]),
    }.items():
        np.save(INPUTS / f"{name}.npy", value)
    np.savez(INPUTS / "layers.npz", chance.standard_normal((3, 6, 5)))


def model_numbers() -> None:
    """State dicts at seed 0, outputs, residuals, gradients of every mixer and model."""
    models.FILE.write_text(
        "".join(models.lines({name: models.measured(*case) for name, case in models.CASES.items()}))
    )


def saved() -> None:
    """Folders of `save_pretrained` with their logits beside them."""
    for name, (kind, change) in models.SAVED.items():
        folder = DATA / "saved" / name
        model = models.stirred(models.build(kind, change))
        model.save_pretrained(folder)
        np.save(folder / "logits.npy", models.saved_logits(kind, model).numpy())


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A folder with the inputs and a trained model in it, which is the current one meanwhile."""
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        shutil.copytree(INPUTS, place, dirs_exist_ok=True)
        if (FINISHED / "train-masked").exists():
            shutil.copytree(FINISHED / "train-masked", Path(place) / "trained")
        yield Path(place)


def succeeded(line: str) -> str:
    status, out = commands.run(line)
    if status:
        raise SystemExit(f"spinodal {line}: exit status {status}: {out}")
    return out


def printed() -> None:
    """The standard output of commands that print numbers."""
    with workplace():
        found = {name: commands.said(succeeded(line)) for name, line in commands.PRINTS.items()}
        filled = commands.tokens(succeeded("fill trained the<mask>phase --top 3"))
    PRINTED.write_text("".join(models.lines(found)))
    (DATA / "filled.json").write_text(json.dumps(filled) + "\n")


def folders() -> None:
    """The folders that commands write, without their pictures and pages."""
    for name, case in FOLDERS.items():
        if (FINISHED / name).exists():  # one that is to be written anew is removed first
            continue
        started = time.perf_counter()
        with workplace() as place:
            succeeded(f"{case.line} --out out")
            keep(place / "out", FINISHED / name, case.files)
        print(f"{name}: {time.perf_counter() - started:.1f} s")


def keep(out: Path, final: Path, files: tuple[str, ...]) -> None:
    """Copies these files and folders; JSON without white space."""
    shutil.rmtree(final, ignore_errors=True)
    final.mkdir(parents=True)
    for file in files:
        if file.endswith(".json"):
            text = json.dumps(json.loads((out / file).read_text()), separators=(",", ":"))
            (final / file).write_text(text + "\n")
        elif (out / file).is_dir():
            shutil.copytree(out / file, final / file)
        else:
            shutil.copy(out / file, final / file)


def stopped() -> None:
    """A training that was killed: its run.json and the newest whole checkpoint."""
    with workplace() as place:
        process = subprocess.Popen(
            [sys.executable, "-m", "spinodal", *commands.STOPPED.split(), "--out", "out"]
        )
        later = place / "out/checkpoints/checkpoint-30"  # the one before it is whole then
        while not later.exists() and process.poll() is None:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        final = DATA / "stopped"
        keep(place / "out", final, ("run.json",))
        shutil.copytree(later.with_name("checkpoint-20"), final / "checkpoints/checkpoint-20")
        succeeded(f"{commands.STOPPED} --out whole")
        keep(place / "whole", DATA / "stopped-whole", ("run.json",))


def options() -> None:
    """Names and defaults of every command's options."""
    OPTIONS.write_text("".join(models.lines(commands.options())))


def recipes() -> None:
    """What `spinodal draw RECIPE --quick` measures, for those that are fast."""
    from spinodal.recipes import names

    found = {}
    for name in names():
        with workplace() as place:
            started = time.perf_counter()
            status, _ = commands.run(f"draw {name} --quick --out out")
            seconds = time.perf_counter() - started
            if status == 0 and seconds < LONGEST:
                measured = commands.results(place / "out/run.json")["measured"]
                found[name] = measured
            print(f"{name}: exit status {status}, {seconds:.1f} s")
    commands.RECIPES.write_text("".join(models.lines(found)))


PARTS = {
    "inputs": inputs, "models": model_numbers, "saved": saved, "options": options, "printed": printed,
    "folders": folders, "stopped": stopped, "recipes": recipes,
}  # fmt: skip

if __name__ == "__main__":
    torch.set_num_threads(1)
    wanted = sys.argv[1:]
    if not wanted or set(wanted) - set(PARTS):
        sys.exit(f"usage: python {sys.argv[0]} NAME..., of {', '.join(PARTS)}")
    for name in wanted:
        PARTS[name]()
