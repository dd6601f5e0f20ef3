from .merging import MERGE, Merges
from .methods import Adaptive, Layers, Noisy
from .simulate import CONSENSUS, CheckpointPolicy, SimulationResult, simulate

__all__ = [
    "CONSENSUS",
    "MERGE",
    "Adaptive",
    "CheckpointPolicy",
    "Layers",
    "Merges",
    "Noisy",
    "SimulationResult",
    "simulate",
]
