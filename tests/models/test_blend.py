"""Blends: mixes by hand, weights that are chosen where they help and not by luck, one clear line for what is wrong."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from torch import Tensor

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.models.blend import LEAST, Blend, choose_shares
from gnnrec.models.selection import BUCKETS
from gnnrec.options.resolve import build, complete_options
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.controls import shuffle_attributes
from gnnrec.splits.split import Split
from gnnrec.testing import assert_recommender
from gnnrec.training.tracking import Tracker
from gnnrec.views import Edges, TestSet, TrainingData, UserBatch

NONE = torch.empty(0, dtype=torch.int64)
GRAPH = {
    "class": "GraphSAGE",
    "encoder": {"channels": 8, "layers": 2},
    "pretrain": None,
    "finetune": {"epochs": 3, "batch_users": 64, "learning_rate": 0.02},
}
LINEAR = {"class": "AttributeLinear", "regularization": "choose", "svd_rank": 8, "friends": True}
FRIENDS = {"class": "NeighbourPopularity", "friends": 1.0, "attributes": 0.0, "popularity": 0.0}
KNN, DENOISING = {"class": "ItemKNN"}, {"class": "DenoisingRegression"}
ALL = {"graphsage": GRAPH, "regression": LINEAR, "friends": FRIENDS, "item-knn": KNN, "denoising": DENOISING}


class Table:
    """Scores users by their index from a table."""

    def __init__(
        self, *, scores: list[list[float]], log: bool = False, cold: bool = True, ratings: bool = False
    ) -> None:
        self.scores = scores
        self.log_scores, self.supports_cold_users, self.predicts_ratings = log, cold, ratings
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """There is nothing to fit."""

    def score(self, users: UserBatch) -> Tensor:
        return torch.tensor(self.scores)[users.index]


class OfTheClub:
    """The items of the group that a user's club reveals."""

    predicts_ratings = False

    def __init__(self, *, cold: bool) -> None:
        self.supports_cold_users = cold
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """There is nothing to fit."""

    def score(self, users: UserBatch) -> Tensor:
        club = users.relations["user", "club", "club"]
        scores = torch.zeros(len(users), 40)
        scores[club.row] = (torch.arange(40) % 4 == club.node[:, None]).float()
        return scores


def table(*scores: list[float], **options: bool) -> dict[str, Any]:
    return {"class": f"{__name__}.Table", "scores": [list(row) for row in scores], **options}


def users(*known: int) -> UserBatch:
    """Users 0, 1 ... with so many known items each."""
    row = torch.tensor([user for user, count in enumerate(known) for _ in range(count)], dtype=torch.int64)
    place = torch.tensor([item for count in known for item in range(count)], dtype=torch.int64)
    return UserBatch(torch.arange(len(known)), Edges(row, place, torch.ones(len(row))), {})


def made_split(shuffled: bool = False, support: int = 0, seed: int = 0) -> Split:
    data = synthetic(seed, num_users=160, num_items=40)
    data = shuffle_attributes(data, seed) if shuffled else data
    return make_split(data, UnseenUsers(test=0.2, validation=0.2, support=support), seed)


MAIN = table(np.log([0.5, 0.25, 0.25]).tolist(), np.log([0.2, 0.2, 0.6]).tolist(), log=True)
PLAIN = table([0.0, 3.0, 1.0], [2.0, -1.0, 4.0])
# Scaled to the maximum, the exponential of the log scores is 1, 1/2, 1/2 for the first user, and 1/3, 1/3, 1 for the
# second one; the plain scores are 0, 1, 1/3, and 1/2, 0 (for -1), 1.


def test_a_mix_by_hand() -> None:
    blend = Blend(components={"main": MAIN, "plain": PLAIN}, weights={0: {"main": 0.75, "plain": 0.25}})
    # 3/4 of the first and 1/4 of the second.
    wanted = torch.tensor([[0.75, 0.375 + 0.25, 0.375 + 0.25 / 3], [0.25 + 0.125, 0.25, 1.0]])
    torch.testing.assert_close(blend.score(users(0, 0)), wanted)


