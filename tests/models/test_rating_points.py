"""Means, medians and gains: by hand, against an exhaustive search, and against models fitted the long way round."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.experiment.results import config_checksum
from gnnrec.models.baselines import AttributeKNNRatings, BiasedMF, Biases, BilinearRatings, ItemMean, SegmentItemMean
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.models.rating_points import Point, median_cuts, rating_of_gain, spaced_by_gain
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.training.rating import RatingConfig
from gnnrec.views import Edges, TrainingData, UserBatch

NONE = torch.empty(0, dtype=torch.int64)
STRANGER = UserBatch(torch.tensor([-1]), Edges(NONE, NONE), {})
FINETUNE = RatingConfig(epochs=3, batch_users=32, ema_decay=0.0)


def graph_model(choose_on: int = 300, **finetune: Any) -> GraphSAGE:
    """A small GraphSAGE of ratings; options are the objective's."""
    options = RatingConfig(**{**FINETUNE.model_dump(), **finetune})
    return GraphSAGE(
        encoder=EncoderConfig(channels=8, layers=1, dropout=0.0), pretrain=None, finetune=options, choose_on=choose_on
    )


def rated(user: list[int], item: list[int], value: list[float]) -> TrainingData:
    users = UserBatch(
        torch.arange(max(user) + 1), Edges(torch.tensor(user), torch.tensor(item), torch.tensor(value)), {}
    )
    items = max(item) + 1
    return TrainingData(users, {"item": pd.Index(range(items))}, (), {}, torch.ones(items, dtype=torch.bool))


def test_cuts_by_hand() -> None:
    # At least 2: of the predictions 1, 2, 3, 4 with ratings 1, 3, 2, 3 only the first is below, so between 1 and 2.
    # At least 3: a cut at 1.5 is wrong about the 2 alone, one at 3.5 about the first 3 alone; the lower cut is taken.
    assert median_cuts(np.array([1.0, 2, 3, 4]), np.array([1, 3, 2, 3]), [1, 2, 3]) == [1.5, 1.5]


def test_equal_predictions_are_not_cut_apart() -> None:
    # Two of three ratings are at least 2, whatever is predicted: the cut is at the prediction, which is a 2 itself.
    assert median_cuts(np.full(3, 2.5), np.array([1, 2, 2]), [1, 2]) == [2.5]
    # One of three: the cut lies above.
    (cut,) = median_cuts(np.full(3, 2.5), np.array([1, 1, 2]), [1, 2])
    assert 2.5 < cut < 2.5001


@pytest.mark.parametrize("seed", range(5))
def test_no_other_step_function_errs_less(seed: int) -> None:
    random = np.random.default_rng(seed)
    predicted = random.integers(0, 9, size=15) / 2  # some are equal
    rating = random.integers(1, 5, size=15).astype(float)
    values = [1.0, 2.0, 3.0, 4.0]

    def error(cuts: tuple[float, ...]) -> float:
        return float(np.abs(np.array(values)[np.searchsorted(cuts, predicted, side="right")] - rating).sum())

    anywhere = np.arange(-0.25, 5, 0.5)
    least = min(error(cuts) for cuts in itertools.combinations_with_replacement(anywhere, 3))
    assert error(tuple(median_cuts(predicted, rating, values))) == least


def test_gains_by_hand() -> None:
    # The gains of 1 to 5 are 1, 3, 7, 15, 31: from 1 on, 1 + 4 * (gain - 1) / 30.
    wanted = [1, 1 + 8 / 30, 1.8, 1 + 56 / 30, 5]
    spaced = spaced_by_gain(torch.arange(1.0, 6.0, dtype=torch.float64), 1, 5)
    assert spaced.tolist() == pytest.approx(wanted)
    assert rating_of_gain(np.array(wanted), 1, 5).tolist() == pytest.approx([1, 2, 3, 4, 5])


def test_the_order_is_that_of_the_mean_gains() -> None:
    # Item 0: 3 and 3, mean gain 7. Item 1: 1 and 4, a mean of 2.5, a mean gain of (1 + 15) / 2 = 8, that of log2(9).
    train = rated([0, 1, 0, 1], [0, 0, 1, 1], [3.0, 3.0, 1.0, 4.0])
    for predict, wanted in (("mean", [3, 2.5]), ("gain", [3, 3.1699])):
        model = ItemMean(shrinkage=0, predict=predict)  # type: ignore[arg-type]
        model.fit(train, None, 0)
        assert model.score(STRANGER)[0].tolist() == pytest.approx(wanted, abs=1e-4)


def test_a_median_by_hand() -> None:
    # Five users gave 1, 4, 4, 4, 5 to one item, and each is left out once. The mean of the others is 17 / 4 = 4.25 for
    # the 1, 3.5 for a 4, and 3.25 for the 5. At least 4: a cut at 3.25 errs once, any other more often. At least 5: a
    # cut above 4.25 errs once. The mean of all, 18 / 5 = 3.6, is between the two: a 4.
    model = ItemMean(shrinkage=0, predict="median")
    model.fit(rated([0, 1, 2, 3, 4], [0] * 5, [1.0, 4.0, 4.0, 4.0, 5.0]), None, 0)
    assert model._point.cuts == pytest.approx([3.25, 4.25])
    assert model.score(STRANGER).tolist() == [[4]]


