"""Observation: what a researcher asks of the tokens of a trained model, and what chance would answer.

    from spinodal.observation import Observation, observe, source_named
    observe(Observation(source_named("minilm", text="The cat sat on the mat."))).summary

experiment  an observation as a value        measure  inputs go by, tallies stay
result      what was observed, typed         pairs    every number of one sequence, in one pass
folder      observe.json and its reader      tally    means, errors, falls of the energy
sources     what a name, a text mean         clock    layers on the theory's clock
subject     a model and its inputs           weights  temperature and spectra of attention
nulls       random weights, shuffled tokens  summary  the result in plain words
effect      what a plug-in does to clusters and to the model's own loss
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
