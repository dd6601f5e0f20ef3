"""Probes: the tokens of a model, layer by layer, as a `Trajectory`.

stacks   where the layers of a model are, found by what they do
record   hooks that keep what each layer received and returned; views that must not be confused
arrays   trajectories on disk, for models that cannot run here
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
