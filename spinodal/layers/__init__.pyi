from .base import CrossLayer, Layer, mixer_layer
from .channel import (
    DensePartition,
    DrivingForce,
    LiteralPartition,
    Partition,
    PhaseCompetition,
    SwiGLU,
)
from .cross import CrossAttention, StaticCross
from .token import (
    Attention,
    Convolution,
    GatedLinear,
    GraphFlowAttention,
    MinGRU,
    PhaseMemory,
    Retention,
    Toeplitz,
    Triangular,
)

__all__ = [
    "Attention",
    "Convolution",
    "CrossAttention",
    "CrossLayer",
    "DensePartition",
    "DrivingForce",
    "GatedLinear",
    "GraphFlowAttention",
    "Layer",
    "LiteralPartition",
    "MinGRU",
    "Partition",
    "PhaseCompetition",
    "PhaseMemory",
    "Retention",
    "StaticCross",
    "SwiGLU",
    "Toeplitz",
    "Triangular",
    "mixer_layer",
]
