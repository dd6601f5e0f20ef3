"""Tokens as a physical system: every room by name, loaded when it is first used.

    theory        closed forms                             mixers       attention and its rivals, for training
    flows         tokens as particles on a sphere          models       Hugging Face classes around any mixer
    meanfield     tokens as a density                      training     experiments, runs, comparisons
    graphs        odd couplings on a graph                 inference    fill, generate, translate
    observables   numbers of a trajectory                  data         text, and trained models, to fetch
    thermodynamics  compositions that split and react      watch        the tokens of any model, by layer
    layers        mixers for models of your own            shorten      speech recognition on fewer tokens

`import spinodal.models` registers the models with transformers' Auto classes.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
