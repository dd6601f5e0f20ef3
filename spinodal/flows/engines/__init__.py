"""Engines: ways to compute (drift, Z, error_bound) and the mean of attention among weighted unit vectors.

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

engine     the type of an engine; every file above ends with its `ENGINE`
registry   all engines by name
choose     the choice of an engine, and the refinement of inaccurate tokens by differences
field      the public `field`
selection  a bound on the error of long tokens, whose attention selects one
few        the drift of few tokens for compiled loops
angles     the circle engine for tokens that are sorted angles
gpu        sums over every pair for tokens on a GPU, as tensors
law        the kinds of attention and the types of results; `kernel`: Q, K and the mask
"""