def test_each_user_gets_the_weights_of_its_bucket() -> None:
    third = table([9.0, 0.0, 0.0], [9.0, 0.0, 0.0], [9.0, 0.0, 0.0], [9.0, 0.0, 0.0])
    rows = 2 * MAIN["scores"]
    blend = Blend(
        components={"main": table(*rows, log=True), "plain": table(*2 * PLAIN["scores"]), "third": third},
        weights={2: {"third": 0.5, "plain": 0.5}, 0: {"main": 0.75, "plain": 0.25}, 3: {"main": 1.0}},
    )
    score = blend.score(users(1, 2, 3, 0))
    wanted = torch.tensor(
        [
            [0.75, 0.625, 0.375 + 0.25 / 3],  # one known item: the bucket of 0
            [0.25 + 0.5, 0.0, 0.5],  # two: half of the plain scores, half of the third ones; none of the main ones
            rows[2],  # three: the main ones as they are
            [0.375, 0.25, 1.0],
        ]
    )
    torch.testing.assert_close(score, wanted)


def test_users_below_every_bucket_get_the_main_component_and_so_do_all_without_weights() -> None:
    for weights in ({1: {"main": 0.5, "plain": 0.5}}, {}, "choose"):
        blend = Blend(components={"main": MAIN, "plain": PLAIN}, weights=weights)  # type: ignore[arg-type]
        assert torch.equal(blend.score(users(0, 0)), torch.tensor(MAIN["scores"]))
    blend = Blend(components={"main": MAIN, "plain": PLAIN}, main="plain")
    assert torch.equal(blend.score(users(0, 0)), torch.tensor(PLAIN["scores"]))


def test_a_component_whose_scores_are_all_equal_leaves_the_order_to_the_others() -> None:
    scores = torch.randn(1, 20, generator=torch.Generator().manual_seed(0))
    for equal in (0.0, 2.5, -1.0):
        blend = Blend(
            components={"main": table(*scores.tolist(), log=True), "equal": table(20 * [equal])},
            weights={0: {"main": 0.5, "equal": 0.5}},
        )
        assert torch.equal(blend.score(users(0)).argsort(), scores.argsort())


def test_ratings_are_added_up_as_they_are_within_the_range_of_the_training_values() -> None:
    one, other = table([1.0, 4.0, 5.0], ratings=True), table([3.0, 5.0, 1.0], ratings=True)
    blend = Blend(components={"one": one, "other": other}, weights={0: {"one": 1.5, "other": -0.5}})
    assert blend.predicts_ratings
    blend.fit(made_split().train, None, 0)  # values from 1 to 5
    # 1.5 - 1.5 = 0, that is 1; 6 - 2.5 = 3.5; 7.5 - 0.5 = 7, that is 5.
    assert blend.score(users(0)).tolist() == [[1.0, 3.5, 5.0]]


def test_shares_climb_to_the_best_and_leave_a_tenth_to_the_main_component() -> None:
    def of_two(value: float) -> np.ndarray:  # two users who agree, so that every gain is beyond doubt
        return np.array([value, value])

    assert choose_shares(2, lambda s: of_two(-((s[0] - 0.3) ** 2) - (s[1] - 0.1) ** 2)) == [0.3, 0.1]
    assert choose_shares(2, lambda s: of_two(-sum(s))) == [0.0, 0.0]
    assert sum(choose_shares(3, lambda s: of_two(sum(s)))) == pytest.approx(1 - LEAST)
    assert choose_shares(0, lambda s: of_two(1.0)) == []


def test_a_share_must_gain_more_than_luck_brings() -> None:
    # Gains 0.4 and 0.1: mean 0.25, standard error 0.15 / sqrt(2) = 0.106. With 0.4 and 0 it is 0.2 and 0.141.
    lucky, sure = np.array([0.4, 0.0]), np.array([0.4, 0.1])
    assert choose_shares(1, lambda s: lucky * (s[0] > 0), grid=(0.0, 0.2)) == [0.0]
    assert choose_shares(1, lambda s: sure * (s[0] > 0), grid=(0.0, 0.2)) == [0.2]


@pytest.mark.filterwarnings("error")
def test_shares_without_a_held_out_user_to_measure_leave_the_main_component_alone() -> None:
    assert choose_shares(2, lambda s: np.empty(0)) == [0.0, 0.0]


