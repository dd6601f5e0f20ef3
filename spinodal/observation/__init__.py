"""Observation: what a researcher asks of the tokens of a trained model, and what chance would answer.

subject  a model and its inputs                pairs    every number of one sequence, in one pass
measure  inputs go by, tallies stay            nulls    random weights, shuffled tokens
weights  temperature and spectra of attention  clock    layers on the theory's clock
tally    means, errors, violations             summary  the result in plain words
effect   what a plug-in does to clusters and to the model's own loss
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
