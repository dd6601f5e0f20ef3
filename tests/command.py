"""The command line as a user calls it, in this process."""

import sys

import pytest
from typed import of_kind

from spinodal import cli


def spinodal(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit status of a command."""
    monkeypatch.setattr(sys, "argv", ["spinodal", *map(str, arguments)])
    with pytest.raises(SystemExit) as status:
        cli.main()
    return of_kind(status.value.code or 0, int)
