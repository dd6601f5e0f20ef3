"""What recipes found of the papers since: numbers with errors, inside what is expected, in one list."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spinodal import recipes
from spinodal.cli import app

ENTRIES = (Path(__file__).parents[2] / "references.bib").read_text()
EPRINTS = dict(
    re.findall(r"^@\w+\{(\w+),(?:(?!@).*\n)+?\s*eprint\s*= \{([\d.]+)\}", ENTRIES, flags=re.MULTILINE)
)
PAPERS = {
    "2507.22857", "2411.04990", "2305.05465", "2407.01602", "2604.26085", "2511.11553", "2605.10931", "2504.14697",
    "2604.01978", "2605.08505", "2510.22026", "2601.21366", "2410.06833", "2410.13821", "2605.30229",
}  # fmt: skip


def printed(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["list", *arguments])
    assert done.exit_code == 0, done.exception
    return done.output


def test_every_paper_has_one_recipe():
    found = [number for name in recipes.paper_names() for number in recipes.module(name).PAPER.arxiv]
    assert sorted(found) == sorted(PAPERS)


@pytest.mark.parametrize("name", recipes.paper_names())
def test_what_was_found_is_what_is_expected(name: str):
    """Every number of the record lies in its interval; the paper is that of the header."""
    module, header = recipes.module(name), recipes.header(name)
    paper, bounds = module.PAPER, recipes.expected_intervals(module)
    assert paper.arxiv[0] == EPRINTS[header["Paper"]]
    assert set(paper.arxiv) <= set(EPRINTS.values())
    assert paper.read
    assert paper.found
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", paper.date)
    for number, (value, error) in paper.found.items():
        low, high = bounds[number]
        assert low <= value <= high, number
        assert error is None or error >= 0


def test_the_list_of_papers_shows_numbers_with_their_errors():
    shown = printed("papers")
    assert shown == printed("--papers")
    assert {number for number in PAPERS if number not in shown} == set()
    assert "9.141 ± 0.02" in shown
    assert "differs: " in shown
    assert CliRunner().invoke(app, ["list", "mixers", "--papers"]).exit_code


def test_an_estimate_is_a_mean_and_its_standard_error():
    assert recipes.estimate("x", [1.0, 2.0, 3.0]) == {"x": 2.0, "x ±": pytest.approx(3**-0.5)}
