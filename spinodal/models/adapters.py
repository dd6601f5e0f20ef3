"""What PEFT adapts where `LoraConfig` names no target: the linear layers of every mixer, in every block."""

import sys

# The linear layers of this library's mixers by name. The heads are not among them, nor the network that predicts the
# phases of a partition, which is not made of plain linear layers where it reads all tokens at once.
LAYERS = ("anchor", "decay", "gate", "inner", "key_value", "maps", "out", "qkv", "query", "shares", "value")
TARGETS = rf"(?:.*\.)?mixers\.\d+\.(?:.*\.)?(?:{'|'.join(LAYERS)})"


def register_targets():
    """Enter our models in PEFT's tables of default targets, if PEFT is imported; else nothing.

    Only the methods are entered that adapt the queries and values of other models, LoRA among them.
    """
    constants = sys.modules.get("peft.utils.constants")
    for name in dir(constants) if constants else ():
        if name.endswith("_TARGET_MODULES_MAPPING"):
            table = getattr(constants, name)
            if table.get("llama") == ["q_proj", "v_proj"]:
                table.setdefault("spinodal", TARGETS)
