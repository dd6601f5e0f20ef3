r"""Whisper on a sound of less than its thirty seconds: silence is computed a few tokens at a time.

Whisper pads every sound to 30 s of 1,500 tokens. Behind its two convolutions all tokens of digital silence are the same
vector and differ by their place alone. Within `shortened` the encoder keeps every token of the sound and one for every
`size` of the silence, with its mass; log mass is added to every logit that looks at it, in the encoder and in the
decoder's attention to it. No weight changes, and nothing is trained.

The masses travel with the encoder's tokens, as one more feature of the states that it returns: beams, batches and
caches take them along, and there is no state that two models, two calls or two threads could share.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial, update_wrapper
from threading import Lock
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.whisper.modeling_whisper import (
    WhisperAttention,
    WhisperDecoder,
    WhisperEncoder,
    WhisperForAudioClassification,
)
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from spinodal.errors import InputError
from spinodal.shorten.experiment import check_merging
from spinodal.shorten.tokens import log_masses, merge, on_grid, weights_on_grid

SECONDS = 30.0  # that the encoder reads
LATEST = 256  # windows whose masses a report keeps
BIASED = ("sdpa", "eager")  # attention functions that add a mask to the logits
Forward = Callable[..., Any]


class Shortening:
    """What was encoded within a context: tokens of all windows of 30 s, and how many of them were computed.

    `masses` has, for each of the last 256 windows, the masses of the tokens that were computed, in their order.
    """

    def __init__(self):
        self.tokens = self.kept = 0
        self.masses: deque[tuple[int, ...]] = deque(maxlen=LATEST)
        self._lock = Lock()

    def add(self, masses: list[int]) -> None:
        """A window of tokens with these masses; those of mass 0 are the padding of a batch."""
        found = tuple(mass for mass in masses if mass)
        with self._lock:
            self.tokens, self.kept = self.tokens + sum(found), self.kept + len(found)
            self.masses.append(found)

    @property
    def factor(self) -> float:
        """How many times fewer tokens were computed."""
        return self.tokens / self.kept if self.kept else 1.0

    def __str__(self) -> str:
        return f"{self.kept:,} of {self.tokens:,} tokens, {self.factor:.1f} times fewer"


@contextmanager
def shortened(model: nn.Module, size: int = 8, margin: int = 32) -> Iterator[Shortening]:
    """The model with coincident tokens merged `size` by `size`, for as long as the context lasts.

    `model` is a Whisper of transformers with a decoder: of the tokens of 30 s it computes those of the sound,
    `margin` more, and one for every `size` of the rest. A sound without digital silence passes bit for bit, and so
    does every sound for `size` 1. `generate` works as before, and gives attention weights and times of tokens on
    the whole grid. Equal neighbours within a sound, such as a held tone, are merged as silence is.

    What the encoder returns has the mass of each token as its last feature: states, and caches made of them, are for
    this context alone. A copy that is made within it (`copy.deepcopy`, pickle) is the model as it was before.

    InputError for another model, one that is in training, one that is shortened already or shares its encoder with one
    that is, one whose attention takes no bias (neither sdpa nor eager), and for a size or margin that `check_merging`
    refuses; and in the encoder for an empty batch and for features of any other length than 30 s.

    >>> import torch, transformers
    >>> from spinodal import shorten
    >>> config = transformers.WhisperConfig(
    ...     vocab_size=50, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
    ...     decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, num_mel_bins=8,
    ...     max_source_positions=100, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1)
    >>> model = transformers.WhisperForConditionalGeneration(config).eval()
    >>> sound = torch.full((1, 8, 200), -1.0)
    >>> sound[..., :40] = torch.randn(8, 40)
    >>> with shorten.shortened(model, size=8, margin=10) as report:
    ...     logits = model(sound, decoder_input_ids=torch.tensor([[1, 4]])).logits
    >>> print(report)
    43 of 100 tokens, 2.3 times fewer
    """
    check_merging(size, margin)
    encoders, decoder = _parts(model)
    _check_state(decoder)
    report, before = Shortening(), decoder.config._attn_implementation
    try:
        with ExitStack() as stack:
            for encoder in encoders:
                stack.enter_context(_forward_of(encoder, _shorter_encoder(encoder, size, margin, report)))
            for layer in decoder.layers:
                attention: Any = layer.encoder_attn
                stack.enter_context(_forward_of(attention, _weighted_attention(attention)))
            yield report
    finally:
        decoder.config._attn_implementation = before  # which generate changes for times of tokens


def _parts(model: nn.Module) -> tuple[list[WhisperEncoder], WhisperDecoder]:
    """The encoder, if there is one, and the decoder; InputError for a model of another kind."""
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    encoders = [m for m in modules if isinstance(m, WhisperEncoder)]
    decoders = [m for m in modules if isinstance(m, WhisperDecoder)]
    if any(isinstance(m, WhisperForAudioClassification) for m in modules):
        raise InputError(
            "WhisperForAudioClassification pools all tokens alike, and would not know their masses"
        )
    if len(decoders) != 1 or len(encoders) > 1:
        raise InputError(f"{type(model).__name__} is no Whisper of transformers with a decoder")
    if not len(decoders[0].layers):
        raise InputError(f"this {type(model).__name__} has no layer that would look at the encoder's tokens")
    first: Any = decoders[0].layers[0]
    if any(isinstance(m.forward, Replaced) for m in (*encoders, first.encoder_attn)):
        raise InputError(
            f"this {type(model).__name__}, or its encoder as a part of another, is shortened already: contexts of one "
            "model do not nest"
        )
    return encoders, decoders[0]


def _check_state(part: WhisperEncoder | WhisperDecoder) -> None:
    if part.training:
        raise InputError(
            "the model is in training: call model.eval() first; nothing is trained on merged tokens"
        )
    if (name := part.config._attn_implementation) not in BIASED:
        raise InputError(
            f"the model's attention is {name}, and masses are biases of logits: "
            f"model.set_attn_implementation('sdpa') or 'eager' takes them"
        )


class Replaced:
    """The `forward` of a module within a context; copies and pickles of the module have the one from before it."""

    def __init__(self, module: nn.Module, forward: Forward, before: Forward | None):
        self.module, self.forward, self.before = module, forward, before
        update_wrapper(self, forward)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def __reduce__(self) -> tuple[type[partial], tuple[Any, ...]]:
        return partial, (type(self.module).forward, self.module) if self.before is None else (self.before,)


@contextmanager
def _forward_of(module: nn.Module, forward: Forward) -> Iterator[None]:
    """The module with another `forward`, until the context ends."""
    before = vars(module).get("forward")
    module.forward = Replaced(module, forward, before)
    try:
        yield
    finally:
        if before is None:
            del module.forward
        else:
            module.forward = before


@merge_with_config_defaults
@capture_outputs
def _run_layers(
    encoder: WhisperEncoder, hidden_states: Tensor, attention_mask: Tensor | None = None, **kwargs: Any
) -> BaseModelOutput:
    """The layers of the encoder, with what the library can record of them."""
    for layer in encoder.layers:
        hidden_states = layer(hidden_states, attention_mask, **kwargs)
    return BaseModelOutput(last_hidden_state=encoder.layer_norm(hidden_states))


def _shorter_encoder(encoder: WhisperEncoder, size: int, margin: int, report: Shortening) -> Forward:
    """The encoder's `forward` on merged tokens."""

    def forward(input_features: Tensor, attention_mask: Tensor | None = None, **kwargs: Any) -> Any:
        _check_state(encoder)
        places = encoder.embed_positions.weight
        n, frames = len(places), input_features.shape[-1]
        if not len(input_features):
            raise InputError("an empty batch of features: there is no sound to read")
        stride = encoder.conv1.stride[0] * encoder.conv2.stride[0]
        if frames != n * stride:
            raise InputError(
                f"features of {frames * SECONDS / (n * stride):.2f} s: the encoder reads {SECONDS:g} s at a time. "
                "Pad a shorter sound; `generate` takes a longer one window by window (return_timestamps=True)"
            )
        x = _convolve(encoder, input_features, margin + size if size > 1 else n)
        merged = merge(x, places, size=size, margin=margin)
        if merged is None:
            for _ in x:
                report.add([1] * n)
            return _run_layers(encoder, x + places, None, **kwargs)
        for masses in merged.masses.tolist():
            report.add(masses)
        whole = kwargs.pop("return_dict", getattr(encoder.config, "return_dict", True))
        bias = log_masses(merged.masses, merged.tokens.dtype)[:, None, None]
        found: Any = _run_layers(encoder, merged.tokens, bias, **kwargs, return_dict=True)
        found = _on_grid(found, merged.masses)
        return found if whole else found.to_tuple()

    return forward


