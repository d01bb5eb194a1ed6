"""One thread and the same random examples for every test: a result depends on no machine and no neighbour."""

import copy
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from torch import Tensor

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
