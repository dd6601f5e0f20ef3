"""Cross mixers as layers: how a decoder reads a source."""

from spinodal.layers.base import CrossLayer, build_mixer
from spinodal.mixers.cross.mixers import CrossAttentionConfig, StaticCrossConfig
from spinodal.mixers.entry import Shape


class CrossAttention(CrossLayer):
    """y_i = sum_j softmax_j(<q_i, k_j> / sqrt(c)) v_j, k and v of the source.

    Multi-head softmax attention to a source.

    >>> import torch
    >>> from spinodal.layers import CrossAttention
    >>> layer, x, source = CrossAttention(16, heads=2), torch.randn(2, 8, 16), torch.randn(2, 6, 16)
    >>> optimizer, losses = torch.optim.AdamW(layer.parameters(), lr=1e-2), []
    >>> for step in range(3):
    ...     losses.append((layer(x, source) - x.roll(1, 1)).square().mean())
    ...     losses[-1].backward()
    ...     optimizer.step()
    ...     optimizer.zero_grad()
    >>> bool(losses[2] < losses[0])
    True
    """

    def __init__(self, width: int, *, heads: int = 4):
        super().__init__(build_mixer(CrossAttentionConfig(), Shape(width, heads=heads)))


class StaticCross(CrossLayer):
    """y_i = sum_j W_ij v_j, v of the source  [qajar2024, Figure 6].

    Each head has one trained matrix W from the positions of a source, up to `source_length`, to those of up to `length`
    tokens.

    >>> import torch
    >>> from spinodal.layers import StaticCross
    >>> layer = StaticCross(16, heads=2, length=8, source_length=6)
    >>> x, source = torch.randn(2, 8, 16), torch.randn(2, 6, 16)
    >>> optimizer, losses = torch.optim.AdamW(layer.parameters(), lr=1e-2), []
    >>> for step in range(3):
    ...     losses.append((layer(x, source) - x.roll(1, 1)).square().mean())
    ...     losses[-1].backward()
    ...     optimizer.step()
    ...     optimizer.zero_grad()
    >>> bool(losses[2] < losses[0])
    True
    """

    def __init__(self, width: int, *, length: int, source_length: int, heads: int = 4):
        super().__init__(
            build_mixer(
                StaticCrossConfig(), Shape(width, length=length, source_length=source_length, heads=heads)
            )
        )
