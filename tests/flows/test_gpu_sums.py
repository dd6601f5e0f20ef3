"""The sums over pairs that run where tokens lie on a GPU: here the same tensor operations on the CPU."""

import math

import numpy as np
import pytest
import torch
from engine_reference import cloud, exact

from spinodal import flows, sphere
from spinodal.flows.engines import field as door
from spinodal.flows.engines import gpu
from spinodal.flows.engines.law import law

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["uniform", "clustered"])
@pytest.mark.parametrize(("n", "d"), [(40, 2), (150, 3), (60, 64)])
@pytest.mark.parametrize(("kind", "beta"), [("sa", 0.0), ("sa", 9.0), ("usa", 4.0), ("gkpr", 300.0)])
def test_the_drift_is_exact_within_its_bound(name, n, d, kind, beta):
    x, w = cloud(name, n, d)
    drift, Z, bound = (part.numpy() for part in gpu.drift(CPU, x, w, law(kind, beta)))
    expected, partition = exact(x, w, beta, kind)
    assert (np.linalg.norm(drift - expected, axis=1) <= bound).all()
    assert (abs(Z - partition) <= 1e-13 * partition).all()
    assert (bound <= 1e-9 * np.linalg.norm(expected, axis=1).max()).all()


def test_blocks_of_rows_are_the_whole(monkeypatch):
    x, w = cloud("clustered", 100, 3)
    whole = gpu.drift(CPU, x, w, law("sa", 9.0))
    monkeypatch.setattr(gpu, "ENTRIES", 7 * x.size)
    for part, other in zip(gpu.drift(CPU, x, w, law("sa", 9.0)), whole, strict=True):
        assert torch.allclose(part, other, rtol=1e-12, atol=1e-18)


@pytest.mark.parametrize("kind", ["sa", "usa"])
def test_tokens_that_repel(kind):
    x, w = cloud("uniform", 80, 4)
    here, there = gpu.drift(CPU, x, w, law(kind, -6.0)), flows.field(x, w, beta=-6.0, kind=kind)
    assert (
        np.linalg.norm(here.drift.numpy() - there.drift, axis=1)
        <= here.error_bound.numpy() + there.error_bound
    ).all()
    assert abs(here.Z.numpy() - there.Z).max() < 1e-14


def test_a_probe_far_from_all_mass_has_its_drift():
    x, w = np.array([[1.0, 0.0], [-0.6, 0.8]]), np.array([1.0, 0.0])
    found = gpu.drift(CPU, x, w, law("sa", 1e4))
    assert found.drift[1].tolist() == pytest.approx([0.64, 0.48])
    assert found.Z[1] == 0  # e^-16000


@pytest.mark.parametrize("where", ["gpu", "direct"])
@pytest.mark.parametrize(("beta", "c"), [(700.0, -0.06), (400.0, -0.99), (-700.0, 0.05)])
def test_the_clock_of_usa_times_a_z_that_underflows(where, beta, c):
    """Of a probe: e^{beta c} sin, where Z = e^{beta c - |beta|} is below the least of doubles or nearly."""
    x, w = np.array([[1.0, 0.0], [c, math.sqrt(1 - c * c)]]), np.array([1.0, 0.0])
    if where == "gpu":
        drift, _, bound = gpu.drift(CPU, x, w, law("usa", beta))
    else:
        drift, _, bound = flows.field(x, w, beta=beta, kind="usa", engine="direct")
    expected = math.exp(beta * c) * x[1, 1]
    found = math.hypot(*(1e150 * drift[1])) / 1e150
    assert found == pytest.approx(expected, rel=1e-12)
    assert bound[1] >= abs(found - expected)


@pytest.mark.parametrize("where", ["gpu", "direct"])
def test_a_bound_on_the_smallest_drifts(where):
    x, w = np.array([[1.0, 0.0, 0.0], [0.0, 0.6, 0.8]]), np.array([1.0, 1e-170])
    if where == "gpu":
        drift, _, bound = gpu.drift(CPU, x, w, law("sa", 1e-3))
    else:
        drift, _, bound = flows.field(x, w, beta=1e-3, engine="direct")
    expected, _ = exact(x, w, 1e-3)
    assert np.abs(np.asarray(drift)[0] - expected[0].astype(float)).max() <= bound[0]


def test_tokens_on_a_gpu_are_summed_there(monkeypatch):
    x, w = cloud("uniform", 50, 3)
    tensors = torch.from_numpy(x), torch.from_numpy(w)
    called, drift = [], gpu.drift
    monkeypatch.setattr(gpu, "drift", lambda *given: called.append(given[0]) or drift(*given))
    monkeypatch.setattr(door, "is_gpu", lambda device: device is not None)
    for engine in ("auto", "direct", "attention"):
        answer = flows.field(*tensors, beta=4.0, engine=engine)
        assert answer.engine == "direct"
        assert isinstance(answer.drift, torch.Tensor)
    assert called == [CPU] * 3
    assert flows.field(*tensors, beta=4.0, engine="sphere").engine == "sphere"  # on the CPU, and back
    assert flows.field(x, w, beta=4.0).engine == "direct"  # arrays have no device
    assert len(called) == 3


def test_an_ensemble_in_bfloat16_is_a_batch_of_tensors():
    """`torch_flow` runs where its tensors are, in their precision."""
    starts = torch.stack([torch.from_numpy(sphere.uniform(8, 3, seed)) for seed in range(3)])
    whole, half = (
        flows.torch_flow(flows.TorchField(2.0), starts.to(kind), [0.0, 0.5])
        for kind in (torch.float64, torch.bfloat16)
    )
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.double(), whole, atol=0.05)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", [torch.float64, torch.float32])
def test_a_gpu_agrees(kind):
    x, w = cloud("clustered", 300, 3)
    tokens, weights = torch.from_numpy(x).to("cuda", kind), torch.from_numpy(w).to("cuda", kind)
    there = flows.field(tokens, weights, beta=9.0)
    here = flows.field(tokens.cpu(), weights.cpu(), beta=9.0)
    assert there.drift.device.type == "cuda"
    assert ((there.drift.cpu() - here.drift).norm(dim=1) <= there.error_bound.cpu() + here.error_bound).all()
