"""Probes: the tokens of a model, layer by layer, as a `Trajectory`.

stacks   where the layers of a model are, found by what they do
record   hooks that keep what each layer received and returned; views that must not be confused
arrays   trajectories on disk, for models that cannot run here
"""

from spinodal.probes.arrays import read_trajectory, write_trajectory
from spinodal.probes.record import VIEWS, record, recording
from spinodal.probes.stacks import Stack, find_stacks, one_stack

__all__ = [
    "VIEWS",
    "Stack",
    "find_stacks",
    "one_stack",
    "read_trajectory",
    "record",
    "recording",
    "write_trajectory",
]
