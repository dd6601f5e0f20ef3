"""The partition block against loops over mixtures, in the paper's letters, and what follows from its equations.

The loops read `feed(x)` alone: who is a component of which mixture is said once more, index by index.
"""

import math
from collections.abc import Iterator
from itertools import product

import pytest
import torch
from marks import slow_but
from torch import Tensor

from spinodal import thermodynamics
from spinodal.mixers.channel.partition import LITERAL, LiteralPartition, Partition
from spinodal.mixers.channel.partition_network import (
    DensePartitionNetwork,
    FactorisedPartitionNetwork,
    PartitionForm,
    Pathway,
    Reading,
)
from spinodal.mixers.channel.residuals import phase_residuals
from spinodal.thermodynamics import enrichment

B, N, H, C, P, R = 2, 9, 2, 9, 3, 2
Index = tuple[int, int, int, int]  # sample, token, head, feature


def form(reading: str = "token", pathway: str = "none") -> PartitionForm:
    return PartitionForm(H, P, 5, Reading(reading), Pathway(pathway), R)


def started(mixer: Partition) -> Partition:
    """Weights large enough for every sign of z, s and Omega."""
    generator = torch.Generator().manual_seed(1)
    for parameter in mixer.double().parameters():
        parameter.data.normal_(std=0.7, generator=generator)
    return mixer


def built(kind: str, reading: str, pathway: str) -> Partition:
    """Behind the factorised network, the dense one, or with the literal parameterisation."""
    if kind == "literal":
        with pytest.warns(UserWarning, match="literal"):
            return started(LiteralPartition(H * C, form(reading, pathway)))
    mixer = Partition(H * C, form(reading, pathway), length=N if kind == "dense" else None)
    if kind == "dense":  # hundreds of inputs a unit: its own start is the right size
        return mixer.double()
    return started(mixer)


