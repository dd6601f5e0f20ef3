r"""Parameter groups: a learning rate and a weight decay for each parameter, by the module that holds it and its shape.

    kind      parameters                                                          rate                         decay
    tables    embeddings, output layers, convolutions,                            lr                           w
              whatever else is no vector and no matrix
    vectors   fewer than two dimensions: norms, biases, decays                    lr                           0
    matrices  two-dimensional weights of linear, recurrent and attention layers   matrix_lr sqrt(128 / m)      w
    outputs   those of `OutputProjection`, the last matrix of a mixer             matrix_lr sqrt(128 / m) / 2  w

The output layer, which scores the tokens of a vocabulary, is one that shares the weights of an embedding, or what
`get_output_embeddings` of a Hugging Face model names. Of other modules it is the linear layer of the shape of the first
embedding that no other linear layer stands further out than, `model.head` rather than `model.blocks.0.inner`; of
several the last.

m is the number of features that a matrix reads. Adam moves every entry by about its rate whatever the size of the
gradient, so that a step changes what a matrix makes of m features of unit size by its rate times sqrt(m) where the
signs of a step are random, and m where they agree [yang2022]: at one rate for all, the widest matrix takes the largest
step. By the root the best `matrix_lr` is the same for models of 0.57 and 7.9 million parameters (docs/training.md); the
outputs begin ten times smaller, and half of it was chosen for them. Muon makes the singular values of a step equal
instead and scales it by sqrt(max(1, out / in)): its matrices have matrix_lr as it stands, and those of `Conv1D`, which
stores them as [in, out], matrix_lr sqrt(out / in), with which a step is the same.

    symbol     meaning                                                            unit
    lr         rate of tables and vectors                                         1 / step
    matrix_lr  rate of a matrix that reads REFERENCE features; of any, with Muon  1 / step
    m          features that a matrix reads                                       1
    w          weight_decay                                                       1
"""

import math
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from spinodal.errors import InputError
from spinodal.mixers.base import OutputProjection
from spinodal.training.foreign import ForeignModel
from spinodal.training.records import ParameterGroup
from spinodal.training.schedule import GROUPED, Schedule

REFERENCE = 128  # features that a matrix reads whose rate is matrix_lr
SHARES = {"adamw": 0.2, "muon": 2.5}  # matrix_lr / lr where it is not given
LINEAR = (nn.Linear, nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase, Conv1D)
OUTPUT_SHARE = 0.5  # of the rate of an output projection
TABLES, VECTORS, MATRICES, OUTPUTS = "tables", "vectors", "matrices", "outputs"


def parameter_groups(
    model: nn.Module,
    *,
    lr: float,
    matrix_lr: float = 0.0,
    weight_decay: float = 0.01,
    optimizer: str = "adamw",
) -> list[dict[str, Any]]:
    """Groups for a torch optimiser: lr for tables and vectors, matrix_lr sqrt(128 / m) for matrices of m features.

    What is trainable of any torch module, each parameter once, by the types of modules and by shapes; the groups come
    in the order of the table above, matrices by m; "kind" and "inputs" (m) of each say what it holds, "optimizer" for
    which it is. `matrix_lr` =
    0 is lr / 5 for "adamw" and 2.5 lr for "muon", whose matrices have matrix_lr whatever m is. Steps of SGD are as
    large as its gradients: these groups are not for it.

    InputError for a rate that is not positive and finite, a decay that is negative or not finite, a model without
    trainable parameters, and one with lazy layers that have no shape yet.

    >>> import torch
    >>> from torch import nn
    >>> from spinodal.training import parameter_groups
    >>> model = nn.Sequential(nn.Embedding(50, 64), nn.LayerNorm(64), nn.Linear(64, 256), nn.Linear(256, 50))
    >>> optimizer = torch.optim.AdamW(parameter_groups(model, lr=8e-3), betas=(0.9, 0.98))
    >>> [(group["kind"], group["inputs"], round(group["lr"], 5)) for group in optimizer.param_groups]
    [('tables', 0, 0.008), ('vectors', 0, 0.008), ('matrices', 64, 0.00226), ('matrices', 256, 0.00113)]
    """
    if optimizer not in SHARES:
        raise InputError(f"optimizer={optimizer}: one of {', '.join(SHARES)}", field="optimizer")
    matrix_lr = matrix_lr or SHARES[optimizer] * lr
    for name, value in {"lr": lr, "matrix_lr": matrix_lr}.items():
        if not 0 < value < float("inf"):
            raise InputError(f"{name}={value}: a rate is positive and finite", field=name)
    if not 0 <= weight_decay < float("inf"):
        raise InputError(f"weight_decay={weight_decay}: it must not be negative", field="weight_decay")
    if lazy := next((name for name, p in model.named_parameters() if is_lazy(p)), None):
        raise InputError(
            f"{lazy} has no shape yet: call the model once, then ask for its groups", field="model"
        )
    found: dict[tuple[str, int, float], list[Tensor]] = {}
    for kind, inputs, outputs, parameter in kinds(model):
        turned = optimizer == "muon" and outputs > 0
        found.setdefault((kind, inputs, math.sqrt(outputs / inputs) if turned else 1.0), []).append(parameter)
    if not found:
        raise InputError("the model has no trainable parameters", field="model")
    order = (TABLES, VECTORS, MATRICES, OUTPUTS)

    def rate(kind: str, inputs: int, share: float) -> float:
        if not inputs:
            return lr
        if optimizer == "muon":
            return matrix_lr * share
        return matrix_lr * math.sqrt(REFERENCE / inputs) * (OUTPUT_SHARE if kind == OUTPUTS else 1)

    return [
        {
            "params": found[kind, inputs, share], "lr": rate(kind, inputs, share), "kind": kind, "inputs": inputs,
            "weight_decay": 0.0 if kind == VECTORS else weight_decay, "optimizer": optimizer,
        }
        for kind, inputs, share in sorted(found, key=lambda key: (order.index(key[0]), *key[1:]))
    ]  # fmt: skip


