"""One thread and the same random examples for every test: a result depends on no machine and no neighbour."""

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import Answer
from hypothesis import settings
from torch import Tensor

from gnnrec import cli
from gnnrec.models.saving import load_model
from gnnrec.testing.fresh_process import MODEL
from gnnrec.views import UserBatch

torch.set_num_threads(1)
settings.register_profile("same every time", derandomize=True, deadline=None)
settings.load_profile("same every time")


@pytest.fixture
def loaded_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clause `saved and loaded` loads the model here: a fresh process takes three seconds, which one case pays."""

    def scores(folder: Path, batches: list[UserBatch]) -> list[Tensor]:
        model = load_model(folder / MODEL)
        with torch.no_grad():
            return [model.score(copy.deepcopy(users)).clone() for users in batches]

    monkeypatch.setattr("gnnrec.testing.recommender.scores_in_fresh_process", scores)


@pytest.fixture
def gnnrec(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """The command line, called as a person would call it, in an empty folder."""
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
