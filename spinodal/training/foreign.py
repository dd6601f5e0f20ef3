r"""Networks of other libraries in place of ours: a Hugging Face class, or a callable that returns a module.

    "transformers:LlamaForCausalLM"     built from its configuration in our width, depth, heads and length
    "package.module:Name"               called with those of SIZES that it takes by name, with all for **kwargs

A network maps ids [b, n] to logits [b, n, vocabulary], or to an output that has such `logits`; for masked text it sees
both sides, for causal text it must not see what follows, which is checked before training. Its parameters are counted
on torch's meta device, where tensors have a shape and no values. The inner size `hidden` is solved for equal parameters
where the network has one: `intermediate_size` and its like of a Hugging Face class, an argument `hidden` of a callable.
"""

import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxtyping import Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from spinodal.errors import InputError
from spinodal.models import SpinodalConfig, SpinodalForCausalLM, SpinodalForMaskedLM
from spinodal.models.encoder import SpinodalPreTrainedModel
from spinodal.models.tasks import TaskOutput, cross_entropy

SIZES = ("vocabulary", "length", "width", "depth", "heads", "hidden")
NAMES = {  # of a Hugging Face configuration
    "vocab_size": "vocabulary", "hidden_size": "width", "num_hidden_layers": "depth", "num_attention_heads": "heads",
    "num_key_value_heads": "heads", "max_position_embeddings": "length", "head_dim": "head_width",
}  # fmt: skip
INNER = ("intermediate_size", "n_inner", "ffn_dim", "d_ff", "dim_feedforward")
TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id")
LEAK = 1e-5  # of the largest logit: what a later token may change of earlier ones by rounding


def find_network(path: str) -> Callable[..., Any]:
    """The class or function "package.module:Name", from the current folder too; InputError if not found."""
    module, colon, name = path.partition(":")
    if not (module and colon and name):
        raise InputError(f"network={path}: it takes package.module:Name")
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        found = importlib.import_module(module)
    except Exception as error:  # a module runs code of its own, which may raise anything
        raise InputError(
            f"network={path}: {module} cannot be imported ({type(error).__name__}: {error})"
        ) from error
    if not callable(made := getattr(found, name, None)):
        raise InputError(f"network={path}: {module} has no class or function {name}")
    return made


def sizes_of(config: SpinodalConfig) -> dict[str, int]:
    """{name in SIZES: number} of a configuration of this library."""
    hidden = {} if config.hidden is None else {"hidden": config.hidden}
    return {
        "vocabulary": config.vocab_size, "length": config.length, "width": config.width, "depth": config.depth,
        "heads": config.heads, **hidden,
    }  # fmt: skip


def source_digest(path: str) -> dict[str, str]:
    """{"network": sha256} of the file that defines the network at a path; none of a class of transformers itself.

    What that file imports is not read: versions of packages stand in the record of a run.
    """
    made = find_network(path)
    if (getattr(made, "__module__", None) or "").partition(".")[0] == "transformers":
        return {}
    try:
        file = inspect.getsourcefile(made)
    except TypeError:  # an object that is called, and has no source of its own
        file = getattr(sys.modules[path.partition(":")[0]], "__file__", None)
    if not file or not Path(file).is_file():
        return {}
    return {"network": hashlib.sha256(Path(file).read_bytes()).hexdigest()}


