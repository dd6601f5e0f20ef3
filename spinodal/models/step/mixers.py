r"""Decoders as programs: what each mixer does with one token, as operations of `kernels`.

A function here takes a program, a layer or mixer, and the index of its input in memory, and returns that of its output.
`MIXERS` names those of the mixers by class. Where a class is not named, or a part of the model is not what this library
made of it (adapters, quantised layers, hooks, parametrisations), there is no program.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from torch import nn

from spinodal.mixers.base import Convolved, Fused, OutputProjection
from spinodal.mixers.channel.gates import DrivingForce, PhaseCompetition, SwiGLU
from spinodal.mixers.channel.partition import Partition
from spinodal.mixers.channel.partition_network import FactorisedPartitionNetwork, Pathway
from spinodal.mixers.token.attention import frequencies
from spinodal.mixers.token.convolution import Convolution
from spinodal.mixers.token.gated import GatedLinear, MinGRU
from spinodal.mixers.token.phase_memory import PhaseMemory
from spinodal.mixers.token.retention import Retention
from spinodal.models.blocks import Block
from spinodal.models.decoder import SpinodalDecoder
from spinodal.models.step.kernels import Operation
from spinodal.models.step.program import NoProgramError, Program

EPS = 1e-5  # of a layer norm without parameters


def require_class(module: nn.Module, *classes: type) -> None:
    """NoProgramError for a module that is of none of these classes itself: a subclass may do otherwise."""
    if type(module) not in classes:
        raise NoProgramError


def linear(program: Program, module: nn.Module, x: int, name: str) -> int:
    """W x + b."""
    require_class(module, nn.Linear, OutputProjection)
    layer = cast(nn.Linear, module)
    y = program.room(name, layer.out_features)
    sizes = x, y, layer.in_features, layer.out_features
    program.add(Operation.PRODUCT, *sizes, program.address(layer.weight), program.address(layer.bias))
    return y


def layer_norm(program: Program, module: nn.Module, x: int) -> int:
    """A layer norm with a gain."""
    require_class(module, nn.LayerNorm)
    layer = cast(nn.LayerNorm, module)
    if layer.bias is not None or len(layer.normalized_shape) > 1:
        raise NoProgramError
    n = layer.weight.numel()
    y = program.room("norm", n)
    program.add(Operation.NORM, x, y, n, program.address(layer.weight), program.constants(layer.eps))
    return y


def plain_norm(program: Program, x: int, n: int) -> int:
    """A layer norm without parameters, in place."""
    program.add(Operation.NORM, x, x, n, 0, program.constants(EPS))
    return x


def memory(program: Program, sizes: tuple[int, int, int], *qkva: int) -> int:
    """y = q S of each head, S = diag(a) S + k v^T, for q, k, v and a; sizes are heads, c and f."""
    heads, c, f = sizes
    S, y = program.hold(heads * c * f), program.room("read", heads * f)
    program.add(Operation.REMEMBER, *qkva, S, y, heads, c, f)
    return y


def retention(program: Program, mixer: Retention, x: int) -> int:
    width, heads = mixer.qkv.in_features, mixer.heads
    c = width // heads
    log_g, scale = (np.repeat(np.array(values, np.float32), c) for values in mixer.constants)
    turn = program.room("angles", c)
    if program.once("turn", c):
        program.add(Operation.ANGLES, turn, c // 2, program.constants(*frequencies(c, 10_000.0)))
    q = linear(program, mixer.qkv, x, "qkv")
    program.add(Operation.ROTATE, q, 2 * heads, c, turn)
    program.add(Operation.DIVIDE, q, program.constants(*scale.tolist()), width)
    y = memory(
        program, (heads, c, c), q, q + width, q + 2 * width, program.constants(*np.exp(log_g).tolist())
    )
    program.count()
    return linear(program, mixer.out, y, "out")


def gated_linear(program: Program, mixer: GatedLinear, x: int) -> int:
    width, heads = mixer.qkv.in_features, mixer.heads
    q = linear(program, mixer.qkv, x, "qkv")
    a = linear(program, mixer.decay, linear(program, mixer.gate, x, "gate"), "decay")
    factors = program.constants(mixer.fastest, (width // heads) ** -0.5)
    program.add(Operation.GATE, q, a, width, program.address(mixer.bias), factors)
    y = memory(program, (heads, width // heads, width // heads), q, q + width, q + 2 * width, a)
    return linear(program, mixer.out, y, "out")


def phase_memory(program: Program, mixer: PhaseMemory, x: int) -> int:
    width, heads, phases = mixer.value.in_features, mixer.heads, mixer.phases
    g = np.exp(np.array(mixer.log_g, np.float32))
    decay = program.constants(*np.repeat(g, phases).tolist())
    q = linear(program, mixer.shares, x, "qkv")
    v = linear(program, mixer.value, x, "value")
    program.add(Operation.SHARE, q, program.hold(heads * phases), decay, heads, phases)
    y = memory(program, (heads, phases, width // heads), q, q + heads * phases, v, decay)
    return linear(program, mixer.out, y, "out")


def min_gru(program: Program, mixer: MinGRU, x: int) -> int:
    width = mixer.maps.in_features
    u, h = linear(program, mixer.maps, x, "qkv"), program.hold(width)
    least = program.constants(mixer.least)
    program.add(Operation.AVERAGE, u, h, width, program.address(mixer.bias), least)
    return linear(program, mixer.out, h, "out")


def convolution(program: Program, mixer: Convolution, x: int) -> int:
    width = len(mixer.weight)
    y, past = program.room("convolved", width), program.hold((mixer.kernel - 1) * width)
    program.add(Operation.CONVOLVE, x, y, past, width, mixer.kernel, program.address(mixer.weight))
    return y


def convolved(program: Program, mixer: Convolved, x: int) -> int:
    c = apply(program, mixer.convolution, x)
    y = apply(program, mixer.mixer, c)
    program.add(Operation.ADD, c, y, len(cast(Convolution, mixer.convolution).weight))
    return c


def fused(program: Program, mixer: Fused, x: int) -> int:
    return apply(program, mixer.channel, apply(program, mixer.token, x))


def gate(program: Program, mixer: SwiGLU | DrivingForce, x: int) -> int:
    n, y = mixer.inner.out_features // 2, linear(program, mixer.inner, x, "inner")
    h = program.room("hidden", n)
    program.add(Operation.SWIGLU if type(mixer) is SwiGLU else Operation.DRIVE, y, h, n)
    return linear(program, mixer.out, plain_norm(program, h, n), "out")


def competition(program: Program, mixer: PhaseCompetition, x: int) -> int:
    n, z = mixer.inner.out_features, linear(program, mixer.inner, x, "inner")
    h = program.room("hidden", n)
    program.add(Operation.COMPETE, z, h, mixer.phases, n // mixer.phases)
    return linear(program, mixer.out, plain_norm(program, h, n), "out")


def partition(program: Program, mixer: Partition, x: int) -> int:
    network, form = mixer.feed, mixer.form
    require_class(network, FactorisedPartitionNetwork)
    network = cast(FactorisedPartitionNetwork, network)
    hidden = linear(program, network.hidden, x, "hidden")
    program.add(Operation.SILU, hidden, network.hidden.out_features)
    z = linear(program, network.composition, x if form.pathway is Pathway.NONE else hidden, "feed")
    k = linear(program, network.factors, hidden, "factors")
    l = linear(program, network.fractions, hidden, "fractions")
    n = mixer.out.in_features
    y = program.room("phases", n)
    program.add(Operation.SPLIT, z, k, l, y, form.heads, network.features, form.phases)
    return linear(program, mixer.out, plain_norm(program, y, n), "out")


MIXERS: dict[type[nn.Module], Callable[[Program, Any, int], int]] = {
    Convolution: convolution,
    Convolved: convolved,
    DrivingForce: gate,
    Fused: fused,
    GatedLinear: gated_linear,
    MinGRU: min_gru,
    Partition: partition,
    PhaseCompetition: competition,
    PhaseMemory: phase_memory,
    Retention: retention,
    SwiGLU: gate,
}


def apply(program: Program, mixer: nn.Module, x: int) -> int:
    """The index of a mixer's output, once its operations are added; NoProgramError for other classes."""
    require_class(mixer, *MIXERS)
    return MIXERS[type(mixer)](program, mixer, x)


def decode(program: Program, decoder: SpinodalDecoder, output: nn.Module) -> tuple[int, list[int]]:
    """A whole decoder with its output: the index of the logits, and after each block how many parts its state has."""
    require_class(decoder, SpinodalDecoder)
    require_class(decoder.embedding, nn.Embedding)
    width, parts = decoder.config.width, []
    if decoder.reads or decoder.embedding.max_norm is not None:
        raise NoProgramError
    x = program.room("token", width)
    program.add(Operation.LOOK_UP, x, width, program.address(decoder.embedding.weight))
    for block in decoder.blocks:
        require_class(block, Block)
        before = len(program.state)
        for norm, mixer in cast(Block, block).layers():
            y = apply(program, mixer, layer_norm(program, norm, x))
            program.add(Operation.ADD, x, y, width)
        parts.append(len(program.state) - before)
    return linear(program, output, layer_norm(program, decoder.norm, x), "logits"), parts
