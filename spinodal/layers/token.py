"""Token mixers as layers: how tokens read one another."""

from spinodal.layers.base import Layer, build_mixer
from spinodal.mixers.entry import Shape
from spinodal.mixers.graph.config import GraphConfig
from spinodal.mixers.token.attention import AttentionConfig
from spinodal.mixers.token.convolution import ConvolutionConfig, ToeplitzConfig
from spinodal.mixers.token.gated import GatedLinearConfig, MinGRUConfig
from spinodal.mixers.token.phase_memory import PhaseMemoryConfig
from spinodal.mixers.token.places import TriangularConfig
from spinodal.mixers.token.retention import RetentionConfig


class Attention(Layer):
    """y_i = sum_j softmax_j(<R_i q_i, R_j k_j> / sqrt(c)) v_j  [su2021].

    Multi-head softmax attention with rotary positions, over all tokens, or over earlier ones if `causal`.

    >>> import torch
    >>> from spinodal.layers import Attention
    >>> layer, x = Attention(16, heads=2), torch.randn(2, 8, 16)
    >>> optimizer, losses = torch.optim.AdamW(layer.parameters(), lr=1e-2), []
    >>> for step in range(3):
    ...     losses.append((layer(x) - x.roll(1, 1)).square().mean())
    ...     losses[-1].backward()
    ...     optimizer.step()
    ...     optimizer.zero_grad()
    >>> bool(losses[2] < losses[0])
    True
    """

    def __init__(self, width: int, *, heads: int = 4, causal: bool = False):
        super().__init__(build_mixer(AttentionConfig(), Shape(width, heads=heads, causal=causal)))


class Retention(Layer):
    """y_i = sum_j g^|i-j| <R_i q_i, R_j k_j> v_j / (m sqrt(c))  [sun2023].

    Linear attention with a fixed decay g in each head; m normalises the weights.

    >>> import torch
    >>> from spinodal.layers import Retention
    >>> layer, x = Retention(16, heads=2, causal=True), torch.randn(2, 8, 16)
    >>> optimizer, losses = torch.optim.AdamW(layer.parameters(), lr=1e-2), []
    >>> for step in range(3):
    ...     losses.append((layer(x) - x.roll(1, 1)).square().mean())
    ...     losses[-1].backward()
    ...     optimizer.step()
    ...     optimizer.zero_grad()
    >>> bool(losses[2] < losses[0])
    True
    """

    def __init__(self, width: int, *, heads: int = 4, causal: bool = False):
        super().__init__(build_mixer(RetentionConfig(), Shape(width, heads=heads, causal=causal)))


class GatedLinear(Layer):
    """y_i = q_i S_i, S_i = diag(a_i) S_{i-1} + ((1 - a_i) * k_i) v_i^T  [yang2023].

    Linear attention whose decays a_i depend on the tokens.

    >>> import torch
    >>> from spinodal.layers import GatedLinear
    >>> layer, x = GatedLinear(16, heads=2, causal=True), torch.randn(2, 8, 16)
    >>> optimizer, losses = torch.optim.AdamW(layer.parameters(), lr=1e-2), []
    >>> for step in range(3):
    ...     losses.append((layer(x) - x.roll(1, 1)).square().mean())
    ...     losses[-1].backward()
    ...     optimizer.step()
    ...     optimizer.zero_grad()
    >>> bool(losses[2] < losses[0])
    True
    """

    def __init__(self, width: int, *, heads: int = 4, causal: bool = False):
        super().__init__(build_mixer(GatedLinearConfig(), Shape(width, heads=heads, causal=causal)))


