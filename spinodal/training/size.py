"""Whether a model can be trained in the memory of the machine, computed before any of it is allocated.

    bytes = 16 x parameters: in float32 the weights, their gradients and the two moments of AdamW, all of which
    processes share where the run is sharded

What a step holds besides, activations above all, is not counted: a model that is refused cannot be trained here, one
that is not refused may still need more. Models are counted on torch's meta device, which allocates nothing.
"""

import os
from dataclasses import replace

import torch

from spinodal.errors import InputError
from spinodal.mixers.size import device_memory, longest_that_fits
from spinodal.training.experiment import Experiment, model_config, parameter_count
from spinodal.training.processes import process_count
from spinodal.training.tasks import least_vocabulary

BYTES = 16


def machine_memory() -> int:
    """Bytes of the GPU, or without one those that tensors may take of the machine or of the control group.

    Processes of one run on one machine share the latter equally.
    """
    if torch.cuda.is_available():
        return device_memory(torch.device("cuda"))
    return device_memory(torch.device("cpu")) // int(os.environ.get("LOCAL_WORLD_SIZE") or 1)


def check_size(experiment: Experiment, *, vocabulary: int | None = None) -> None:
    """InputError for a model whose mixers cannot be combined, or whose training exceeds the machine's memory.

    `vocabulary` is the number of tokens, or None for the fewest that there can be, before the text is read.
    """
    tokens = least_vocabulary(experiment.data) if vocabulary is None else vocabulary
    count, memory = model_size(experiment, tokens), machine_memory()
    if experiment.schedule.sharded:
        memory *= process_count()
    if BYTES * count <= memory:
        return
    data = experiment.data
    likely = (
        tokens if data.task == "recall" else max(tokens, data.vocabulary)
    )  # so that the advice holds later too
    longest, fewest = longest_length(experiment, likely, memory)
    if longest >= 2:
        both = "length and source_length" if data.task == "translation" else "length"
        advice = f"{both} of at most {longest} ({fewest:,} parameters) would fit; or lower width or depth"
    else:
        advice = "lower width, depth or vocabulary" + (", or parameters" if experiment.parameters else "")
    raise InputError(
        f"this model has {count:,} parameters at length={data.length}: training takes {BYTES} bytes of each, "
        f"{BYTES * count / 1e9:,.1f} GB, and there are {memory / 1e9:,.1f} GB for it here; {advice}"
    )


def model_size(experiment: Experiment, vocabulary: int) -> int:
    """Trainable parameters of the experiment's model with so many tokens."""
    return parameter_count(experiment, model_config(experiment, vocabulary=vocabulary))


def longest_length(experiment: Experiment, vocabulary: int, memory: int) -> tuple[int, int]:
    """(length, parameters) of the longest context whose model fits; (0, 0) where a shorter one does not help."""

    def size(length: int) -> int:
        data = replace(experiment.data, length=length)
        if data.task == "translation":
            data = replace(data, source_length=min(length, data.source_length))
        return model_size(replace(experiment, data=data), vocabulary)

    longest = longest_that_fits(size, experiment.data.length, memory // BYTES)
    return longest, size(longest) if longest else 0
