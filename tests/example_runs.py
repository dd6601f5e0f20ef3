"""Runs as training writes them, small and exact: losses are closed forms of step and seed."""

from typing import Any

import numpy as np

from spinodal.training import TrainingRun, training_run

SENTENCE = ["<mask>", " be", "\n", "$x_1$", " 日本", "&", "a" * 40, ""]


def loss_at(step: int, final: float) -> float:
    return final + 4.0 / (1 + step / 10)


def run(name: str = "pet", seed: int = 0, **parts: Any) -> TrainingRun:
    """The run of `record`."""
    return training_run(record(name, seed, **parts))


def record(
    name: str = "pet",
    seed: int = 0,
    *,
    final: float = 3.0,
    steps: int = 100,
    phases: int = 0,
    layers: int = 3,
) -> dict:
    """A finished run; with `phases` it has residuals and a map in which layer 2 has no phases."""
    rows = []
    for step in range(10, steps + 1, 10):
        clock = {"step": step, "seconds": step / 10, "tokens": 20 * step}
        residuals = {"F": 1 / step, "spread": 1.5, "multiplier_F": 0.1, "entropy": 0.5} if phases else {}
        rows.append(
            clock | {"loss": loss_at(step, final), "learning_rate": 1e-3, "grad_norm": 1.0} | residuals
        )
        rows.append(clock | {"held_out_loss": loss_at(step, final)})
    return {
        "format": 1, "name": name, "recipe": "pet-mlm", "command": "spinodal compare 'pet-mlm' <x>", "seed": seed,
        "config": {"phases": phases, "seed": seed, "lr": 0.004}, "commit": "abc123+", "finished": True,
        "date": "2026-11-22T01:02:03+00:00", "versions": {"python": "3.11", "torch": "2.13"},
        "machine": "2 x Xeon, 1 thread a run", "parameters": 350123, "metrics": rows,
        "final": {
            "held_out_loss": loss_at(steps, final), "tokens_per_second": 200.0 + seed, "seconds": steps / 10,
            "steps": steps,
        },
        "probe": probe(phases, layers, SENTENCE),
    }  # fmt: skip


def probe(phases: int, layers: int, tokens: list[str]) -> dict:
    """Phase fractions of layer k, token i: all in phase (k + i) mod p."""
    eye = np.eye(max(phases, 1))
    maps = [
        [eye[(k + i) % phases].tolist() for i in range(len(tokens))] if phases else None
        for k in range(layers)
    ]
    if phases and layers > 1:
        maps[1] = None
    return {
        "tokens": tokens,
        "phase_fractions": maps if phases else None,
        "cosine_edges": np.linspace(-1, 1, 9).tolist(),
        "cosine_counts": [[0, 0, 1, 2, 4, 2, k, 0] for k in range(layers + 1)],
        "mean_cosine": [0.1 * k for k in range(layers + 1)],
    }


def comparison() -> dict[str, dict[str, list[TrainingRun]]]:
    """Two arms of three models with three seeds: pet and transformer tie, retention is behind."""
    finals = {"pet": 3.01, "transformer": 3.0, "retention": 3.2}
    return {
        arm: {
            model: [
                run(
                    model,
                    seed,
                    final=final + 0.02 * seed,
                    steps=steps + 10 * seed,
                    phases=4 * (model == "pet"),
                )
                for seed in range(3)
            ]
            for model, final in finals.items()
        }
        for arm, steps in {"equal parameters": 100, "equal time": 150}.items()
    }
