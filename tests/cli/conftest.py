"""The command line, called as a person would call it."""

import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import Answer

from gnnrec import cli


@pytest.fixture
def gnnrec(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Runs the command line as a person would, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path) -> Answer:
        monkeypatch.setattr(sys, "argv", ["gnnrec", *map(str, arguments)])
        path = list(sys.path)
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            sys.path[:] = path
        printed = capsys.readouterr()
        return Answer(code, printed.out, printed.err)

    return call