CHEAP = {"popularity": {"class": "Popularity"}, "regression": LINEAR, "item-knn": KNN}


def test_components_get_a_weight_where_they_help_and_none_where_attributes_mean_nothing() -> None:
    weights = {}
    for shuffled in (False, True):
        split = made_split(shuffled)
        blend = Blend(components={k: CHEAP[k] for k in ("popularity", "regression")}, choose_on=96)
        blend.fit(split.train, split.validation, 0)
        weights[shuffled] = blend.best_params["weights"][0]
    assert weights[False]["regression"] >= 0.5
    assert weights[True] == {"popularity": 1.0, "regression": 0.0}


def test_the_weights_of_a_choice_are_used_and_are_better_than_any_component() -> None:
    """On the test users, after a choice on others: clubs tell the group of one half, known items that of the rest."""
    split = made_split(support=2)
    clubs = ("user", "club", "club")
    split.open_test("test")

    def without_half_of_the_clubs(batch: UserBatch) -> UserBatch:
        edges = batch.relations[clubs]
        return replace(batch, relations={**batch.relations, clubs: edges.take(batch.index[edges.row] % 3 > 0)})

    validation = replace(split.validation, users=without_half_of_the_clubs(split.validation.users))
    blend = Blend(components=CHEAP)
    blend.fit(split.train, validation, 0)
    weights = blend.best_params["weights"]
    assert list(weights) == [2]
    assert weights[2]["regression"] > 0
    assert weights[2]["item-knn"] > 0
    held_out = without_half_of_the_clubs(split.test.users)
    final = Blend(**{"components": CHEAP, **blend.best_params})
    final.fit(split.full, None, 0)

    def share_in_group(scores: Tensor) -> float:
        known = held_out.history(scores.shape[1])
        top = scores.masked_fill(known, -1e9).topk(5).indices
        return float((top % 4 == held_out.index[:, None] % 4).float().mean())

    alone = {name: share_in_group(model.score(held_out)) for name, model in final.models.items()}
    assert share_in_group(final.score(held_out)) > max(alone.values())


def test_a_component_that_cannot_score_cold_users_is_left_out_of_the_bucket_of_none() -> None:
    split = made_split()
    blend = Blend(components=CHEAP, choose_on=96)
    blend.fit(split.train, split.validation, 0)
    weights = blend.best_params["weights"]
    assert "item-knn" not in weights[0]
    assert "item-knn" in weights[5]
    # Nothing is known of the validation users, so 1, 2, 5 and 10 items of their ground truth are revealed.
    assert set(weights) <= {0, 1, 2, 5, 10}
    assert {0, 1, 2, 5} <= set(weights)
    for of_bucket in weights.values():
        assert sum(of_bucket.values()) == pytest.approx(1)
        assert of_bucket["popularity"] >= LEAST - 1e-6


@pytest.mark.parametrize("cold", [True, False])
def test_it_is_left_out_however_good_its_scores_are(cold: bool) -> None:
    split = made_split()
    components = {"popularity": {"class": "Popularity"}, "club": {"class": f"{__name__}.OfTheClub", "cold": cold}}
    blend = Blend(components=components, choose_on=0)
    blend.fit(split.train, split.validation, 0)
    weights = blend.best_params["weights"]
    assert ("club" in weights[0]) == cold
    assert weights[0].get("club", 0) >= (0.5 if cold else 0)
    assert weights[1]["club"] >= 0.5


