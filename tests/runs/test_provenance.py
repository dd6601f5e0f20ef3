"""Where a result comes from is known without loading what it does not use."""

import re
from pathlib import Path

import numpy as np
import pytest

from spinodal import runs
from spinodal.errors import InputError
from spinodal.runs import provenance, read_checkpoint, write_checkpoint


def test_provenance_has_no_gaps():
    found = provenance()
    assert found.threads >= 1
    assert found.versions["numpy"] == np.__version__
    assert found.date.endswith("+00:00")


def test_the_room_imports_neither_torch_nor_transformers():
    for path in Path(runs.__file__).parent.glob("*.py"):
        assert not re.search(r"^ *(import|from) (torch|transformers)", path.read_text(), flags=re.MULTILINE)


def test_a_checkpoint_of_arrays_is_of_its_run(tmp_path: Path):
    path = tmp_path / "checkpoint"
    assert read_checkpoint(path, '{"n": 1}') is None
    write_checkpoint(path, '{"n": 1}', {"x": np.arange(3)})
    found = read_checkpoint(path, '{"n": 1}')
    assert found is not None
    np.testing.assert_array_equal(found["x"], np.arange(3))
    with pytest.raises(InputError, match="another run: n=1 there, 2 asked"):
        read_checkpoint(path, '{"n": 2}')
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="not what was written"):
        read_checkpoint(path, '{"n": 1}')
