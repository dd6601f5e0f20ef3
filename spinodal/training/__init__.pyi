from .compare import Comparison, Recipe, compare
from .constraints import Constraint
from .experiment import Experiment, Schedule, changed, overrides
from .portrait import Portrait
from .run import Label, TrainingResult, train
from .tasks import Text

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