def test_best_parameters_are_constructor_arguments_and_give_the_same_model_again() -> None:
    split = made_split()
    components = {"graphsage": GRAPH, "regression": LINEAR, "item-knn": KNN, "denoising": DENOISING}
    blend = Blend(components=components, choose_on=0)
    blend.fit(split.train, split.validation, 0)
    best = blend.best_params
    assert set(best) == {"components", "weights"}
    assert best["components"]["regression"]["regularization"] != "choose"
    assert best["components"]["graphsage"]["finetune"]["epochs"] <= 3
    assert best["components"]["denoising"]["penalty"] != "choose"
    complete = complete_options(Blend, {"components": components, "choose_on": 0})
    by_hand = {name: dict(options) for name, options in components.items()}
    by_hand["regression"]["regularization"] = best["components"]["regression"]["regularization"]
    by_hand["denoising"]["penalty"] = best["components"]["denoising"]["penalty"]
    epochs = best["components"]["graphsage"]["finetune"]["epochs"]
    encoder = {**GRAPH["encoder"]}  # type: ignore[dict-item]
    encoder["regression_shares"] = best["components"]["graphsage"]["encoder"]["regression_shares"]
    by_hand["graphsage"] = {**GRAPH, "encoder": encoder, "finetune": {**GRAPH["finetune"], "epochs": epochs}}  # type: ignore[dict-item]
    finals = [
        Blend(**{"components": components, "choose_on": 0, **best}),
        build(Blend, {**complete, **best}),
        build(Blend, {**complete, **json.loads(json.dumps(best))}),
        Blend(components=by_hand, weights=best["weights"]),
    ]
    known = replace(split.validation.users, items=split.validation.ground_truth)
    scores = []
    for final in finals:
        final.fit(split.full, None, 0)
        assert final.best_params == {}
        assert final.weights == best["weights"]
        scores.append(torch.cat([final.score(split.validation.users), final.score(known)]))
    assert all(torch.equal(one, scores[0]) for one in scores[1:])


def test_weights_that_are_given_are_not_chosen() -> None:
    split = made_split()
    weights = {0: {"popularity": 0.5, "regression": 0.5}}
    blend = Blend(components=CHEAP, weights=weights, choose_on=0)
    blend.fit(split.train, split.validation, 0)
    assert set(blend.best_params) == {"components"}
    assert blend.weights == weights


def test_weights_of_ratings_are_the_least_squares_ones_within_users() -> None:
    split = made_split(seed=2)
    components = {
        "mean": {"class": "ItemMean"},
        "segment": {"class": "SegmentItemMean"},
        "neighbours": {"class": "AttributeKNNRatings"},
    }
    blend = Blend(components=components, choose_on=0)
    blend.fit(split.train, split.validation, 0)
    test = split.validation
    parts = [model.score(test.users).double() for model in blend.models.values()]
    rows: list[Any] = []
    for user in range(len(test.users)):
        items = test.ground_truth.node[test.ground_truth.row == user]
        base, *others = (part[user, items].numpy() for part in parts)
        assert test.ground_truth.weight is not None
        left = test.ground_truth.weight[test.ground_truth.row == user].numpy() - base
        columns = [*(other - base for other in others), left]
        rows += zip(*(column - column.mean() for column in columns), strict=True)
    wanted, _ = nnls(np.array(rows)[:, :2], np.array(rows)[:, 2])
    assert wanted.max() > 0.1
    [(least, weights)] = blend.best_params["weights"].items()
    assert least == 0
    assert [weights["segment"], weights["neighbours"]] == pytest.approx(wanted.tolist(), abs=1e-3)
    assert sum(weights.values()) == pytest.approx(1)
    final = Blend(**{"components": components, **blend.best_params})
    final.fit(split.full, None, 0)
    assert final.score(test.users).min() >= 1
    assert final.score(test.users).max() <= 5


def test_components_report_and_keep_checkpoints_under_their_names() -> None:
    split = made_split()
    blend = Blend(components={"first": GRAPH, "second": GRAPH}, choose_on=0)
    blend.tracker = Tracker()
    blend.fit(split.train, None, 0)
    assert {record["stage"] for record in blend.tracker.history} == {"first/finetune", "second/finetune"}
    assert blend.tracker.prefix == ""


EVERY_BUCKET = {
    0: {"graphsage": 0.5, "regression": 0.3, "friends": 0.2},
    **{
        least: {"graphsage": 0.3, "regression": 0.2, "friends": 0.1, "item-knn": 0.2, "denoising": 0.2}
        for least in BUCKETS[1:]
    },
}


@pytest.mark.slow
def test_a_ranking_blend_keeps_the_contract_with_weights_in_every_bucket() -> None:
    assert list(EVERY_BUCKET) == [0, 1, 2, 5, 10, 20, 50]
    assert_recommender(Blend, {"components": ALL, "weights": EVERY_BUCKET, "choose_on": 0}, seed=3)


