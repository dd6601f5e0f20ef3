"""Shorten: speech recognition on fewer tokens, because those of silence coincide.

    from spinodal.shorten import shortened
    with shortened(model) as report:        # any Whisper of transformers
        ids = model.generate(features)      # batches, beams, timestamps, windows as before
    print(report)                           # tokens that were computed, of how many

tokens    runs of coincident tokens, and attention over what stands for them
whisper   a model of transformers on these, for as long as a context lasts

experiment  a transcription as a value          speech  sounds of files, and both transcripts of each
result      texts, tokens and seconds of both
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