def tokens() -> Tensor:
    return torch.randn(B, N, H * C, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def padding() -> Tensor:
    valid = torch.ones(B, N, dtype=torch.bool)
    valid[0, 6:] = valid[1, 0] = False
    return valid


def mixtures(reading: str, valid: Tensor) -> Iterator[tuple[Index, list[Index]]]:
    """(where L and Omega of the mixture stand, its components) of every mixture that is there."""
    for b, h in product(range(B), range(H)):
        there = [n for n in range(N) if valid[b, n]]
        if reading == "token":
            yield from (((b, n, h, 0), [(b, n, h, c) for c in range(C)]) for n in there)
        elif reading == "feature":
            yield from (((b, 0, h, 0), [(b, n, h, c) for n in there]) for c in range(C))
        else:
            yield (b, 0, h, 0), [(b, n, h, c) for n in there for c in range(C)]


def gathered(t: Tensor, components: list[Index]) -> Tensor:
    return torch.stack([t[index] for index in components])


def rms(values: list[Tensor]) -> Tensor:
    return torch.cat([value.flatten() for value in values]).square().mean().sqrt()


def physical(kind: str, k: Tensor, l: Tensor) -> tuple[Tensor, Tensor]:
    """K and the fractions of all phases but the reference."""
    if kind == "literal":
        return k, l[..., :-1].sigmoid()
    shares = l.exp() / l.exp().sum(-1, keepdim=True)
    return k.exp(), (0.99 * shares + 0.01 / shares.shape[-1])[..., :-1]


PARTITIONS = list(product(["factorised", "dense", "literal"], [*Reading]))
every_partition = pytest.mark.parametrize(("kind", "reading"), PARTITIONS)
every_pathway = pytest.mark.parametrize("pathway", [*Pathway])


@every_partition
@pytest.mark.parametrize("pathway", ["none", "I"])
def test_phases_are_those_of_the_flash(kind: str, reading: str, pathway: str):
    mixer, x = built(kind, reading, pathway), tokens()
    z, k, l, _ = mixer.feed(x)
    K, L = physical(kind, k, l)
    assert L.shape == (B, N if reading == "token" else 1, H, P - 1)
    phases = thermodynamics.phase_compositions(z, K, L.expand(B, N, H, P - 1))
    y = phases.flatten(2)
    y = (y - y.mean(-1, keepdim=True)) / (y.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(mixer(x).tokens, y @ mixer.out.weight.T)
    fractions = torch.cat([L, 1 - L.sum(-1, keepdim=True)], -1)
    held = torch.einsum("bnhcp,bnhp->bnhc", phases, fractions.expand(B, N, H, P))
    torch.testing.assert_close(held, z)
    torch.testing.assert_close(mixer.phase_fractions(x), fractions.mean(2).expand(B, N, P))
    if kind != "literal":
        assert thermodynamics.dilution(K, L.expand(B, N, H, P - 1)).amin() > 0


@every_partition
@pytest.mark.parametrize("padded", [False, True])
def test_phase_residuals_are_sums_over_the_components_of_each_mixture(kind: str, reading: str, padded: bool):
    mixer, x = built(kind, reading, "none"), tokens()
    valid = padding() if padded else torch.ones(B, N, dtype=torch.bool)
    z, k, l, _ = mixer.feed(x, valid)
    K, L = physical(kind, k, l)
    F, variances, excess = [], [], []
    for carrier, components in mixtures(reading, valid):
        zi, Ki, Lj = gathered(z, components), gathered(K, components), L[carrier[:3]]
        F.append(thermodynamics.rachford_rice(zi, Ki, Lj) / len(components))
        k_i = torch.log(Ki**2 + 1e-4) / 2 if kind == "literal" else gathered(k, components)
        variances.append(k_i.var(0, correction=0))
        excess.append((Lj.sum() - 1).clamp(min=0))
    found = mixer(x, valid if padded else None, residuals=True).reported
    expected = {"F": rms(F), "spread": torch.cat(variances).mean().sqrt()}
    if kind == "literal":
        expected["h"] = rms(excess)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=2e-8)


@torch.no_grad()
@pytest.mark.parametrize(("kind", "reading"), slow_but(PARTITIONS, *PARTITIONS[::4]))
@pytest.mark.parametrize("pathway", ["I", "II", "III"])
@pytest.mark.parametrize("padded", slow_but([False, True], True))
def test_reaction_residuals_are_mass_action_type_by_type(kind: str, reading: str, pathway: str, padded: bool):
    mixer, x = built(kind, reading, pathway), tokens()
    valid = padding() if padded else torch.ones(B, N, dtype=torch.bool)
    z, k, l, hidden = mixer.feed(x, valid)
    s, omega = mixer.feed.reactions(hidden, valid)
    K, L = physical(kind, k, l)
    x_ij = thermodynamics.phase_compositions(z, K, L.expand(B, N, H, P - 1))
    g1, g2 = [], []
    for carrier, components in mixtures(reading, valid):
        for r, j in product(range(R), range(1 if pathway == "I" else P)):
            Omega = omega[carrier[:3]][(j, r) if pathway == "III" else r]
            magnitude = -torch.log(Omega**2 + 1e-4) / 2
            sign = -(Omega < 0).double()
            for index in components:
                s_i = s[index][(j, r) if pathway == "III" else r] / len(components)
                reacting = z[index] if pathway == "I" else x_ij[index][j]
                magnitude = magnitude + s_i * torch.log(reacting**2 + 1e-4) / 2
                sign = sign + (s_i if reacting < 0 else 0.0)
            g1.append(magnitude)
            g2.append(sign)
    found = mixer(x, valid if padded else None, residuals=True).reported
    torch.testing.assert_close(
        {n: found[n] for n in ("g1", "g2")}, {"g1": rms(g1), "g2": rms(g2)}, rtol=1e-9, atol=2e-8
    )


def test_sign_residual_moves_stoichiometry_alone():
    """t and tau are piecewise constant: g2 has no slope in z-hat nor Omega  [docs/partition.md]."""
    mixer = built("factorised", "token", "I")
    mixer(tokens(), residuals=True).reported["g2"].backward()
    moved = {
        name for name, p in mixer.feed.named_parameters() if p.grad is not None and p.grad.count_nonzero()
    }
    assert moved == {"hidden.weight", "hidden.bias", "stoichiometry.weight"}


@torch.no_grad()
@pytest.mark.parametrize("seed", slow_but(range(3), 0))
def test_balance_is_the_fixed_point_of_em_and_collapse_is_balance_too(seed: int):
    generator = torch.Generator().manual_seed(seed)
    z = torch.rand(40, generator=generator, dtype=torch.float64)
    k = 2 * torch.randn(40, P - 1, generator=generator, dtype=torch.float64)
    k -= k.mean(0)  # K on both sides of 1, so that all phases stay
    L = torch.full((P,), 1 / P, dtype=torch.float64)
    assert phase_residuals(z, k, L, None)["F"] > 1e-3
    for _ in range(5000):
        L = z @ (L * enrichment(k, L)) / z.sum()
    assert L.amin() > 1e-3
    residuals = phase_residuals(z, k, L, None)
    assert residuals["F"] < 1e-9
    assert residuals["spread"] > 1
    collapsed = phase_residuals(z, 0 * k, torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64), None)
    assert collapsed["F"] == collapsed["spread"] == 0


