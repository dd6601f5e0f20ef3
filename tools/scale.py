"""What training takes at 10^9 parameters, 10^11 tokens and contexts of 2^20, by formula, and what breaks first.

    python tools/scale.py [--rows 100000]

P parameters in d features, L blocks of H heads over a vocabulary of V, contexts of n tokens, R processes:

    P = V (d + 1) + d + L (4 d^2 + 6 d + C),  C = 3 d h of SwiGLU, 2 d h q of a competition of q phases
    FLOPs a token, forward and backward = 6 (V d + L (4 d^2 + C)) + L M
        M = 6 n d of causal attention, 12 d (64 + d / H) of retention in chunks of 64 tokens
    memory a process = (16 or 20) P with DDP, 16 P / R + 4 G with FSDP2, and activations
        float32: weights, gradients and two moments; DDP also the buckets in which gradients travel; G parameters are
        gathered at once, those outside the blocks and two blocks
    bytes that a process sends a step = 2 (R - 1) / R 4 P with DDP, 3 (R - 1) / R 4 P with FSDP2
    activations = n (a + L b), a and b counted of what autograd keeps of one and two blocks; with checkpointing
        n (a + 4 L d + b): the tokens between the blocks, and one block at a time
    state of a sequence that is written = L (2 n d + 3 d) numbers of attention, L (d^2 / H + 3 d) of retention,
        beside a mask of the tokens and counters

P is counted as well, on the meta device. tests/test_scale.py compares each with what small cases take. Last, the
records of a long run are written and timed, and a text is tokenised. Assumed, and not measured: FLOPS, the speed of
a process.
"""

import argparse
import hashlib
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from spinodal.data import byte_pair_tokenizer, read_corpus
from spinodal.data.tokenizers import document_tokens
from spinodal.models import SpinodalConfig, SpinodalForCausalLM
from spinodal.training.memory import kept_of

ARMS: dict[str, dict[str, Any]] = {  # pet-lm and its rivals
    "PET": {"mixer": "retention", "channel": {"name": "competition", "phases": 16}},
    "Transformer": {"mixer": "attention", "channel": {"name": "swiglu"}},
    "linear-SwiGLU": {"mixer": "retention", "channel": {"name": "swiglu"}},
}
WIDTH, DEPTH, HEADS, VOCABULARY = 2048, 24, 16, 32768
GOAL, TOKENS, LONGEST = 10**9, 10**11, 2**20
FLOPS = 2e14  # a second and process: half of what a GPU of 2023 does in bfloat16
PROCESSES = (1, 8, 64)
CONTEXTS = (4096, 32768, LONGEST)
STEP = 2**20  # tokens of a step
CHUNK = 64  # tokens of a chunk of retention
ROOM = 80e9  # bytes of a GPU