@pytest.mark.parametrize("predict", ["mean", "gain"])
@pytest.mark.parametrize(
    "model",
    [
        ItemMean,
        Biases,
        SegmentItemMean,
        AttributeKNNRatings,
        BilinearRatings,
        BiasedMF,
        lambda predict="mean": graph_model(predict=predict),
    ],
)
def test_a_model_of_gains_is_one_of_means_of_ratings_spaced_like_gains(model, predict) -> None:
    split = make_split(synthetic(0, num_users=60), UnseenUsers(test=0.2, validation=0.2), 0)
    users = split.validation.users
    known = replace(users, items=Edges(torch.tensor([1, 1]), torch.tensor([0, 3]), torch.tensor([1.0, 4.0])))
    direct = model(predict=predict)
    direct.fit(split.train, None, 0)

    def moved(users: UserBatch) -> UserBatch:
        weight = users.items.weight
        if weight is None or predict == "mean":
            return users
        gain = 2.0 ** weight.double() - 1
        return replace(users, items=replace(users.items, weight=(1 + 4 * (gain - 1) / 30).float()))

    values = split.train.users.items.weight
    assert (values.min(), values.max()) == (1, 5)
    around = model()
    around.fit(replace(split.train, users=moved(split.train.users)), None, 0)
    for asked in (users, known):
        score = around.score(moved(asked)).double()
        wanted = score if predict == "mean" else torch.log2(2 + (score - 1) * 30 / 4)
        assert torch.allclose(direct.score(asked).double(), wanted, atol=1e-4)


def test_medians_of_the_graph_model_are_chosen_once_and_kept() -> None:
    split = make_split(synthetic(0, num_users=80), UnseenUsers(test=0.2, validation=0.2), 0)
    model = graph_model(predict="median", choose_on=30)
    model.fit(split.train, split.validation, 0)
    chosen = model.best_params["finetune"]
    assert list(chosen.cut_points) == sorted(chosen.cut_points)
    assert len(chosen.cut_points) == 4
    final = graph_model(**chosen.model_dump())
    means = graph_model(**{**chosen.model_dump(), "predict": "mean", "cut_points": "choose"})
    for fitted in (final, means):
        fitted.fit(split.train, None, 0)
    score = final.score(split.validation.users)
    predicted = means.score(split.validation.users).double()
    wanted = 1 + sum((predicted >= cut).double() for cut in chosen.cut_points)
    clear = torch.stack([(predicted - cut).abs() > 1e-6 for cut in chosen.cut_points]).all(0)
    assert torch.equal(score[clear].double(), wanted[clear])
    other = graph_model(predict="median")
    other.load_state_dict(final.state_dict())
    assert torch.equal(other.score(split.validation.users), score)


def test_a_value_of_the_validation_users_alone_has_a_cut_too() -> None:
    split = make_split(synthetic(0, num_users=80), UnseenUsers(test=0.2, validation=0.2), 0)
    items = split.train.users.items
    train = replace(split.train, users=replace(split.train.users, items=items.take(items.weight != 1)))
    model = graph_model(predict="median")
    model.fit(train, split.validation, 0)
    assert (split.validation.ground_truth.weight == 1).any()
    assert len(model.best_params["finetune"].cut_points) == 4
    Point.of("median", split.train, model.best_params["finetune"].cut_points)


def test_without_users_to_choose_on_the_graph_model_rounds() -> None:
    split = make_split(synthetic(0, num_users=60), UnseenUsers(test=0.2, validation=0.2), 0)
    model = graph_model(predict="median")
    model.fit(split.train, None, 0)
    assert model.state_dict()["point"].cuts == (1.5, 2.5, 3.5, 4.5)


def test_what_does_not_fit_is_refused() -> None:
    many = rated(list(range(21)), [0] * 21, [float(value) for value in range(21)])
    with pytest.raises(ConfigError, match="at most 20 different values, and the interactions have 21"):
        ItemMean(predict="median").fit(many, None, 0)
    ItemMean(predict="gain").fit(many, None, 0)
    with pytest.raises(ConfigError, match="cut_points: 3 different values need 2 cut points, got 1"):
        Point.of("median", rated([0, 0, 0], [0, 1, 2], [1.0, 2.0, 3.0]), [1.5])
    for options in ({"cut_points": [2.0]}, {"cut_points": [3.0, 2.0], "predict": "median"}):
        with pytest.raises(ValueError, match="cut_points must ascend, and are for `predict: median` alone"):
            RatingConfig(**options)


def test_one_value_alone_stays_what_it_is() -> None:
    train = rated([0, 1], [0, 0], [4.0, 4.0])
    for predict in ("mean", "median", "gain"):
        model = ItemMean(predict=predict)  # type: ignore[arg-type]
        model.fit(train, None, 0)
        assert model.score(STRANGER).tolist() == [[4]]


def test_the_mean_is_what_a_run_predicted_before() -> None:
    before = {"model": {"class": "Biases"}}
    assert config_checksum({"model": {"class": "Biases", "predict": "mean"}}) == config_checksum(before)
    assert config_checksum({"model": {"class": "Biases", "predict": "gain"}}) != config_checksum(before)
