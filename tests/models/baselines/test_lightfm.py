"""LightFM: sums of the vectors of attribute values, and the number of epochs chosen on unseen users."""

import builtins
import warnings
from typing import Any

import numpy as np
import pytest

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
from gnnrec.graph.matrices import UserFeatures
from gnnrec.models.baselines import LightFM
from gnnrec.splits import UnseenUsers, make_split

pytest.importorskip("lightfm", reason="LightFM needs gnnrec[mf]")

SPLIT = make_split(synthetic(0, num_users=100), UnseenUsers(test=0.2, validation=0.2), 0)


def fitted(seed: int = 0, choose: bool = False, **options: Any) -> LightFM:
    model = LightFM(**options)
    model.fit(SPLIT.train, SPLIT.validation if choose else None, seed)
    return model


def test_two_fits_agree_bit_for_bit_and_two_seeds_do_not() -> None:
    one, same, other = (fitted(seed, epochs=3).score(SPLIT.validation.users) for seed in (0, 0, 1))
    assert one.equal(same)
    assert not one.equal(other)


def test_the_best_epoch_is_chosen_and_kept_and_patience_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    # With patience 3 the search ends after the fifth epoch and never sees the sixth; of equal values the first counts.
    values = iter([0.1, 0.3, 0.2, 0.3, 0.2, 0.9])

    class Fake:
        def __init__(self) -> None:
            self.metrics = {"ndcg@10": next(values)}

    monkeypatch.setattr("gnnrec.models.baselines.lightfm.evaluate", lambda *_: Fake())
    model = fitted(choose=True, epochs=6, patience=3)
    assert model.best_params == {"epochs": 2}
    assert next(values) == 0.9
    final = fitted(**model.best_params)
    assert final.score(SPLIT.validation.users).equal(model.score(SPLIT.validation.users))
    model.fit(SPLIT.train, None, 0)
    assert model.best_params == {}


def test_the_epoch_is_chosen_by_ndcg_of_the_validation_users() -> None:
    options = {"epochs": 4, "patience": 4, "learning_rate": 0.05}
    config = EvaluateConfig(metrics=["ndcg"], at=[10])
    by_epoch = [
        evaluate(fitted(**options | {"epochs": n}), SPLIT.validation, SPLIT.train.candidates, config, 0).metrics[
            "ndcg@10"
        ]
        for n in range(1, 5)
    ]
    assert fitted(choose=True, **options).best_params == {"epochs": 1 + int(np.argmax(by_epoch))}


def test_a_user_is_the_sum_of_the_vectors_of_its_values() -> None:
    model = fitted(epochs=2, normalise="sum")
    features = UserFeatures(SPLIT.train, normalise="sum")(SPLIT.validation.users).toarray()
    state = model._state
    wanted = features @ state.feature_vectors @ state.item_vectors.T + state.item_biases
    assert model.score(SPLIT.validation.users).numpy() == pytest.approx(wanted, abs=1e-5)


def test_identity_gives_vectors_to_training_users_only() -> None:
    model = fitted(epochs=2, identity=True, normalise="none")
    width = UserFeatures(SPLIT.train).width
    vectors = model._state.feature_vectors
    assert vectors.shape[0] == width + SPLIT.train.num_users
    known = UserFeatures(SPLIT.train)(SPLIT.train.users).toarray() @ vectors[:width] + vectors[width:]
    wanted = known @ model._state.item_vectors.T + model._state.item_biases
    assert model.score(SPLIT.train.users).numpy() == pytest.approx(wanted, abs=1e-4)
    unseen = UserFeatures(SPLIT.train)(SPLIT.validation.users).toarray() @ vectors[:width]
    wanted = unseen @ model._state.item_vectors.T + model._state.item_biases
    assert model.score(SPLIT.validation.users).numpy() == pytest.approx(wanted, abs=1e-4)


def test_fits_without_a_warning_or_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(epochs=1)
    assert capfd.readouterr() == ("", "")


def test_a_missing_library_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "lightfm":
            raise ImportError("No module named 'lightfm'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"needs lightfm-next: pip install 'gnnrec\[mf\]'"):
        fitted()


@pytest.mark.parametrize("name", ["factors", "epochs", "patience", "learning_rate", "regularization"])
def test_options_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        LightFM(**{name: -1})
