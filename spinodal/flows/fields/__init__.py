"""Vector fields on tokens: every variant of self-attention as an option of one field, and its energy.

file          what
composed      AttentionField: mask x matrices x kind x scheme x noise x feed-forward
heads         Q, K, V, where a number stands for that multiple of the identity
interactions  one head at work: differences first
matrices      of a head, from a text
schemes       where the layer norm sits
depth         heads that change with time
drive         what a token does by itself
feed          outer s(inner x + bias)
function      any function of tokens, weights and time
unnormalised  no layer norm
energy        the energy that a field climbs or descends, or why there is none
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
