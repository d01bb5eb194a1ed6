"""MeLU, against a local update of one user at a time with plain autograd."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy import sparse
from torch import Tensor

from gnnrec.data.synthetic import synthetic
from gnnrec.models.baselines import MeLU
from gnnrec.models.baselines.cold_start.fit import FitConfig
from gnnrec.models.baselines.cold_start.melu import ASKED, Items, Layers, against_others, drawn, split
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import Edges, TrainingData, UserBatch


def small() -> tuple[TrainingData, UserBatch]:
    """Training users, and eight unseen users with no, one, two or three known items in turn."""
    made = make_split(synthetic(5, num_users=60), UnseenUsers(test=0.2, validation=0.2), 5)
    row = torch.tensor([0, 0, 0, 1, 2, 2, 4, 4, 4, 5, 6, 6])
    node = torch.tensor([3, 9, 12, 0, 1, 7, 39, 8, 5, 30, 2, 4])
    users = made.validation.users.take(torch.arange(8))
    return made.train, replace(users, items=Edges(row, node))


def one_by_one(model: MeLU, users: UserBatch) -> Tensor:
    """[B, I], from the weights of a fitted model: layers on concatenated vectors, and gradients by plain autograd."""
    state = model.state_dict()
    net, others = state["net"], state["others"]
    rows = torch.from_numpy(state["features"](users).toarray()).float()
    vectors = rows @ net["of_features.weight"] + net["of_features.bias"]
    found = []
    for row, vector in enumerate(vectors):
        known = users.items.node[users.items.row == row].tolist()
        weights = [torch.cat([net["of_user"], net["of_item"]], dim=1), net["hidden_bias"], net["out"]]
        weights = [one.clone().requires_grad_() for one in weights]

        def score(item: int, weights: list[Tensor], vector: Tensor = vector) -> Tensor:
            hidden = (weights[0] @ torch.cat([vector, net["items"][item]]) + weights[1]).clamp(min=0)
            value: Tensor = weights[2] @ hidden + net["bias"][item]
            return value

        for _ in range(model.local_steps if known else 0):
            losses = []
            for item in known:
                total = torch.ones(())
                for other, log_times in zip(others["node"].tolist(), others["log_times"], strict=True):
                    if other not in known:
                        total = total + (score(other, weights) - log_times - score(item, weights)).exp()
                losses.append(total.log())
            slopes = torch.autograd.grad(torch.stack(losses).sum() / max(len(known), model.known), weights)
            weights = [w - model.local_rate * slope for w, slope in zip(weights, slopes, strict=True)]
        found.append(torch.stack([score(item, weights) for item in range(len(net["bias"]))]).detach())
    return torch.stack(found)


@pytest.mark.parametrize(("local_steps", "others"), [(1, 512), (2, 15)])
def test_scores_are_those_of_each_user_after_its_own_gradient_steps(local_steps: int, others: int) -> None:
    train, users = small()
    fit = FitConfig(epochs=2)
    model = MeLU(width=5, hidden=7, local_rate=1.5, local_steps=local_steps, known=2, others=others, fit=fit)
    model.fit(train, None, 3)
    torch.testing.assert_close(model.score(users), one_by_one(model, users), atol=1e-4, rtol=1e-4)


def test_the_gradient_of_the_global_update_leads_through_the_local_one() -> None:
    generator = torch.Generator().manual_seed(4)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    items, mask, own = normal(6, 3), torch.ones(2, 1, dtype=torch.bool), torch.zeros(2, 4, dtype=torch.bool)

    def after_local_update(user: Tensor, *weights: Tensor) -> Tensor:
        layers = Layers(*(one.expand(2, *one.shape) for one in weights))
        scores = layers(user, items)
        adapted = layers.step(against_others(scores[:, :1], mask, scores[:, 2:], own), 0.7, through=True)
        return adapted(user, items)

    arguments = [one.requires_grad_() for one in (normal(2, 3), normal(4, 3), normal(4, 3), normal(4), normal(4))]
    assert torch.autograd.gradcheck(after_local_update, arguments)


def test_items_of_each_user_and_items_of_all_give_the_same_scores() -> None:
    generator = torch.Generator().manual_seed(2)
    shapes = ((3, 4, 2), (3, 4, 2), (3, 4), (3, 4), (3, 2), (5, 2))
    *weights, user, items = (torch.randn(*shape, generator=generator) for shape in shapes)
    layers, node = Layers(*weights), torch.tensor([[0, 4], [1, 1], [3, 2]])
    torch.testing.assert_close(layers(user, items[node]), layers(user, items).gather(1, node))


def test_each_item_of_a_user_is_compared_with_the_others_that_are_not_its_own() -> None:
    # log(1 + e^(1-2)) for the one item of user 0, whose second other is its own; user 1 has no item.
    asked, mask = torch.tensor([[2.0, 9.0], [0.0, 0.0]]), torch.tensor([[True, False], [False, False]])
    others, own = torch.tensor([[1.0, 5.0], [1.0, 1.0]]), torch.tensor([[False, True], [False, False]])
    expected = torch.tensor([1 + torch.tensor(-1.0).exp(), 1]).log()
    torch.testing.assert_close(against_others(asked, mask, others, own), expected)
    torch.testing.assert_close(against_others(asked, mask, others, own, least=4), expected / 4)
    every = torch.ones_like(own)
    assert against_others(asked, mask, others, every).tolist() == [0, 0]  # nothing to compare with


def test_drawn_items_stand_for_all() -> None:
    scores = torch.tensor([1.0, -2.0, 0.5, 3.0])
    # Where the chance of an item is exp(score), each draw adds the same, and the sum is right whatever is drawn.
    some = drawn(scores.exp(), 3, torch.Generator().manual_seed(6))
    assert len(some.node) == 3
    torch.testing.assert_close((scores[some.node] - some.log_times).exp().sum(), scores.exp().sum())
    all_items = drawn(torch.tensor([2.0, 0.0, 1.0]), 3, torch.Generator().manual_seed(6))
    assert all_items.node.tolist() == [0, 2]  # item 1 has no chance
    assert all_items.log_times.tolist() == [0, 0]


def listed(items: Items) -> list[set[int]]:
    return [set(node[mask].tolist()) for node, mask in zip(items.node, items.mask, strict=True)]


def test_a_split_gives_no_item_to_both_parts_and_always_asks_for_one() -> None:
    generator = torch.Generator().manual_seed(8)
    sizes = [1, 2, 5, 20, 3 * ASKED]
    dense = torch.zeros(len(sizes), 200)
    for row, size in enumerate(sizes):
        dense[row, torch.randperm(200, generator=generator)[:size]] = 1
    history = sparse.csr_array(dense.numpy())
    counts = set()
    for _ in range(50):
        known, asked = split(history, 4, generator)
        for row, (some, other) in enumerate(zip(listed(known), listed(asked), strict=True)):
            assert not some & other
            assert some | other <= set(dense[row].nonzero().flatten().tolist())
            assert len(some) <= min(4, sizes[row] - 1)
            assert len(other) == min(sizes[row] - len(some), ASKED)
            counts.add((row, len(some)))
    assert counts == {(row, count) for row, size in enumerate(sizes) for count in range(min(4, size - 1) + 1)}
    assert listed(Items.of(history)) == [set(row.nonzero().flatten().tolist()) for row in dense]


def test_known_items_raise_the_items_of_their_group() -> None:
    groups = 4
    made = make_split(synthetic(7, num_users=160, groups=groups), UnseenUsers(test=0.1, validation=0.2), 7)
    train = replace(made.train, users=replace(made.train.users, relations={}))  # nothing but items tells of a group
    model = MeLU(fit=FitConfig(epochs=40))
    model.fit(train, None, 7)
    for group in range(groups):
        known = torch.tensor([group, group + groups, group + 2 * groups])
        scores = model.score(UserBatch(torch.tensor([-1]), Edges(torch.zeros_like(known), known), {}))[0]
        scores[known] = -torch.inf
        share = (scores.topk(6).indices % groups == group).double().mean()
        assert share > 0.6  # chance 0.25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
        ({"local_steps": 0}, "local_steps must be at least 1, got 0"),
        ({"others": 0}, "others must be at least 1, got 0"),
        ({"local_rate": 0.0}, "local_rate must be above 0, got 0"),
        ({"known": -1}, "known must be at least 0, got -1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MeLU(**options)