@pytest.mark.slow
def test_a_rating_blend_keeps_the_contract() -> None:
    graph = {**GRAPH, "finetune": {"objective": "rating", "epochs": 3, "batch_users": 64, "residual_weight": 1.0}}
    components = {"graphsage": graph, "biases": {"class": "Biases"}, "segment": {"class": "SegmentItemMean"}}
    weights = {least: {"graphsage": 0.5, "biases": -0.25, "segment": 0.75} for least in BUCKETS}
    assert_recommender(Blend, {"components": components, "weights": weights, "choose_on": 0}, seed=3, learns=False)


@pytest.mark.slow
def test_the_default_blend_learns_chooses_and_fits_again(loaded_in_this_process: None) -> None:
    assert_recommender(Blend, {"components": {**ALL}, "choose_on": 0}, seed=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"components": {}}, "components: name at least one component"),
        ({"components": {"a": {"clas": "Popularity"}}}, "components: a: missing key 'class'"),
        (
            {"components": {"a": {"class": "Popularty"}}},
            "components: [a-z]+: 'Popularty' is not.*Did you mean 'Popularity'",
        ),
        ({"components": {"both": {"class": "Blend"}}}, "both: a blend cannot be a component"),
        ({"components": {"a.b": {"class": "Popularity"}}}, "'a.b': a component's name has no dot and no slash"),
        (
            {"components": {"knn": {"class": "ItemKNN", "neighbors": 3}}},
            "components: knn: unknown key 'neighbors'. Did you mean 'neighbours'",
        ),
        (
            {"components": {"graph": {"class": "GraphSAGE", "finetune": {"loss": "softmx"}}}},
            "graph.finetune.loss: unknown value 'softmx'. Did you mean 'softmax'",
        ),
        (
            {"components": {"graph": {"class": "GraphSAGE", "finetune": {"objective": "rnking"}}}},
            "graph.finetune.objective: unknown value 'rnking'. Did you mean 'ranking'",
        ),
        ({"components": {"knn": KNN}}, "main: knn cannot score users without known items"),
        (
            {"components": {"a": {"class": "Popularity"}, "b": {"class": "Biases"}}},
            "components: b predict ratings and the others rank; mix one kind",
        ),
        ({"components": {"a": {"class": "AttributeKNN", "k": 0}}}, "a: k must be at least 1, got 0"),
        (
            {"components": CHEAP, "weights": {0: {"popularity": 0.5, "regresion": 0.5}}},
            "weights: 0: no component is called 'regresion'; there are popularity, regression, item-knn",
        ),
        ({"components": CHEAP, "weights": {2: {"popularity": 0.5}}}, r"weights: 2: must sum to 1, but .* sum to 0.5"),
        ({"components": CHEAP, "weights": {2: {}}}, "weights: 2: must sum to 1"),
        ({"components": CHEAP, "weights": {0: {"popularity": float("nan")}}}, "weights: 0: must sum to 1"),
        ({"components": CHEAP, "weights": {"popularity": 1.0}}, "weights: 'popularity': 1.0: give the least number of"),
        ({"components": CHEAP, "weights": {-1: {"popularity": 1.0}}}, "weights: -1: .* give the least number of known"),
        ({"components": {"a": {"extends": "a.yaml"}}}, "components: a: missing key 'class'.*`extends` is read in a"),
        (
            {"components": CHEAP, "weights": {0: {"popularity": 1.5, "regression": -0.5}}},
            "weights: 0: must be at least 0 where items are ranked",
        ),
        ({"components": CHEAP, "weights": "chose"}, "weights: 'chose': must be choose, or a mapping"),
        ({"components": CHEAP, "main": "popular"}, "main: no component is called 'popular'; there are popularity"),
        ({"components": CHEAP, "choose_on": -1}, "choose_on must be at least 0, got -1"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        build(Blend, options)
    assert "\n" not in str(error.value)


def test_the_constructor_itself_refuses_as_well() -> None:
    with pytest.raises(ValueError, match="weights: 0: no component is called 'plane'"):
        Blend(components={"main": MAIN, "plain": PLAIN}, weights={0: {"main": 0.5, "plane": 0.5}})
