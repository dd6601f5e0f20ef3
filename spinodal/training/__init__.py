"""Training: experiments as values, the physics loss, runs that resume bit for bit, comparisons.

result = train(Experiment(DataConfig("corpus.txt"), {"width": 64}, Schedule(steps=400)), "runs/mine")
result.final["held_out_loss"], result.metrics[-1]
read_run("runs/mine").result_as(TrainingResult) == result
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