def is_lazy(parameter: Tensor) -> bool:
    """Whether a parameter waits for the first input to have a shape."""
    return isinstance(parameter, nn.parameter.UninitializedParameter)


def kinds(model: nn.Module) -> Iterator[tuple[str, int, int, Tensor]]:
    """(kind, features read, features written where a matrix is stored as [in, out], parameter) of what is trainable.

    Each parameter comes once; a tied one is a table. Of a parametrised weight the part that has its shape is the
    matrix, and the others, such as the lengths of its rows, are vectors.
    """
    tables = [m.weight for m in model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)]
    heads, seen = {id(weight) for weight in output_weights(model, {id(t) for t in tables})}, set()
    for parameter in tables:
        if parameter.requires_grad and id(parameter) not in seen:
            seen.add(id(parameter))
            yield TABLES, 0, 0, parameter
    owners = {
        id(found): (module, getattr(module, name).shape)
        for module in model.modules()
        for name, found in (getattr(module, "parametrizations", None) or {}).items()
    }
    for module in model.modules():
        owner, shape = owners.get(id(module), (module, None))
        for parameter in module.parameters(recurse=False):
            if not parameter.requires_grad or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            part = isinstance(module, ParametrizationList) and parameter.shape != shape
            if parameter.ndim < 2 or part:
                yield VECTORS, 0, 0, parameter
            elif parameter.ndim > 2 or not isinstance(owner, LINEAR) or id(parameter) in heads:
                yield TABLES, 0, 0, parameter
            else:
                kind = OUTPUTS if isinstance(owner, OutputProjection) else MATRICES
                rows, columns = parameter.shape
                yield (
                    (kind, rows, columns, parameter)
                    if isinstance(owner, Conv1D)
                    else (kind, columns, 0, parameter)
                )


def output_weights(model: nn.Module, tables: set[int]) -> list[Tensor]:
    """The weights of the layers that score the tokens of a vocabulary, but for those in `tables`, as said above."""
    declared, inside = [], set[int]()
    for module in model.modules():
        if isinstance(module, PreTrainedModel) and not isinstance(module, ForeignModel):
            inside |= {id(part) for part in module.modules()}
            layer: Any = module.get_output_embeddings()
            declared += [layer.weight] if layer is not None else []
    first = next((m for m in model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)), None)
    linear = [
        (name.count("."), module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and id(module) not in inside
    ]
    outermost = [module for depth, module in linear if depth == min(depth for depth, _ in linear)]
    of_its_shape = [m.weight for m in outermost if first is not None and m.weight.shape == first.weight.shape]
    return declared + [weight for weight in of_its_shape if id(weight) not in tables][-1:]


def training_groups(model: nn.Module, schedule: Schedule) -> list[dict[str, Any]]:
    """The groups of a model that a schedule trains."""
    return parameter_groups(
        model,
        lr=schedule.lr,
        matrix_lr=schedule.matrix_lr,
        weight_decay=schedule.weight_decay,
        optimizer=schedule.optimizer,
    )


def describe_groups(model: nn.Module, schedule: Schedule) -> list[ParameterGroup]:
    """The parameter groups for a run's record; a single one, "all", where the optimiser has one rate."""
    if schedule.optimizer not in GROUPED:
        count = sum(p.numel() for p in model.parameters() if p.requires_grad)
        return [ParameterGroup("all", 0, count, schedule.lr, schedule.weight_decay)]
    return [
        ParameterGroup(
            group["kind"],
            group["inputs"],
            sum(p.numel() for p in group["params"]),
            group["lr"],
            group["weight_decay"],
        )
        for group in training_groups(model, schedule)
    ]
