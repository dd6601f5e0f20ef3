"""Channel mixers as layers: how the features of a token act on one another."""

from spinodal.layers.base import Layer, build_mixer
from spinodal.mixers.channel.gates import DrivingForceConfig, PhaseCompetitionConfig, SwiGLUConfig
from spinodal.mixers.channel.partition_config import (
    DensePartitionConfig,
    LiteralPartitionConfig,
    PartitionConfig,
    PartitionOptions,
)
from spinodal.mixers.entry import Shape


class SwiGLU(Layer):
    """W_o LN(v SiLU(2a)), v and a linear in x, of `hidden` features  [shazeer2020].

    The gated feed-forward layer in common use.

    >>> import torch
    >>> from spinodal.layers import SwiGLU
    >>> layer, x = SwiGLU(16, hidden=32), torch.randn(2, 8, 16)
    >>> optimizer, losses = torch.optim.AdamW(layer.parameters(), lr=1e-2), []
    >>> for step in range(3):
    ...     losses.append((layer(x) - x.roll(1, 1)).square().mean())
    ...     losses[-1].backward()
    ...     optimizer.step()
    ...     optimizer.zero_grad()
    >>> bool(losses[2] < losses[0])
    True
    """

    def __init__(self, width: int, *, hidden: int = SwiGLUConfig.hidden):
        super().__init__(build_mixer(SwiGLUConfig(hidden=hidden), Shape(width)))


class DrivingForce(Layer):
    """W_o LN(z tanh(a)), z and a linear in x, of `hidden` features  [derived].

    Half the difference between the two phases, of equal fractions, into which every feature z splits.

    >>> import torch
    >>> from spinodal.layers import DrivingForce
    >>> layer, x = DrivingForce(16, hidden=32), torch.randn(2, 8, 16)
    >>> optimizer, losses = torch.optim.AdamW(layer.parameters(), lr=1e-2), []
    >>> for step in range(3):
    ...     losses.append((layer(x) - x.roll(1, 1)).square().mean())
    ...     losses[-1].backward()
    ...     optimizer.step()
    ...     optimizer.zero_grad()
    >>> bool(losses[2] < losses[0])
    True
    """

    def __init__(self, width: int, *, hidden: int = DrivingForceConfig.hidden):
        super().__init__(build_mixer(DrivingForceConfig(hidden=hidden), Shape(width)))


class PhaseCompetition(Layer):
    """W_o LN(concat_j (x_j - z)), x_j = z P softmax_j(2 a_j), z and a linear in x, of `hidden` features  [derived].

    P = `phases` phases of equal fractions compete for every feature z.

    >>> import torch
    >>> from spinodal.layers import PhaseCompetition
    >>> layer, x = PhaseCompetition(16, hidden=32, phases=4), torch.randn(2, 8, 16)
    >>> optimizer, losses = torch.optim.AdamW(layer.parameters(), lr=1e-2), []
    >>> for step in range(3):
    ...     losses.append((layer(x) - x.roll(1, 1)).square().mean())
    ...     losses[-1].backward()
    ...     optimizer.step()
    ...     optimizer.zero_grad()
    >>> bool(losses[2] < losses[0])
    True
    """

    def __init__(
        self,
        width: int,
        *,
        hidden: int = PhaseCompetitionConfig.hidden,
        phases: int = PhaseCompetitionConfig.phases,
    ):
        super().__init__(build_mixer(PhaseCompetitionConfig(hidden=hidden, phases=phases), Shape(width)))


class PartitionLayer(Layer):
    """The base class of `Partition` and `LiteralPartition`; `options` is their class of configuration."""

    options: type[PartitionOptions]

    def __init__(
        self,
        width: int,
        *,
        heads: int = 4,
        causal: bool = False,
        hidden: int = PartitionOptions.hidden,
        phases: int = PartitionOptions.phases,
        reactions: int = PartitionOptions.reactions,
        pathway: str = PartitionOptions.pathway,
        reading: str = PartitionOptions.reading,
    ):
        config = self.options(
            hidden=hidden, phases=phases, reactions=reactions, pathway=pathway, reading=reading
        )
        super().__init__(build_mixer(config, Shape(width, heads=heads, causal=causal)))


class Partition(PartitionLayer):
    """x_ij = z_i K_ij / u_i, u_i = 1 + sum_j L_j (K_ij - 1)  [qajar2024, eqs. 8b, 9].

    A mixture splits into `phases` phases whose K and L a network of `hidden` features predicts. `reading` says what a
    mixture is (token, feature, flat), `pathway` where `reactions` reactions take place (none, I, II, III). A mixture of
    a token has width / heads components, of which there must be at least as many as phases: with the usual 16 phases
    and 4 heads a width of 64.

    >>> import torch
    >>> from spinodal.layers import Partition
    >>> layer, x = Partition(16, heads=2, hidden=32, phases=3), torch.randn(2, 8, 16)
    >>> optimizer, losses = torch.optim.AdamW(layer.parameters(), lr=1e-2), []
    >>> for step in range(3):
    ...     losses.append((layer(x) - x.roll(1, 1)).square().mean())
    ...     losses[-1].backward()
    ...     optimizer.step()
    ...     optimizer.zero_grad()
    >>> bool(losses[2] < losses[0])
    True
    """

    options = PartitionConfig


class LiteralPartition(PartitionLayer):
    """x_ij = z_i K_ij / u_i with raw, signed K and L_j = sigmoid(l_j)  [qajar2024, eqs. 9, 10h].

    `Partition` with the parameters of the paper: it has poles where u = 0, of which it warns.

    >>> import torch
    >>> from spinodal.layers import LiteralPartition
    >>> _ = torch.manual_seed(0)  # some starts lie beside a pole
    >>> layer, x = LiteralPartition(16, heads=2, hidden=32, phases=3), torch.randn(2, 8, 16)
    >>> optimizer, losses = torch.optim.AdamW(layer.parameters(), lr=1e-2), []
    >>> for step in range(3):
    ...     losses.append((layer(x) - x.roll(1, 1)).square().mean())
    ...     losses[-1].backward()
    ...     optimizer.step()
    ...     optimizer.zero_grad()
    >>> bool(losses[2] < losses[0])
    True
    """

    options = LiteralPartitionConfig


class DensePartition(Layer):
    """x_ij = z_i K_ij / u_i, K and L from one dense network of all tokens  [qajar2024, eqs. 8b, 9 and Figure 2].

    `Partition` with the network of the paper, for texts of exactly `length` tokens.

    >>> import torch
    >>> from spinodal.layers import DensePartition
    >>> layer, x = DensePartition(16, heads=2, length=8, hidden=32, phases=3), torch.randn(2, 8, 16)
    >>> optimizer, losses = torch.optim.AdamW(layer.parameters(), lr=1e-2), []
    >>> for step in range(3):
    ...     losses.append((layer(x) - x.roll(1, 1)).square().mean())
    ...     losses[-1].backward()
    ...     optimizer.step()
    ...     optimizer.zero_grad()
    >>> bool(losses[2] < losses[0])
    True
    """

    def __init__(
        self,
        width: int,
        *,
        length: int,
        heads: int = 4,
        hidden: int = PartitionOptions.hidden,
        phases: int = PartitionOptions.phases,
        reactions: int = PartitionOptions.reactions,
        pathway: str = PartitionOptions.pathway,
        reading: str = PartitionOptions.reading,
    ):
        config = DensePartitionConfig(
            hidden=hidden, phases=phases, reactions=reactions, pathway=pathway, reading=reading
        )
        super().__init__(build_mixer(config, Shape(width, heads=heads, length=length)))
