"""Tokens as a density: the evolution of infinitely many, from near the uniform density into clusters.

file        what                                                  where
kernel      the flow, eigenvalues of its kernel                   any d
solver      the protocol that all solvers fulfil                  any d
modes       a density as a sum of harmonics, checked              circle, zonal, sphere
starts      white noise, values and tables as modes               circle, zonal, sphere
lagrangian  `Circle`, `Zonal`: exact through the birth of Diracs  d = 2; any d about an axis
panels      their hp mesh of labels
rings       latitudes: their area, sums over them
sphere      `Sphere`: Gauss nodes that move, density along paths  d = 3
eulerian    `Fourier`, `Gegenbauer`: moments; linear phase, noise d = 2; any d about an axis
linear      the first pattern by linear theory: its time, place and probability
noise       stationary densities, continuous or by a jump         any d about an axis
record      moments, clusters, mass and width after every step
smooth      a density to look at, from its moments                circle, zonal
experiment  `DensityExperiment`, all that an evolution depends on
evolution   `evolve`, from an experiment to its `DensityResult` (result)
chaos       finitely many random tokens against the density       circle
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
