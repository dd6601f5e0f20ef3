"""Recall by content through a flow on a graph: as well as softmax attention, and on a few blocks of tokens.

Claim: the flow recalls as softmax attention does, and so does one step of it that looks at nine blocks of 32 tokens
Paper: preetham2023
Command: spinodal draw graph-recall
Minutes: 30
Expected: all three above .95 at N = 32 in 500 steps; at N = 4096 no less for the block-sparse flow than for softmax;
    density falls as its penalty grows; docs/graph_attention.md has the numbers. Quick: nothing is learned in 4 steps,
    answers stay by chance, 1/16
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from spinodal.figures import recall, save_picture
from spinodal.mixers.base import Mixer
from spinodal.mixers.graph.blocks import Blocks
from spinodal.mixers.graph.flow import GraphFlowAttention
from spinodal.mixers.graph.form import Descent, FlowForm
from spinodal.mixers.token.attention import Attention

WIDTH, HEADS, VALUES, KEYS = 128, 1, 16, 8192
EVERY = 32  # tokens, of which the last asks
SAMPLES = 2048  # tokens a step, in contexts of N
LENGTHS, STEPS, FURTHER = (32, 64, 128, 256, 512, 1024, 2048, 4096), 500, 200
DENSE = 512  # tokens up to which blocks are not yet chosen, while the choice is learned
LONGEST = {"flow": 1024}  # dense, four steps: dear
SEEDS = 3
PENALTIES = (0.0, 0.03, 0.1, 0.3, 1.0)


class Puzzle(NamedTuple):
    """Tokens with a key and a value each; where a key asks its value is VALUES, and the answer is meant."""

    keys: Int[Tensor, "b n"]
    values: Int[Tensor, "b n"]
    answers: Int[Tensor, "b k"]


def puzzle(n: int, batch: int, random: torch.Generator) -> Puzzle:
    """Every 32nd token asks for the value of one of the other keys, none of them twice."""
    keys = torch.stack([torch.randperm(KEYS, generator=random)[:n] for _ in range(batch)])
    values = torch.randint(VALUES, (batch, n), generator=random)
    asking = torch.arange(n) % EVERY == EVERY - 1
    told = (~asking).nonzero()[:, 0]
    asked = told[torch.randint(len(told), (batch, int(asking.sum())), generator=random)]
    answers = values.gather(1, asked)
    keys[:, asking], values[:, asking] = keys.gather(1, asked), VALUES
    return Puzzle(keys, values, answers)


class Reader(nn.Module):
    """One mixer between an embedding, of which keys are fixed directions, and a choice of values."""

    def __init__(self, mixer: Mixer):
        super().__init__()
        self.key = nn.Embedding.from_pretrained(torch.randn(KEYS, WIDTH))
        self.value = nn.Embedding(VALUES + 1, WIDTH)
        self.mixer, self.before, self.after = mixer, nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, VALUES)

    def forward(
        self, given: Puzzle, *, residuals: bool = False
    ) -> tuple[Float[Tensor, "b k v"], dict[str, Float[Tensor, ""]]]:
        x = self.key(given.keys) + self.value(given.values)
        mixed = self.mixer(self.before(x), residuals=residuals)
        asking = slice(EVERY - 1, None, EVERY)
        return self.head(self.after((x + mixed.tokens)[:, asking])), mixed.reported


ONE_STEP = FlowForm(descent=Descent(1))
BLOCKS = Blocks(size=32, top=8, window=0, warmup=STEPS + FURTHER * LENGTHS[1:].index(DENSE) + FURTHER)
KINDS: dict[str, Callable[[], Mixer]] = {
    "softmax": lambda: Attention(WIDTH, heads=HEADS),
    "flow": lambda: GraphFlowAttention(WIDTH, heads=HEADS),
    "block-sparse flow": lambda: GraphFlowAttention(WIDTH, heads=HEADS, form=ONE_STEP, links=BLOCKS),
}
FALLS = {"density at the greatest penalty over that at none": (0.0, 0.999)}
EXPECTED = (
    {f"{kind}, N = 32: accuracy": (0.95, 1.0) for kind in KINDS}
    | {"block-sparse flow less softmax, N = 4096: accuracy": (0.0, 1.0)}
    | FALLS
)
EXPECTED_QUICK = {f"{kind}, N = 32: accuracy": (0.0, 0.2) for kind in KINDS} | FALLS


def reader(kind: str, seed: int) -> Reader:
    torch.manual_seed(seed)
    return Reader(KINDS[kind]())


def train(reader: Reader, n: int, steps: int, seed: int, penalties: Mapping[str, float]):
    """`steps` of Adam on cross entropy and penalties, each a weight of a residual."""
    random = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(reader.parameters(), lr=3e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        given = puzzle(n, max(1, SAMPLES // n), random)
        logits, residuals = reader(given, residuals=bool(penalties))
        loss = functional.cross_entropy(logits.flatten(0, 1), given.answers.flatten())
        for name, weight in penalties.items():
            loss = loss + weight * residuals[name]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()


@torch.no_grad()
def measure(reader: Reader, n: int, *, residuals: bool = False) -> dict[str, float]:
    """Accuracy, loss and residuals on puzzles never trained on."""
    given = puzzle(n, max(8, 4 * SAMPLES // n), torch.Generator().manual_seed(10**6))
    logits, found = reader(given, residuals=residuals)
    loss = functional.cross_entropy(logits.flatten(0, 1), given.answers.flatten())
    right = (logits.argmax(-1) == given.answers).float().mean()
    return {"accuracy": float(right), "loss": float(loss)} | {name: float(v) for name, v in found.items()}


def by_length(kind: str, seed: int, lengths: Sequence[int], steps: int, further: int) -> list[float]:
    """Accuracy at each length of a reader that goes on from one to the next."""
    learner, penalties = reader(kind, seed), {"selection": 1.0} if kind == "block-sparse flow" else {}
    found = []
    for n in (n for n in lengths if n <= LONGEST.get(kind, n)):
        train(learner.train(), n, steps if n == lengths[0] else further, seed + n, penalties)
        found.append(measure(learner.eval(), n)["accuracy"])
    return found


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """Accuracy by length and kind, of three seeds; loss against density. quick: one seed, which learns little."""
    lengths, steps, further = ((32, 64), 4, 2) if quick else (LENGTHS, STEPS, FURTHER)
    seeds = range(seed, seed + (1 if quick else SEEDS))
    accuracy = {kind: [by_length(kind, s, lengths, steps, further) for s in seeds] for kind in KINDS}
    sparse, penalties = [], PENALTIES[::4] if quick else PENALTIES
    for weight in penalties:
        learner = reader("flow", seed)
        train(learner, 32, steps, seed, {"density": weight})
        sparse.append(measure(learner.eval(), 32, residuals=True))
    densities, losses = ([row[name] for row in sparse] for name in ("density", "loss"))
    save_picture(recall.accuracy_by_length(lengths, accuracy, chance=1 / VALUES), out / "recall.png")
    save_picture(recall.loss_against_density(densities, losses, penalties), out / "density.png")
    return {
        "lengths": list(lengths), "accuracy": accuracy, "penalties": list(penalties), "densities": densities,
        "losses": losses,
    } | mean_accuracies(lengths, accuracy) | {
        "density at the greatest penalty over that at none": densities[-1] / densities[0],
    }  # fmt: skip


def mean_accuracies(lengths: Sequence[int], accuracy: Mapping[str, list[list[float]]]) -> dict[str, float]:
    """Means over seeds by kind and length, and what the block-sparse flow has more than softmax at the longest."""
    means = {
        f"{kind}, N = {n}: accuracy": sum(row[i] for row in rows) / len(rows)
        for kind, rows in accuracy.items()
        for i, n in enumerate(lengths[: len(rows[0])])
    }
    end = f"N = {lengths[-1]}: accuracy"
    more = means[f"block-sparse flow, {end}"] - means[f"softmax, {end}"]
    return means | {f"block-sparse flow less softmax, {end}": more}
