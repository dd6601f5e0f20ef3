"""Every engine against the definition, its own error bound, and what the equations promise."""

import numpy as np
import pytest
import torch
from engine_reference import CLOUDS, averaged, cloud, exact
from marks import slow_but
from scipy.special import ive
from typed import present

from spinodal import flows, sphere
from spinodal.flows import ENGINES
from spinodal.flows.engines.law import Drift, law

SERVES = {
    "direct": (2, 3, 5, 64),
    "attention": (2, 3, 5, 64),
    "circle": (2,),
    "sphere": (3,),
    "harmonics": (3, 4),
    "lowrank": (2, 3, 5, 64),
    "span": (64,),
}
CASES = [(engine, d) for engine, dimensions in SERVES.items() for d in dimensions]
QUICK = [
    ("direct", 3),
    ("attention", 3),
    ("circle", 2),
    ("sphere", 3),
    ("harmonics", 3),
    ("lowrank", 5),
    ("span", 64),
]
BETAS = [0.0, 1e-3, 1.0, 9.0, 25.0, 81.0, 600.0]


def drift_by(engine: str, x, weights, law) -> Drift:
    """The drift by this engine, which does not decline."""
    return present(ENGINES[engine](x, weights, law))


def error(answer, drift):
    return np.linalg.norm(np.asarray(answer.drift - drift, float), axis=1)


@pytest.mark.parametrize(("engine", "d"), CASES)
@pytest.mark.parametrize("kind", ["sa", "usa", "gkpr"])
def test_equals_the_definition(engine, d, kind):
    """Averaged, then projected, in extended precision: nothing of the engines' differences is in it."""
    x, w = cloud("uniform", 50, d)
    for beta in (0.0, 1.0, 9.0, 25.0):
        answer = drift_by(engine, x, w, law(kind, beta))
        drift, Z = averaged(x, w, beta, kind)
        scale = np.exp(beta) if kind == "usa" else 1
        assert error(answer, drift).max() < 1e-12 * scale / (Z.min() if kind == "sa" else 1)
        assert abs(answer.Z - Z).max() < 1e-13


@pytest.mark.parametrize(("engine", "d"), slow_but(CASES, *QUICK))
@pytest.mark.parametrize("name", slow_but(CLOUDS, "uniform", "one cluster"))
def test_the_error_bound_is_honest(engine, d, name):
    for n in (2, 40, 300) if engine != "span" else (2, 40):
        x, w = cloud(name, n, d, seed=n)
        rows = range(min(n, 10))
        for beta in BETAS[:-1] if engine == "harmonics" else BETAS:
            for kind in ("sa", "gkpr"):
                answer = drift_by(engine, x, w, law(kind, beta))
                drift, _ = exact(x, w, beta, kind, rows)
                drift = drift - answer.drift[rows]
                assert (np.linalg.norm(drift.astype(float), axis=1) <= answer.error_bound[rows]).all()


@pytest.mark.parametrize(("engine", "d"), CASES)
def test_the_error_bound_is_of_use(engine, d):
    """On a cloud that fills its neighbourhoods the bound is within a thousand roundings of the drift."""
    x, w = cloud("clustered", 60, d)
    answer = drift_by(engine, x, w, law("sa", 4.0))
    limit = 2e-11 if engine == "sphere" else 1e-12
    assert answer.error_bound.max() < limit


@pytest.mark.parametrize(("angle", "beta"), [(2.0, 25.0), (3.0, 25.0), (3.1, 81.0), (1e-9, 25.0)])
@pytest.mark.parametrize(("engine", "d"), [*CASES, *(("auto", d) for d in (2, 3, 5))])
def test_two_tokens_near_equilibrium_keep_their_digits(angle, beta, engine, d):
    """u' = -2 e^{b cos u} sin u / (e^b + e^{b cos u}): e^-75 of the speeds that attention rounds to."""
    x = np.zeros((2, d))
    x[0, 0], x[1, 0], x[1, 1] = 1, np.cos(angle), np.sin(angle)
    drift, _, bound = flows.field(x, np.full(2, 0.5), beta=beta, engine=engine)
    e = np.exp(-2 * beta * np.sin(angle / 2) ** 2)
    speed = e * np.sin(angle) / (1 + e)
    assert np.linalg.norm(drift[0]) == pytest.approx(speed, rel=1e-13 if d < 4 else 1e-12)
    if angle > 1:
        assert bound.max() < 1e-11 * speed


@pytest.mark.parametrize(("angle", "lost"), [(2.0, 0.1), (3.0, 0.99)])
def test_attention_alone_has_lost_these_digits_and_says_so(angle, lost):
    """Two tokens at these angles, b = 25: a digit is left at the first, none at the second, whatever the direction."""
    worst = 0.0
    for turn in np.linspace(0.1, 6, 20):
        x = np.stack([np.cos([turn, turn + angle]), np.sin([turn, turn + angle])], 1)
        answer = drift_by("attention", x, np.full(2, 0.5), law("sa", 25.0))
        drift, _ = exact(x, np.full(2, 0.5), 25.0)
        assert (error(answer, drift) <= answer.error_bound).all()
        worst = max(worst, (error(answer, drift) / np.linalg.norm(drift.astype(float), axis=1)).max())
    assert worst > lost


@pytest.mark.parametrize(("engine", "d"), CASES)
def test_rotating_the_tokens_rotates_the_drift(engine, d):
    x, w = cloud("uniform", 40, d)
    turn, _ = np.linalg.qr(np.random.default_rng(7).standard_normal((d, d)))
    turned = sphere.normalise(x @ turn)
    one, two = (drift_by(engine, y, w, law("sa", 9.0)) for y in (x, turned))
    assert abs(one.drift @ turn - two.drift).max() < 1e-13 / one.Z.min()
    assert abs(one.Z - two.Z).max() < 1e-13


