"""The bootstrap against theory and a loop, Holm's correction against numbers worked by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnnrec.evaluation.statistics import gap_between_groups, holm, paired_bootstrap


def compare(difference, **options):
    """The difference alone: the second model has zero everywhere; NaN where a user is not in a run."""
    difference = np.asarray(difference, dtype=np.float64)
    difference = difference[:, None] if difference.ndim == 1 else difference
    there = ~np.isnan(difference)
    first = np.where(there, difference, 0.0)
    return paired_bootstrap(first, np.zeros_like(first), there.astype(float), **options)


def test_agrees_with_the_normal_theory_of_a_mean():
    difference = np.random.default_rng(0).normal(0.05, 1.0, 400)
    found = compare(difference, seed=1)
    error = difference.std() / 20
    assert found.mean == pytest.approx(difference.mean())
    # An end of the interval from 10,000 draws is itself known to about .03 standard errors.
    assert found.low == pytest.approx(difference.mean() - 1.96 * error, abs=0.12 * error)
    assert found.high == pytest.approx(difference.mean() + 1.96 * error, abs=0.12 * error)
    assert found.effect_size == pytest.approx(difference.mean() / difference.std(ddof=1))
    assert found.users == 400


def test_the_interval_holds_the_truth_95_times_in_100():
    random = np.random.default_rng(2)
    held = 0
    for seed in range(400):
        skewed = random.exponential(1.0, 80) - 0.8  # true mean .2
        found = compare(skewed, resamples=500, seed=seed)
        held += found.low <= 0.2 <= found.high
    # Percentile intervals of 80 skewed values hold a little under 95 %; standard error of the share 1.1 %.
    assert 0.90 <= held / 400 <= 0.975


def test_p_is_uniform_where_there_is_no_difference():
    random = np.random.default_rng(3)
    p = np.array([compare(random.normal(0, 1, 60), resamples=500, seed=s).p_value for s in range(500)])
    for level in (0.05, 0.25, 0.5, 0.75):
        # Four standard errors of a share over 500.
        assert (p <= level).mean() == pytest.approx(level, abs=4 * (level * (1 - level) / 500) ** 0.5), level


def test_p_of_a_clear_difference_is_small_but_never_zero():
    found = compare(np.random.default_rng(0).normal(1.0, 1.0, 100), resamples=999)
    assert found.p_value == 0.001  # 1 of 1,000
    assert found.low > 0


def test_no_difference_at_all():
    found = compare(np.zeros(10))
    assert (found.mean, found.low, found.high, found.p_value, found.effect_size) == (0, 0, 0, 1, 0)
    assert compare(np.full(10, 0.5)).effect_size is None


def test_turning_it_round_turns_the_sign():
    values = np.random.default_rng(5).random((30, 2))
    weight = np.random.default_rng(6).integers(1, 9, (30, 2)).astype(float)
    one, other = (paired_bootstrap(a, b, weight, seed=4) for a, b in ((values, values**2), (values**2, values)))
    assert (one.mean, one.low, one.high) == pytest.approx((-other.mean, -other.high, -other.low))
    assert one.p_value == other.p_value


def test_same_seed_same_draws():
    values = np.random.default_rng(5).random(30)
    assert compare(values, seed=1) == compare(values, seed=1)
    assert compare(values, seed=1) != compare(values, seed=2)


def test_the_mean_over_runs_weighs_runs_alike():
    # Run 1: users 0, 1 with 1 and 3, mean 2. Run 2: user 2 with 8. Mean of the runs 5, not 4.
    found = compare([[1, np.nan], [3, np.nan], [np.nan, 8]])
    assert found.mean == 5


def test_folds_are_independent_blocks():
    # Two folds of 300 users that share none: the variance of the mean is that of 600 users.
    values = np.random.default_rng(6).normal(0, 1, 600)
    folds = np.full((600, 2), np.nan)
    folds[:300, 0], folds[300:, 1] = values[:300], values[300:]
    found, expected = compare(folds), 2 * 1.96 * values.std() / 600**0.5
    assert found.high - found.low == pytest.approx(expected, rel=0.06)


def test_a_user_measured_with_five_seeds_counts_once():
    values = np.random.default_rng(7).normal(0.1, 1, 200)
    one, five = compare(values, seed=0), compare(np.tile(values[:, None], 5), seed=0)
    assert (five.low, five.high, five.p_value) == pytest.approx((one.low, one.high, one.p_value))


def test_rmse_is_the_root_over_all_ratings():
    # Squared errors 8 of 2 ratings and 0 of 2: rmse sqrt(2); the other model 1 of 2 and 3 of 2: rmse 1.
    first, second, weight = (np.array(v, dtype=float)[:, None] for v in ([8, 0], [1, 3], [2, 2]))
    found = paired_bootstrap(first, second, weight, root=True)
    assert found.mean == pytest.approx(2**0.5 - 1)
    # Draws: user 0 twice (2 - sqrt .5), user 1 twice (0 - sqrt 1.5), or one of each.
    assert (found.low, found.high) == pytest.approx((-(1.5**0.5), 2 - 0.5**0.5))


def test_equals_a_loop_over_every_draw():
    # All 27 draws of three users in two overlapping runs, worked one by one; the interval lies within their range and
    # the share of draws above zero agrees.
    values = np.array([[1.0, -2.0], [-1.0, np.nan], [np.nan, 3.0]])
    every = []
    for draw in np.stack(np.meshgrid(*[range(3)] * 3), -1).reshape(-1, 3):
        runs = [values[draw, r][~np.isnan(values[draw, r])] for r in (0, 1)]
        if all(len(run) for run in runs):
            every.append(np.mean([run.mean() for run in runs]))
    found = compare(values, resamples=40_000)
    mean = (0 + 0.5) / 2
    far = np.mean(np.abs(np.array(every) - mean) >= mean - 1e-12)
    assert found.mean == pytest.approx(mean)
    assert found.p_value == pytest.approx(far, abs=0.012)  # standard error .0025
    assert (found.low, found.high) == (pytest.approx(min(every)), pytest.approx(max(every)))


def test_what_does_not_fit():
    with pytest.raises(ValueError, match="one shape"):
        paired_bootstrap(np.zeros((3, 1)), np.zeros((2, 1)), np.ones((3, 1)))
    with pytest.raises(ValueError, match="a run has no user"):
        paired_bootstrap(np.zeros((3, 1)), np.zeros((3, 1)), np.zeros((3, 1)))


def test_holm_by_hand():
    # Sorted .005, .01, .03, .04 times 4, 3, 2, 1 = .02, .03, .06, .04; the last may not be below the one before: .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    # .4 * 2 = .8, .9 * 1 = .9; .6 * 2 = 1.2 is cut to 1.
    assert holm([0.9, 0.4]) == pytest.approx([0.9, 0.8])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_the_raw_values_and_bonferroni(p):
    corrected = holm(p)
    assert all(raw <= c <= min(1, raw * len(p)) + 1e-12 for raw, c in zip(p, corrected, strict=True))
    assert [c for _, c in sorted(zip(p, corrected, strict=True))] == sorted(corrected)
    assert min(corrected) == pytest.approx(min(1, min(p) * len(p)))


def slow_bootstrap(first, second, weight, blocks, root, resamples, seed):
    """Another way to the same: users in lists, each draw a loop; the blocks are given by hand."""
    random = np.random.default_rng(seed)
    differences, effects = [], []
    for _ in range(resamples):
        drawn = [user for block in blocks for user in random.choice(block, len(block))]
        runs = []
        for r in range(first.shape[1]):
            total = sum(weight[u, r] for u in drawn)
            a, b = (sum(values[u, r] for u in drawn) / total for values in (first, second))
            runs.append(a**0.5 - b**0.5 if root else a - b)
        differences.append(np.mean(runs))
        own = [(first[u] - second[u]).sum() / weight[u].sum() for u in drawn]
        effects.append(np.mean(own) / np.std(own, ddof=1))
    return np.quantile(differences, [0.025, 0.975]), np.quantile(effects, [0.025, 0.975])


@pytest.mark.parametrize("root", [False, True])
def test_agrees_with_a_second_slow_implementation(root):
    # Two folds of 12 and 20 users, each measured with two seeds; ratings as weights.
    random = np.random.default_rng(8)
    weight = np.zeros((32, 4))
    weight[:12, :2], weight[12:, 2:] = random.integers(1, 9, (12, 2)), random.integers(1, 9, (20, 2))
    first, second = (random.random((32, 4)) * weight * scale for scale in (1.3, 1.0))
    found = paired_bootstrap(first, second, weight, root=root, resamples=20_000, seed=1)
    blocks = [list(range(12)), list(range(12, 32))]
    interval, effects = slow_bootstrap(first, second, weight, blocks, root, 3_000, seed=2)
    # An end from 3,000 draws is known to about .05 standard errors, and an interval is four of them long.
    slack = 0.05 * (found.high - found.low)
    assert (found.low, found.high) == (pytest.approx(interval[0], abs=slack), pytest.approx(interval[1], abs=slack))
    slack = 0.05 * (found.effect_high - found.effect_low)
    assert found.effect_low == pytest.approx(effects[0], abs=slack)
    assert found.effect_high == pytest.approx(effects[1], abs=slack)


def test_a_fold_keeps_its_users_in_every_draw():
    # A fold of one user can only be drawn as that user: nothing is left to chance.
    found = compare([[1, np.nan], [np.nan, 8]])
    assert (found.mean, found.low, found.high) == (4.5, 4.5, 4.5)
    # Four users beside a hundred: all 256 draws of the four, not draws in which chance leaves only one of them.
    four = [0.0, 1.0, 2.7, 5.3]
    folds = np.full((104, 2), np.nan)
    folds[:4, 0], folds[4:, 1] = four, 8
    found = compare(folds)
    every = [(np.mean(draw) + 8) / 2 for draw in itertools.product(four, repeat=4)]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(every, [0.025, 0.975])))


def test_runs_that_share_a_user_are_one_block():
    # Runs 0 and 1 share user 1, so any of the three users may be drawn for any other; run 2 stands alone.
    values = np.full((4, 3), np.nan)
    values[[0, 1], 0], values[[1, 2], 1], values[3, 2] = [0, 6], [6, 12], 30
    found = compare(values)
    # Drawing user 0 alone would give run 1 nobody: such a draw does not count. From there, run 0 lies between 0 and 6,
    # run 1 between 6 and 12.
    assert found.mean == pytest.approx((3 + 9 + 30) / 3)
    assert (0 + 6 + 30) / 3 <= found.low < found.mean < found.high <= (6 + 12 + 30) / 3


def test_the_effect_size_by_hand():
    # Differences 1 and 3: mean 2, standard deviation sqrt(2). Draws: 1 and 1, 3 and 3 (no spread), or as they are.
    found = compare([1.0, 3.0])
    assert found.effect_size == pytest.approx(2**0.5)
    assert found.effect_low == pytest.approx(2**0.5)
    assert found.effect_high is None  # infinite
    found = compare([1.0, -1.0])
    assert (found.effect_size, found.effect_low, found.effect_high) == (0, None, None)


def test_the_effect_size_holds_the_truth_95_times_in_100():
    random, held = np.random.default_rng(9), 0
    for seed in range(300):
        found = compare(random.normal(0.4, 1.0, 100), resamples=400, seed=seed)
        held += found.effect_low <= 0.4 <= found.effect_high
    assert 0.90 <= held / 300 <= 0.985  # standard error of the share 1.3 %


def test_a_user_without_weight_is_nobody():
    with_nobody = compare([[0.1, 0.4], [0.5, 0.2], [np.nan, np.nan]])
    assert with_nobody == compare([[0.1, 0.4], [0.5, 0.2]])
    assert with_nobody.users == 2


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=2, max_size=12),
    st.floats(0.01, 100),
    st.floats(-5, 5),
)
def test_units_do_not_matter(pairs, scale, shift):
    values = np.round(np.array(pairs), 6)
    weight = np.ones((len(values), 1))
    plain = paired_bootstrap(values[:, :1], values[:, 1:], weight, resamples=200)
    other = paired_bootstrap(scale * values[:, :1] + shift, scale * values[:, 1:] + shift, weight, resamples=200)
    assert (other.mean, other.low, other.high) == pytest.approx(
        (scale * plain.mean, scale * plain.low, scale * plain.high), rel=1e-6, abs=1e-9
    )
    assert 0 < plain.p_value <= 1


def test_the_gap_between_groups_covers_the_truth():
    # Two groups of 60 whose means are .2 apart: about 95 of 100 intervals hold .2.
    random, inside = np.random.default_rng(8), 0
    for seed in range(100):
        groups = [random.normal(mean, 0.2, 60) for mean in (0.3, 0.5)]
        gap, low, high = gap_between_groups(groups, resamples=500, seed=seed)
        assert low <= gap <= high
        inside += low <= 0.2 <= high
    assert 87 <= inside <= 100
    assert gap_between_groups([np.ones(3), np.ones(4)]) == (0, 0, 0)
