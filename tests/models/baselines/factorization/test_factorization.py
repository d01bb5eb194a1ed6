"""Matrix factorization: the vectors of known users, fold-in, and the policies for a user without a vector."""

import builtins
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.graph.matrices import UserFeatures
from gnnrec.models.baselines import ALS, BPR
from gnnrec.models.implicit_models import fit_library
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import Edges, TrainingData

pytest.importorskip("implicit", reason="matrix factorization needs gnnrec[mf]")

SPLIT = make_split(synthetic(0, num_users=100), UnseenUsers(test=0.2, validation=0.2), 0)
TRAIN, UNSEEN = SPLIT.train, SPLIT.validation.users


def fitted(model: ALS | BPR, seed: int = 0) -> Any:
    model.fit(TRAIN, None, seed)
    return model


def factors_of(model: ALS | BPR, train: TrainingData = TRAIN) -> tuple[np.ndarray, np.ndarray]:
    """[U, D] and [I, D], the vectors of users and items that the library finds when it is called by itself."""
    module, name, own = ("als", "AlternatingLeastSquares", "alpha")
    if isinstance(model, BPR):
        module, name, own = ("bpr", "BayesianPersonalizedRanking", "learning_rate")
    options = {option: getattr(model, option) for option in ("factors", "regularization", "iterations", own)}
    library = fit_library(module, name, options, train, 0)  # type: ignore[arg-type]
    return library.user_factors, library.item_factors


@pytest.mark.parametrize("model_class", [ALS, BPR])
def test_two_fits_agree_bit_for_bit_and_two_seeds_do_not(model_class: type[ALS] | type[BPR]) -> None:
    one, same, other = (fitted(model_class(cold="mean"), seed).score(TRAIN.users) for seed in (0, 0, 1))
    assert one.equal(same)
    assert not one.equal(other)


def test_als_folds_in_by_the_closed_form_of_the_paper() -> None:
    # Hu et al., equation 4: x = (Y'Y + Y'(C - I)Y + regularization I)^-1 Y'C p, with confidence alpha where known.
    model = fitted(ALS(factors=5, alpha=7.0, regularization=0.3, cold_weight=0))
    known = replace(UNSEEN, items=Edges(torch.tensor([2, 2, 2]), torch.tensor([1, 5, 9])))
    item = factors_of(model)[1].astype(np.float64)
    chosen = item[[1, 5, 9]]
    vector = np.linalg.solve(item.T @ item + 6.0 * chosen.T @ chosen + 0.3 * np.eye(5), 7.0 * chosen.sum(0))
    scores = model.score(known)
    assert scores[2].numpy() == pytest.approx(item @ vector, abs=1e-4)
    assert not scores[0].allclose(scores[2], atol=1e-3)


def test_als_does_not_forget_attributes_at_the_first_item() -> None:
    known = replace(UNSEEN, items=Edges(torch.tensor([2]), torch.tensor([1])))
    by_map = fitted(ALS(cold="attribute_map", factors=5))
    cold, clicked = (by_map.score(users)[2] for users in (UNSEEN, known))
    alone = fitted(ALS(cold="attribute_map", factors=5, cold_weight=0)).score(known)[2]
    assert clicked.numpy() == pytest.approx((alone + cold).numpy() / 2, abs=1e-5)


def test_als_mixes_the_vector_of_the_cold_policy_with_the_fold_in_by_the_number_of_items() -> None:
    # Three known items and a cold vector that counts as two: 3/5 of the fold-in, 2/5 of the cold vector.
    known = replace(UNSEEN, items=Edges(torch.tensor([2, 2, 2]), torch.tensor([1, 5, 9])))
    for cold in ("mean", "attribute_map"):
        plain, mixed = (fitted(ALS(cold=cold, factors=5, cold_weight=weight)) for weight in (0.0, 2.0))
        wanted = 0.6 * plain.score(known)[2] + 0.4 * plain.score(UNSEEN)[2]
        assert mixed.score(known)[2].numpy() == pytest.approx(wanted.numpy(), abs=1e-5)
        assert mixed.score(known)[0].equal(plain.score(known)[0])


def test_cold_users_get_the_mean_vector_of_the_users_with_items() -> None:
    for model in (fitted(ALS(cold="mean")), fitted(BPR(cold="mean"))):
        has_items = np.bincount(TRAIN.users.items.row, minlength=TRAIN.num_users) > 0
        user, item = factors_of(model)
        wanted = item @ user[has_items].mean(axis=0)
        scores = model.score(UNSEEN)
        assert scores[0].numpy() == pytest.approx(wanted, abs=1e-4)
        assert scores.equal(scores[:1].expand_as(scores))


