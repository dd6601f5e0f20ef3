"""Training: experiments as values, the physics loss, runs that resume bit for bit, comparisons."""

from spinodal.training.compare import Recipe, compare
from spinodal.training.constraints import Constraint
from spinodal.training.experiment import Experiment, Schedule, changed, overrides
from spinodal.training.run import Label, train
from spinodal.training.tasks import Text

__all__ = [
    "Constraint",
    "Experiment",
    "Label",
    "Recipe",
    "Schedule",
    "Text",
    "changed",
    "compare",
    "overrides",
    "train",
]
