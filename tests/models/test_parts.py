"""The mixers of a configuration: one form whatever form they came in, and nothing that nobody reads."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig

from spinodal import layers
from spinodal.errors import InputError
from spinodal.mixers.entry import Shape
from spinodal.models import SpinodalConfig, SpinodalForSeq2SeqLM
from spinodal.models.encoder_decoder import encoder_config
from spinodal.training import Experiment
from spinodal.training.experiment import override

GRAPH = {
    "name": "graph", "flow_steps": 4, "coupling": "sin", "threshold": 0.0, "block_size": 0, "top_blocks": 4,
    "dense_steps": 0, "levels": 3,
}  # fmt: skip
# As a file was written before mixers had options of their own
OLD: dict[str, Any] = {
    "vocab_size": 30, "width": 8, "depth": 1, "heads": 2, "mixer": "retention", "channel": "competition", "hidden": 4,
    "phases": 3, "reactions": 7, "pathway": "II", "reading": "token", "kernel": 4, "length": 8, "levels": 5,
    "encoder_mixer": "phase-memory", "cross": "static", "source_length": 9, "flow_steps": 4, "coupling": "sin",
}  # fmt: skip


def config(**values: Any) -> SpinodalConfig:
    return SpinodalConfig(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"mixer": "graph", "levels": 3},
        {"mixer": "graph", "mixer.levels": 3},
        {"mixer": {"name": "graph", "levels": 3}},
        {"mixer": {"name": "graph", "levels": 2}, "levels": 3},
        {"mixer": "graph", "levels": 2, "mixer.levels": 3},
    ],
)
def test_every_form_is_one_configuration(values: dict, tmp_path: Path):
    made = config(**values)
    assert made.mixer == GRAPH
    assert made == config(mixer=GRAPH)
    assert copy.deepcopy(made) == made
    made.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["mixer"] == GRAPH
    for after in (SpinodalConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert (after.mixer, after.channel) == (made.mixer, made.channel)
        assert SpinodalConfig.from_dict(after.to_dict()) == after
    assert SpinodalConfig.from_pretrained(tmp_path, levels=2).mixer == GRAPH | {"levels": 2}


IDLE = [
    ({"mixer": "graph"}, "top_blocks", 8, "top_blocks=8: it is read only with a block_size above 0"),
    (
        {"mixer": "graph", "levels": 2, "block_size": 4},
        "dense_steps",
        3,
        "dense_steps=3: it is read only with levels=1",
    ),
    ({"channel": "partition"}, "reactions", 3, "reactions=3: it is read only with a pathway with reactions"),
]


@pytest.mark.parametrize(("parts", "name", "value", "message"), IDLE)
def test_an_option_without_effect_is_refused_where_it_is_given(
    parts: dict, name: str, value: int, message: str
):
    with pytest.raises(InputError, match=message):
        config(**parts, **{name: value})
    part = next(part for part in ("mixer", "channel") if part in parts)
    options = {key: given for key, given in parts.items() if key != part} | {name: value}
    with pytest.raises(InputError, match=message):
        config(**{part: {"name": parts[part], **options}})
    with pytest.raises(InputError, match=message):
        layers.mixer_layer(part, parts[part], Shape(8, heads=2), options)
    with pytest.raises(InputError, match=message):
        override(Experiment(), parts | {name: value})


def test_sizes_and_values_at_their_default_may_be_given_to_a_model_that_does_not_read_them():
    made = config(mixer="attention", channel="swiglu", phases=3, hidden=5, pathway="none", levels=1)
    assert made == config(mixer="attention", channel="swiglu", hidden=5)


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match=r"unknown name levls.*did you mean levels"):
        config(mixer="graph", levls=3)


def test_an_option_that_is_set_later_goes_to_its_mixer(tmp_path: Path):
    made: Any = config(mixer="graph")
    made.levels = 3
    made.intermediate_size = 7
    assert made.mixer == GRAPH
    assert (made.channel["name"], made.channel["hidden"], made.hidden) == ("competition", 7, 7)
    made.save_pretrained(tmp_path)
    after = SpinodalConfig.from_pretrained(tmp_path)
    assert (after.mixer, after.channel) == (made.mixer, made.channel)
    with pytest.raises(InputError, match="pathway=II: no part of this model reads it"):
        made.pathway = "II"


def test_an_option_that_loses_its_effect_is_dropped_with_its_reader():
    blocks = override(Experiment(), {"mixer": "graph", "block_size": 4, "top_blocks": 1})
    assert blocks.parts()["mixer"]["top_blocks"] == 1
    assert override(blocks, {"block_size": 0}).parts()["mixer"]["top_blocks"] == 4
    assert override(blocks, {"top_blocks": 2}).parts()["mixer"]["top_blocks"] == 2


def test_a_flat_key_goes_to_every_part_that_reads_it():
    made = config(mixer="phase-memory", encoder_mixer="phase-memory", phases=5, **{"channel.phases": 3})
    held = [made.mixer, made.encoder_mixer, made.channel]
    assert [part["phases"] for part in held if isinstance(part, dict)] == [5, 5, 3]


def test_names_of_the_library_reach_the_channel():
    made = config(intermediate_size=9)
    assert made.hidden == made.intermediate_size == 9
    made.intermediate_size = 11
    assert made.channel == {"name": "competition", "hidden": 11, "phases": 16}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"levels": 3},
            "levels=3: no part.*mixer=retention reads no option; channel=competition.*mixer=graph would",
        ),
        (
            {"channel": "swiglu", "channel.phases": 3},
            "channel.phases=3: no part.*channel=swiglu reads hidden.*competition, partition",
        ),
        ({"mixer": {"name": "graph", "levles": 3}}, "mixer=graph does not read levles: did you mean levels"),
        ({"mixer": {"levels": 3}}, 'it takes a name, or a dictionary with one, {"name"'),
        ({"mixer": {"name": "none", "levels": 3}}, "mixer=none does not read levels"),
        ({"phases": "3"}, "phases='3': phases takes int"),
        ({"phases": True}, "phases=True: phases takes int"),
        ({"hidden": 0}, "hidden=0: a model needs at least 1"),
    ],
)
def test_what_nobody_reads_is_refused(values: dict, said: str):
    with pytest.raises(InputError, match=said):
        config(**values)


def test_an_old_file_is_read_without_what_nobody_reads(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps(OLD | {"model_type": "spinodal"}))
    read = AutoConfig.from_pretrained(tmp_path)
    assert read.mixer == {"name": "retention"}
    assert read.channel == {"name": "competition", "hidden": 4, "phases": 3}
    assert read.encoder_mixer == {"name": "phase-memory", "phases": 3}
    assert read.cross == {"name": "static"}
    with pytest.raises(InputError, match="no part of this model reads it"):
        SpinodalConfig.from_dict({"mixer": "retention", "levels": 3})


def test_an_encoder_has_its_own_mixer_and_length():
    made = SpinodalConfig.from_dict(OLD)
    inner = encoder_config(made)
    assert inner.mixer == made.encoder_mixer
    assert inner.length == made.source_length
    torch.manual_seed(0)
    model = SpinodalForSeq2SeqLM(made)
    assert model(
        torch.ones(1, 4, dtype=torch.long), decoder_input_ids=torch.ones(1, 3, dtype=torch.long)
    ).logits.shape


def test_texts_of_one_length_alone():
    assert config(channel="dense", phases=3, length=9).exact_length == 9
    assert config(mixer="none").exact_length is None
