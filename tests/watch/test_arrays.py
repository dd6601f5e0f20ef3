"""Arrays from disk: what is written is read, and what is wrong is named."""

from pathlib import Path

import numpy as np
import pytest
import torch

from spinodal.errors import InputError
from spinodal.types import Trajectory
from spinodal.watch import read_trajectory, write_trajectory


def test_a_trajectory_survives_the_disk(tmp_path: Path):
    valid = torch.tensor([[True, True, True], [True, True, False]])
    written = Trajectory(torch.tensor([0.0, 1.0, 4.0]), torch.randn(3, 2, 3, 5), valid)
    write_trajectory(tmp_path / "t.safetensors", written)
    for ours, theirs in zip(read_trajectory(tmp_path / "t.safetensors"), written, strict=True):
        assert torch.equal(ours, theirs)
    (tmp_path / "other").touch()
    assert (tmp_path / "t.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_lone_array_needs_no_name_and_half_precision_is_widened(tmp_path: Path):
    x = np.random.default_rng(0).standard_normal((4, 6, 3)).astype(np.float16)
    np.savez(tmp_path / "x.npz", hidden=x)
    found = read_trajectory(tmp_path / "x.npz")
    assert found.tokens.shape == (4, 1, 6, 3)
    assert np.array_equal(found.tokens[:, 0].numpy(), x.astype(np.float32))
    assert found.valid.all()
    assert found.times.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"a": np.zeros((2, 2, 2)), "b": np.zeros(2)}, "name the array"),
        ({"tokens": np.zeros((2, 2))}, "not floats of layers x tokens x d"),
        ({"tokens": np.zeros((2, 2, 2), dtype=int)}, "not floats of layers x tokens x d"),
        ({"tokens": np.zeros((2, 2, 2)), "valid": np.ones((1, 3))}, "`valid` must be"),
        ({"tokens": np.zeros((2, 2, 2)), "times": np.ones(2)}, "increasing"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path: Path, arrays: dict, said: str):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError, match=said):
        read_trajectory(tmp_path / "x.npz")


def test_wrong_files_are_refused(tmp_path: Path):
    (tmp_path / "x.npz").write_text("no zip")
    (tmp_path / "x.safetensors").write_text("no header")
    for name in ("x.npz", "x.safetensors"):
        with pytest.raises(InputError, match="cannot be read"):
            read_trajectory(tmp_path / name)
    with pytest.raises(InputError, match="end in"):
        read_trajectory(tmp_path / "x.csv")
