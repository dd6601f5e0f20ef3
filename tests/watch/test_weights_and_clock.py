"""Temperature, spectra and clock: models built to have them, and the theory's own curve."""

import numpy as np
import pytest
import torch
from small_models import inputs_of, small
from typed import modules

from spinodal.errors import InputError
from spinodal.theory import gamma_sa
from spinodal.watch import attention_calls, one_stack, record
from spinodal.watch.clock import effective_clock
from spinodal.watch.stacks import first_input
from spinodal.watch.weights import AttentionCall, Heads, Selections, effective_beta, heads_of, spectra


def maps(seed: int, *, h: int = 2, c: int = 3, d: int = 8) -> Heads:
    torch.manual_seed(seed)
    W = [torch.randn(h, c, d, dtype=torch.float64) for _ in range(3)]
    return Heads(W[0], W[1], W[2], torch.randn(h, d, c, dtype=torch.float64), c**-0.5)


def test_spectra_and_conditions_are_those_of_the_full_matrices():
    m = maps(0)
    found = spectra(m)
    for h in range(2):
        assert m.Wv is not None
        assert m.Wo is not None
        assert found.V is not None
        assert found.alignment is not None
        A, V = m.scale * m.Wq[h].T @ m.Wk[h], m.Wo[h] @ m.Wv[h]
        for ours, full in ((found.A[h], A), (found.V[h], V)):
            theirs = torch.linalg.eigvals(full).numpy()
            largest = theirs[np.argsort(-abs(theirs))][:3]
            assert np.sort_complex(ours.round(9)) == pytest.approx(np.sort_complex(largest.round(9)))
        assert found.symmetry[h] == pytest.approx(float((A * A.T).sum() / A.square().sum()))
        assert found.alignment[h] == pytest.approx(float((A * V).sum() / (A.norm() * V.norm())))


def test_a_gradient_flow_is_recognised_and_its_opposites_are_told():
    m = maps(1)
    flow = m._replace(Wk=m.Wq, Wv=m.Wq, Wo=3 * m.Wq.mT)
    assert spectra(flow).symmetry == pytest.approx(np.ones(2))
    assert spectra(flow).alignment == pytest.approx(np.ones(2))
    assert spectra(flow._replace(Wo=-3 * m.Wq.mT)).alignment == pytest.approx(-np.ones(2))
    turn = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64).expand(2, 2, 2)
    odd = maps(2, c=2, d=2)._replace(Wq=torch.eye(2, dtype=torch.float64).expand(2, 2, 2), Wk=turn)
    assert spectra(odd).symmetry == pytest.approx(-np.ones(2))


def test_effective_beta_is_the_beta_of_a_layer_that_has_one():
    x = torch.nn.functional.normalize(torch.randn(2, 20, 8, dtype=torch.float64), dim=-1)
    valid = torch.ones(2, 20, dtype=torch.bool)
    for beta in (0.5, 4.0, -2.0):
        call = AttentionCall(x, beta * x[:, None], x[:, None], 1.0)
        assert effective_beta(call, valid) == pytest.approx(np.array([beta]))
        shifted = call._replace(k=call.k + 1)  # moves rows as wholes: softmax is blind to it
        assert effective_beta(shifted, valid) == pytest.approx(np.array([beta]))


@pytest.mark.parametrize(
    "kind",
    [
        "BertForMaskedLM",
        "AlbertForMaskedLM",
        "LlamaForCausalLM",
        "GPT2LMHeadModel",
        "T5ForConditionalGeneration",
    ],
)
def test_maps_of_known_architectures_give_their_logits(kind: str):
    """Against the attention weights that the library itself returns, where no position enters."""
    model, inputs = small(kind), inputs_of(kind)
    stack = one_stack(model, inputs)
    m = heads_of(_tracked(model, inputs, stack), Selections())
    assert m.Wq.shape == (2, 8, 16)
    x = record(model, inputs, view="read").tokens[0].double()
    q, k = (torch.einsum("hcd,bnd->bhnc", W, x) for W in (m.Wq, m.Wk))
    weights = (m.scale * q @ k.mT).softmax(-1)
    if kind in ("BertForMaskedLM", "AlbertForMaskedLM"):
        model.set_attn_implementation("eager")
        with torch.no_grad():
            for bias in ("query.bias", "key.bias"):
                assert not any(p.any() for name, p in model.named_parameters() if name.endswith(bias))
        theirs = model(**inputs, output_attentions=True).attentions[0].double()
        torch.testing.assert_close(weights, theirs, atol=1e-5, rtol=1e-4)


def test_a_layer_without_separate_maps_has_no_heads():
    """A projection that another module's output is mixed into is no linear map."""
    kind = "WhisperForConditionalGeneration"
    model, inputs = small(kind), inputs_of(kind)
    stack = one_stack(model, inputs)
    layer = modules(model, "model.encoder.layers")[0]
    assert heads_of(_tracked(model, inputs, stack), Selections()).Wq.shape == (2, 8, 16)
    layer.get_submodule("self_attn").k_proj = torch.nn.Sequential(
        layer.get_submodule("self_attn.k_proj"), torch.nn.Tanh()
    )
    with pytest.raises(InputError, match="keys are no linear map"):
        heads_of(_tracked(model, inputs, stack), Selections())


def _tracked(model, inputs, stack):
    return attention_calls(model, first_input(inputs), stack, tracked=True)[0]


@pytest.mark.parametrize(("beta", "step", "start"), [(1.0, 0.3, 0.0), (6.0, 0.8, 0.2)])
def test_the_clock_of_the_theorys_own_curve_is_found(beta: float, step: float, start: float):
    g = np.asarray(gamma_sa(step * np.arange(13), 32, beta, start))
    found = effective_clock(g, 32)
    assert found.residual < 1e-5
    assert found.beta == pytest.approx(beta, rel=1e-3)
    assert found.step == pytest.approx(step, rel=1e-3)
    assert found.times == pytest.approx(step * np.arange(13), abs=1e-3)
    assert effective_clock(g, 32, beta=beta).step == pytest.approx(step, rel=1e-5)


def test_cosines_that_fall_have_no_time_and_a_residual():
    found = effective_clock(np.array([0.5, 0.3, 0.1, 0.6]), 16, beta=1.0)
    assert np.isnan(found.times).tolist() == [False, True, True, False]
    assert found.residual > 0.1
