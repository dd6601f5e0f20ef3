"""What four bits cost a decoder, by its gate: outliers of the hidden vector, with and without clipping and rotation.

Claim: outliers of the hidden vector, and with them the cost of four bits without a rotation, differ between gates
Paper: shazeer2020
Command: spinodal draw four-bits
Minutes: 20
Expected: kurtosis 62 of SwiGLU's hidden vectors, 6.0 of the driving force's, 5.3, 10, 24 and 53 of 2, 4, 8 and 16
    phases; four bits cost .0212 nats with SwiGLU, .0148 with the driving force and .013 to .057 with 2 to 16 phases,
    after a rotation .010 with all but sixteen phases (.016). Quick: kurtosis from 1 to 60
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import default_collate
from transformers.utils import logging

from spinodal.figures import bits, save_picture
from spinodal.mixers.base import OutputProjection, Tokenwise
from spinodal.runs import sweep
from spinodal.training import DataConfig, Experiment, Schedule, override
from spinodal.training.build import build_model, prepare_data
from spinodal.training.evaluation import held_out_loss
from spinodal.training.trainer import PhysicsTrainer

MATRIX_RATES = {2: 3.2e-3, 4: 3.2e-3, 8: 3.2e-3, 16: 6.4e-3}  # by P, chosen with lr on the development split
GATES: dict[str, dict[str, Any]] = {
    "swiglu": {"channel": "swiglu", "matrix_lr": 6.4e-3},
    "driving force": {"channel": "driving-force", "matrix_lr": 6.4e-3},
} | {
    f"P = {phases}": {"channel": "competition", "phases": phases, "matrix_lr": rate}
    for phases, rate in MATRIX_RATES.items()
}
DECODER = Experiment(
    DataConfig(task="causal", vocabulary=1024),
    schedule=Schedule(steps=400, batch=8, lr=3.2e-2, evaluate_every=400, save_every=400),
    parameters=568_672,
)
SMALL = override(
    DECODER,
    {
        "tokenizer": "characters",
        "length": 32,
        "width": 16,
        "depth": 2,
        "parameters": 20_000,
        "steps": 20,
        "judged": 32,
    },
)
SEEDS = 5
LEVELS = 7  # of four bits, -7 .. 7
CLIPS = np.linspace(0.3, 1.0, 15).tolist()  # of the largest number of a row, where the best is chosen
TREATMENTS = {
    "": ([1.0], False), "clipping": (CLIPS, False), "rotation": ([1.0], True), "both": (CLIPS, True),
}  # fmt: skip

EXPECTED = {
    "swiglu: kurtosis": (44.0, 80.0),
    "driving force: kurtosis": (4.3, 7.7),
    "P = 2: kurtosis": (4.9, 5.8),
    "P = 4: kurtosis": (9.9, 10.9),
    "P = 8: kurtosis": (22.4, 25.5),
    "P = 16: kurtosis": (51.3, 55.3),
    "swiglu: cost": (0.0185, 0.0239),
    "P = 16: cost": (0.042, 0.073),
    "swiglu less driving force: cost": (0.0056, 0.0072),
    "swiglu less driving force: cost, rotation": (-0.0036, 0.0032),
}  # means over five seeds, three of their deviations wide
QUICK = ("swiglu", "driving force")
EXPECTED_QUICK = {f"{gate}: kurtosis": (1.0, 60.0) for gate in QUICK}


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """Cost of four bits by gate and treatment, and by kurtosis; means of five seeds, paired differences to SwiGLU.

    quick: two gates, small, of one seed.
    """
    base, seeds = (SMALL, 1) if quick else (DECODER, SEEDS)
    gates = {name: GATES[name] for name in QUICK} if quick else GATES
    cells = [
        override(base, values | {"seed": seed + k}).flat() for values in gates.values() for k in range(seeds)
    ]
    rows = sweep.run(gate_in_four_bits, cells, out, workers=1 if quick else 0)
    found = {gate: rows[k * seeds : (k + 1) * seeds] for k, gate in enumerate(gates)}
    save_picture(bits.cost_by_kurtosis(found), out / "four-bits.png")
    measured: dict[str, Any] = {}
    columns = {
        gate: {name: np.array([row[name] for row in runs]) for name in runs[0]}
        for gate, runs in found.items()
    }
    for gate, of_gate in columns.items():
        for name, values in of_gate.items():
            measured |= mean_and_error(f"{gate}: {name}", values)
    for gate in list(columns)[1:]:
        for name, values in columns[gate].items():
            measured |= mean_and_error(f"swiglu less {gate}: {name}", columns["swiglu"][name] - values)
    return measured


def mean_and_error(name: str, values: Float[np.ndarray, "seeds"]) -> dict[str, float]:
    """The mean over seeds, and where there are several its standard error."""
    found = {name: float(values.mean())}
    if len(values) > 1:
        found[f"{name}, error"] = float(values.std(ddof=1) / np.sqrt(len(values)))
    return found


def gate_in_four_bits(configuration: dict[str, Any]) -> dict[str, float]:
    """Loss, kurtosis of hidden vectors, and the cost of four bits by treatment, of one trained decoder. For a sweep."""
    logging.disable_progress_bar()
    experiment = Experiment.from_flat(configuration)
    data = prepare_data(experiment)
    model = build_model(experiment, data)
    with tempfile.TemporaryDirectory(prefix="spinodal-four-bits-") as folder:
        PhysicsTrainer(model, data, experiment, Path(folder)).train()

    def loss() -> float:
        return held_out_loss(
            model, data.held_out, 32, default_collate, count=experiment.schedule.judged or None
        )

    with kurtoses(model) as found:
        exact = loss()
    costs = {}
    for name, (clips, rotated) in TREATMENTS.items():
        with four_bits(model, clips, rotated=rotated, seed=experiment.schedule.seed):
            costs[f"cost, {name}" if name else "cost"] = loss() - exact
    return {"loss": exact, "kurtosis": float(np.mean(found))} | costs


def channel_matrices(model: nn.Module) -> list[nn.Linear]:
    """The matrices of the channel mixers of a model."""
    mixers = [module for module in model.modules() if isinstance(module, Tokenwise)]
    return [matrix for mixer in mixers for matrix in mixer.modules() if isinstance(matrix, nn.Linear)]


@contextlib.contextmanager
def kurtoses(model: nn.Module) -> Iterator[list[float]]:
    """mean y^4 / (mean y^2)^2 of the vectors that output projections of channel mixers read, call by call."""
    found: list[float] = []

    def measure(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        y = args[0].double()
        found.append(float((y.pow(4).mean(-1) / y.square().mean(-1).square()).mean()))

    hooks = [
        matrix.register_forward_pre_hook(measure)
        for matrix in channel_matrices(model)
        if isinstance(matrix, OutputProjection)
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


@contextlib.contextmanager
def four_bits(model: nn.Module, clips: list[float], *, rotated: bool, seed: int) -> Iterator[None]:
    """The model with weights and inputs of its channel mixers in four bits; if `rotated`, both after one rotation."""
    random = torch.Generator().manual_seed(seed)
    kept, hooks = [], []
    try:
        for matrix in channel_matrices(model):
            width = matrix.in_features
            turn = torch.linalg.qr(torch.randn(width, width, generator=random))[0] if rotated else None

            def enter(
                module: nn.Module, args: tuple[Tensor, ...], turn: Tensor | None = turn
            ) -> tuple[Tensor, ...]:
                x = args[0] if turn is None else args[0] @ turn
                return (rounded(x, clips), *args[1:])

            kept.append((matrix, matrix.weight.data))
            turned = matrix.weight.data if turn is None else matrix.weight.data @ turn
            matrix.weight.data = rounded(turned, clips)
            hooks.append(matrix.register_forward_pre_hook(enter))
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for matrix, weight in kept:
            matrix.weight.data = weight


def rounded(x: Float[Tensor, "*b d"], clips: list[float]) -> Float[Tensor, "*b d"]:
    """Each row as whole multiples, -7 to 7, of a seventh of c max |x|, c of `clips` with the least squared error."""
    top = x.abs().amax(-1, keepdim=True).clamp(min=1e-30)
    best, least = x, torch.full_like(top, torch.inf)
    for clip in clips:
        step = clip * top / LEVELS
        found = (x / step).round().clamp(-LEVELS, LEVELS) * step
        error = (found - x).square().sum(-1, keepdim=True)
        best, least = torch.where(error < least, found, best), torch.minimum(error, least)
    return best
