from .arrays import read_trajectory, write_trajectory
from .record import VIEWS, record, recording
from .stacks import Stack, find_stacks, one_stack

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
