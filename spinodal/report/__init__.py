"""What comes out of runs, to be looked at: a page in the run's folder, and the same table in words."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