@pytest.mark.parametrize("friends", [False, True])
def test_cold_users_get_the_vector_that_ridge_regression_maps_their_attributes_to(friends: bool) -> None:
    for model in (ALS(cold="attribute_map", friends=friends), BPR(cold="attribute_map", friends=friends)):
        fitted(model)
        features = UserFeatures(TRAIN, friends=friends)
        user, item = factors_of(model)
        solved = Ridge(alpha=10.0).fit(features(TRAIN.users).toarray(), user)
        wanted = solved.predict(features(UNSEEN).toarray()) @ item.T
        assert model.score(UNSEEN).numpy() == pytest.approx(wanted, abs=1e-4)


def test_a_training_user_without_items_is_a_cold_user_and_does_not_count_in_the_policies() -> None:
    first = TRAIN.users.items.row != 0
    train = replace(TRAIN, users=replace(TRAIN.users, items=TRAIN.users.items.take(first)))
    for model in (ALS(cold="mean"), BPR(cold="mean")):
        model.fit(train, None, 0)
        scores = model.score(train.users)
        user, item = factors_of(model, train)
        wanted = item @ user[1:].mean(axis=0)
        assert scores[0].numpy() == pytest.approx(wanted, abs=1e-4)
    for model in (ALS(cold="attribute_map"), BPR(cold="attribute_map")):
        model.fit(train, None, 0)
        features = UserFeatures(train)(train.users).toarray()
        user, item = factors_of(model, train)
        solved = Ridge(alpha=10.0).fit(features[1:], user[1:])
        wanted = item @ solved.predict(features[:1])[0]
        assert model.score(train.users)[0].numpy() == pytest.approx(wanted, abs=1e-5)


def test_bpr_gives_a_training_user_its_own_vector_and_moves_another_towards_its_items() -> None:
    model = fitted(BPR(cold="mean"))
    user, item = factors_of(model)
    wanted = user @ item.T
    order = torch.tensor([3, 1, 2])
    assert model.score(TRAIN.users.take(order)).numpy() == pytest.approx(wanted[[3, 1, 2]], abs=1e-4)
    support = replace(UNSEEN, items=Edges(torch.tensor([0]), torch.tensor([1])))
    before, after = model.score(UNSEEN), model.score(support)
    assert after[1:].equal(before[1:])
    assert (after[0, 1] - after[0].mean()) > (before[0, 1] - before[0].mean())


def test_bpr_starts_its_fold_in_from_the_vector_of_the_cold_policy() -> None:
    support = replace(UNSEEN, items=Edges(torch.tensor([0, 1]), torch.tensor([1, 1])))
    mean, none = (fitted(BPR(cold=cold)).score(support) for cold in ("mean", "none"))
    assert none[:2].allclose(mean[:2], atol=1e-5)
    assert not none[2:].any()
    mapped = fitted(BPR(cold="attribute_map", fold_in_passes=1)).score(support)
    far = [user for user in range(2, len(UNSEEN)) if not mapped[user].allclose(mapped[0], atol=1e-2)]
    assert far
    assert not mapped[0].allclose(mean[0], atol=1e-3)


def test_bpr_adds_the_logarithm_of_each_items_share() -> None:
    # Of the training interactions; an item that nobody chose counts as half an interaction.
    count = np.maximum(np.bincount(TRAIN.users.items.node, minlength=TRAIN.num_items), 0.5)
    plain, added = (fitted(BPR(cold="mean", popularity=weight)) for weight in (0.0, 0.5))
    for users in (UNSEEN, TRAIN.users):
        wanted = plain.score(users).numpy() + 0.5 * np.log(count / len(TRAIN.users.items))
        assert added.score(users).numpy() == pytest.approx(wanted, abs=1e-5)


def test_without_a_policy_unseen_users_cannot_be_scored() -> None:
    for model_class in (ALS, BPR):
        assert not model_class(cold="none").supports_cold_users
        assert model_class(cold="mean").supports_cold_users
        assert not fitted(model_class(cold="none")).score(UNSEEN).any()


def test_fits_without_a_warning_or_a_progress_bar(capfd: pytest.CaptureFixture[str]) -> None:
    import implicit.utils

    implicit.utils._checked_blas_config = False  # the library warns once a process
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(ALS()).score(TRAIN.users)
        fitted(BPR()).score(TRAIN.users)
    assert capfd.readouterr() == ("", "")


def test_a_missing_library_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("implicit"):
            raise ImportError("No module named 'implicit'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    for model in (ALS(), BPR()):
        with pytest.raises(ConfigError, match=r"needs the library implicit: pip install 'gnnrec\[mf\]'"):
            model.fit(TRAIN, None, 0)


@pytest.mark.parametrize("name", ["factors", "iterations", "regularization", "map_regularization", "learning_rate"])
def test_options_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        BPR(**{name: -1})
    if name != "learning_rate":
        with pytest.raises(ValueError, match=f"{name} must be"):
            ALS(**{name: -1})
    with pytest.raises(ValueError, match="alpha must be above 0, got 0"):
        ALS(alpha=0)
    with pytest.raises(ValueError, match="cold_weight must be at least 0, got -1"):
        ALS(cold_weight=-1)
    with pytest.raises(ValueError, match="popularity must be at least 0, got -1"):
        BPR(popularity=-1)
