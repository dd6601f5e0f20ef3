"""Engines: (drift, Z, error_bound) of attention on weighted unit vectors, and the average that all else is made of.

file       where                  how                                        cost
direct     reference; slow flows  every pair, by differences                 n^2
pairs      any Q, K, V; causal    every pair, by differences from an anchor  n^2
attention  any d; any Q, K, V     torch's fused attention in float64         n^2
circle     d = 2; any 2 x 2 Q, K  cells and Fourier modes                    n
sphere     d = 3                  spherical harmonics                        n
harmonics  d = 4 to 8, spread     harmonics of d variables                   n r
lowrank    once tokens cluster    pivoted Cholesky with a certificate        n r
span       n < d                  the same flow in n dimensions              n^3
hardmax    beta = inf             the largest logits of every token          n^2

engine     how an engine describes itself: a file has its `ENGINE`
registry   all of them by name
choose     who is asked, and what is done again by differences
field      the public `field`
few        the drift of few tokens for compiled loops
angles     the circle engine for tokens that are sorted angles
law        what is asked and answered; `kernel`: Q, K and the mask
"""
