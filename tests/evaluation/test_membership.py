"""Membership inference by hand, against slow loops, and where the answer is known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

from gnnrec.evaluation import membership
from gnnrec.evaluation.membership import attack_quality, history_statistic, lira
from gnnrec.views import Edges


def test_the_mean_log_probability_of_a_history_by_hand() -> None:
    # Of three ranked items the first user's probabilities are 4/7, 2/7, 1/7; it has the first and the last one.
    # The second user has the middle one: 1/3. The fourth item is not ranked.
    scores = torch.tensor([[4.0, 2.0, 1.0, 9.0], [1.0, 1.0, 1.0, 1.0]]).log()
    ranked = torch.tensor([True, True, True, False])
    history = Edges(torch.tensor([0, 0, 1]), torch.tensor([0, 2, 1]))
    found = history_statistic(scores, ranked, history, log_scores=True)
    assert found.tolist() == pytest.approx([math.log(4 / 7 * 1 / 7) / 2, math.log(1 / 3)], rel=1e-6)


def test_an_item_that_a_model_rules_out_has_a_thousandth_of_a_uniform_probability() -> None:
    scores = torch.tensor([[0.0, -1e4]])
    history = Edges(torch.tensor([0, 0]), torch.tensor([0, 1]))
    found = history_statistic(scores, torch.ones(2, dtype=torch.bool), history, log_scores=True)
    assert found.item() == pytest.approx(math.log(0.5e-3) / 2)


def test_the_rank_of_a_history_by_hand() -> None:
    # Ranks of four items are 1, 2.5, 2.5, 4; log((4 - 1 + .5) / .5) = log 7, that of 2.5 is log(2 / 2) = 0.
    scores = torch.tensor([[9.0, 5.0, 5.0, 1.0]])
    ranked = torch.ones(4, dtype=torch.bool)
    first = history_statistic(scores, ranked, Edges(torch.tensor([0]), torch.tensor([0])), log_scores=False)
    tied = history_statistic(scores, ranked, Edges(torch.tensor([0, 0]), torch.tensor([1, 2])), log_scores=False)
    assert first.item() == pytest.approx(math.log(7))
    assert tied.item() == pytest.approx(0.0)
    assert history_statistic(scores, ranked, Edges(*torch.empty(2, 0, dtype=torch.int64)), log_scores=False).isnan()


def test_lira_by_hand() -> None:
    # User 0: models 0, 1, 2 with it have 1, 2, 3, models 3 and 4 without it -1 and -2. Attacked is model 0.
    # Of the others, with: mean 2.5, squares .5 of 1 degree; without: mean -1.5, squares .5 of 1 degree. One user alone
    # shares the variance with nobody, so it is that of these: .5 and .5.
    statistic = np.array([[1.0], [2.0], [3.0], [-1.0], [-2.0]])
    member = np.array([[True], [True], [True], [False], [False]])
    score = lira(statistic, member)[0, 0]
    assert score == pytest.approx((-(1.5**2) + 2.5**2) / (2 * 0.5))
    assert lira(statistic, member, online=False)[0, 0] == pytest.approx(2.5 / math.sqrt(0.5))


def slow_lira(statistic: np.ndarray, member: np.ndarray, own_variance: bool, online: bool) -> np.ndarray:
    """Loops over attacked models and users, with numpy's own means and variances."""
    models, users = statistic.shape
    score = np.full((models, users), np.nan)
    for attacked in range(models):
        groups = {}
        for user in range(users):
            others = [m for m in range(models) if m != attacked]
            for side in (True, False):
                groups[user, side] = np.array([statistic[m, user] for m in others if member[m, user] == side])
        shared = {}
        for side in (True, False):
            parts = [values for (_, kind), values in groups.items() if kind == side and len(values)]
            squares = sum(((values - values.mean()) ** 2).sum() for values in parts)
            shared[side] = math.sqrt(squares / sum(len(values) - 1 for values in parts))
        for user in range(users):
            inside, outside = groups[user, True], groups[user, False]
            if not len(outside) or (online and not len(inside)):
                continue
            of_in, of_out = shared[True], shared[False]
            if own_variance:
                of_in, of_out = inside.std(ddof=1), outside.std(ddof=1)
            one = statistic[attacked, user]
            if online:
                ratio = norm.pdf(one, inside.mean(), of_in) / norm.pdf(one, outside.mean(), of_out)
                score[attacked, user] = math.log(ratio)
            else:
                score[attacked, user] = (one - outside.mean()) / of_out
    return score


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("few", [64, 2])
def test_lira_is_what_loops_give(online: bool, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "FEW_MODELS", few)
    random = np.random.default_rng(5)
    member = random.random((12, 7)).argsort(axis=0) < random.integers(4, 9, size=7)  # 4 to 8 of 12 have each user
    statistic = random.normal(size=(12, 7)) - 5 + member
    slow = slow_lira(statistic, member, own_variance=few == 2, online=online)
    assert np.isfinite(slow).all()
    np.testing.assert_allclose(lira(statistic, member, online=online), slow, rtol=1e-8, atol=1e-8)


