from .compare import Comparison, Recipe, compare
from .constraints import Constraint
from .experiment import Experiment, Schedule, override, parse_overrides
from .probe import Probe
from .run import Label, TrainingResult, train
from .tasks import DataConfig

__all__ = [
    "Comparison",
    "Constraint",
    "DataConfig",
    "Experiment",
    "Label",
    "Probe",
    "Recipe",
    "Schedule",
    "TrainingResult",
    "compare",
    "override",
    "parse_overrides",
    "train",
]
