"""An observation as a whole: against numbers made one by one, with blame where it belongs, and in words that fit."""

import numpy as np
import pytest
import torch
from marks import slow_but
from small_models import KINDS, inputs_of, small

from spinodal.errors import InputError
from spinodal.runs import encode
from spinodal.types import Trajectory
from spinodal.watch import Difference, Question, Subject, headline, observe_arrays, observe_model, record
from spinodal.watch.pairs import NAMES, pair_statistics
from spinodal.watch.tally import Moments, Violations

SEEN = [kind for kind in KINDS if kind not in ("DebertaV2ForMaskedLM", "MambaForCausalLM")]


def made(tokens: np.ndarray) -> Trajectory:
    """Tokens [t n d] as a trajectory of one sequence."""
    x = torch.from_numpy(tokens)[:, None]
    return Trajectory(torch.arange(len(x), dtype=x.dtype), x, torch.ones(1, x.shape[2], dtype=torch.bool))


def joining(layers: int = 5) -> np.ndarray:
    """Four tokens: the first two draw together, the last two part, at the last layer."""
    angle = np.array([[0, 90, 180, 181]] * (layers - 1) + [[0, 1, 180, 270]]) * np.pi / 180
    return np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)


@pytest.mark.parametrize("kind", slow_but(SEEN, "AlbertForMaskedLM", "LlamaForCausalLM"))
def test_every_kind_of_model_is_observed_beside_its_nulls(kind: str):
    model, inputs = small(kind), inputs_of(kind)
    result = observe_model(Subject(kind, model, None), [inputs, inputs], Question(beta=2.0))
    trajectory = record(model, inputs)
    end = trajectory.tokens[-1:]
    expected = [
        pair_statistics(end[:, i], {"all": trajectory.valid[i]}, 2.0, 0.1)["all"].numbers[0] for i in range(2)
    ]
    mean = dict(zip(NAMES, np.mean(expected, axis=0), strict=True))
    last = result.layers[-1]
    assert result.inputs == 4
    for name in ("mean_cosine", "effective_rank", "energy", "clusters"):
        assert getattr(last, name) == pytest.approx(mean[name]), name
    assert set(result.nulls) == {"random-weights", "shuffled-tokens"}
    for null in result.nulls.values():
        difference = null.last["mean_cosine"].mean
        assert difference == pytest.approx(last.mean_cosine - null.layers[-1].mean_cosine)
    assert all(isinstance(sentence, str) for sentence in result.summary)


@pytest.mark.slow
def test_memory_does_not_grow_with_inputs():
    kind = "BertForMaskedLM"
    subject, inputs = Subject(kind, small(kind), None), inputs_of(kind)
    sizes = [len(str(encode(observe_model(subject, [inputs] * k, Question(beta=1.0)))[0])) for k in (2, 12)]
    assert sizes[1] < 1.05 * sizes[0]


def test_one_shuffled_input_is_its_own_null_where_order_does_not_enter():
    kind = "BertForMaskedLM"
    model, inputs = small(kind), inputs_of(kind)
    with torch.no_grad():
        model.get_parameter("bert.embeddings.position_embeddings.weight").zero_()
    result = observe_model(
        Subject(kind, model, None), [inputs], Question(beta=1.0, nulls=("shuffled-tokens",))
    )
    for row in result.nulls["shuffled-tokens"].difference:
        found = row["mean_cosine"]
        assert isinstance(found, Difference)
        assert found.mean == pytest.approx(0, abs=1e-6)


def test_falls_of_the_energy_are_blamed_on_the_tokens_that_part():
    trajectory = made(joining())
    result = observe_arrays("made", trajectory, Question(beta=3.0))
    assert result.violations == ()  # what joins outweighs what parts
    apart = made(joining()[:, [2, 3, 2, 3]] + 1e-3 * np.eye(4, 3))
    [fall] = observe_arrays("made", apart, Question(beta=3.0)).violations
    assert (fall.layer, fall.share_of_inputs) == (4, 1.0)
    blame = Violations()
    parting = joining()[::-1].copy()
    parting[1:, 3] = parting[0, 3]  # the first two part, and nobody joins
    every = torch.ones(4, dtype=torch.bool)
    blame.add(
        pair_statistics(torch.from_numpy(parting), {"all": every}, 3.0, 0.1)["all"], ["a", "b", "c", "d"]
    )
    [fall] = blame.falls()
    assert fall.layer == 1
    assert {token.text for token in fall.tokens[:2]} == {"a", "b"}
    assert sum(token.share for token in fall.tokens[:2]) > 0.9