@pytest.mark.parametrize(("engine", "d"), CASES)
def test_a_heavy_token_is_many_tokens(engine, d):
    x, _ = cloud("uniform", 20, d)
    times = np.random.default_rng(3).integers(1, 4, 20)
    one = drift_by(engine, x, times / times.sum(), law("sa", 5.0))
    many = drift_by(engine, np.repeat(x, times, 0), np.full(times.sum(), 1 / times.sum()), law("sa", 5.0))
    first = np.cumsum(times) - times
    assert abs(one.drift - many.drift[first]).max() < 1e-12
    assert abs(one.Z - many.Z[first]).max() < 1e-14


@pytest.mark.parametrize("d", [2, 3, 5])
def test_usa_is_the_gradient_of_the_energy(d):
    """w_i x_i' = P_i dE/dx_i, E = (1/2b) sum_ij w_i w_j e^{b <x_i, x_j>} [glpr2023], by automatic differentiation."""
    x, w = cloud("uniform", 30, d)
    beta = 4.0
    tokens = torch.tensor(x, requires_grad=True)
    W = torch.from_numpy(w)
    energy = (W[:, None] * W * torch.exp(beta * tokens @ tokens.T)).sum() / (2 * beta)
    (slope,) = torch.autograd.grad(energy, tokens)
    expected = sphere.tangent(x, slope.numpy()) / w[:, None]
    for engine in (name for name, dimensions in SERVES.items() if d in dimensions):
        drift, _, _ = flows.field(x, w, beta=beta, kind="usa", engine=engine)
        assert abs(drift - expected).max() < 1e-12 * np.exp(beta)


@pytest.mark.parametrize(("engine", "d"), CASES)
def test_without_beta_the_drift_points_to_the_mean(engine, d):
    """b = 0: x_i' = P_i sum_j w_j x_j, Z = 1; on the circle this is Kuramoto's."""
    x, w = cloud("clustered", 40, d)
    for kind in ("sa", "usa", "gkpr"):
        answer = drift_by(engine, x, w, law(kind, 0.0))
        assert abs(answer.drift - sphere.tangent(x, np.broadcast_to(w @ x, x.shape))).max() < 3e-13
        assert abs(answer.Z - 1).max() < 3e-13


@pytest.mark.parametrize(("engine", "d"), CASES)
def test_drifts_are_tangent_and_the_turning_moments_of_usa_cancel(engine, d):
    """Token i turns token j as much as j turns i: sum_i w_i (x_i drift_i^T - drift_i x_i^T) = 0."""
    x, w = cloud("uniform", 60, d)
    answer = drift_by(engine, x, w, law("gkpr", 3.0))
    assert abs((x * answer.drift).sum(1)).max() < 1e-15
    moment = (w[:, None] * x).T @ answer.drift
    assert abs(moment - moment.T).max() < 1e-13


@pytest.mark.parametrize("engine", ["direct", "circle", "attention"])
def test_a_wave_on_the_lattice_grows_at_its_rate(engine):
    """Equal spacing is at rest; mode p grows at (1/b) sum_j [(p+jn)^2 I_{p+jn} - (jn)^2 I_{jn}] [derived]."""
    n, p, beta, size = 64, 3, 5.0, 1e-5
    lattice = 2 * np.pi * np.arange(n) / n
    j = np.arange(-3, 4) * n
    rate = ((p + j) ** 2 * ive(abs(p + j), beta) - j**2 * ive(abs(j), beta)).sum() / beta
    for wave, speed in ((0.0, 0.0), (size, rate * size)):
        angle = lattice + wave * np.cos(p * lattice)
        x = np.stack([np.cos(angle), np.sin(angle)], 1)
        drift = drift_by(engine, x, np.full(n, 1 / n), law("gkpr", beta)).drift
        along = drift[:, 1] * np.cos(angle) - drift[:, 0] * np.sin(angle)
        assert abs(along - speed * np.cos(p * lattice)).max() < 1e-15 + 1e-4 * size


@pytest.mark.parametrize(("engine", "d"), CASES)
def test_one_token_and_coincident_tokens_stay(engine, d):
    x, w = cloud("uniform", 1, d)
    answer = drift_by(engine, x, w, law("sa", 9.0))
    assert abs(answer.drift).max() <= answer.error_bound.max() < 1e-11
    together = drift_by(engine, np.repeat(x, 5, 0), np.full(5, 0.2), law("sa", 9.0))
    assert abs(together.drift).max() <= together.error_bound.max() < 1e-11
    if engine == "direct":
        assert (answer.drift == 0).all()
        assert (together.drift == 0).all()


@pytest.mark.parametrize(
    "engine", slow_but(["direct", "circle", "sphere", "attention"], "direct", "circle", "attention")
)
def test_threads_change_nothing_but_rounding(engine):
    d = {"circle": 2, "sphere": 3}.get(engine, 3)
    x, w = cloud("uniform", 40_000 if engine in ("circle", "sphere") else 1500, d)
    one = drift_by(engine, x, w, law("sa", 9.0))
    torch.set_num_threads(2)
    try:
        two = drift_by(engine, x, w, law("sa", 9.0))
    finally:
        torch.set_num_threads(1)
    assert (np.linalg.norm(one.drift - two.drift, axis=1) <= one.error_bound + two.error_bound).all()
