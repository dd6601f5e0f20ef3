from .compare import Comparison, Recipe, compare
from .constraints import Constraint
from .experiment import Experiment, Schedule, override, parse_overrides
from .probe import Probe
from .records import TrainingRun, training_run
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
    "TrainingRun",
    "compare",
    "override",
    "parse_overrides",
    "train",
    "training_run",
]
