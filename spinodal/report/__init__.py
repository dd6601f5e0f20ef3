"""Reports of runs: an HTML page in the run's folder, and the same tables as text."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
