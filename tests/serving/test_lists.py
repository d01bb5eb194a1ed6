"""What a finished run recommends: by every item's score, and by an index of the items."""

from pathlib import Path
from typing import Any

import pytest
import torch
from synthetic_table import write_shop
from typer.testing import CliRunner

from gnnrec.cli import app
from gnnrec.errors import ConfigError, InputError
from gnnrec.experiment.config import read_config
from gnnrec.experiment.run import load_split, run
from gnnrec.serving.artifact import load, save
from gnnrec.serving.lists import recommend_to, serve
from gnnrec.views import UserBatch

SMALL = ["model.finetune.epochs=4", "model.pretrain=null", "model.choose_on=0"]
BLEND = (
    "model={class: Blend, choose_on: 0, weights: {0: {graphsage: 0.7, regression: 0.3}}, components: {"
    "graphsage: {class: GraphSAGE, encoder: {channels: 16}, pretrain: null, finetune: {epochs: 2}}, "
    "regression: {class: AttributeLinear, svd_rank: 8}}}"
)
PROFILE = {"interests": ["chess", "wine"], "age": 30}


def finished(folder: Path, *overrides: str) -> Path:
    folder.mkdir(exist_ok=True)
    to = folder / "runs" / "shop" / "0"
    other = any(override.startswith("model=") for override in overrides)
    run(read_config(write_shop(folder), [*([] if other else SMALL), *overrides]), to)
    return to


def training_users(folder: Path) -> UserBatch:
    return load_split(read_config(folder / "config.yaml")).full.users


@pytest.mark.parametrize("members", [1, 2])
def test_scores_of_the_encoder_alone_are_inner_products(tmp_path: Path, members: int) -> None:
    folder = finished(tmp_path, f"model.members={members}")
    model: Any = load(folder).model
    users = training_users(folder).take(torch.arange(20))
    score = model.query(users) @ model.item_vectors().t()
    torch.testing.assert_close(score, model.score(users), rtol=1e-5, atol=1e-4)
    assert score.std() > 0.1


def test_an_index_over_all_cells_recommends_what_all_scores_do(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    folder = finished(tmp_path, "serve.index_from=30")
    every = serve(load(folder), index_from=31)
    assert every.index is None
    indexed = serve(load(folder))
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
    artifact = load(finished(tmp_path))
    artifact.vocabulary.candidates[3:9] = False
    served = serve(artifact, index_from=1)
    assert served.index is not None
    assert served.index.items.tolist() == [*range(3), *range(9, 30)]
    rows, _ = recommend_to(served, PROFILE, [], 30)
    assert len(rows) == 24
    assert not set(artifact.vocabulary.ids["item"][3:9]) & {row["item"] for row in rows}


def test_a_model_whose_scores_are_no_inner_products_is_not_served_from_an_index(tmp_path: Path) -> None:
    blend = load(finished(tmp_path, BLEND))
    assert serve(blend, index_from=1).index is None
    alone = load(finished(tmp_path / "counted", "model={class: SegmentPopularity}"))
    assert serve(alone, index_from=1).index is None


@pytest.mark.parametrize("model", ["graphsage", BLEND])
def test_what_is_served_is_the_model_that_was_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    """Its scores for the training users, bit for bit; nothing is fitted when it is loaded."""
    fitted: list[Any] = []
    monkeypatch.setattr(
        "gnnrec.experiment.run.save", lambda one, *where, **how: (fitted.append(one), save(one, *where, **how))[1]
    )
    folder = finished(tmp_path, *([] if model == "graphsage" else [model]))
    for name in ("gnnrec.models.graphsage.GraphSAGE.fit", "gnnrec.models.blend.Blend.fit"):
        monkeypatch.setattr(name, lambda *_: pytest.fail("fitted again"))
    users = training_users(folder)
    assert torch.equal(load(folder).model.score(users), fitted[0].score(users))


def test_a_run_without_its_model_says_what_to_do(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    (folder / "model" / "model.json").unlink()
    with pytest.raises(ConfigError, match=r"model.json: cannot be read \(No such file or directory\)"):
        load(folder)


def test_a_model_of_known_items_asks_for_some(tmp_path: Path) -> None:
    served = serve(load(finished(tmp_path, "model={class: ItemKNN}")))
    for items in ([], ["no item"]):
        with pytest.raises(InputError, match=r"ItemKNN cannot score a user without known items.*give --items"):
            recommend_to(served, PROFILE, items)
    rows, warnings = recommend_to(served, PROFILE, ["sku/1"])
    assert len(rows) == 10
    assert not warnings


def test_an_order_that_means_nothing_is_warned_of(tmp_path: Path) -> None:
    _, warnings = recommend_to(serve(load(finished(tmp_path, "model={class: Random}"))), PROFILE)
    assert warnings == ["the model gives every item the same score for this user: the order of the list means nothing"]
