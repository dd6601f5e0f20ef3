"""The states of a simulation that are kept, at the times that are wanted."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from spinodal.errors import InputError
from spinodal.flows.state import State


class SavedFrames:
    """The states that are kept: at wanted times, an increasing sequence that may be endless, and at the end."""

    def __init__(self, times: Iterable[float]):
        self.wanted = iter(times)
        self.times: list[float] = []
        self.tokens: list[np.ndarray] = []
        self.lengths: list[np.ndarray] = []
        self.next = -math.inf
        self.advance_past(0.0)

    def advance_past(self, time: float) -> None:
        """Sets the next wanted time to the first one above this time."""
        while self.next <= time:
            following = float(next(self.wanted, math.inf))
            if not following > self.next or following < 0:
                raise InputError(
                    f"`saves` must increase from 0: {following:g} comes after {self.next:g}", field="saves"
                )
            self.next = following

    def keep(self, time: float, state: State) -> None:
        if self.times and time <= self.times[-1]:
            return
        self.times.append(time)
        self.tokens.append(state.directions)
        self.lengths.append(state.lengths)

    def snapshot(self) -> dict[str, Any]:
        return {"frame_times": self.times, "frame_tokens": self.tokens, "frame_lengths": self.lengths}

    def restore(self, saved: dict[str, Any]) -> None:
        self.times = saved["frame_times"].tolist()
        self.tokens, self.lengths = list(saved["frame_tokens"]), list(saved["frame_lengths"])
