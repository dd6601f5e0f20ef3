"""The contract of every mixer, run on each one that a configuration can ask for."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import pytest
import torch
from fitting import fitting_config
from marks import slow_but
from torch import Tensor
from typed import of_kind

from spinodal.mixers.base import Convolved, Fused, Mixer, PhaseMixer
from spinodal.mixers.channel.partition import Partition
from spinodal.mixers.channel.partition_network import Pathway, Reading
from spinodal.mixers.entry import Kind
from spinodal.mixers.registry import entries, find_entry
from spinodal.models import SpinodalConfig
from spinodal.models.blocks import sublayers
from spinodal.models.parts import reported_names

N, D = 12, 20  # two heads of ten features: type III has 10 - 3 (2 + 1) degrees of freedom a token
PARTITIONS = ("partition", "literal", "dense")
GATES = tuple(name for name in entries(Kind.CHANNEL) if name not in PARTITIONS)

pytestmark = pytest.mark.filterwarnings("ignore:the literal parameterisation")


@dataclass(frozen=True)
class Case:
    """One mixer of one block, by the names that reach it; `fused` is a whole block in one."""

    mixer: str = "none"
    channel: str = "swiglu"
    kernel: int = 0
    causal: bool = False
    fused: bool = False
    reading: str = "token"
    pathway: str = "none"

    def __str__(self) -> str:
        names = [self.mixer, f"kernel{self.kernel}"] if self.mixer != "none" else []
        names += [self.reading, self.pathway] if self.part in PARTITIONS else []
        return "-".join([*names, self.part] + ["fused"] * self.fused + ["causal"] * self.causal)

    def config(self) -> SpinodalConfig:
        return fitting_config(
            width=D, heads=2, phases=3, reactions=2, hidden=7, length=N, mixer=self.mixer, channel=self.channel,
            kernel=self.kernel, fused=self.fused, reading=self.reading, pathway=self.pathway,
        )  # fmt: skip

    def build(self) -> Mixer:
        torch.manual_seed(0)
        return of_kind(sublayers(self.config(), causal=self.causal)[0], Mixer).double()

    @property
    def part(self) -> str:
        """The channel that is a part of this mixer; a token mixer alone has none."""
        return self.channel if self.mixer == "none" or self.fused else ""

    @property
    def generative(self) -> bool:
        return self.part in PARTITIONS and self.pathway != "none"


def channels() -> list[dict]:
    """Every channel with every reading, pathway and direction in which it exists."""
    found = [{"channel": name, "causal": causal} for name, causal in product(GATES, (False, True))]
    for name, reading, pathway in product(PARTITIONS, Reading, Pathway):
        for causal in (False, True) if reading is Reading.TOKEN and name != "dense" else (False,):
            found.append(dict(channel=name, reading=str(reading), pathway=str(pathway), causal=causal))
    return found


TOKEN_MIXERS = [
    Case(m, kernel=k, causal=c) for m, k, c in product(entries(Kind.TOKEN), (0, 4), (False, True))
]
CHANNEL_MIXERS = [Case(**channel) for channel in channels()]
FUSED = [Case("retention", kernel=4, fused=True, **channel) for channel in channels()]
FUSED += [
    Case(m, kernel=4, fused=True, causal=c, channel="partition", pathway="I")
    for m, c in product(entries(Kind.TOKEN), (False, True))
]
CASES = list(dict.fromkeys(TOKEN_MIXERS + CHANNEL_MIXERS + FUSED))


def is_quick(case: Case) -> bool:
    """Whether `make test` runs it: every mixer by itself, one of them behind a convolution and one as a whole block."""
    if case.fused:
        return case.mixer == "retention" and (case.channel, case.reading, case.pathway) in (
            ("competition", "token", "none"),
            ("partition", "token", "I"),
        )
    alone = case.kernel == 0 or case.mixer == "retention"
    return alone and (case.reading, case.pathway) in (("token", "none"), ("token", "III"), ("feature", "I"))


QUICK = list(filter(is_quick, CASES))


def parameters(select: Callable[[Case], bool] = lambda case: True) -> pytest.MarkDecorator:
    """A test of the selected cases; those that are not quick are slow."""
    return pytest.mark.parametrize("case", slow_but(filter(select, CASES), *QUICK), ids=str)


every_case = parameters()


def tokens(batch: int, *, seed: int = 1) -> Tensor:
    return torch.randn(batch, N, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def padding() -> Tensor:
    """Padding on the right, on the left, in the middle, and none."""
    valid = torch.ones(4, N, dtype=torch.bool)
    valid[0, 9:] = valid[1, :3] = valid[2, 4:6] = False
    return valid


@every_case
def test_shape_type_and_silence_on_residuals(case: Case):
    mixer = case.build()
    for dtype in (torch.float64, torch.float32):
        mixed = mixer.to(dtype)(tokens(2).to(dtype))
        assert mixed.tokens.shape == (2, N, D)
        assert mixed.tokens.dtype == dtype
        assert mixed.tokens.isfinite().all()
        assert mixed.reported == {}


@every_case
def test_what_is_causal_does_not_leak_and_the_rest_sees_the_future(case: Case):
    mixer = case.build()
    x = tokens(1).expand(N, -1, -1)
    # row i: its tokens after i are others
    changed = torch.where(torch.ones(N, N).triu(1).bool()[..., None], 3 * tokens(N, seed=2), x)
    moved = (mixer(changed).tokens != mixer(x).tokens).any(-1)
    assert mixer.causal or not case.causal
    if mixer.causal:
        assert not moved.tril().any()
    elif (case.mixer, case.kernel) != ("convolution", 0):  # which is one token wide
        assert moved.tril()[: N - 1].any()


@parameters(lambda case: case.causal)
def test_the_gradient_of_what_is_causal_does_not_leak(case: Case):
    mixer = case.build()
    x = tokens(1).expand(N, -1, -1).clone().requires_grad_()
    y = mixer(x).tokens
    (grad,) = torch.autograd.grad((y * tokens(N, seed=3))[range(N), range(N)].sum(), x)
    assert grad[range(N), range(N)].abs().amin() > 0
    assert grad.abs().sum(-1).triu(1).count_nonzero() == 0


@every_case
def test_nothing_depends_on_what_stands_on_padding(case: Case):
    mixer, valid = case.build(), padding()
    x = tokens(4).requires_grad_()
    other = torch.where(valid[..., None], x, 5 * tokens(4, seed=2))
    mixed, again = mixer(x, valid, residuals=True), mixer(other, valid, residuals=True)
    torch.testing.assert_close(again.tokens[valid], mixed.tokens[valid], rtol=0, atol=1e-13)
    for name in mixed.reported:
        torch.testing.assert_close(again.reported[name], mixed.reported[name], rtol=1e-13, atol=0)
    loss = mixed.tokens[valid].square().sum() + sum(mixed.reported.values())
    (grad,) = torch.autograd.grad(loss, x)
    assert grad[~valid].count_nonzero() == 0
    assert grad[valid].count_nonzero() > 0


@parameters(lambda case: case.part != "dense")
def test_padding_is_as_good_as_absence(case: Case):
    mixer, valid, x = case.build(), padding(), tokens(4)
    for row, there in [(0, slice(0, 9)), (1, slice(3, N))]:
        padded = mixer(x[row : row + 1], valid[row : row + 1], residuals=True)
        alone = mixer(x[row : row + 1, there], residuals=True)
        torch.testing.assert_close(padded.tokens[:, there], alone.tokens)
        torch.testing.assert_close(padded.reported, alone.reported)


@every_case
def test_samples_of_a_batch_do_not_meet(case: Case):
    mixer, x, valid = case.build(), tokens(4), padding()
    together = mixer(x, valid).tokens[valid]
    alone = torch.cat([mixer(x[i : i + 1], valid[i : i + 1]).tokens[0, valid[i]] for i in range(4)])
    torch.testing.assert_close(together, alone)


@every_case
def test_every_parameter_learns_and_reactions_from_their_residuals_alone(case: Case):
    mixer, x = case.build(), tokens(2)
    for training in (False, True):
        mixer.zero_grad()
        mixed = mixer(x, residuals=training)
        ((mixed.tokens * tokens(2, seed=3)).sum() + sum(mixed.reported.values())).backward()
        for name, parameter in mixer.named_parameters():
            idle = not training and ("stoichiometry" in name or "constants" in name)
            if idle:
                assert parameter.grad is None, name
            else:
                assert parameter.grad is not None, name
                assert parameter.grad.isfinite().all(), name
                assert parameter.grad.count_nonzero() > 0, name


@every_case
def test_entries_and_options_say_what_is_reported_before_a_mixer_is_built(case: Case):
    config, found = case.config(), case.build()(tokens(2), residuals=True).reported
    chosen = {"mixer": config.mixer} if case.mixer != "none" else {}
    chosen |= {"channel": config.channel} if case.part else {}
    said = {name for part, held in chosen.items() for name in reported_names(part, of_kind(held, dict))}
    assert {name for name, value in found.items() if value.requires_grad} == said


@every_case
def test_residuals_are_named_and_not_negative(case: Case):
    mixed = case.build()(tokens(2), padding()[:2], residuals=True)
    found = mixed.reported
    declared = [find_entry(Kind.TOKEN, case.mixer)] if case.mixer != "none" else []
    declared += [find_entry(Kind.CHANNEL, case.part)] if case.part else []
    assert mixed.residuals.keys() <= {name for entry in declared for name in entry.residuals}
    assert mixed.measures.keys() <= {name for entry in declared for name in entry.measures}
    assert not mixed.residuals.keys() & mixed.measures.keys()
    detached = {name for entry in declared for name in entry.detached}
    assert {name for name, value in found.items() if not value.requires_grad} == detached & found.keys()
    expected = {"flow", "energy", "density", "l1"} if case.mixer == "graph" else set()
    if case.part not in ("", "swiglu"):
        expected |= {"F", "spread"}
        expected |= {"g1", "g2"} if case.generative else set()
        expected |= {"h"} if case.part == "literal" else set()
    assert set(found) == expected
    assert all(value.shape == () and value >= 0 for value in found.values())
    assert all(found[name] > 0 for name in expected - {"h"})


@parameters(lambda case: case.mixer == "none" and case.part != "dense")
def test_channels_commute_with_permutations_of_tokens(case: Case):
    mixer, x = case.build(), tokens(2)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(4))
    mixed, permuted = mixer(x, residuals=True), mixer(x[:, order], residuals=True)
    torch.testing.assert_close(permuted.tokens, mixed.tokens[:, order])
    torch.testing.assert_close(permuted.reported, mixed.reported)


@parameters(lambda case: case.mixer == "none" and case.part != "swiglu")
def test_phase_fractions_sum_to_one_over_phases(case: Case):
    mixer = case.build()
    assert isinstance(mixer, PhaseMixer)
    fractions = mixer.phase_fractions(tokens(4), padding())
    assert fractions.shape == (4, N, 2 if case.channel == "driving-force" else 3)
    torch.testing.assert_close(fractions.sum(-1), torch.ones(4, N, dtype=torch.float64))


@parameters(lambda case: case.generative)
def test_reaction_heads_are_not_evaluated_at_inference(case: Case):
    mixer = case.build()
    partition = next(module for module in mixer.modules() if isinstance(module, Partition))
    calls = []
    for head in (partition.feed.stoichiometry, partition.feed.constants):
        head.register_forward_hook(lambda *_: calls.append(1))
    inference = mixer(tokens(1)).tokens
    assert not calls
    training = mixer(tokens(1), residuals=True).tokens
    assert len(calls) == 2
    assert torch.equal(inference, training)


@pytest.mark.parametrize("channel", PARTITIONS)
@pytest.mark.parametrize("reading", Reading)
def test_types_of_reaction_are_one_function_at_inference(channel: str, reading: str):
    mixers = [Case(channel=channel, reading=reading, pathway=p).build() for p in ("I", "II", "III")]
    heads = ("feed.stoichiometry", "feed.constants")
    weights = {k: v for k, v in mixers[0].state_dict().items() if not k.startswith(heads)}
    for mixer in mixers[1:]:
        missing, unexpected = mixer.load_state_dict(weights, strict=False)
        assert not unexpected
        assert all(name.startswith(heads) for name in missing)
    outputs = [mixer(tokens(2)).tokens for mixer in mixers]
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])
    residuals = [mixer(tokens(2), residuals=True).reported for mixer in mixers]
    assert residuals[0]["F"] == residuals[1]["F"] == residuals[2]["F"]
    assert len({float(found["g1"].detach()) for found in residuals}) == 3


def test_a_block_in_one_is_its_parts_in_order():
    fused, x = Case("retention", kernel=4, fused=True, channel="competition").build(), tokens(2)
    assert isinstance(fused, Fused)
    assert isinstance(fused.token, Convolved)
    c = fused.token.convolution(x).tokens
    parts = fused.channel(c + fused.token.mixer(c).tokens, residuals=True)
    torch.testing.assert_close(fused(x, residuals=True), parts)
