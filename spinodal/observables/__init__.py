"""Numbers of a trajectory, wherever it came from: a flow, a trained network, a stored model.

    frames    restrict a trajectory to chosen tokens    clusters   components and their count
    overlaps  cosines of pairs                          mergetree  births, deaths
    energies  energy and dissipation, in logarithms     order      moments, effective rank, span
    lifetimes plateaus of a count                       transport  W2 to a Dirac and to a reference
    axial     whether tokens lie on one line            recurrences whether a pattern comes back
    parking   Rényi centres of causal attention         leading    leaders of hardmax attention
    hull      vertices, volume, distance to vertices    selectivity Boolean rows and rank of attention
    entry     `Observable`: a number's values, label and meaning
    registry  the observables by name

Padding is left out everywhere; a token that is not finite is an InputError that says when and where.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