class PhaseMemory(Layer):
    """y_n = sum_j q_nj S_nj / w_nj, w and S the decayed sums of r and of r v^T  [derived].

    Every token is split over `phases` phases in each head, and reads the mean composition of those that it selects.

    >>> import torch
    >>> from spinodal.layers import PhaseMemory
    >>> layer, x = PhaseMemory(16, heads=2, causal=True, phases=4), torch.randn(2, 8, 16)
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
        self, width: int, *, heads: int = 4, causal: bool = False, phases: int = PhaseMemoryConfig.phases
    ):
        super().__init__(
            build_mixer(PhaseMemoryConfig(phases=phases), Shape(width, heads=heads, causal=causal))
        )


class MinGRU(Layer):
    """h_i = a_i * h_{i-1} + (1 - a_i) * u_i, u = W x  [feng2024].

    The minimal gated recurrence: a running average of each feature whose decay depends on the token alone.

    >>> import torch
    >>> from spinodal.layers import MinGRU
    >>> layer, x = MinGRU(16, causal=True), torch.randn(2, 8, 16)
    >>> optimizer, losses = torch.optim.AdamW(layer.parameters(), lr=1e-2), []
    >>> for step in range(3):
    ...     losses.append((layer(x) - x.roll(1, 1)).square().mean())
    ...     losses[-1].backward()
    ...     optimizer.step()
    ...     optimizer.zero_grad()
    >>> bool(losses[2] < losses[0])
    True
    """

    def __init__(self, width: int, *, causal: bool = False):
        super().__init__(build_mixer(MinGRUConfig(), Shape(width, causal=causal)))


class Triangular(Layer):
    """y_i = sum_j W_ij v_j, over j <= i if `causal`  [qajar2024, Figure 6].

    Each head has one trained matrix W over the positions of a text of up to `length` tokens.

    >>> import torch
    >>> from spinodal.layers import Triangular
    >>> layer, x = Triangular(16, heads=2, length=8), torch.randn(2, 8, 16)
    >>> optimizer, losses = torch.optim.AdamW(layer.parameters(), lr=1e-2), []
    >>> for step in range(3):
    ...     losses.append((layer(x) - x.roll(1, 1)).square().mean())
    ...     losses[-1].backward()
    ...     optimizer.step()
    ...     optimizer.zero_grad()
    >>> bool(losses[2] < losses[0])
    True
    """

    def __init__(self, width: int, *, length: int, heads: int = 4, causal: bool = False):
        super().__init__(
            build_mixer(TriangularConfig(), Shape(width, length=length, heads=heads, causal=causal))
        )


class Toeplitz(Layer):
    """y_i = sum_j t_{i-j} v_j  [qin2023].

    Each head has one trained filter t over the distances within a text of up to `length` tokens.

    >>> import torch
    >>> from spinodal.layers import Toeplitz
    >>> layer, x = Toeplitz(16, heads=2, length=8), torch.randn(2, 8, 16)
    >>> optimizer, losses = torch.optim.AdamW(layer.parameters(), lr=1e-2), []
    >>> for step in range(3):
    ...     losses.append((layer(x) - x.roll(1, 1)).square().mean())
    ...     losses[-1].backward()
    ...     optimizer.step()
    ...     optimizer.zero_grad()
    >>> bool(losses[2] < losses[0])
    True
    """

    def __init__(self, width: int, *, length: int, heads: int = 4, causal: bool = False):
        super().__init__(
            build_mixer(ToeplitzConfig(), Shape(width, length=length, heads=heads, causal=causal))
        )


class Convolution(Layer):
    """y_i = sum_{a < kernel} w_a * x_{i + a - before}, before = kernel - 1 if `causal`.

    A convolution of each feature by itself over `kernel` neighbouring tokens: the last ones if `causal`, else
    those around the token, before = kernel - 1 - kernel // 2.

    >>> import torch
    >>> from spinodal.layers import Convolution
    >>> layer, x = Convolution(16, kernel=3), torch.randn(2, 8, 16)
    >>> optimizer, losses = torch.optim.AdamW(layer.parameters(), lr=1e-2), []
    >>> for step in range(3):
    ...     losses.append((layer(x) - x.roll(1, 1)).square().mean())
    ...     losses[-1].backward()
    ...     optimizer.step()
    ...     optimizer.zero_grad()
    >>> bool(losses[2] < losses[0])
    True
    """

    def __init__(self, width: int, *, kernel: int = 4, causal: bool = False):
        super().__init__(build_mixer(ConvolutionConfig(), Shape(width, kernel=kernel, causal=causal)))


class GraphFlowAttention(Layer):
    """x <- x + eta / (1 + rho_i) [sum_j P_ij f(x_j - x_i) + rho_i (v_i - x_i)], x(0) = v  [derived].

    Tokens descend an energy on the graph of their attention for `flow_steps` steps, f the `coupling`. Options are those
    of `mixer=graph`, see `spinodal list mixers`; `length` is that of the texts whose blocks `top_blocks` selects from.

    >>> import torch
    >>> from spinodal.layers import GraphFlowAttention
    >>> layer, x = GraphFlowAttention(16, heads=2, flow_steps=2), torch.randn(2, 8, 16)
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
        heads: int = 4,
        causal: bool = False,
        length: int = 128,
        flow_steps: int = GraphConfig.flow_steps,
        coupling: str = GraphConfig.coupling,
        threshold: float = GraphConfig.threshold,
        block_size: int = GraphConfig.block_size,
        top_blocks: int = GraphConfig.top_blocks,
        dense_steps: int = GraphConfig.dense_steps,
        levels: int = GraphConfig.levels,
    ):
        config = GraphConfig(
            flow_steps=flow_steps,
            coupling=coupling,
            threshold=threshold,
            block_size=block_size,
            top_blocks=top_blocks,
            dense_steps=dense_steps,
            levels=levels,
        )
        super().__init__(build_mixer(config, Shape(width, heads=heads, causal=causal, length=length)))
