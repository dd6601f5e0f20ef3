"""Whether a model can be trained in the memory of the machine, told before any of it is allocated.

    bytes = 16 x parameters: in float32 the weights, their gradients and the two moments of AdamW

What a step holds besides, activations above all, is not counted: a model that is refused cannot be trained here, one
that is not refused may still need more. Models are counted on torch's meta device, which allocates nothing.
"""

import os
from dataclasses import replace
from pathlib import Path

import torch

from spinodal.errors import InputError
from spinodal.training.experiment import Experiment, model_config, parameter_count
from spinodal.training.tasks import least_vocabulary

BYTES = 16
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def machine_memory() -> int:
    """Bytes of the GPU, or else of the machine, or of the control group that this process is confined to."""
    if torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(0).total_memory)
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else []
    for path in LIMITS:
        if path.is_file() and (text := path.read_text().strip()).isdigit():
            sizes.append(int(text))
    return min(sizes, default=2**63)


def check_size(experiment: Experiment, *, vocabulary: int | None = None) -> None:
    """InputError for a model whose mixers do not go together, or that the machine's memory cannot train.

    `vocabulary` is the number of tokens, or None for the fewest that there can be, before the text is read.
    """
    tokens = least_vocabulary(experiment.data) if vocabulary is None else vocabulary
    count, memory = model_size(experiment, tokens), machine_memory()
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
        f"{BYTES * count / 1e9:,.1f} GB, and there are {memory / 1e9:,.1f} GB here; {advice}"
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

    low, high = 2, experiment.data.length
    try:
        if BYTES * size(low) > memory:
            return 0, 0
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if BYTES * size(middle) <= memory else (low, middle)
        return low, size(low)
    except InputError:  # a mixer that takes some lengths alone
        return 0, 0
