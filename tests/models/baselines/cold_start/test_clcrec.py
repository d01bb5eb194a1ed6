"""CLCRec: its two losses against loops, and which vectors they train."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.models.baselines import CLCRec
from gnnrec.models.baselines.cold_start.clcrec import feature_loss, interaction_loss
from gnnrec.models.baselines.cold_start.fit import FitConfig
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import Edges, TrainingData, UserBatch


def drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tables(train: TrainingData, epochs: int, **options: Any) -> dict[str, torch.Tensor]:
    """Parameters after some epochs without weight decay."""
    model = CLCRec(factors=8, hidden=8, fit=FitConfig(epochs=epochs, batch_users=16), **options)
    model.fit(train, None, 5)
    return dict(model._net.state_dict())


def small(seed: int) -> TrainingData:
    return make_split(synthetic(seed), UnseenUsers(test=0.2), seed).train


def test_the_contrast_of_items_is_a_softmax_over_all_items() -> None:
    users, items = drawn(3, 4, seed=3), drawn(5, 4, seed=4)
    pairs, temperature = [(0, 1), (0, 4), (2, 2)], 0.5
    wanted = 0.0
    for user, item in pairs:
        odds = [math.exp(float(users[user] @ items[other]) / temperature) for other in range(5)]
        wanted -= math.log(odds[item] / sum(odds)) / len(pairs)
    row, node = torch.tensor(pairs).t()
    assert float(interaction_loss(users, items, row, node, temperature)) == pytest.approx(wanted, rel=1e-5)


def test_the_contrast_of_features_is_a_softmax_over_the_cosines_in_the_batch() -> None:
    own, encoded, temperature = drawn(4, 3, seed=3), drawn(4, 3, seed=4), 0.2
    wanted = 0.0
    for user in range(4):
        odds = []
        for other in range(4):
            lengths = math.sqrt(float(own[user] @ own[user]) * float(encoded[other] @ encoded[other]))
            odds.append(math.exp(float(own[user] @ encoded[other]) / lengths / temperature))
        wanted -= math.log(odds[user] / sum(odds)) / 4
    assert float(feature_loss(own, encoded, temperature)) == pytest.approx(wanted, rel=1e-5)


def test_the_contrast_of_features_by_hand() -> None:
    # Cosines, whatever the lengths: 1 with the own features, 0 with the other user's. Each softmax is over 1 and 0.
    own, encoded = torch.tensor([[2.0, 0.0], [0.0, 3.0]]), torch.tensor([[5.0, 0.0], [0.0, 7.0]])
    assert float(feature_loss(own, encoded, 1.0)) == pytest.approx(math.log(1 + math.exp(-1)), rel=1e-5)
    assert float(feature_loss(own[:1], encoded[:1], 1.0)) == pytest.approx(0, abs=1e-6)


def test_where_all_vectors_are_replaced_the_items_train_none_of_them() -> None:
    train = small(3)
    before, after = (tables(train, epochs, replaced=1.0, feature_weight=0.0) for epochs in (0, 3))
    assert torch.equal(before["users"], after["users"])
    assert not torch.equal(before["of_features.weight"], after["of_features.weight"])
    assert not torch.equal(before["items"], after["items"])


def test_where_none_is_replaced_the_items_do_not_train_the_encoder() -> None:
    train = small(3)
    before, after = (tables(train, epochs, replaced=0.0, feature_weight=0.0) for epochs in (0, 3))
    assert not torch.equal(before["users"], after["users"])
    assert torch.equal(before["of_features.weight"], after["of_features.weight"])
    assert torch.equal(before["from_features.weight"], after["from_features.weight"])


def test_the_contrast_of_features_alone_trains_no_items() -> None:
    train = small(3)
    before, after = (tables(train, epochs, feature_weight=1.0) for epochs in (0, 3))
    assert torch.equal(before["items"], after["items"])
    for name in ("users", "of_features.weight"):
        assert not torch.equal(before[name], after[name])


def test_users_without_interactions_are_left_out() -> None:
    train = small(3)
    items = train.users.items
    without = replace(train, users=replace(train.users, items=items.take(items.row != 7)))
    before, after = (tables(without, epochs) for epochs in (0, 3))
    moved = (before["users"] != after["users"]).any(1)
    assert moved.tolist() == [row != 7 for row in range(train.num_users)]


def test_a_known_item_raises_the_items_of_its_group() -> None:
    # Nothing but the item is known: item 2 is of group 2, as are 6, 10, ...
    split = make_split(synthetic(4, num_users=160), UnseenUsers(test=0.1), 4)
    model = CLCRec()
    model.fit(split.train, None, 4)
    none = torch.empty(0, dtype=torch.int64)
    bare = UserBatch(torch.tensor([-1]), Edges(none, none), {})
    known = replace(bare, items=Edges(torch.tensor([0]), torch.tensor([2])))
    gain = (model.score(known) - model.score(bare))[0]
    best = [item for item in gain.argsort(descending=True).tolist() if item != 2][:5]
    assert sum(item % 4 == 2 for item in best) >= 4  # of 39 items, 9 are of the group


def test_unseen_users_get_items_of_their_group() -> None:
    split = make_split(synthetic(5, num_users=160), UnseenUsers(test=0.1, validation=0.2), 5)
    model = CLCRec()
    model.fit(split.train, None, 5)
    users = split.validation.users
    best = model.score(users).topk(8).indices
    assert float((best % 4 == users.index[:, None] % 4).float().mean()) > 0.5  # chance 0.25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factors": 0}, "factors must be at least 1, got 0"),
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
        ({"temperature": 0.0}, "temperature must be above 0, got 0"),
        ({"feature_weight": 1.5}, "feature_weight must be from 0 to 1, got 1.5"),
        ({"replaced": -0.5}, "replaced must be from 0 to 1, got -0.5"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CLCRec(**options)
