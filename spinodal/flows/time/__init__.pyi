from .merging import MERGE, Merges
from .simulate import CONSENSUS, Adaptive, Keeper, Layers, Noisy, Run, simulate

__all__ = ["CONSENSUS", "MERGE", "Adaptive", "Keeper", "Layers", "Merges", "Noisy", "Run", "simulate"]
