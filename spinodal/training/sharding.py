"""Fully sharded training: of R processes each holds 1/R of the weights, their gradients and their moments.

torch's `fully_shard` (FSDP2) gathers the weights of one block at a time, and checkpoints are those of
torch.distributed.checkpoint: each process writes its part as safetensors, `shard-K-model-00001-of-00001.safetensors`,
which any other number of processes reads. One process, which holds all, writes and reads the same files.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.distributed import checkpoint as shards
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from transformers.modeling_layers import GradientCheckpointingLayer

from spinodal.errors import InputError
from spinodal.training.processes import process_count

MODEL, OPTIMIZER = "model.", "optimizer."
T = TypeVar("T", bound=nn.Module)


def shard(model: T) -> T:
    """The model itself, each of whose parameters is split along its first dimension among the processes of the run.

    InputError for a parameter without a dimension to split.
    """
    if process_count() == 1:
        return model
    single = next((name for name, p in model.named_parameters() if not p.ndim), None)
    if single:
        raise InputError(f"sharded=true: the parameter {single} is a single number, which cannot be split")
    device = next(model.parameters()).device.type
    mesh = init_device_mesh(device, (process_count(),))
    for block in blocks(model):
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def blocks(model: nn.Module) -> list[nn.Module]:
    """The layers whose weights are gathered one after another."""
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]


def gathered_parameters(model: nn.Module) -> int:
    """The most parameters gathered at once: those outside the blocks, and of two blocks, one prefetched."""
    sizes = sorted(sum(p.numel() for p in block.parameters()) for block in blocks(model))
    return sum(p.numel() for p in model.parameters()) - sum(sizes[:-2])


def whole(value: Tensor) -> Tensor:
    """The full tensor, gathered from all processes, which all call this; itself where it is not split."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def save_shards(folder: Path, model: nn.Module, optimizer: Optimizer) -> None:
    """Writes the weights and the moments that this process holds; all processes call this."""
    state = {f"{MODEL}{name}": value for name, value in own_weights(model).items()}
    state |= {f"{OPTIMIZER}{name}.{kind}": value for name, kind, value in moments_of(model, optimizer)}
    with without_group_warnings():
        shards.save(
            state,
            storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True),
            no_dist=process_count() == 1,
        )


def load_weights(folder: Path, model: nn.Module) -> None:
    """Reads into the model the part of the weights that this process holds."""
    load(folder, {f"{MODEL}{name}": value for name, value in own_weights(model).items()})


def load_moments(folder: Path, model: nn.Module, optimizer: Optimizer) -> None:
    """Reads the optimiser's moments, such as Adam's m and v, from a sharded checkpoint.

    Each process reads the part that belongs to its own shard of the weights.
    """
    parameters = {f"{OPTIMIZER}{name}": p for name, p in model.named_parameters()}
    state: dict[str, Tensor] = {}
    for name, found in stored(folder).items():
        if name.startswith(OPTIMIZER):
            parameter = parameters[name.rpartition(".")[0]]
            like = found.size == parameter.shape and parameter.ndim
            state[name] = (
                torch.zeros_like(parameter, requires_grad=False)
                if like
                else torch.zeros(found.size, dtype=found.properties.dtype)
            )
    load(folder, state)
    for name, value in state.items():
        place, _, kind = name.rpartition(".")
        optimizer.state[parameters[place]][kind] = value


def full_weights(folder: Path) -> dict[str, Tensor]:
    """{name: tensor} of all weights of a sharded checkpoint, read by this process alone."""
    state = {
        name: torch.empty(found.size, dtype=found.properties.dtype)
        for name, found in stored(folder).items()
        if name.startswith(MODEL)
    }
    load(folder, state, alone=True)
    return {name.removeprefix(MODEL): value for name, value in state.items()}


def gather_weights(model: nn.Module) -> dict[str, Tensor]:
    """{name: tensor} of all weights in the memory of the main process, empty in the others; all call this."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return cast(dict[str, Tensor], get_model_state_dict(model, options=options))


def is_sharded(folder: Path) -> bool:
    """Whether a folder holds a checkpoint written by `save_shards`."""
    return any(folder.glob("shard-*.safetensors"))


def own_weights(model: nn.Module) -> dict[str, Tensor]:
    """{name: value} of parameters and persistent buffers, as this process holds them; tied ones once."""
    kept = model.state_dict().keys()
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: value.detach() for name, value in named if name in kept}


def moments_of(model: nn.Module, optimizer: Optimizer) -> Iterator[tuple[str, str, Tensor]]:
    """(parameter's name, moment's name, value) of every tensor in the state of an optimiser."""
    for name, parameter in model.named_parameters():
        for kind, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                yield name, kind, value


def stored(folder: Path) -> dict[str, Any]:
    """{name: size and dtype} of the tensors in a sharded checkpoint."""
    return HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata


def load(folder: Path, state: dict[str, Tensor], *, alone: bool = False) -> None:
    """Reads a checkpoint into the tensors of `state`; `alone` where the other processes do not read."""
    with without_group_warnings():
        shards.load(
            state,
            storage_reader=HuggingFaceStorageReader(str(folder)),
            no_dist=alone or process_count() == 1,
        )


def without_group_warnings() -> warnings.catch_warnings:
    """A context that ignores UserWarnings, such as torch's that a single process has no process group."""
    return warnings.catch_warnings(action="ignore", category=UserWarning)
