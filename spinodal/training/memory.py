"""The memory that training takes, estimated before the first step.

    bytes = P (4 + 4 + M) / R + 4 G + A_1 + (b - 1)(A_2 - A_1)

P parameters in float32 with their gradients and M bytes of moments each. R processes share them where the run is
sharded, and each then gathers at most G of them at once; else R = 1, G = 0. A_k is what autograd keeps for the backward
pass of k samples, counted on the first ones; b samples are computed at once. With activation checkpointing one block
is computed again at a time: A then holds what is kept between the blocks, and a block's share of the rest. What the
backward pass allocates on its way is not counted, nor are the libraries of a GPU.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from transformers.modeling_layers import GradientCheckpointingLayer

from spinodal.errors import InputError
from spinodal.models.encoder import SpinodalPreTrainedModel
from spinodal.training.build import build_model, prepare_data
from spinodal.training.experiment import Experiment
from spinodal.training.groups import describe_groups
from spinodal.training.passes import constrained_loss, undisturbed
from spinodal.training.prepared import PreparedData
from spinodal.training.processes import process_count
from spinodal.training.sharding import gathered_parameters
from spinodal.training.size import machine_memory
from spinodal.training.tasks import collator

# Bytes a parameter; adafactor's are rows and columns, Muon keeps half of a matrix
MOMENTS = {"adamw": 8, "adamw-one-rate": 8, "muon": 8, "adafactor": 0, "sgd": 0}


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that training takes in one process, by their use, and the bytes `available` to it."""

    parameters: int  # a number, not bytes
    weights: int
    gradients: int
    moments: int
    activations: int  # of the samples that are computed at once
    sample: int  # bytes of activations that each further sample takes
    available: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.moments + self.activations


def estimate(experiment: Experiment) -> MemoryEstimate:
    """The memory that training an experiment takes; reads its data, builds its model and trains nothing.

    InputError for anything wrong with the experiment.
    """
    data = prepare_data(experiment)
    return estimate_memory(experiment, build_model(experiment, data), data)


def estimate_memory(
    experiment: Experiment, model: SpinodalPreTrainedModel, data: PreparedData
) -> MemoryEstimate:
    """The memory that training this model takes, by a pass of one sample and one of two."""
    count = sum(p.numel() for p in model.parameters())
    one, two = (kept_bytes(experiment, model, data, samples) for samples in (1, 2))
    sample, moments = max(0, two - one), MOMENTS[experiment.schedule.optimizer] * count
    if experiment.schedule.optimizer == "muon":
        moments -= 4 * sum(g.parameters for g in describe_groups(model, experiment.schedule) if g.inputs)
    activations = one + (experiment.schedule.batch - 1) * sample
    shares, gathered = 1, 0
    if experiment.schedule.sharded and process_count() > 1:
        shares, gathered = process_count(), gathered_parameters(model)
    weights, gradients, moments = (-(-size // shares) for size in (4 * count, 4 * count, moments))
    return MemoryEstimate(
        count, weights + 4 * gathered, gradients, moments, activations, sample, machine_memory()
    )


def kept_bytes(
    experiment: Experiment, model: SpinodalPreTrainedModel, data: PreparedData, samples: int
) -> int:
    """Bytes that autograd keeps of a forward pass of so many samples, beside the model's own."""
    inputs = collator(experiment.data)([data.training[i] for i in range(samples)])
    whole = saved_bytes(experiment, model, inputs)
    if not experiment.schedule.activation_checkpointing:
        return whole
    blocks = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    kept: list[int] = []

    def count(block: nn.Module, given: tuple) -> None:
        kept.append(sum(value.nbytes for value in given if isinstance(value, Tensor)))

    hooks = [block.register_forward_pre_hook(count) for block in blocks]
    enable_checkpointing(model)
    outside = saved_bytes(experiment, model, inputs)
    getattr(model, "activation_checkpointing_disable", model.gradient_checkpointing_disable)()
    for hook in hooks:
        hook.remove()
    return outside + sum(kept) + math.ceil((whole - outside) / len(blocks))


def enable_checkpointing(model: SpinodalPreTrainedModel) -> None:
    """Turns on activation checkpointing: activations within blocks are recomputed in the backward pass."""
    enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
    enable({"use_reentrant": False})


def saved_bytes(experiment: Experiment, model: SpinodalPreTrainedModel, inputs: Mapping[str, Tensor]) -> int:
    """`kept_of` the loss of a pass in training mode; the model is as it was after it."""
    with undisturbed(experiment, model, training=True):
        return kept_of(model, lambda: constrained_loss(experiment, model, inputs))


def kept_of(model: nn.Module, loss: Callable[[], Tensor]) -> int:
    """Bytes of the storages that autograd saves while `loss` is computed, each once, without parameters and buffers."""
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    seen: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in own:
            seen.setdefault(place, tensor)
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        graph = loss()
        total = sum(tensor.untyped_storage().nbytes() for tensor in seen.values())
        del graph
    return total


def refuse_memory(experiment: Experiment, found: MemoryEstimate) -> None:
    """InputError where training does not fit into the memory that there is."""
    if found.total <= found.available:
        return
    kinds = ", ".join(
        f"{name} {getattr(found, name) / 1e9:.3g}"
        for name in ("weights", "gradients", "moments", "activations")
    )
    s = experiment.schedule
    fewer = s.batch - math.ceil((found.total - found.available) / max(1, found.sample))
    fits = next((batch for batch in range(fewer, 0, -1) if s.batch * s.accumulate % batch == 0), None)
    advice = f"batch={fits} accumulate={s.batch * s.accumulate // fits}" if fits else "a smaller model"
    raise InputError(
        f"training takes {found.total / 1e9:.3g} GB ({kinds}), and there are {found.available / 1e9:.3g} GB: take "
        f"{advice}, or activation_checkpointing=true"
    )
