"""Every architecture that can be built small: the neutral interactions are its own attention, or it says why not."""

import warnings

import pytest
from attention_table import BEGIN, END, PAGE, leaks, rows, table


@pytest.mark.slow
def test_neutral_interactions_are_every_architectures_own_attention():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, others = rows()
    assert [row for row in found if row.neutral.startswith("differs")] == []
    assert sum(row.neutral == "equal" for row in found) > 150
    assert sum(row.neutral == "equal" and "window" in row.forms for row in found) > 30
    section = PAGE.read_text().split(BEGIN)[1].split(END)[0]
    ours = table(found, others).split(BEGIN)[1].split(END)[0]
    assert lines_of(ours) == lines_of(section), "python tests/models/attention_table.py writes the page"


@pytest.mark.slow
def test_no_interaction_lets_an_earlier_token_see_a_later_one_in_any_architecture():
    """Where an architecture's own attention is causal, of decoders across an encoder too: exactly zero."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = leaks()
    assert len(found) > 90
    assert sum(name == "decoder_input_ids" for name, _ in found.values()) > 10
    leaking = {kind: gaps for kind, (_, gaps) in found.items() if any(gaps.values())}
    assert leaking == {}


def lines_of(section: str) -> list[str]:
    """The rows, and the names of what is not built: the library's errors may hold paths and addresses."""
    return [line if line.startswith("|") else line.split(":")[0] for line in section.splitlines()]
