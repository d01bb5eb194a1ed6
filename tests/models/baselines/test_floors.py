"""Numbers of simple models on public data that an independent implementation must reach; this checks the evaluation."""

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from gnnrec.data import load
from gnnrec.data.config import NamedData, Positive
from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
from gnnrec.models.baselines import (
    ALS,
    EASE,
    Biases,
    ItemKNN,
    ItemMean,
    NeighbourPopularity,
    Popularity,
    SegmentPopularity,
)
from gnnrec.recommender import Recommender
from gnnrec.splits import FromFile, UnseenUsers, make_split
from gnnrec.splits.kshot import reveal
from gnnrec.splits.parts import TEST
from gnnrec.splits.split import Split
from gnnrec.views import Edges, TestSet, UserBatch

FOLDER = os.environ.get("GNNREC_DATA")
pytestmark = [
    pytest.mark.skipif(FOLDER is None, reason="needs the public data sets; set GNNREC_DATA to their folder"),
    pytest.mark.slow,
]


def mean(splits: list[Split], config: EvaluateConfig, model_class: type, **options: Any) -> dict[str, float]:
    """Each metric's mean over the splits, the number of a split being its seed."""
    rows: list[dict[str, float | None]] = []
    for seed, split in enumerate(splits):
        model: Recommender = model_class(**options)
        model.fit(split.full, None, seed)
        rows.append(evaluate(model, split.test, split.full.candidates, config, seed).metrics)
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def opened(split: Split) -> Split:
    split.open_test("floors: nothing is chosen")
    return split


@pytest.fixture(scope="module")
def lastfm() -> list[Split]:
    """The ten splits of 189 test users."""
    data = load(NamedData(source="hetrec-lastfm"))
    return [opened(make_split(data, UnseenUsers(test=0.1, validation=0.1), seed)) for seed in range(10)]


# About one of a split's 189 users chose nothing that is in training. The numbers asked for count it with 0, the
# evaluation leaves it out, so that ours are higher by half a percent.
# Ties at the top are many among few friends, so what breaks them counts.
@pytest.mark.parametrize(
    ("options", "first", "twenty", "hundred"),
    [
        (None, 0.3212, 0.2072, 0.0893),
        ({"friends": 0, "attributes": 1, "power": 1, "idf": False}, 0.4651, 0.2851, 0.1376),
        ({"friends": 0, "attributes": 1}, 0.5312, 0.3167, 0.1569),
        ({"friends": 1, "attributes": 0, "popularity": 1e-6}, 0.5550, 0.3441, 0.1725),
        ({"friends": 0.6, "attributes": 0.4}, 0.5921, 0.3604, 0.1853),
    ],
    ids=["popularity", "cosine of tags", "idf-weighted cosine squared", "friends", "friends and tags"],
)
def test_lastfm(
    lastfm: list[Split], options: dict[str, Any] | None, first: float, twenty: float, hundred: float
) -> None:
    model = Popularity if options is None else NeighbourPopularity
    got = mean(lastfm, EvaluateConfig(metrics=["precision", "map"], at=[1, 20, 100]), model, **(options or {}))
    assert got["precision@1"] == pytest.approx(first * 1.005, abs=0.006)
    assert got["precision@20"] == pytest.approx(twenty * 1.005, abs=0.002)
    assert got["map@100"] == pytest.approx(hundred * 1.005, abs=0.002)


def test_lastfm_split_by_heater() -> None:
    """As published: nothing is learned from the validation users, and the training artists are ranked."""
    lists = Path(__file__).parents[3] / "configs" / "heater-lastfm"
    users = FromFile(
        test=lists / "test_users.txt", validation=lists / "validation_users.txt", rank_validation_items=False
    )
    split = opened(make_split(load(NamedData(source="heater-lastfm")), users, 0))
    assert len(split.train.users) == 1136
    assert int(split.candidates(TEST, split.full).sum()) == 12_850
    asked = split._held_out(TEST, split.train)  # friends among the training users alone
    for model, wanted, within in (
        (Popularity(), (0.2113, 0.0938, 0.2346), 0.0001),
        # Popularity breaks the ties among friends' artists, which the number asked for leaves to chance.
        (NeighbourPopularity(friends=1, attributes=0), (0.3317, 0.1513, 0.3750), 0.005),
        (
            NeighbourPopularity(friends=0.7, attributes=0.3, friends_in_common=True, idf=False, power=1),
            (0.3411, 0.1542, 0.3880),
            0.003,
        ),
    ):
        model.fit(split.train, None, 0)
        config = EvaluateConfig(metrics=["precision", "recall", "ndcg"], at=[20])
        got = evaluate(model, asked, split.train.candidates, config, 0)
        assert list(got.metrics.values()) == pytest.approx(wanted, abs=within)
        assert got.users == 565  # the other two chose nothing that is in training


def test_movielens_100k_ranking() -> None:
    data = load(NamedData(source="ml-100k", positive=Positive(min_value=4)))
    splits = [opened(make_split(data, UnseenUsers(folds=5, seed=0), seed)) for seed in range(5)]
    config = EvaluateConfig(metrics=["ndcg"], at=[10])
    assert mean(splits, config, Popularity)["ndcg@10"] == pytest.approx(0.4070, abs=0.0005)
    segment = mean(splits, config, SegmentPopularity, shrinkage=1000.0, strength=0.5)["ndcg@10"]
    assert segment == pytest.approx(0.4176, abs=0.003)