def test_phase_residuals_survive_any_log_k():
    z, L = torch.tensor([[-1.0, 2.0, 3.0]]), torch.tensor([[0.2, 0.3, 0.5]])
    k = torch.tensor([[[1e3, -1e3], [0.0, 200.0], [-300.0, -300.0]]], requires_grad=True)
    F = phase_residuals(z, k, L, None)["F"]
    F.backward()
    assert F.isfinite()
    assert k.grad is not None
    assert k.grad.isfinite().all()


def test_a_row_of_nothing_but_padding_counts_for_nothing():
    mixer, x = built("factorised", "feature", "II"), tokens()
    valid = torch.ones(B, N, dtype=torch.bool)
    valid[1] = False
    found, alone = mixer(x, valid, residuals=True), mixer(x[:1], residuals=True)
    torch.testing.assert_close(found.reported, alone.reported)
    assert found.tokens.isfinite().all()


def test_dense_network_mixes_all_tokens_and_features_of_a_head_and_no_others():
    torch.manual_seed(0)
    feed = DensePartitionNetwork(H * C, form(), length=N).double()
    x = tokens()
    flat = x.view(B, N, H, C)
    W = feed.composition.weight.view(H, N, C, N, C)
    bias = torch.randn(H, N * C, dtype=torch.float64)
    feed.composition.bias.data = bias
    z = torch.einsum("bmhf,hmfnc->bnhc", flat, W) + bias.view(H, N, C).transpose(0, 1)
    torch.testing.assert_close(feed(x).z, z)
    other = x.clone().view(B, N, H, C)
    other[:, :, 1] = 0
    for mine, same in zip(feed(x)[:3], feed(other.flatten(2))[:3], strict=True):
        torch.testing.assert_close(mine[:, :, 0], same[:, :, 0], rtol=0, atol=0)
        assert (mine[:, :, 1] != same[:, :, 1]).all()


@pytest.mark.parametrize("reading", [*Reading])
def test_shapes_of_all_five_outputs(reading: str):
    m = N if reading == "token" else 1
    for pathway, r in [("I", (R,)), ("II", (R,)), ("III", (P, R))]:
        for feed in (
            FactorisedPartitionNetwork(H * C, form(reading, pathway)),
            DensePartitionNetwork(H * C, form(reading, pathway), length=N),
        ):
            z, k, l, hidden = feed(tokens().float())
            s, omega = feed.reactions(hidden)
            shapes = [tuple(t.shape) for t in (z, k, l, s, omega)]
            assert shapes == [
                (B, N, H, C),
                (B, N, H, C, P - 1),
                (B, m, H, P),
                (B, N, H, C, *r),
                (B, m, H, *r),
            ]


def test_constants_start_where_reactants_and_products_balance():
    feed = FactorisedPartitionNetwork(H * C, form("token", "I"))
    feed.constants.weight.data.zero_()
    feed.constants.bias.data.zero_()
    omega = feed.reactions(feed(tokens().float()).hidden).omega
    assert torch.equal(omega, torch.ones_like(omega))


def test_the_literal_form_warns_and_has_the_poles_it_warns_of():
    with pytest.warns(UserWarning, match="literal") as caught:
        mixer = LiteralPartition(H * C, form())
    assert [str(w.message) for w in caught] == [LITERAL]
    z, L = torch.tensor([1.0]), torch.tensor([0.5, 0.5, 0.0])
    pole = mixer.parameterisation.phases(z, torch.tensor([[-1.0, 1.0]]), L)
    assert not pole.isfinite().all()
    assert math.isclose(
        float(Partition(H * C, form()).parameterisation.phases(z, torch.tensor([[-1.0, 1.0]]), L) @ L),
        1,
        rel_tol=1e-6,
    )
