"""What metrics declare, and how they are found by name."""

import re

import pytest
import torch

from gnnrec.evaluation.metrics import (
    METRICS,
    Metric,
    MetricInput,
    accuracy,
    beyond_accuracy,
    classes,
    fairness,
    find,
    higher_is_better,
    rating,
)


def declared(**changes):
    options = {"name": "m", "needs": ("hits",), "function": lambda hits: hits, "higher_is_better": True}
    return Metric(**options | changes)


def test_each_metric_is_listed_once():
    listed = [metric for module in (accuracy, beyond_accuracy, rating, classes, fairness) for metric in module.METRICS]
    assert len({metric.name for metric in listed}) == len(listed) == len(METRICS)
    assert all(METRICS[metric.name] is metric for metric in listed)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ndcg@10", True),
        ("k5/map@1", True),
        ("mrr", True),
        ("rated_ndcg@5", True),
        ("rmse", False),
        ("k0/mae", False),
        ("ndcg_gap@10", False),
        ("auc", True),
        ("calibration_error", False),
        ("coverage@10", None),
        ("k1/novelty@10", None),
        ("unheard_of@10", None),
    ],
)
def test_direction(name, expected):
    assert higher_is_better(name) is expected


def test_found_by_the_name_that_results_have():
    assert find("k10/intra_list_diversity@5") is METRICS["intra_list_diversity"]
    assert find("unheard_of") is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "ndcg@10"}, "a word of letters, digits and _, got 'ndcg@10'"),
        ({"needs": ("hit",)}, "m: needs unknown 'hit'. Did you mean 'hits'? Allowed: hits, num_relevant"),
        ({"needs": ("num_users",)}, "m: needs unknown 'num_users'"),
        ({"needs": ()}, "got nothing"),
        ({"needs": ("groups",)}, "fields of one of lists, rated, ratings, classes, got groups"),
        ({"needs": ("hits", "error")}, "got hits, error"),
        ({"needs": ("error",)}, "a mean over ratings needs error or rating"),
        ({"mean_over": "ratings"}, "a mean over ratings needs error or rating"),
        ({"needs": ("error",), "mean_over": "ratings"}, "takes_length must be False"),
        ({"root": True}, "root and column are of means over ratings only"),
    ],
)
def test_a_declaration_that_does_not_fit(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        declared(**changes)


def test_the_kind_follows_from_the_needs():
    assert declared(needs=("groups", "gains")).kind == "rated"
    assert declared(needs=("rating",), mean_over="ratings", takes_length=False).kind == "ratings"


def test_lists_are_cut_and_nothing_else_is():
    given = MetricInput(
        num_users=1,
        items=torch.tensor([[4, 5, 6]]),
        num_relevant=torch.tensor([9]),
        ideal_gains=torch.tensor([[3.0, 2, 1]]),
        candidates=torch.ones(7, dtype=torch.bool),
    )
    cut = given.cut(2)
    assert (cut.items.tolist(), cut.ideal_gains.tolist()) == ([[4, 5]], [[3, 2]])
    assert (cut.num_relevant, cut.candidates, cut.hits) == (given.num_relevant, given.candidates, None)


def test_a_field_that_was_not_prepared_is_named():
    with pytest.raises(AssertionError, match="m needs hits, which was not prepared"):
        declared().measure(MetricInput(num_users=1))