@dataclass(frozen=True)
class Size:
    """A causal language model by its numbers."""

    arm: str
    hidden: int
    width: int = WIDTH
    depth: int = DEPTH
    heads: int = HEADS
    vocabulary: int = VOCABULARY

    @property
    def config(self) -> SpinodalConfig:
        arm = ARMS[self.arm]
        return SpinodalConfig(
            vocab_size=self.vocabulary, width=self.width, depth=self.depth, heads=self.heads, length=LONGEST,
            mixer=arm["mixer"], channel=arm["channel"] | {"hidden": self.hidden},
        )  # fmt: skip

    @property
    def linear(self) -> bool:
        return ARMS[self.arm]["mixer"] == "retention"

    @property
    def matrices(self) -> int:
        """Entries of the matrices of a block."""
        channel = 2 * ARMS[self.arm]["channel"]["phases"] if self.arm == "PET" else 3
        return 4 * self.width**2 + channel * self.width * self.hidden

    @property
    def block(self) -> int:
        return self.matrices + 6 * self.width

    @property
    def parameters(self) -> int:
        return self.vocabulary * (self.width + 1) + self.width + self.depth * self.block

    def counted(self) -> int:
        """The parameters of the model itself, which is built without memory."""
        with torch.device("meta"):
            return sum(p.numel() for p in SpinodalForCausalLM(self.config).parameters())

    def flops(self, context: int) -> float:
        """Of a token, forward and backward; causal attention sees half of its context."""
        d = self.width
        mixing = 12 * d * (CHUNK + d // self.heads) if self.linear else 6 * context * d
        return 6 * (self.vocabulary * d + self.depth * self.matrices) + self.depth * mixing

    def memory(self, processes: int, *, sharded: bool) -> float:
        """Bytes of a process but for activations."""
        if not sharded:
            return (16 if processes == 1 else 20) * self.parameters
        gathered = self.parameters - (self.depth - 2) * self.block if processes > 1 else 0
        return 16 * self.parameters / processes + 4 * gathered

    def sent(self, processes: int, *, sharded: bool) -> float:
        """Bytes that a process sends in a step."""
        return (3 if sharded else 2) * (processes - 1) / processes * 4 * self.parameters

    def state(self, context: int) -> int:
        """Bytes that a sequence of so many tokens holds while it is written."""
        d = self.width
        return 4 * self.depth * ((d * d // self.heads if self.linear else 2 * context * d) + 3 * d)


def sized(arm: str, goal: int = GOAL) -> Size:
    """The model nearest to so many parameters, by `hidden`."""
    one, two = Size(arm, 1), Size(arm, 2)
    return Size(arm, 1 + round((goal - one.parameters) / (two.parameters - one.parameters)))


def kept(size: Size, tokens: int) -> int:
    """Bytes that autograd keeps of so many tokens, counted on the model itself."""
    model = SpinodalForCausalLM(size.config)
    ids = torch.randint(5, size.vocabulary, (1, tokens), generator=torch.Generator().manual_seed(0))
    return kept_of(model, lambda: model(input_ids=ids, labels=ids, scored_only=True).loss)


def slopes(size: Size, tokens: int = 1024) -> tuple[float, float]:
    """(a, b): bytes of activations a token, outside the blocks and in each, counted on one and two blocks."""
    shallow = {
        depth: Size(size.arm, size.hidden, size.width, depth, size.heads, size.vocabulary) for depth in (1, 2)
    }
    found = {depth: kept(s, 2 * tokens) - kept(s, tokens) for depth, s in shallow.items()}
    block = found[2] - found[1]
    return (found[1] - block) / tokens, block / tokens


def tokenizing() -> dict[str, float]:
    """Tokens a second of one core: of Shakespeare in ASCII, and of the same with an accent here and there."""
    corpus, rates = read_corpus("shakespeare"), {}
    tokenizer = byte_pair_tokenizer(corpus.texts)
    plain = "\n".join(corpus.texts).encode("ascii", "ignore").decode()
    for kind, text in {"ASCII text": plain, "other text": plain.replace("the ", "th\u00e9 ")}.items():
        began = time.process_time()
        tokens = sum(len(part) for part in document_tokens([text], tokenizer))
        rates[kind] = tokens / (time.process_time() - began)
    return rates


def hashing() -> float:
    """Bytes of which a core makes the sha256 in a second."""
    content, began = bytes(2**27), time.process_time()
    hashlib.sha256(content)
    return len(content) / (time.process_time() - began)


def show_model(size: Size) -> None:
    outside, block = slopes(size)
    P = size.parameters
    print(f"\n## {size.arm}: {P:,} parameters, hidden={size.hidden}")
    print(f"counted on the meta device: {size.counted():,}; a checkpoint with moments {12 * P / 1e9:.1f} GB")
    each = outside + size.depth * block, outside + 4 * size.depth * size.width + block
    print(
        "\n| context | GFLOP a token | hours of one process | activations, GB | checkpointed, GB | state, MB |"
    )
    print("|---|---|---|---|---|---|")
    for n in CONTEXTS:
        hours = size.flops(n) * TOKENS / FLOPS / 3600
        whole, least = (n * bytes_of / 1e9 for bytes_of in each)
        print(
            f"| {n:,} | {size.flops(n) / 1e9:.2f} | {hours:,.0f} | {whole:,.1f} | {least:,.1f} | "
            f"{size.state(n) / 1e6:,.1f} |"
        )
    longest = ((ROOM - size.memory(64, sharded=True)) / bytes_of for bytes_of in each)
    print(
        "\nthe longest context in {:.0f} GB, 64 processes of FSDP2: {:,.0f} tokens, {:,.0f} checkpointed".format(
            ROOM / 1e9, *longest
        )
    )
    print(
        f"outside the blocks, the vocabulary above all: {outside / 1e3:.1f} kB a token; in each {block / 1e3:.1f}"
    )
    print("\n| processes | DDP, GB a process | sent a step, GB | FSDP2, GB a process | sent a step, GB |")
    print("|---|---|---|---|---|")
    for R in PROCESSES:
        row = [f(R, sharded=s) / 1e9 for s in (False, True) for f in (size.memory, size.sent)]
        print(f"| {R} | {' | '.join(f'{value:.1f}' for value in row)} |")


def show_records(rows: int) -> None:
    """Writes a record with so many rows of metrics, as a run does that shows them."""
    from spinodal.runs.sealed import write_sealed

    row = {
        "seconds": 1.0 / 3, "tokens": 10**9, "loss": 1 / 3, "learning_rate": 1 / 3, "grad_norm": 1 / 3, "step": 10
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.json"
        for n in (rows // 100, rows // 10, rows):
            began = time.process_time()
            write_sealed(path, {"metrics": [row] * n})
            seconds = time.process_time() - began
            print(f"{n:,} rows: {path.stat().st_size / 1e6:.2f} MB, {seconds:.3f} s of computing")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10**5, help="of metrics, in the longest record")
    asked = parser.parse_args()
    torch.manual_seed(0)
    print(f"{TOKENS:,} tokens are {math.ceil(TOKENS / STEP):,} steps of {STEP:,} tokens")
    for kind, rate in tokenizing().items():
        print(
            f"tokenising {kind} on one core, {rate:,.0f} tokens a second: {TOKENS / rate / 3600:,.0f} hours"
        )
    print(
        f"kept as int32: {4 * TOKENS / 1e9:,.0f} GB, whose checksums take {4 * TOKENS / hashing() / 60:,.0f} minutes"
    )
    print(
        f"the order of an epoch of contexts of {CONTEXTS[0]:,}: {TOKENS // CONTEXTS[0] * 40 / 1e9:.2f} GB of numbers"
    )
    for arm in ARMS:
        show_model(sized(arm))
    print("\n## run.json")
    show_records(asked.rows)


if __name__ == "__main__":
    main()