def test_moments_are_numpys():
    values = np.random.default_rng(0).standard_normal((9, 3))
    moments = Moments()
    for value in values:
        moments.add(value)
    assert moments.mean == pytest.approx(values.mean(0))
    assert moments.error == pytest.approx(values.std(0, ddof=1) / 3)


def test_a_consensus_is_told_as_one_and_a_spread_as_none():
    x = np.random.default_rng(0).standard_normal((6, 3))
    closer = np.stack([x * (1 - s) + np.array([1.0, 2, 2]) * s for s in (0, 0.3, 0.7, 0.97, 0.999)])
    seen = observe_arrays("closer", made(closer), Question(beta=1.0))
    said = " ".join(seen.summary)
    assert "Tokens cluster" in said
    assert "rises at every layer" in said
    assert seen.layers[-1].clusters == 1
    assert list(seen.shown.branch[-1]) == [seen.shown.branch[-1][0]] * 6
    said = " ".join(observe_arrays("apart", made(closer[::-1].copy()), Question(beta=1.0)).summary)
    assert "Tokens spread out" in said
    assert "does not rise monotonically" in said


@pytest.mark.slow
def test_a_headline_is_two_or_three_short_sentences():
    x = np.random.default_rng(0).standard_normal((6, 3))
    closer = np.stack([x * (1 - s) + np.array([1.0, 2, 2]) * s for s in (0, 0.7, 0.999)])
    rising, falling = (
        headline(observe_arrays("made", made(way), Question(beta=1.0)))
        for way in (closer, closer[::-1].copy())
    )
    assert rising[0].startswith("Tokens cluster: most pairs end nearly parallel, mean cosine ")
    assert rising[1:] == ("The interaction energy rises through the layers.",)
    assert falling[0].startswith("Tokens spread out")
    assert falling[1:] == ("The interaction energy falls at 2 of 2 layers.",)


@pytest.mark.slow
def test_2048_tokens_of_the_first_input_are_shown_and_the_last_clusters_of_them_drawn():
    from spinodal.figures.observation import LEAVES, linkage_of_words

    tokens = np.random.default_rng(0).standard_normal((2, 2100, 3))
    tokens[1] = 0.1 * tokens[0] + tokens[1].mean(0) + 1
    seen = observe_arrays("many", made(tokens), Question(beta=1.0))
    shown = seen.shown
    assert (len(shown.words), len(shown.branch[0]), len(shown.linkage)) == (2048, 2048, 2047)
    assert shown.tokens is not None
    assert shown.tokens.shape == (2, 2048, 3)
    names = [text.get_text() for text in linkage_of_words(seen).axes[0].texts]
    assert len(names) == LEAVES
    counts = [int(name.partition(" + ")[2] or 0) + 1 for name in names]
    assert sum(counts) == 2048


@pytest.mark.parametrize("layers", [3, 5])
def test_the_summary_counts_layers_and_not_states(layers: int):
    """States before the first layer and after each: one more than there are layers."""
    angle = np.array([[0, 1, 180, 181]] * (layers - 1) + [[0, 90, 180, 270]]) * np.pi / 180
    parting = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
    summary = observe_arrays("made", made(parting), Question(beta=1.0)).summary
    assert f"over {layers - 1} layers;" in summary[0]
    assert any(f"of {layers - 1} layers. It falls most at layer {layers - 1}" in said for said in summary)


def test_the_sphere_keeps_angles_that_fit_into_three_dimensions():
    seen = observe_arrays("made", made(joining()), Question())
    places, kept = seen.shown.sphere_coordinates()
    assert kept == pytest.approx(1)
    assert places[0] @ places[0].T == pytest.approx(joining()[0] @ joining()[0].T)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"beta": -1.0}, "`beta` -1"),
        ({"epsilon": 0.0}, "`epsilon` 0"),
        ({"nulls": ("noise",)}, "the nulls are"),
    ],
)
def test_questions_that_make_no_sense_are_refused(change: dict, said: str):
    with pytest.raises(InputError, match=said):
        Question(**change)


def test_nothing_and_one_token_are_refused():
    kind = "BertForMaskedLM"
    subject = Subject(kind, small(kind), None)
    with pytest.raises(InputError, match="no inputs"):
        observe_model(subject, [], Question())
    with pytest.raises(InputError, match="sequence 0: 1 token"):
        observe_model(subject, [inputs_of(kind, n=1)], Question(beta=1.0))
