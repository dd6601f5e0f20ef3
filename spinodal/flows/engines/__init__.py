"""One interface, several engines: (drift, Z, error_bound) of attention on weighted unit vectors.

file       where                  how                                        cost
direct     reference; slow flows  every pair, by differences                 n^2
pairs      any Q, K, V; causal    every pair, by differences from an anchor  n^2
attention  any d; any Q, K, V     torch's fused attention in float64         n^2
circle     d = 2; any 2 x 2 Q, K  cells and Fourier modes                    n
sphere     d = 3                  spherical harmonics                        n
lowrank    once tokens cluster    pivoted Cholesky with a certificate        n r
span       n < d                  the same flow in n dimensions              n^3
automatic  the public `field`     checks, chooses, redoes what came out poor
"""
