"""What a terminal is told while loops are compiled."""

import time
from types import SimpleNamespace

import pytest
import rich.console

from spinodal import loops


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    show = lambda text, **options: lines.append(text)
    terminal = SimpleNamespace(is_terminal=True, is_jupyter=False, print=show)
    monkeypatch.setattr(rich.console, "Console", lambda **options: terminal)
    monkeypatch.setattr(loops, "PATIENCE", 0.1)
    return lines


def compile_for(listener: loops.Compiling, seconds: float) -> None:
    """One compilation, of a loop that calls another."""
    for _ in range(2):
        listener.on_start(None)
    listener.on_end(None)
    time.sleep(seconds)
    listener.on_end(None)


def test_a_long_compilation_is_told_of_once(said: list[str]):
    listener = loops.Compiling()
    for _ in range(3):
        compile_for(listener, 0.3)
    assert said == ["compiling, once: the machine code is kept for later runs"]


def test_many_short_ones_are_a_long_one(said: list[str]):
    listener = loops.Compiling()
    compile_for(listener, 0.01)
    time.sleep(0.2)
    assert not said
    for _ in range(20):
        compile_for(listener, 0.02)
    assert len(said) == 1


def test_where_nobody_looks_nothing_is_said(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loops, "PATIENCE", 0.0)
    compile_for(loops.Compiling(), 0.1)
    assert capsys.readouterr() == ("", "")


def test_numba_reports_what_it_compiles(monkeypatch: pytest.MonkeyPatch):
    from numba import njit

    seen = []
    monkeypatch.setattr(loops.Compiling, "on_end", lambda self, event: seen.append(event))
    monkeypatch.setattr(loops.Compiling, "on_start", lambda self, event: seen.append(event))
    assert njit(lambda x: x + 1)(1) == 2
    assert len(seen) == 2
