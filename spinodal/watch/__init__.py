"""Watch: the tokens of a trained model layer by layer, their cosines, clusters and energy, beside nulls.

    from spinodal.watch import Observation, observe, source_named
    observe(Observation(source_named("minilm", text="The cat sat on the mat."))).summary

record      hooks that keep what each layer received and returned; views that must not be confused
stacks      where the layers of a model are, found by what they do
arrays      trajectories on disk, for models that cannot run here

experiment  an observation as a value        measure  a pass over all inputs
result      what was observed, typed         pairs    every number of one sequence, in one pass
folder      observe.json and its reader      tally    means, errors, falls of the energy
sources     models, texts, sounds by name    clock    layers on the theory's clock
subject     a model and its inputs           weights  temperature and spectra of attention
nulls       random weights, shuffled tokens  summary  the result in plain words
layer_map   a layer as a map f of tokens; ablations: without attention, without the MLP
iteration   layers iterated on, as a value, and its result; iterate: streamed
lyapunov    exponents by tangents        returns      nearest returns and their periods
fixed_points by Newton's method, and their stability    resolution  distance from x' = f(x) - x
layer_field a layer's attention as a field on the sphere
training_series  every checkpoint of a run, by step and layer
effect      what another interaction does to clusters and to the model's own loss

`record` watches any torch module, and needs torch alone: transformers is loaded by what opens a model by name.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