def build_network(config: SpinodalConfig) -> nn.Module:
    """The network of a configuration; InputError for one that cannot be built in these sizes."""
    make, sizes = find_network(config.network), sizes_of(config)
    try:
        if isinstance(make, type) and issubclass(make, PreTrainedModel):
            return make(pretrained_config(make, config, sizes))
        made = make(**{name: size for name, size in sizes.items() if takes(make, name)})
    except Exception as error:  # it runs code of its own, which may raise anything
        raise InputError(
            f"network={config.network}: it cannot be built ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(made, nn.Module):
        raise InputError(f"network={config.network}: it gives {type(made).__name__}, and not a torch module")
    return made


def takes(make: Callable[..., Any], name: str) -> bool:
    """Whether a callable takes an argument of this name."""
    found = inspect.signature(make).parameters
    return name in found or any(p.kind is inspect.Parameter.VAR_KEYWORD for p in found.values())


def pretrained_config(kind: type[PreTrainedModel], config: SpinodalConfig, sizes: dict[str, int]) -> Any:
    """The configuration of a Hugging Face class in these sizes, with our dropout everywhere."""
    usual: Any = kind.config_class
    known = usual()
    own = sizes | {"head_width": sizes["width"] // sizes["heads"]}
    values: dict[str, Any] = {name: own[size] for name, size in NAMES.items() if hasattr(known, name)}
    values |= {name: sizes["hidden"] for name in INNER if hasattr(known, name) and "hidden" in sizes}
    values |= {name: getattr(config, name) for name in TOKENS}
    values |= {
        name: config.dropout
        for name, value in vars(known).items()
        if ("dropout" in name or "pdrop" in name) and isinstance(value, float)
    }
    return usual(**values)


def has_inner_size(path: str) -> bool:
    """Whether `hidden` changes the network at a path."""
    make = find_network(path)
    if isinstance(make, type) and issubclass(make, PreTrainedModel):
        usual: Any = make.config_class
        return any(hasattr(usual(), name) for name in INNER)
    return takes(make, "hidden")


def check_logits(model: SpinodalPreTrainedModel, ids: Int[Tensor, "1 n"]) -> None:
    """InputError for a network that fails on these ids, or that sees later tokens where it predicts the next one."""
    name, size = model.config.network, model.config.vocab_size
    try:
        logits = model(ids).logits
        other = ids.clone()
        other[:, -1] = (ids[:, -1] + 1) % size
        changed = model(other).logits
    except InputError:
        raise
    except Exception as error:  # it runs code of its own, which may raise anything
        raise InputError(
            f"network={name}: it fails on ids of shape {tuple(ids.shape)} ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(model, ForeignForCausalLM) or ids.shape[1] < 2:
        return
    change = (changed - logits)[:, :-1].abs().max()
    if change > LEAK * logits.abs().max():
        raise InputError(
            f"network={name}: its logits of earlier tokens change by {float(change):.2g} with the last token: for "
            f"task=causal a network must not see what follows"
        )


class ForeignModel(SpinodalPreTrainedModel):
    """A network of another library with the losses of our models, so that it is trained as they are."""

    def __init__(self, config: SpinodalConfig):
        super().__init__(config)
        self.network = build_network(config)
        names: dict[int, str] = {}
        named = self.named_parameters(remove_duplicate=False)
        ties = {name: first for name, p in named if (first := names.setdefault(id(p), name)) != name}
        self._tied_weights_keys = ties
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Does nothing: the network has initialised its weights itself."""

    @staticmethod
    def targets(labels: Int[Tensor, "b n"]) -> Int[Tensor, "b k"]:
        """The labels that are predicted: all of them."""
        return labels

    def forward(
        self,
        input_ids: Int[Tensor, "b n"],
        labels: Int[Tensor, "b n"] | None = None,
        *,
        scored_only: bool = False,
        num_items_in_batch: Tensor | int | None = None,
        output_residuals: bool = False,
    ) -> TaskOutput:
        """Loss and logits; the keywords are those of our models, of which `num_items_in_batch` alone acts."""
        found = self.network(input_ids)
        logits = found if isinstance(found, Tensor) else getattr(found, "logits", None)
        expected = (*input_ids.shape, self.config.vocab_size)
        if logits is None or tuple(logits.shape) != expected:
            given = type(found).__name__ if logits is None else tuple(logits.shape)
            raise InputError(f"network={self.config.network}: it gives {given}, and not logits {expected}")
        if labels is None:
            return TaskOutput(logits=logits)
        asked = self.targets(labels)
        scored = logits[:, : asked.shape[1]].reshape(-1, logits.shape[-1])
        return TaskOutput(cross_entropy(scored, asked.reshape(-1), num_items_in_batch), logits)


class ForeignForMaskedLM(ForeignModel):
    """A network of another library that predicts masked tokens from the tokens on both sides."""


class ForeignForCausalLM(ForeignModel):
    """A network of another library that predicts the next token at every position."""

    @staticmethod
    def targets(labels: Int[Tensor, "b n"]) -> Int[Tensor, "b k"]:
        """The labels that are predicted: position i predicts label i + 1."""
        return labels[:, 1:]


FOREIGN: dict[type[SpinodalPreTrainedModel], type[SpinodalPreTrainedModel]] = {
    SpinodalForMaskedLM: ForeignForMaskedLM,
    SpinodalForCausalLM: ForeignForCausalLM,
}
