"""Arrays that commands saved, read whole: a file left open is closed by chance, in another test, which then fails."""

from pathlib import Path

import numpy as np


def saved_arrays(file: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name."""
    with np.load(file) as arrays:
        return dict(arrays)
