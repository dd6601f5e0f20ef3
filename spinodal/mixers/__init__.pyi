from .attention import Attention
from .base import Convolved, Fused, Mixer, PhaseMixer, State, Tokenwise
from .convolution import Convolution, Toeplitz
from .cross import CrossAttention, CrossMixer, FusedCross, StaticCross
from .feed import PartitionForm, Pathway, Reading
from .gated import GatedLinear, MinGRU
from .gates import DrivingForce, PhaseCompetition, SwiGLU
from .graph import GraphFlowAttention
from .graph_blocks import Blocks
from .graph_form import Descent, FlowForm
from .graph_levels import GraphLevels
from .graph_sparse import BlockGraphAttention
from .partition import LiteralPartition, Partition
from .phase_memory import PhaseMemory
from .places import Triangular
from .retention import Retention

__all__ = [
    "Attention",
    "BlockGraphAttention",
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