def _convolve(
    encoder: WhisperEncoder, features: Float[Tensor, "b c f"], least: int
) -> Float[Tensor, "b n d"]:
    """The tokens that the two convolutions make of the frames.

    Where the last frames are equal, more than `least` tokens of them, one token is convolved and stands for all but
    the very last, behind which the convolutions see zeros: token j reads the frames 2 j - 2 to 2 j + 2.
    """
    stride = encoder.conv1.stride[0] * encoder.conv2.stride[0]
    n = features.shape[-1] // stride
    sound = (features != features[..., -1:]).any(1).any(0).nonzero()
    frames = int(sound[-1]) + 1 if len(sound) else 0
    kept = -(-frames // stride) + 3  # those that read the sound, one of equal frames alone, the very last
    x = features[..., : kept * stride] if n - kept > least else features
    x = functional.gelu(encoder.conv1(x))
    x = functional.gelu(encoder.conv2(x)).permute(0, 2, 1)
    return torch.cat([x[:, :-1], x[:, -2:-1].expand(-1, n - x.shape[1], -1), x[:, -1:]], 1)


def _on_grid(found: BaseModelOutput, masses: Tensor) -> BaseModelOutput:
    """The last states with their masses, and what was recorded of the layers for every token of the sound."""
    last = found.last_hidden_state
    assert last is not None
    if found.hidden_states is not None:
        states = (None if h is None else on_grid(h, masses, 1) for h in found.hidden_states)
        found.hidden_states = tuple(states)  # type: ignore[assignment]
    if found.attentions is not None:
        weights = (on_grid(weights_on_grid(w, masses), masses, -2) for w in found.attentions)
        found.attentions = tuple(weights)  # type: ignore[assignment]
    found.last_hidden_state = torch.cat([last, masses[..., None].to(last)], dim=-1)  # type: ignore[assignment]
    return found


def _weighted_attention(attention: WhisperAttention) -> Forward:
    """The `forward` of attention to the encoder's tokens, with their log masses."""
    own: Any = attention.forward

    def forward(
        hidden_states: Tensor, key_value_states: Float[Tensor, "b m c"] | None = None, **kwargs: Any
    ) -> tuple[Tensor, Tensor | None]:
        if key_value_states is None or key_value_states.shape[-1] == attention.embed_dim:
            return own(hidden_states, key_value_states=key_value_states, **kwargs)
        masses = key_value_states[..., -1].round().long()
        bias = log_masses(masses, hidden_states.dtype)[:, None, None]
        kwargs["attention_mask"] = bias
        output, weights = own(hidden_states, key_value_states=key_value_states[..., :-1], **kwargs)
        return output, None if weights is None else weights_on_grid(weights, masses)

    return forward
