"""Text that trains a model: corpora, tokenizers, and the samples of a task; trained models to fetch."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
