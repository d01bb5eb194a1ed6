"""Metrics of predicted ratings and of the order of rated items, by hand."""

import math

import pytest
import torch

from gnnrec.evaluation.metrics import METRICS, MetricInput
from gnnrec.evaluation.metrics.metric import ratings_of_users
from gnnrec.evaluation.metrics.rating import rated_ndcg

# Errors 1, -1, 1 of user 0 and 3 of user 1, not in the order of the users.
ERRORS = MetricInput(
    num_users=2, error=torch.tensor([1.0, 3.0, -1.0, 1.0]).double(), rating_user=torch.tensor([0, 1, 0, 0])
)


def test_rmse_and_mae_are_over_all_ratings():
    # (1 + 1 + 1 + 9) / 4 = 3 and (1 + 1 + 1 + 3) / 4 = 1.5; the users' own means would give (1 + 3) / 2.
    rmse, squared = METRICS["rmse"].measure(ERRORS)
    mae, absolute = METRICS["mae"].measure(ERRORS)
    assert (rmse, squared.tolist()) == (pytest.approx(3**0.5), [3, 9])
    assert (mae, absolute.tolist()) == (1.5, [3, 3])
    assert ratings_of_users(ERRORS).tolist() == [3, 1]


def test_results_keep_sums_under_names_of_their_own():
    assert [METRICS[name].sums for name in ("rmse", "mae")] == ["squared_error", "absolute_error"]


def test_rated_ndcg_by_hand():
    # Gains 3, 0, 7 against 7, 3, 0: (3 + 7 / log2 4) / (7 + 3 / log2 3) = 6.5 / 8.8928.
    found = rated_ndcg(torch.tensor([[3.0, 0, 7]]), torch.tensor([[7.0, 3, 0]]))
    assert found.tolist() == pytest.approx([6.5 / (7 + 3 / math.log2(3))])


def test_a_user_without_a_gain_is_refused():
    with pytest.raises(ValueError, match="1 users have no item with a gain"):
        rated_ndcg(torch.zeros(2, 2), torch.tensor([[1.0, 0], [0, 0]]))
