r"""How a saved folder is opened where nobody imported this library: transformers' way for code outside it.

`auto_map` in config.json names, for each Auto class, a class of the file that lies beside the weights; that file
imports the installed library. transformers runs it where trust_remote_code=True is given, and where the
library is missing says so with the name to install.
"""

import shutil
from pathlib import Path

FILE = "modeling_spinodal.py"
SHIM = '''"""Opens this folder with the library that made it; where it is missing: pip install spinodal."""

from spinodal.models import *
'''
AUTO = {
    "SpinodalForMaskedLM": "AutoModelForMaskedLM",
    "SpinodalForSequenceClassification": "AutoModelForSequenceClassification",
    "SpinodalForTokenClassification": "AutoModelForTokenClassification",
    "SpinodalForQuestionAnswering": "AutoModelForQuestionAnswering",
    "SpinodalForCausalLM": "AutoModelForCausalLM",
    "SpinodalForSeq2SeqLM": "AutoModelForSeq2SeqLM",
}


def auto_map(name: str) -> dict[str, str]:
    """{Auto class: "file.Class"} of a saved model of this class."""
    module = FILE.removesuffix(".py")
    own = {AUTO[name]: f"{module}.{name}"} if name in AUTO else {}
    return {"AutoConfig": f"{module}.SpinodalConfig", "AutoModel": f"{module}.SpinodalNetwork"} | own


def write_remote_code(folder: Path):
    """Writes the file that `auto_map` names, if the folder exists, and gives the weights its permissions.

    safetensors makes weights readable by their owner alone.
    """
    if folder.is_dir():
        (folder / FILE).write_text(SHIM)
        for weights in folder.glob("*.safetensors"):
            shutil.copymode(folder / FILE, weights)