def test_a_user_whom_no_other_model_has_gets_no_score() -> None:
    member = np.array([[True, True], [False, True], [False, True], [False, False], [False, False], [False, False]])
    score = lira(np.arange(12.0).reshape(6, 2), member)
    assert np.isnan(score[0, 0])  # the only model with user 0 is the attacked one
    assert np.isfinite(score[1:, 0]).all()
    assert np.isfinite(score[:, 1]).all()


@given(st.integers(min_value=1, max_value=10_000))
def test_auc_and_rates_are_those_of_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    member = random.random((4, 60)) < 0.4
    score = np.round(random.normal(size=member.shape) + member, 1)  # rounded: there are ties
    found = attack_quality(score, member, (0.05, 0.1), draws=2)
    assert found.auc == pytest.approx(roc_auc_score(member.ravel(), score.ravel()))
    false, true, _ = roc_curve(member.ravel(), score.ravel(), drop_intermediate=False)
    for rate in (0.05, 0.1):
        assert found.tpr[f"{rate:g}"] == pytest.approx(true[false <= rate].max())


def test_a_rate_that_too_few_answers_resolve_is_left_out() -> None:
    random = np.random.default_rng(3)
    member = np.arange(600).reshape(2, 300) % 2 == 0  # 300 answers on others: .001 would be a third of one
    found = attack_quality(random.normal(size=member.shape), member, draws=10)
    assert found.tpr["0.001"] is None
    assert found.tpr_low["0.001"] is None
    assert attack_quality(random.normal(size=member.shape), member, (0.02,), draws=10).tpr["0.02"] is not None


def test_a_threshold_is_chosen_on_the_other_models_by_hand() -> None:
    # Model 1's best threshold is 2 (all right); by it, model 0's members 3 and 1 are told once right, its others (0, 0)
    # twice. Model 0's best is 1, from which on both members are told; by it, model 1's 2 and 2 are right, its 1 wrong.
    score = np.array([[3.0, 1.0, 0.0, 0.0], [2.0, 2.0, 1.0, 0.0]])
    member = np.array([[True, True, False, False]] * 2)
    assert attack_quality(score, member, draws=2).balanced_accuracy == pytest.approx((3 / 4 + 3 / 4) / 2)


def test_intervals_are_those_of_drawn_models_and_users() -> None:
    random = np.random.default_rng(11)
    member = random.random((6, 40)) < 0.5
    score = random.normal(size=member.shape) + 0.8 * member
    found = attack_quality(score, member, draws=400, seed=4)
    drawn = []
    for _ in range(400):  # another generator: the ends agree but for chance
        models, users = random.integers(6, size=6), random.integers(40, size=40)
        part = np.ix_(models, users)
        drawn.append(roc_auc_score(member[part].ravel(), score[part].ravel()))
    assert [found.auc_low, found.auc_high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]).tolist(), abs=0.02)
    assert found.auc_low < found.auc < found.auc_high


@pytest.mark.parametrize("online", [True, False])
def test_without_any_effect_lira_guesses(online: bool) -> None:
    """Each attacked model is left out of what is learned of the others, so coins alone give .5."""
    random = np.random.default_rng(9)
    member = random.random((16, 2000)) < 0.5
    statistic = random.normal(size=member.shape) + random.normal(size=(1, 2000)) * 3
    found = attack_quality(lira(statistic, member, online=online), member, draws=20)
    assert found.auc == pytest.approx(0.5, abs=0.01)  # standard error: .5 / sqrt(3 * 16,000) = .003
    assert found.balanced_accuracy == pytest.approx(0.5, abs=0.01)


def test_lira_finds_what_one_threshold_for_all_cannot() -> None:
    """Users differ more from each other than membership moves any of them; of each user alone it is plain."""
    random = np.random.default_rng(2)
    member = random.random((16, 300)) < 0.5
    statistic = random.normal(size=(1, 300)) * 10 + member + 0.3 * random.normal(size=member.shape)
    assert attack_quality(statistic, member, draws=2).auc < 0.6
    assert attack_quality(lira(statistic, member), member, draws=2).auc > 0.95  # 3.3 standard deviations apart


def test_a_model_that_no_user_moves_gives_ties() -> None:
    member = np.random.default_rng(1).random((9, 50)) < 0.5
    statistic = np.broadcast_to(np.random.default_rng(2).normal(size=50), member.shape)
    for online in (True, False):
        assert attack_quality(lira(statistic, member, online=online), member, draws=5).auc == 0.5


def test_one_side_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="members and other users"):
        attack_quality(np.zeros((2, 3)), np.ones((2, 3), dtype=bool))
