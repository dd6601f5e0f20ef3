"""Vector fields on tokens: every variant of self-attention as an option of one field, and its energy.

file          what
composed      AttentionField: heads, mask, kind, scheme, noise, feed-forward part, drive
heads         Q, K, V, where a number stands for that multiple of the identity
interactions  the attention output of one head, from differences of tokens
positions     scores of fixed positions, added to those of the tokens
source        other tokens that are read: cross-attention, and prompts
matrices      the matrices of a head from a text, such as "random:7"
schemes       where the layer norm sits
euclidean     tokens without layer norm, anywhere in R^d, and rescaled ones
depth         heads that change with time
drive         a rotation and a constant pull of each token
checks        what a field checks of tokens at a call
feed          the feed-forward part, outer s(inner x + bias)
function      any function of tokens, weights and time as a field
unnormalised  rescaled tokens as directions and lengths
energy        the energy that a field climbs or descends, or why there is none
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
