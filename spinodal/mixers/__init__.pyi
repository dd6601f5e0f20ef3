from .base import Convolved, Fused, Mixer, PhaseMixer, State, Tokenwise
from .channel.gates import DrivingForce, PhaseCompetition, SwiGLU
from .channel.partition import LiteralPartition, Partition
from .channel.partition_network import PartitionForm, Pathway, Reading
from .cross.mixers import CrossAttention, CrossMixer, FusedCross, StaticCross
from .graph.blocks import Blocks
from .graph.flow import GraphFlowAttention
from .graph.form import Descent, FlowForm
from .graph.levels import GraphLevels
from .graph.pairs import AllPairs
from .token.attention import Attention
from .token.convolution import Convolution, Toeplitz
from .token.gated import GatedLinear, MinGRU
from .token.phase_memory import PhaseMemory
from .token.places import Triangular
from .token.retention import Retention

__all__ = [
    "AllPairs",
    "Attention",
    "Blocks",
    "Convolution",
    "Convolved",
    "CrossAttention",
    "CrossMixer",
    "Descent",
    "DrivingForce",
    "FlowForm",
    "Fused",
    "FusedCross",
    "GatedLinear",
    "GraphFlowAttention",
    "GraphLevels",
    "LiteralPartition",
    "MinGRU",
    "Mixer",
    "Partition",
    "PartitionForm",
    "Pathway",
    "PhaseCompetition",
    "PhaseMemory",
    "PhaseMixer",
    "Reading",
    "Retention",
    "State",
    "StaticCross",
    "SwiGLU",
    "Toeplitz",
    "Tokenwise",
    "Triangular",
]
