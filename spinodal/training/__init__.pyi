from .compare import Comparison, Recipe, compare
from .constraints import Constraint
from .experiment import Experiment, Schedule, override, parse_overrides
from .groups import parameter_groups
from .memory import MemoryEstimate, estimate
from .muon import MuonAdamW
from .records import ParameterGroup, Probe, TrainingRun, training_run
from .run import Label, TrainingResult, train
from .tasks import DataConfig
from .tuning import Trial, Tuning, parse_grid

__all__ = [
    "Comparison",
    "Constraint",
    "DataConfig",
    "Experiment",
    "Label",
    "MemoryEstimate",
    "MuonAdamW",
    "ParameterGroup",
    "Probe",
    "Recipe",
    "Schedule",
    "TrainingResult",
    "TrainingRun",
    "Trial",
    "Tuning",
    "compare",
    "estimate",
    "override",
    "parameter_groups",
    "parse_grid",
    "parse_overrides",
    "train",
    "training_run",
]
