"""What a mixer cannot be, it refuses, naming the value that was wrong."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from fitting import fitting_config

from spinodal.errors import InputError
from spinodal.mixers.base import Mixer, PhaseMixer
from spinodal.mixers.channel.gates import PhaseCompetition
from spinodal.mixers.channel.partition import Partition, PhaseParameterisation
from spinodal.mixers.channel.partition_network import PartitionForm, Pathway, Reading
from spinodal.mixers.cross.mixers import CrossMixer
from spinodal.mixers.entry import MixerConfig
from spinodal.mixers.graph.links import LinkForm, Links
from spinodal.mixers.token.attention import Attention
from spinodal.mixers.token.convolution import Toeplitz
from spinodal.mixers.token.gated import GatedLinear
from spinodal.mixers.token.phase_memory import PhaseMemory
from spinodal.mixers.token.places import Triangular
from spinodal.mixers.token.retention import Retention
from spinodal.models.blocks import sublayers


def partition(**changes: Any) -> Partition:
    """A partition of 12 features in 2 heads; degrees of freedom are counted by `Partition`."""
    options = {key: changes.pop(key) for key in ("length", "causal") if key in changes}
    form = PartitionForm(**dict[str, Any](heads=2, phases=3, hidden=4, reactions=1) | changes)
    return Partition(12, form, **options)


def block(**changes: Any) -> list[Mixer]:
    return sublayers(fitting_config(**dict[str, Any](width=12, heads=2, phases=3, hidden=4) | changes))


REFUSED: dict[str, tuple[Callable, str]] = {
    "heads do not divide width": (lambda: Attention(10, heads=4), "even.*width=10, heads=4"),
    "odd features to rotate": (lambda: Attention(12, heads=4), "even.*width=12, heads=4"),
    "retention by heads": (lambda: Retention(10, heads=4), "width=10.*heads=4"),
    "toeplitz by heads": (lambda: Toeplitz(10, heads=4, length=8), "width=10.*heads=4"),
    "gated attention by heads": (lambda: GatedLinear(10, heads=4), "width=10.*heads=4"),
    "phase memory by heads": (lambda: PhaseMemory(10, heads=4, phases=2), "width=10.*heads=4"),
    "one phase to remember": (lambda: PhaseMemory(12, heads=4, phases=1), "phases=1"),
    "places by heads": (lambda: Triangular(10, heads=4, length=8), "width=10.*heads=4"),
    "partition by heads": (lambda: partition(heads=5), "width=12.*heads=5"),
    "one phase": (lambda: partition(phases=1), "phases=1"),
    "one phase to compete": (lambda: PhaseCompetition(12, hidden=4, phases=1), "phases=1"),
    "no reaction": (lambda: partition(reactions=0), "reactions of at least 1, got 0"),
    "no hidden layer": (lambda: partition(hidden=0), "hidden of at least 1, got 0"),
    "causal by feature": (lambda: partition(causal=True, reading=Reading.FEATURE), "reading=feature"),
    "causal and flat": (lambda: partition(causal=True, reading=Reading.FLAT), "reading=flat"),
    "causal and dense": (lambda: partition(causal=True, length=8), "length=8"),
    "more phases than features": (
        lambda: partition(phases=7),
        "6 components, 7 phases and 0 reactions.*-1 degrees of freedom",
    ),
    "more reactions than freedom": (
        lambda: partition(reactions=4, pathway=Pathway.SHARED),
        "6 components, 3 phases and 4 reactions in all leave -1",
    ),
    "reactions in each phase": (
        lambda: partition(reactions=2, pathway=Pathway.INDEPENDENT),
        "6 components, 3 phases and 2 reactions in each phase leave -3",
    ),
    "dense, fewer tokens than phases": (
        lambda: partition(length=2, reading=Reading.FEATURE),
        "2 components, 3 phases and 0 reactions",
    ),
    "mixer nearly right": (lambda: block(mixer="retension"), "mixer 'retension'.*mean retention"),
    "mixer far off": (lambda: block(mixer="zzz"), "mixer 'zzz'.*attention"),
    "channel nearly right": (lambda: block(channel="partitions"), "channel 'partitions'.*mean partition"),
    "unknown reading": (lambda: block(channel="partition", reading="word"), "'word'.*token, feature, flat"),
    "unknown pathway": (lambda: block(channel="dense", pathway="IV"), "'IV'.*none, I, II, III"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_constructors_refuse_and_name_the_value(name: str):
    make, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("tokens", [5, 9])
def test_dense_partition_takes_its_length_alone(tokens: int):
    with pytest.raises(InputError, match=f"exactly length=8 tokens, got {tokens}"):
        partition(length=8)(torch.zeros(1, tokens, 12))


def test_toeplitz_refuses_what_is_longer_than_its_filter():
    mixer = Toeplitz(12, heads=2, length=8)
    assert mixer(torch.ones(1, 8, 12)).tokens.shape == (1, 8, 12)
    with pytest.raises(InputError, match="length=8, got 9 tokens"):
        mixer(torch.ones(1, 9, 12))
    causal = Toeplitz(12, heads=2, length=8, causal=True)
    _, state = causal.extend(torch.ones(1, 8, 12))
    with pytest.raises(InputError, match="length=8, got 9 tokens"):
        causal.extend(torch.ones(1, 1, 12), state)


def test_too_few_tokens_for_the_phases_are_refused_where_tokens_are_components():
    mixer = partition(reading=Reading.FEATURE, pathway=Pathway.OVERALL)
    assert mixer.degrees_of_freedom(4) == 0
    with pytest.raises(InputError, match="3 components, 3 phases and 1 reactions in all leave -1"):
        mixer(torch.ones(1, 3, 12), residuals=True)
    assert partition(reading=Reading.FLAT, pathway=Pathway.OVERALL).degrees_of_freedom(3) == 14


@pytest.mark.parametrize(
    ("base", "parts"),
    [
        (Mixer, {"forward"}),
        (PhaseMixer, {"forward", "phase_fractions"}),
        (CrossMixer, {"read_source"}),
        (MixerConfig, {"build"}),
        (PhaseParameterisation, {"fractions", "phases", "residuals"}),
        (Links, {"averages", "guarantee", "link_mask", "statistics"}),
        (LinkForm, {"build"}),
    ],
)
def test_a_class_that_lacks_a_part_makes_no_object(base: type, parts: set[str]):
    lacking = type("Lacking", (base,), {})
    assert lacking.__abstractmethods__ == parts  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError, match=min(parts)):
        lacking()
