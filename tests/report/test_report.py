"""The report: its verdicts against scipy's Welch test, its page against a parser that trusts nothing."""

import io
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from example_runs import comparison, probe, record, run
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from rich.console import Console
from scipy import stats
from typed import present

from spinodal import figures, report
from spinodal.errors import InputError
from spinodal.report import comparison as compared
from spinodal.training import TrainingRun, training_run

VOID = {"meta", "br"}
LOADS = {"src", "href", "xlink:href", "data", "action", "poster", "srcset"}


class Page(HTMLParser):
    """Text, ids, loaded addresses and notes of a page; fails where an element is not closed in its place."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.ids: list[str | None] = []
        self.loads: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.ids += [value for name, value in attrs if name == "id"]
        self.loads += [value or "" for name, value in attrs if name in LOADS]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def written(folder, arms) -> str:
    report.write_report(folder / "report.html", arms)
    assert [file.name for file in folder.iterdir()] == ["report.html"]
    return (folder / "report.html").read_text(encoding="utf-8")


def losses(**models: list[float]) -> dict[str, dict[str, list[TrainingRun]]]:
    """One arm in which the runs of every model end at the losses given."""
    return {"": {m: [run(m, s, final=y - 4 / 11) for s, y in enumerate(ys)] for m, ys in models.items()}}


values = st.lists(st.floats(1, 5).map(lambda y: round(y, 2)), min_size=2, max_size=5, unique=True)


@given(values, values)
def test_difference_and_tie_are_those_of_scipys_welch_test(a, b):
    found = compared.difference(compared.estimate(a), compared.estimate(b))
    assert found.value == pytest.approx(np.mean(a) - np.mean(b), abs=1e-12)
    statistic, p = np.asarray(stats.ttest_ind(a, b, equal_var=False))
    assert found.value / found.error == pytest.approx(statistic, rel=1e-9, abs=1e-9)
    assert abs(p - 0.05) < 1e-9 or found.tie == (p > 0.05)


def test_seeds_that_agree_to_the_last_bit_tie_only_with_their_equals():
    same, other = compared.estimate([3.0, 3.0]), compared.estimate([3.5, 3.5])
    assert compared.difference(same, same) == (0.0, 0.0, True)
    assert compared.difference(other, same) == (0.5, 0.0, False)


def test_the_table_is_the_mean_and_the_sample_deviation_of_the_finished_seeds():
    a, b = report.table(losses(a=[3.0, 3.1, 3.3], b=[2.0, 2.0, 2.3]))
    assert a.loss.mean == pytest.approx(9.4 / 3, rel=1e-12)
    assert a.loss.sd == pytest.approx(math.sqrt((0.4**2 + 0.1**2 + 0.5**2) / 9 / 2), rel=1e-12)
    assert (a.model, a.parameters, a.steps, a.loss.seeds, a.runs) == ("a", 350123, 100, 3, 3)
    assert a.tokens_per_second == pytest.approx((201.0, 1.0, 3), rel=1e-12)
    assert b.behind is None
    assert present(a.behind).tie is False


def test_the_order_of_seeds_and_a_common_shift_change_no_verdict():
    ends = {"a": [3.0, 3.1, 3.3], "b": [3.1, 3.0, 3.05], "c": [3.6, 3.7, 3.65]}
    base = [r.behind for r in report.table(losses(**ends))]
    turned = [r.behind for r in report.table(losses(**{m: ys[::-1] for m, ys in ends.items()}))]
    shifted = [r.behind for r in report.table(losses(**{m: [y + 1 for y in ys] for m, ys in ends.items()}))]
    assert [b and b.tie for b in base] == [True, None, False]
    for other in (turned, shifted):
        assert [b and b.tie for b in other] == [b and b.tie for b in base]
        assert [b and b.error for b in other] == pytest.approx([b and b.error for b in base])


def test_one_seed_cannot_tell_and_has_no_spread():
    a, b = report.table(losses(a=[3.0], b=[3.5]))
    assert a.behind is None
    assert present(b.behind).tie is None
    assert math.isnan(b.loss.sd)
    shown = report.markdown_table(losses(a=[3.0], b=[3.5]))
    assert (
        "| b | 350,123 | 100 | 10.0 | 200 | 3.500 (one seed: no spread) | 1 | +0.500, one seed cannot tell |"
        in shown
    )
    assert "sd over" not in shown


def test_seeds_that_diverged_make_the_mean_not_finite_and_unfinished_ones_do_not_count():
    arms = losses(a=[3.0, 3.1], b=[3.0, 3.1], c=[3.5, 3.6, 3.7])
    arms[""]["b"][1].final["held_out_loss"] = math.nan
    arms[""]["c"][2] = replace(arms[""]["c"][2], finished=False, final={})
    _, b, c = report.table(arms)
    assert math.isnan(b.loss.mean)
    assert b.behind is None
    assert (c.loss.seeds, c.runs) == (2, 3)
    shown = report.markdown_table(arms)
    assert "| b | 350,123 | 100 | 10.0 ± 0.0 | 200 ± 1 | not finite | 2 | – |" in shown
    assert "2 of 3 finished" in shown


def test_enough_decimals_are_shown_for_the_spread():
    assert "3.000023 ± 0.000015" in report.markdown_table(losses(a=[3.00001, 3.00002, 3.00004]))


def test_terminal_and_readme_show_the_same_cells():
    arms = comparison() | {"[bold]odd|": {"[red]": [run("[red]")]}}
    drawn = io.StringIO()
    Console(file=drawn, width=220).print(report.rich_table(arms))
    lines = report.markdown_table(arms).splitlines()
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    for line in lines[2:]:
        for cell in re.split(r" (?<!\\)\| ", line.strip("| "))[1:]:
            assert cell.replace("\\|", "|") in drawn.getvalue()
    assert "[bold]odd|" in drawn.getvalue()


def test_a_model_without_runs_is_refused_and_the_old_report_stays(tmp_path):
    text = written(tmp_path, losses(a=[3.0]))
    with pytest.raises(InputError, match="pet: there is no run of it at equal time"):
        report.write_report(tmp_path / "report.html", {"equal time": {"pet": []}})
    with pytest.raises(InputError, match="no run"):
        report.write_report(tmp_path / "report.html", {})
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == text


@pytest.mark.slow
def test_the_page_of_a_comparison_is_whole(tmp_path):
    arms = comparison()
    text = written(tmp_path, arms)
    page = Page(text)
    assert len(page.ids) == len(set(page.ids)) > 100
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in page.loads)
    addresses = set(re.findall(r"https?://[^\s\"'<)]*", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not re.search(r"@import|<script|<link|url\((?!#)", text)
    rows = report.table(arms)
    for line in compared.cells(rows):
        assert " ".join(line) in page.text
    assert all(name in page.text for name in compared.columns(rows))
    for words in (
        "spinodal compare 'pet-mlm' <x>", "abc123 with uncommitted changes", "2026-11-22 01:02 UTC", "0, 1, 2",
        "2 x Xeon, 1 thread a run", "python 3.11, torch 2.13", "sd over 3 seeds", "lr=0.004",
        "transformer has the lowest held-out loss; pet ties with it; retention is behind by more than chance.",
        "spread of log K", "entropy, as the mixers report it", "seconds of training",
    ):  # fmt: skip
        assert words in page.text
    assert all(page.text.count(token) for token in ("<mask>", "·be", "⏎", "$x_1$", "·日本", "&", "∅"))
    assert "a" * 40 not in page.text
    assert "<mask>" not in text
    assert text.count("<figure") == text.count("<figcaption>") == 2 * 4 + 3 + 1 + 3


@pytest.mark.slow
def test_the_same_runs_give_the_same_bytes(tmp_path):
    first, second = (written(tmp_path, {"": {"pet": [run(phases=4)]}}) for _ in range(2))
    assert first == second


@pytest.mark.slow
def test_a_model_has_one_colour_everywhere(tmp_path):
    """Arms may name models in another order; curves, dots of the table and ridges agree."""
    arms = losses(a=[3.0], b=[3.5]) | {"turned": losses(b=[3.4], a=[3.1])[""]}
    text = written(tmp_path, arms)
    for number, model in enumerate("ab"):
        assert set(re.findall(rf"--dot:(\S*)\">{model}</span>", text)) == {f"var(--model-{number})"}
        assert set(re.findall(rf'style="[^"]*fill: (\S+)"[^>]*>{model}</text>', text)) == {
            f"var(--model-{number})"
        }


def test_what_is_missing_or_broken_is_said(tmp_path):
    part = run("pet", 1)
    part = replace(part, finished=False, final={}, probe=None, metrics=part.metrics[:8])
    broken = replace(run("rival"), probe=None)
    broken.metrics[6]["loss"] = math.inf
    page = Page(written(tmp_path, {"": {"pet": [replace(run(), probe=None), part], "rival": [broken]}}))
    assert (
        "pet, seed 1 is unfinished: it ends after step 40 (dashed) and is no part of any mean." in page.text
    )
    assert "rival, seed 0: the loss is not finite at step 40" in page.text
    for absent in ("Distance from equilibrium", "Where the tokens", "How alike tokens"):
        assert absent not in page.text


def test_a_run_that_has_only_begun_has_a_report(tmp_path):
    begun = replace(run(), finished=False, final={}, metrics=[], probe=None)
    page = Page(written(tmp_path, {"": {"pet": [begun]}}))
    assert "There are no metrics to draw yet." in page.text
    assert "0 of 1 finished" in page.text
    assert "pet, seed 0 is unfinished: it ends before its first row" in page.text


@pytest.mark.slow
def test_many_layers_phases_and_tokens_are_thinned_and_said_to_be(tmp_path):
    big = training_run(record(phases=2) | {"probe": probe(32, 12, [" word"] * 300)})
    page = Page(written(tmp_path, {"": {"pet": [big]}}))
    assert "2 of 11 layers with phases are shown. The first 120 of 300 tokens are shown." in page.text
    assert "layer 12" in page.text
    assert page.text.count("·word") == 120


CONTROLS = "".join(
    map(chr, [*range(9), 11, 12, *range(14, 32), 127, 0x85, 0xD800, 0xDFFF, 0xFDD0, 0xFFFE, 0xFFFF])
)


def test_characters_that_no_page_may_hold_are_shown_as_escapes():
    """A picture with them is still XML; a page keeps its lines, and every script."""
    figure = Figure()
    figure.text(0.1, 0.5, re.sub(r"[\ud800-\udfff]", "", CONTROLS))  # matplotlib draws no half of a pair
    drawn = figures.svg(figure, "one", title="controls")
    ElementTree.fromstring(drawn)
    assert r"\x07" in drawn
    assert figures.printable(CONTROLS).isprintable()
    kept = "a\tb\r\nक्षि 한국어 עִבְרִית 👩‍🔬 \u202e\u200b\ufeff"
    assert figures.printable(kept) == kept


def test_a_run_whose_name_holds_a_control_character_has_a_page_that_is_written(tmp_path):
    arms = {"": {"pet\x07\ufffe": [run("pet\x07\ufffe", 0)]}}
    text = written(tmp_path, arms)
    assert figures.printable(text) == text
    assert r"pet\x07\ufffe" in text
