"""The schedule of training: steps, learning rates, optimiser, precision, and when to measure and to save."""

from dataclasses import dataclass
from numbers import Integral, Real

from spinodal.errors import InputError, require_types
from spinodal.training.rates import step_size_named

CHOICES = {
    "nonfinite": ("stop", "skip"),
    "precision": ("fp32", "bf16"),
    "optimizer": ("adamw", "adafactor", "sgd", "muon", "adamw-one-rate"),
    "decay": ("cosine", "constant", "warm-stable-decay", "plateau-decay"),
}
GROUPED = ("adamw", "muon")  # optimisers that have a rate for matrices
# Share of the steps, at their end, in which the rate falls: as a cosine, and linearly
FALLS = {"warm-stable-decay": 0.2, "plateau-decay": 0.25}


@dataclass(frozen=True)
class Schedule:
    """The schedule of training; by default AdamW, linear warm-up, cosine decay to zero, clipped gradients.

    AdamW and Muon have rates by `parameter_groups`; the other optimisers train all parameters at `lr`.
    """

    steps: int = 400  # of the optimiser
    minutes: float = 0.0  # of computing, for which steps are planned (planning.py); 0: `steps` of them
    batch: int = 16  # samples that a process computes at once; a step has batch x accumulate x processes
    lr: float = 4e-3  # the largest learning rate, at the end of the warm-up, of all but matrices
    matrix_lr: float = 0.0  # of a matrix that reads 128 features (groups.py); 0: lr / 5, of Muon 2.5 lr
    warmup: float = 0.05  # share of the steps over which the learning rate rises from 0
    weight_decay: float = 0.01  # decoupled, of AdamW and Muon
    clip: float = 1.0  # largest norm of a gradient
    log_every: int = 10  # steps between rows of metrics
    evaluate_every: int = 100  # steps between held-out losses
    judged: int = 0  # held-out samples of the last loss; 0: a tenth of the time (evaluation.py)
    save_every: int = 100  # steps between checkpoints, a multiple of log_every
    seed: int = 0  # of initial weights, masks and order of samples
    step_size: str = "constant"  # alpha / lr by |gradient|: constant, inverse, bounded (training/rates.py)
    nonfinite: str = "stop"  # at a gradient that is not finite: stop, or skip the step
    accumulate: int = 1  # batches one after another whose gradients make a step
    decay: str = "cosine"  # cosine, constant, warm-stable-decay (last fifth), plateau-decay (linear)
    optimizer: str = "adamw"  # adamw, muon; one rate: adafactor (factored moments), sgd, adamw-one-rate
    precision: str = "fp32"  # bf16: products in bfloat16, weights, moments and losses in float32
    activation_checkpointing: bool = False  # activations are computed again: less memory, more time
    workers: int = 0  # processes that prepare samples beside each that trains
    save_total: int = 2  # checkpoints that are kept
    sharded: bool = False  # processes share weights, gradients and moments (FSDP2)

    def __post_init__(self):
        counts = (
            "steps",
            "batch",
            "log_every",
            "evaluate_every",
            "save_every",
            "seed",
            "accumulate",
            "workers",
            "judged",
        )
        require_types(self, **dict.fromkeys((*counts, "save_total"), Integral))
        require_types(
            self, **dict.fromkeys(("minutes", "lr", "matrix_lr", "warmup", "weight_decay", "clip"), Real)
        )
        require_types(
            self, step_size=str, activation_checkpointing=bool, sharded=bool, **dict.fromkeys(CHOICES, str)
        )
        step_size_named(self.step_size)
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(f"{name}={getattr(self, name)}: one of {', '.join(choices)}")
        for name in ("steps", "batch", "log_every", "evaluate_every", "save_every", "lr", "clip", "accumulate",
                     "save_total"):  # fmt: skip
            if not getattr(self, name) > 0:
                raise InputError(f"{name}={getattr(self, name)}: {name} must be above 0")
        if not 0 <= self.warmup < 1:
            raise InputError(f"warmup={self.warmup}: the share of the steps that warm up lies in [0, 1)")
        fall = FALLS.get(self.decay, 0.0)
        if fall and self.warmup > 1 - fall:
            raise InputError(
                f"warmup={self.warmup}: the last {fall:g} of the steps are those in which the rate of "
                f"decay={self.decay} falls; take a warm-up of at most {1 - fall:g}"
            )
        if self.sharded and self.optimizer == "adafactor":
            raise InputError(
                "sharded=true: optimizer=adafactor keeps rows and columns; all others can be split"
            )
        if self.matrix_lr and self.optimizer not in GROUPED:
            raise InputError(
                f"matrix_lr={self.matrix_lr}: optimizer={self.optimizer} trains all parameters at lr; "
                f"{' and '.join(GROUPED)} have a rate for matrices"
            )
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed={self.seed}: it takes from 0 to {2**32 - 1}")
        for name in ("minutes", "matrix_lr", "weight_decay", "workers", "judged"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}={getattr(self, name)}: it must not be negative")
        if self.save_every % self.log_every:
            raise InputError(
                f"save_every={self.save_every} is no multiple of log_every={self.log_every}: a resumed run "
                f"would lose part of a row of metrics"
            )

    @property
    def warmup_steps(self) -> int:
        return round(self.warmup * self.steps)

    @property
    def stable_until(self) -> int:
        """The last step up to which a longer schedule has the same rates: the very last of a constant one."""
        if self.decay == "constant":
            return self.steps
        fall = FALLS.get(self.decay)
        return self.warmup_steps if fall is None else self.steps - round(fall * self.steps)

    @property
    def spare(self) -> int | None:
        """The step from which a longer run can resume, before the rate falls; its checkpoint is kept."""
        return self.stable_until if self.decay in FALLS else None
