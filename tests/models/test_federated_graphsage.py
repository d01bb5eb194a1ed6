"""FederatedGraphSAGE keeps the contract of a recommender, learns, and refuses what needs data in one place."""

from dataclasses import replace

import pytest
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.evaluation.ranking import top
from gnnrec.models.federated_graphsage import FederatedGraphSAGE
from gnnrec.options.resolve import build
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.testing.recommender import assert_recommender
from gnnrec.views import USER, Features

SMALL = {"encoder": {"channels": 16}, "federated": {"epochs": 12, "participation": 0.25, "learning_rate": 0.02}}


AVERAGING = {"algorithm": "fedavg", "local_epochs": 2, "client_users": 16, "participation": 0.5, "learning_rate": 0.05}


@pytest.mark.usefixtures("loaded_in_this_process")
def test_contract() -> None:
    assert_recommender(FederatedGraphSAGE, SMALL, seed=4)


@pytest.mark.usefixtures("loaded_in_this_process")
def test_contract_of_averaging() -> None:
    few = {**SMALL, "federated": {**AVERAGING, "epochs": 2}}
    assert_recommender(FederatedGraphSAGE, few, seed=4, learns=False)


@pytest.mark.parametrize("own", [{}, {"local_epochs": 3, "dropout": 0.3}, {"secure_sum": "masked"}])
def test_averaging_of_clients_learns_unseen_users(own: dict[str, object]) -> None:
    split = make_split(synthetic(4, num_users=160), UnseenUsers(test=0.1, validation=0.2), 4)
    model = build(FederatedGraphSAGE, {**SMALL, "federated": {**AVERAGING, "epochs": 15, **own}})
    model.fit(split.train, None, 4)
    users = split.validation.users
    items = top(model.score(users), split.train.candidates.expand(len(users), -1), users.index, 8, 4)
    share = (items % 4 == users.index[:, None] % 4).double().mean()
    assert share > 0.6  # chance is .25


def test_no_message_starts_at_a_user() -> None:
    split = make_split(synthetic(2), UnseenUsers(test=0.1, validation=0.1), 2)
    model = build(FederatedGraphSAGE, SMALL)
    model.fit(split.train, None, 2)
    assert all(source != USER for source, _, _ in model._head.encoder.edge_types)
    assert USER not in model.tables


def test_inner_products_are_the_scores_and_masks_change_nothing_but_draws() -> None:
    split = make_split(synthetic(2), UnseenUsers(test=0.1, validation=0.1), 2)
    model = build(FederatedGraphSAGE, SMALL)
    model.fit(split.train, None, 2)
    users = split.validation.users
    products = model.query(users) @ model.item_vectors().t()
    assert torch.allclose(products, model.score(users), atol=1e-4)
    assert model.embed(users).shape == (len(users), 16)


def test_epochs_are_chosen_on_validation_users_or_kept() -> None:
    split = make_split(synthetic(2), UnseenUsers(test=0.1, validation=0.1), 2)
    model = build(FederatedGraphSAGE, {**SMALL, "choose_epochs": False})
    model.fit(split.train, split.validation, 2)
    assert model.best_params == {}
    assert not model.chooses_on_validation
    model = build(FederatedGraphSAGE, SMALL)
    model.fit(split.train, split.validation, 2)
    assert 0 <= model.best_params["federated"].epochs <= 12
    assert model.best_params["federated"].epochs % 2 == 0  # looks are two epochs apart


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ({"init": "svd"}, "init: must be random"),
        ({"regression": 8}, "regression: must be 0"),
        ({"linear": 4}, "linear"),
    ],
)
def test_what_needs_all_interactions_in_one_place_is_refused(encoder: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(FederatedGraphSAGE, {"encoder": encoder})


def test_words_of_users_are_refused() -> None:
    train = make_split(synthetic(2), UnseenUsers(test=0.1, validation=0.1), 2).train
    words = Features(USER, "says", torch.ones(train.num_users, 3), torch.ones(train.num_users, dtype=torch.bool))
    described = replace(train, users=replace(train.users, features=(words,)))
    with pytest.raises(ConfigError, match="words, pictures and vectors of users"):
        build(FederatedGraphSAGE, SMALL).fit(described, None, 2)
