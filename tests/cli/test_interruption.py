"""Ctrl-C at any moment ends with 130 and no traceback; a folder without a name is refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import spinodal

LOADING = """
import os, signal, sys
from spinodal.__main__ import main
class Interruption:
    def find_spec(self, name, *_):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)
module, sys.argv = sys.argv[1], ["spinodal", "theory", "gamma_sa", "t=1", "n=4", "beta=1"]
sys.meta_path.insert(0, Interruption())
main()
"""


@pytest.mark.parametrize("module", ["rich.console", "spinodal.cli.theory", "scipy.special"])
def test_an_interruption_while_modules_load_ends_without_a_traceback(module: str):
    done = subprocess.run(
        [sys.executable, "-c", LOADING, module], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr, done.stdout) == (130, False, "")


def test_an_interruption_that_a_module_turns_into_another_error_is_one(monkeypatch, capsys):
    """As transformers does where a module that it loads is interrupted."""

    def interrupt() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise ModuleNotFoundError("Could not import module") from error

    monkeypatch.setattr("spinodal.cli.app", interrupt)
    assert spinodal(monkeypatch, "list") == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("options", [("--out", ""), ("--out=",)])
@pytest.mark.parametrize(
    "command",
    [
        ("simulate",), ("meanfield",), ("phase-diagram",), ("draw", "f9-causal"), ("train", "recall"),
        ("compare", "recall"), ("observe", "minilm"), ("graph", "flow", "--graph", "cycle:3"),
    ],
    ids=lambda command: command[0],
)  # fmt: skip
def test_a_folder_without_a_name_is_refused(monkeypatch, capsys, tmp_path: Path, command, options):
    monkeypatch.chdir(tmp_path)
    assert spinodal(monkeypatch, *command, *options) == 2
    assert "--out is empty: it takes a folder" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []
