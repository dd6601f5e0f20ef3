"""The command line: what it teaches, what it writes, and one clear sentence for each mistake."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command import spinodal

TINY = [
    "tokenizer=characters",
    "length=16",
    "batch=4",
    "width=16",
    "depth=1",
    "heads=2",
    "hidden=8",
    "phases=2",
]
SHORT = ["steps=4", "log_every=2", "evaluate_every=4", "save_every=4"]


@pytest.mark.slow
def test_train_fill_and_what_they_leave(monkeypatch, capsys, corpus: Path, tmp_path: Path):
    out = tmp_path / "run"
    assert spinodal(monkeypatch, "train", "pet-mlm", *TINY, *SHORT, f"corpus={corpus}", "--out", out) == 0
    assert json.loads((out / "run.json").read_text())["finished"]
    assert "pet-mlm" in (out / "report.html").read_text()
    assert "report.html" in capsys.readouterr().out
    assert spinodal(monkeypatch, "fill", out, "to be or n<mask>t to be", "--top", "3") == 0
    assert "probability" in capsys.readouterr().out


@pytest.mark.slow
def test_train_generate_and_translate(monkeypatch, capsys, corpus: Path, tmp_path: Path):
    out, pairs = tmp_path / "lm", tmp_path / "pairs.tsv"
    assert spinodal(monkeypatch, "train", "pet-lm", *TINY, *SHORT, f"corpus={corpus}", "--out", out) == 0
    go_on = ["generate", out, "--prompt", "to be, ", "--tokens", "5"]
    for way in (["--temperature", "0"], ["--seed", "3", "--top-k", "5"], ["--beams", "2"]):
        capsys.readouterr()
        assert spinodal(monkeypatch, *go_on, *way) == 0
        assert capsys.readouterr().out.startswith("to be, ")
    pairs.write_text("".join(f"{a} {b}\t{b} {a}\n" for a in "abcdefgh" for b in "ijklmnop"))
    out = tmp_path / "translate"
    small = [*TINY, "source_length=16", *SHORT, f"corpus={pairs}"]
    assert spinodal(monkeypatch, "train", "pet-translate", *small, "--out", out) == 0
    assert "chrF" in capsys.readouterr().out
    (tmp_path / "lines.txt").write_text("a i\n\nb j\n")
    assert (
        spinodal(monkeypatch, "translate", out, "c k", "--file", tmp_path / "lines.txt", "--beams", "2") == 0
    )
    assert len(capsys.readouterr().out.split("\n")) == 4
    assert spinodal(monkeypatch, "translate", out) == 2
    assert "nothing to translate" in capsys.readouterr().err


def test_uneven_columns_are_found_before_work(monkeypatch, capsys, tmp_path: Path):
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("a b\tb a\nc d\n")
    out = tmp_path / "run"
    assert spinodal(monkeypatch, "train", "pet-translate", f"corpus={pairs}", "--out", out) == 2
    error = capsys.readouterr().err
    assert "pairs.tsv" in error.replace("\n", "")
    assert "2" in error
    assert not out.exists()


@pytest.mark.slow
def test_compare_trains_all_at_equal_size_and_time(monkeypatch, capsys, corpus: Path, tmp_path: Path):
    out = tmp_path / "comparison"
    command = [
        "compare",
        "pet-mlm",
        *TINY,
        *SHORT,
        f"corpus={corpus}",
        "--seeds",
        "2",
        "--jobs",
        "1",
        "--out",
        out,
    ]
    assert spinodal(monkeypatch, *command, "--models", "transformer") == 0
    arms = json.loads((out / "compare.json").read_text())["arms"]
    assert set(arms) == {"equal parameters", "equal time"}
    sizes = {run["parameters"] for runs in arms["equal parameters"].values() for run in runs}
    assert max(sizes) - min(sizes) <= 48  # one unit of hidden in SwiGLU is 3 times the width
    assert {run["seed"] for run in arms["equal time"]["transformer"]} == {0, 1}
    seconds = {m: sum(r["final"]["seconds"] for r in runs) for m, runs in arms["equal parameters"].items()}
    slow = max(seconds, key=lambda model: seconds[model])
    assert arms["equal time"][slow] == arms["equal parameters"][slow]
    assert spinodal(monkeypatch, *command, "--models", "transformer") == 0  # all runs are found, none is made
    assert json.loads((out / "compare.json").read_text())["arms"] == arms
    assert "pet-mlm" in capsys.readouterr().out


@pytest.mark.slow
def test_processes_of_their_own_train_the_same_models(monkeypatch, corpus: Path, tmp_path: Path):
    command = [
        "compare",
        "pet-mlm",
        *TINY,
        *SHORT,
        f"corpus={corpus}",
        "--seeds",
        "1",
        "--models",
        "transformer",
    ]
    for jobs in ("1", "2"):
        assert spinodal(monkeypatch, *command, "--jobs", jobs, "--out", tmp_path / jobs) == 0
    one, two = (json.loads((tmp_path / jobs / "compare.json").read_text())["arms"] for jobs in ("1", "2"))
    for model, runs in one["equal parameters"].items():
        assert (
            runs[0]["final"]["held_out_loss"] == two["equal parameters"][model][0]["final"]["held_out_loss"]
        )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "pet-mln"], "unknown recipe 'pet-mln'"),
        (["train", "pet-mlm", "stepz=3"], "did you mean steps"),
        (["train", "pet-mlm", "steps=many"], "steps takes a whole number"),
        (["train", "pet-mlm", "corpus=nowhere.txt"], "nowhere.txt"),
        (["compare", "pet-mlm", "--models", "rnn"], "has no rival rnn"),
        (["compare", "pet-mlm", "--seeds", "0"], "seeds=0"),
        (["compare", "pet-mlm", "--tune", "steps=3,4"], "steps is not tuned: --tune takes lr"),
        (["compare", "pet-mlm", "--models", "nowhere:Model"], "nowhere cannot be imported"),
        (["compare", "pet-mlm", "--jobs", "-1"], "jobs=-1"),
        (["fill", "nowhere", "<mask>"], "holds no model"),
        (["generate", "nowhere", "--prompt", "a"], "holds no model"),
        (["translate", "nowhere", "a"], "holds no model"),
        (["fetch", "homer"], "homer"),
        (["theory", "gama_sa"], "gamma_sa"),
        (["theory", "gamma_sa", "n=x"], "n=x"),
        (["theory", "gamma_sa", "n=8"], "gamma_sa takes t, n, beta, start; missing: t, beta"),
        (
            ["theory", "gamma_time_sa", "gama=1", "n=8"],
            "gama is unknown (did you mean gamma?); missing: gamma, beta",
        ),
        (["theory", "gamma_sa", "t=1", "n=8", "beta=1", "x=2"], "takes t, n, beta, start; x is unknown"),
        (
            ["compare", "f4-histograms"],
            "f4-histograms is not for `spinodal compare`: its command is spinodal draw",
        ),
        (
            ["train", "f4-histograms"],
            "f4-histograms is not for `spinodal train`: its command is spinodal draw",
        ),
        (["theory", "gamma_sa", "t=1", "n=2,3", "beta=1,2,3"], "2 of n, 3 of beta"),
        (["theory", "gamma_pre", "t=1", "n=2", "beta=1,2"], "one value at a time of beta"),
        (["theory", "fastest_degree", "d=1000000", "beta=1e300"], "cannot be computed"),
        (["spectrum", "--beta", "1e300"], "cannot be computed"),
        (["theory", "log_tail_pre", "t=9", "n=2", "beta=1", "radius=-1"], "radius = -1"),
    ],
)
def test_mistakes_end_in_one_sentence(monkeypatch, capsys, tmp_path: Path, arguments: list[str], said: str):
    monkeypatch.chdir(tmp_path)
    assert spinodal(monkeypatch, *arguments) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert said in error
    assert "Traceback" not in error
    assert not (tmp_path / "runs").exists()


def test_list_shows_every_recipe_with_its_claim(monkeypatch, capsys):
    assert spinodal(monkeypatch, "list") == 0
    shown = capsys.readouterr().out
    assert all(
        name in shown
        for name in ("pet-mlm", "pet-paper", "pet-dense", "pet-lm", "pet-translate", "recall", "addressing")
    )


@pytest.mark.parametrize(
    "command", ["train", "compare", "fill", "generate", "translate", "fetch", "list", "theory"]
)
def test_help_teaches(monkeypatch, capsys, command: str):
    assert spinodal(monkeypatch, command, "--help") == 0
    assert "Usage" in capsys.readouterr().out


def test_theory_prints_numbers_and_tables(monkeypatch, capsys):
    assert spinodal(monkeypatch, "theory", "fastest_degree", "d=2", "beta=5") == 0
    assert capsys.readouterr().out.split() == ["3"]
    assert spinodal(monkeypatch, "theory", "gamma_time_sa", "gamma=0.999", "n=32", "beta=0,9") == 0
    table = capsys.readouterr().out
    assert "5.18626" in table
    assert "178.73" in table
    assert spinodal(monkeypatch, "theory", "list") == 0
    shown = capsys.readouterr().out
    assert "fastest_degree_threshold" in shown
    assert spinodal(monkeypatch, "theory") == 0
    assert capsys.readouterr().out == shown


TOY = '''"""toy: a command of somebody else's."""

import typer


def add_to(app: typer.Typer) -> None:
    app.command("toy")(toy_command)


def toy_command(n: int):
    """Says a number twice: `spinodal toy 3`."""
    print(n, n)
'''


def test_a_command_is_one_file(tmp_path: Path):
    """Beside the others it is listed with its sentence, has a page of help, and runs."""
    from spinodal import cli

    shutil.copytree(cli.FOLDER, tmp_path / "cli")
    (tmp_path / "cli" / "toy.py").write_text(TOY)
    program = (
        "import sys, spinodal\n"
        f"spinodal.__path__.insert(0, {str(tmp_path)!r})\n"
        "from spinodal.cli import main\n"
        "main()\n"
    )

    def said(*arguments: str) -> str:
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "Says a number twice" in said("--help")
    assert "Says a number twice" in said("toy", "--help")
    assert said("toy", "3") == "3 3\n"