def test_movielens_1m_ranking() -> None:
    data = load(NamedData(source="ml-1m", positive=Positive(min_value=4)))
    splits = [opened(make_split(data, UnseenUsers(folds=5, seed=0), 0))]
    config = EvaluateConfig(metrics=["ndcg"], at=[10])
    assert mean(splits, config, Popularity)["ndcg@10"] == pytest.approx(0.4023, abs=0.0005)
    segment = mean(splits, config, SegmentPopularity, shrinkage=1000.0, strength=0.5)["ndcg@10"]
    assert segment == pytest.approx(0.4174, abs=0.002)


def test_rent_the_runway_ranking() -> None:
    split = opened(make_split(load(NamedData(source="renttherunway")), UnseenUsers(folds=5, seed=0), 0))
    first = torch.arange(6000)
    target = UserBatch(split.test.users.index, split.test.ground_truth, {}).take(first).items
    asked = TestSet(split.test.users.take(first), target)
    config = EvaluateConfig(metrics=["ndcg"], at=[10])
    for model, wanted in ((Popularity(), 0.0567), (SegmentPopularity(shrinkage=1000.0, strength=0.5), 0.0690)):
        model.fit(split.full, None, 0)
        got = evaluate(model, asked, split.full.candidates, config, 0).metrics["ndcg@10"]
        # Which users come first hangs on the order of the ids; between one 6,000 and another lie .002.
        assert got == pytest.approx(wanted, abs=0.002)


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        (Popularity(), (0.4070, 0.4006, 0.3945, 0.3766, 0.3641)),
        (ALS(cold="none", factors=32), (None, 0.2984, 0.3554, 0.4098, 0.4503)),
        (EASE(regularization=100), (None, 0.3137, 0.3797, 0.4305, 0.4605)),
        (ItemKNN(), (None, 0.3270, 0.4200, 0.4959, 0.4939)),
    ],
    ids=["popularity", "iALS", "EASE", "item kNN"],
)
def test_movielens_100k_after_some_items(model: Any, wanted: tuple[float | None, ...]) -> None:
    """The numbers asked for ask a user for all that it has not shown, so that the target shrinks."""
    data = load(NamedData(source="ml-100k", positive=Positive(min_value=4)))
    config = EvaluateConfig(metrics=["ndcg"], at=[10])
    shots = (0, 1, 2, 5, 10)
    got = np.zeros((5, len(shots)))
    for fold in range(5):
        split = opened(make_split(data, UnseenUsers(folds=5, seed=0, support=shots[-1]), fold))
        model.fit(split.full, None, fold)
        for place, k in enumerate(shots):
            shown = reveal(split.test, k)
            assert shown.masked is not None
            target = Edges(
                torch.cat([shown.ground_truth.row, shown.masked.row]),
                torch.cat([shown.ground_truth.node, shown.masked.node]),
            )
            asked = TestSet(shown.users, target)
            value = evaluate(model, asked, split.full.candidates, config, fold).metrics["ndcg@10"]
            got[fold, place] = np.nan if value is None else value
    for value, number in zip(got.mean(axis=0), wanted, strict=True):
        # Each support is drawn at random, and what regularization the numbers were computed with is not known.
        assert np.isnan(value) if number is None else value == pytest.approx(number, abs=0.02)


def halves(source: Literal["ml-100k", "ml-1m"], seeds: int) -> list[Split]:
    """Users permuted, the first half trains."""
    data = load(NamedData(source=source))
    return [opened(make_split(data, UnseenUsers(folds=2, fold=1, validation=0.1), seed)) for seed in range(seeds)]


# The published halves are drawn with other seeds; the spread over ours is .006 on 100K and .004 on 1M.
@pytest.mark.parametrize(
    ("source", "seeds", "popularity", "item_mean"),
    [("ml-100k", 20, (0.5857, 0.6013), (0.7041, 0.7068)), ("ml-1m", 2, (0.6717, 0.6733), (0.7542, 0.7491))],
)
def test_order_of_rated_items(
    source: Literal["ml-100k", "ml-1m"], seeds: int, popularity: tuple[float, ...], item_mean: tuple[float, ...]
) -> None:
    splits, config = halves(source, seeds), EvaluateConfig(metrics=["rated_ndcg"], at=[5, 10])
    within = 0.0015 if seeds > 2 else 0.006
    assert list(mean(splits, config, Popularity).values()) == pytest.approx(popularity, abs=within)
    assert list(mean(splits, config, ItemMean, shrinkage=5.0).values()) == pytest.approx(item_mean, abs=within)


AGNN_USERS = Path(__file__).parents[3] / "configs" / "ml-100k-agnn" / "test_users.txt"


def test_movielens_100k_ratings() -> None:
    split = opened(make_split(load(NamedData(source="ml-100k")), FromFile(test=AGNN_USERS), 0))
    assert len(split.test.ground_truth) == 20_583
    config = EvaluateConfig(metrics=["rmse", "mae"])
    for model, options, rmse, mae in (
        (ItemMean, {"shrinkage": 1e12}, 1.1451, 0.9680),  # the mean of all ratings
        (ItemMean, {"shrinkage": 2}, 1.0223, 0.8241),
        (Biases, {"cold": "zero"}, 1.0226, 0.8115),
        (Biases, {"cold": "mean"}, 1.0180, 0.8157),
    ):
        got = mean([split], config, model, **options)
        assert got["rmse"] == pytest.approx(rmse, abs=0.0005)
        assert got["mae"] == pytest.approx(mae, abs=0.0005)
    with_attributes = mean([split], config, Biases, cold="attributes")
    assert with_attributes["rmse"] < 1.0179
    assert with_attributes["mae"] < 0.8175
