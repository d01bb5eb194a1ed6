"""Regression from items to items, against one ridge regression per item and numbers worked by hand."""

import numpy as np
import scipy.sparse as sp
import torch

from gnnrec.data.made import made
from gnnrec.item_regression import REGULARIZATION, ItemRegression, item_weights
from gnnrec.known import Edges, Users
from gnnrec.split import UnseenUsers, make_split


def test_weights_by_hand() -> None:
    # Two items, both chosen by users 1 and 2, the first by user 3 too: X'X = [[3, 2], [2, 2]]. The second from the
    # first: 2 / (3 + 1); the first from the second: 2 / (2 + 1).
    history = sp.csr_array(np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 0.0]]))
    np.testing.assert_allclose(item_weights(history, 1.0), [[0, 1 / 2], [2 / 3, 0]], rtol=1e-6)


def test_weights_are_those_of_one_ridge_regression_per_item() -> None:
    random = np.random.default_rng(0)
    history = (random.random((40, 9)) < 0.3).astype(float)
    found = item_weights(sp.csr_array(history), 2.5)
    for item in range(9):
        others = np.delete(history, item, axis=1)
        wanted = np.linalg.solve(others.T @ others + 2.5 * np.eye(8), others.T @ history[:, item])
        np.testing.assert_allclose(found[:, item], np.insert(wanted, item, 0), rtol=1e-4, atol=1e-6)


def test_expected_are_the_summed_rows_of_known_items_from_the_least_one_on() -> None:
    split = make_split(made(0), UnseenUsers(test=0.2, validation=0.2, support=3), 0)
    train, users = split.train, split.validation.users
    found = ItemRegression(train)(users)
    weight = item_weights(sp.csr_array(train.users.history(train.num_items).double().numpy()), REGULARIZATION)
    for row in range(len(users)):
        total = weight[users.items.node[users.items.row == row].numpy()].sum(axis=0)
        np.testing.assert_allclose(found[row], total - total.min(), atol=1e-6)


def test_nothing_is_expected_of_a_user_without_items() -> None:
    split = make_split(made(0), UnseenUsers(test=0.2), 0)
    none = torch.empty(0, dtype=torch.int64)
    assert not ItemRegression(split.train)(Users(torch.tensor([7]), Edges(none, none), {})).any()
