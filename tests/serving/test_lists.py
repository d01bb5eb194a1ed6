"""What a finished run recommends: by every item's score, and by an index of the items."""

import re
from pathlib import Path

import pytest
import torch
from synthetic_table import write_shop
from typer.testing import CliRunner

from gnnrec.cli import app
from gnnrec.errors import ConfigError
from gnnrec.experiment.config import read_config
from gnnrec.experiment.run import run
from gnnrec.serving.lists import item_index, load_run, recommend_to

SMALL = ["model.finetune.epochs=4", "model.pretrain=null"]
PROFILE = {"interests": ["chess", "wine"], "age": 30}


def finished(folder: Path, *overrides: str) -> Path:
    folder.mkdir(exist_ok=True)
    to = folder / "runs" / "shop" / "0"
    run(read_config(write_shop(folder), [*SMALL, *overrides]), to)
    return to


@pytest.mark.parametrize("members", [1, 2])
def test_scores_of_the_encoder_alone_are_inner_products(tmp_path: Path, members: int) -> None:
    served = load_run(finished(tmp_path, "model.shares={}", f"model.members={members}"))
    users = served.train.users.take(torch.arange(20))
    score = served.model.query(users) @ served.model.item_vectors().t()
    torch.testing.assert_close(score, served.model.score(users), rtol=1e-5, atol=1e-4)
    assert score.std() > 0.1


def test_an_index_over_all_cells_recommends_what_all_scores_do(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    folder = finished(tmp_path, "model.shares={}")
    every = load_run(folder)
    assert every.index is None
    config = folder / "config.yaml"
    config.write_text(re.sub("index_from: [0-9]+", "index_from: 30", config.read_text()))
    indexed = load_run(folder)
    assert indexed.index is not None
    assert indexed.index.recall == 1  # 30 items are in one cell
    known = ["sku/1", "sku/4"]
    expected, _ = recommend_to(every, PROFILE, known, 7)
    found, _ = recommend_to(indexed, PROFILE, known, 7)
    assert [row["item"] for row in found] == [row["item"] for row in expected]
    assert [row["score"] for row in found] == pytest.approx([row["score"] for row in expected], abs=1e-4)
    assert not set(known) & {row["item"] for row in found}
    answer = CliRunner().invoke(app, ["recommend", str(folder), "--json"])
    assert answer.exit_code == 0
    assert "an index of 30 items was searched; it finds 100% of the best 10" in answer.stderr


def test_items_that_are_no_candidates_are_not_in_the_index(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    served = load_run(finished(tmp_path, "model.shares={}"))
    served.train.candidates[3:9] = False
    index = item_index(served.model, served.train, 1)
    assert index is not None
    assert index.items.tolist() == [*range(3), *range(9, 30)]
    rows, _ = recommend_to(type(served)(served.model, served.train, served.user_ids, index), PROFILE, [], 30)
    assert len(rows) == 24
    assert not set(served.train.ids["item"][3:9]) & {row["item"] for row in rows}


def test_a_model_with_other_paths_is_not_served_from_an_index(tmp_path: Path) -> None:
    served = load_run(finished(tmp_path, "model.shares={0: {regression: 0.3}}", "model.regularization=1.0"))
    assert item_index(served.model, served.train, 1) is None
    alone = load_run(finished(tmp_path / "counted", "model={class: SegmentPopularity}"))
    assert item_index(alone.model, alone.train, 1) is None


def test_a_share_of_the_regression_needs_a_regularization(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="regularization: must be a number where shares give the regression a share"):
        read_config(write_shop(tmp_path), ["model.shares={0: {regression: 0.3}}"])
