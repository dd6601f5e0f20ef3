r"""Mixers for other people's models: plain keywords, tensors in and out.

    y = layer(x, valid)                            [b n d] -> [b n d], False in `valid` on padding
    y, reported = layer(x, residuals=True)         what the mixer reports of its equilibrium, by name

>>> import torch
>>> from spinodal.layers import GraphFlowAttention, Retention
>>> x = torch.ones(2, 5, 16)
>>> Retention(16, heads=2, causal=True)(x).shape
torch.Size([2, 5, 16])
>>> y, reported = GraphFlowAttention(16, heads=2, flow_steps=2)(x, residuals=True)
>>> sorted(reported)
['density', 'energy', 'flow', 'l1']

A layer is as `spinodal.models` builds it, without its norm and its short convolution; `layer.mixer` is the mixer.
`mixer_layer` makes one of any registered mixer by its name.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
