"""Training: experiments as values, the physics loss, runs that resume bit for bit, comparisons.

result = train(Experiment(Text("corpus.txt"), {"width": 64}, Schedule(steps=400)), "runs/mine")
result.final["held_out_loss"], result.metrics[-1]
read_run("runs/mine").result_as(TrainingResult) == result
"""

from spinodal.training.compare import Comparison, Recipe, compare
from spinodal.training.constraints import Constraint
from spinodal.training.experiment import Experiment, Schedule, changed, overrides
from spinodal.training.portrait import Portrait
from spinodal.training.run import Label, TrainingResult, train
from spinodal.training.tasks import Text

__all__ = [
    "Comparison",
    "Constraint",
    "Experiment",
    "Label",
    "Portrait",
    "Recipe",
    "Schedule",
    "Text",
    "TrainingResult",
    "changed",
    "compare",
    "overrides",
    "train",
]
