from .merging import MERGE, Merges
from .simulate import CONSENSUS, Adaptive, CheckpointPolicy, Layers, Noisy, SimulationResult, simulate

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
