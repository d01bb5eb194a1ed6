"""Least-squares concept erasure: uncorrelated afterwards, the smallest change, nothing more."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from gnnrec.nn.erasure import erase


def made(seed, groups=2, users=400, width=5):
    random = torch.Generator().manual_seed(seed)
    group = torch.randint(groups, (users,), generator=random)
    mixed = torch.randn(width, width, generator=random)
    shift = torch.randn(groups, width, generator=random)
    return torch.randn(users, width, generator=random) @ mixed + shift[group], group


@pytest.mark.parametrize("groups", [2, 4])
def test_vectors_and_groups_are_uncorrelated_afterwards(groups):
    vectors, group = made(3, groups)
    change = erase(vectors, group)
    after = change(vectors)
    assert change.told.shape == (5, groups - 1)
    for g in range(groups):
        assert after[group == g].mean(0).tolist() == pytest.approx(vectors.mean(0).tolist(), abs=1e-4)
    told = LogisticRegression(C=1e6).fit(after, group == 0).predict_proba(after)[:, 1]
    assert roc_auc_score(group == 0, told) < 0.56
    before = LogisticRegression(C=1e6).fit(vectors, group == 0).predict_proba(vectors)[:, 1]
    assert roc_auc_score(group == 0, before) > 0.7


def test_no_smaller_affine_change_makes_them_uncorrelated():
    # The constraint is linear in the map, so the smallest change is a projection: found here by least squares.
    vectors, group = made(4)
    x, z = (vectors - vectors.mean(0)).double(), (group.double() - group.double().mean())[:, None]
    after = erase(vectors, group)(vectors).double()
    moved = float(((after - vectors.double()) ** 2).sum())
    random = torch.Generator().manual_seed(5)
    covariance, crossed = x.T @ x, x.T @ z
    for _ in range(20):
        # Any other map M with M crossed = crossed, applied as x - M x, has the same correlation, and moves more.
        free = torch.randn(5, 5, generator=random, dtype=torch.float64)
        free = free - free @ crossed @ crossed.T / (crossed.T @ crossed)
        best = erase(vectors, group)
        matrix = best.moved.double() @ best.told.double().T + 0.05 * free
        other = x - x @ matrix.T
        assert abs(float((other.T @ z).abs().max())) < 1e-2
        assert float(((x - other) ** 2).sum()) > moved
    assert covariance.shape == (5, 5)


def test_half_the_strength_is_half_of_the_change_and_a_second_time_changes_nothing():
    vectors, group = made(6)
    change = erase(vectors, group)
    assert change(vectors, 0.5) == pytest.approx((vectors + change(vectors)) / 2, abs=1e-5)
    assert change(change(vectors)) == pytest.approx(change(vectors), abs=1e-4)
    assert change(vectors, 0.0).equal(vectors)


def test_constant_columns_and_groups_of_one_stay():
    vectors, group = made(7)
    wide = torch.cat([vectors, torch.ones(len(vectors), 1)], 1)
    after = erase(wide, group)(wide)
    assert after[:, -1].tolist() == pytest.approx([1.0] * len(wide))
    alike = erase(vectors, torch.zeros_like(group))
    assert alike.told.shape == (5, 0)
    assert alike(vectors).equal(vectors)
