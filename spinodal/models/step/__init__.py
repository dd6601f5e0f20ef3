"""Generation of one sequence in machine code, for models whose mixers have a compiled form.

kernels    the operations, and one call that carries out a list of them for a token
program    how such a list is put together
mixers     what each mixer is in operations
compiled   the step of a model: which models have one, and its states
loop       `generate` around it
"""

from spinodal.models.step.compiled import Step, compiled_step
from spinodal.models.step.loop import Rules, continue_text

__all__ = ["Rules", "Step", "compiled_step", "continue_text"]
