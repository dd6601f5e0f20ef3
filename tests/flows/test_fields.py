"""Every row of the table of fields against its definition written out."""

import numpy as np
import pytest
from naive_fields import attention_output, rates

from spinodal import sphere
from spinodal.flows.fields import AttentionField, FeedForward, Head, UnnormalisedField, scheme
from spinodal.flows.state import State

RANDOM = np.random.default_rng(5)
ALPHA, TAU, TIME = 0.7, 1.2, 2.0
SCHEMES = {
    "post": None,
    "pre": None,
    "mix": TAU,
    "peri": None,
    "ngpt": ALPHA,
    "sqrt": None,
}


def tokens(n, d, seed=0):
    random = np.random.default_rng(seed)
    w = random.uniform(0.1, 2, n)
    return sphere.uniform(n, d, random), random.uniform(0.5, 2, n), w / w.sum()


def matrices(d, k=3):
    return (RANDOM.standard_normal((k, d)), RANDOM.standard_normal((k, d)), RANDOM.standard_normal((d, d)))


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("kind", ["sa", "usa", "gkpr"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("general", [False, True])
def test_mask_kind_matrices_and_scheme_compose(name, kind, causal, general):
    n, d, beta = 7, 4, 1.5
    x, r, w = tokens(n, d)
    heads = [matrices(d), matrices(d, 2)] if general else [(np.eye(d),) * 3]
    field = AttentionField(
        beta,
        kind,
        tuple(Head(*head) for head in heads),
        causal=causal,
        scheme=scheme(name, SCHEMES[name]),
    )
    A = sum(attention_output(x, w, beta, *head, kind, causal) for head in heads)
    for t in (0.0, TIME):
        drift, growth = rates(x, r, A, name, t, tau=TAU, alpha=ALPHA)
        rate = field(t, State(x, r), w)
        assert abs(rate.drift - drift).max() < 1e-13 * abs(A).max()
        assert abs(rate.growth - growth).max() < 1e-13 * abs(A).max()
        assert (np.linalg.norm(rate.drift - drift, axis=1) < rate.error_bound + 1e-14 * abs(A).max()).all()
