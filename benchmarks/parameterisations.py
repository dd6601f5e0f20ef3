"""What the paper's raw K and independent sigmoids do at the start and to training, beside exp K and softmax L.

    python benchmarks/parameterisations.py [--json FILE]

At the start: the share of u <= 0 among 100,000 components, K (or log K) and the logits of L normal
with the deviation that a fresh linear layer gives them, 0.58, and larger. In training: a small masked-language model on
Shakespeare's characters, 150 steps at two rates, the same seed for both forms.
"""

import argparse
import json
import math
import tempfile
import warnings
from pathlib import Path

import torch
from transformers.utils import logging

from spinodal import thermodynamics
from spinodal.mixers.channel.partition import Literal, PhaseParameterisation, Simplex
from spinodal.training import DataConfig, Experiment, Label, Schedule, train

FORMS: dict[str, tuple[str, PhaseParameterisation]] = {
    "exp K, softmax L": ("partition", Simplex()),
    "raw K, sigmoid L": ("literal", Literal()),
}
RATES = (3e-3, 1e-2)
PHASES, SCALES = 4, (0.58, 1.0, 3.0)


def poles(parameterisation: PhaseParameterisation, scale: float) -> float:
    """The share of u <= 0 where K (or log K) and the logits of L are normal with deviation `scale`."""
    generator = torch.Generator().manual_seed(0)
    k = scale * torch.randn(100_000, 1, PHASES - 1, generator=generator)
    L = parameterisation.fractions(scale * torch.randn(100_000, PHASES, generator=generator))
    K = k if isinstance(parameterisation, Literal) else k.exp()
    return float((thermodynamics.dilution(K, L[:, :-1]) <= 0).float().mean())


def train_form(channel: str, rate: float) -> dict:
    """Held-out loss after 150 steps, and the largest gradient norm on the way; NaN where it diverged."""
    experiment = Experiment(
        DataConfig(tokenizer="characters", length=64),
        {"width": 64, "depth": 2, "channel": channel, "phases": PHASES, "hidden": 64},
        Schedule(steps=150, batch=16, lr=rate, log_every=1, evaluate_every=150, save_every=150),
    )
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            run = train(experiment, Path(folder) / "run", Label(channel, "benchmark", "benchmark"))
        except FloatingPointError:
            return {"loss": math.nan, "gradient": math.inf}
    gradients = [row["grad_norm"] for row in run.metrics if "grad_norm" in row]
    return {"loss": run.final["held_out_loss"], "gradient": max(gradients)}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    logging.disable_progress_bar()
    rows = []
    for name, (channel, parameterisation) in FORMS.items():
        shares = {scale: poles(parameterisation, scale) for scale in SCALES}
        rows.append(
            {"form": name, "poles": shares} | {f"lr {rate:g}": train_form(channel, rate) for rate in RATES}
        )
        print(f"\n{name}")
        print("  u <= 0:   " + ", ".join(f"{share:.1%} at scale {scale}" for scale, share in shares.items()))
        for rate in RATES:
            found = rows[-1][f"lr {rate:g}"]
            print(f"  lr {rate:g}: {found['loss']:.3f} nats, gradients up to {found['gradient']:.2g}")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
