"""Clipped gradients of whole users against one user at a time, and what training may change."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch_geometric.nn import SAGEConv

from gnnrec.nn.encoder import Encoder, EncoderConfig
from gnnrec.runtime import seeds
from gnnrec.training.private import GradientConfig, PrivateScorer, clipped_gradients, train_privately
from gnnrec.views import INTERACTS, ITEM, USER, Edges, UserBatch, reverse

CLUB, TAG = ("user", "club", "club"), ("user", "tag", "tag")
PARTS = ("values", "histories", "items", "popularity")
NUM_ITEMS = 9


def scorer(seed=3, num_items=NUM_ITEMS):
    config = EncoderConfig(
        layer_options={"root_weight": False, "bias": False}, channels=4, layers=1, dropout=0, regression=0
    )
    counts = {USER: 0, ITEM: num_items, "club": 3, "tag": 5}
    made = PrivateScorer(Encoder(counts, [reverse(t) for t in (CLUB, TAG, INTERACTS)], config, SAGEConv))
    with torch.no_grad():
        for one in made.parameters():
            one.copy_(torch.randn(one.shape, generator=seeds.generator(seed, str(tuple(one.shape)))))
    return made


def pairs(seed, num_users, size, share):
    row, node = (torch.rand(num_users, size, generator=seeds.generator(seed, f"{size}")) < share).nonzero().T
    return Edges(row, node)


def users(num_users=6, seed=3):
    """Users with several values or none, some items shown, and others asked for; of the last one nothing is asked."""
    every = pairs(seed, num_users, NUM_ITEMS, 0.6)
    is_shown = (every.node % 2 == 0) & (every.row != 0)
    relations = {CLUB: pairs(seed, num_users, 3, 0.3), TAG: pairs(seed, num_users, 5, 0.5)}
    shown = UserBatch(torch.arange(num_users), every.take(is_shown), relations)
    return shown, every.take(~is_shown & (every.row < num_users - 1))


def one_at_a_time(made, shown, asked, parts, clip):
    """Each user's gradient by itself, clipped as one vector over all parts, and added."""
    total = [torch.zeros_like(one) for one in made.of(parts)]
    for user in range(len(shown)):
        row = torch.tensor([user])
        own = UserBatch(shown.index, asked, {}).take(row).items.node
        if len(own) == 0:
            continue
        loss = -made(shown.take(row)).log_softmax(1)[0, own].mean()
        gradients = torch.autograd.grad(loss, made.of(parts), materialize_grads=True)
        norm = torch.cat([one.flatten() for one in gradients]).norm()
        for one, gradient in zip(total, gradients, strict=True):
            one += gradient * min(1.0, clip / float(norm))
    return total


@pytest.mark.parametrize("clip", [0.05, 1.0, 1e6])
@pytest.mark.parametrize("parts", [PARTS, ("values",), ("items",), ("popularity", "histories"), ("values", "items")])
def test_the_sum_is_that_of_each_user_by_itself(parts, clip):
    made, (shown, asked) = scorer(), users()
    found = clipped_gradients(made, shown, asked, parts, clip)
    for one, expected in zip(found, one_at_a_time(made, shown, asked, parts, clip), strict=True):
        assert one.numpy() == pytest.approx(expected.numpy(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_no_user_moves_the_sum_by_more_than_the_clip(seed):
    made, (shown, asked) = scorer(seed), users(seed=seed)
    with torch.no_grad():  # gradients far above the clip
        made.encoder.table(ITEM).weight.mul_(50)

    def total(rows):
        kept = UserBatch(shown.index, asked, {}).take(rows).items
        return torch.cat([one.flatten() for one in clipped_gradients(made, shown.take(rows), kept, PARTS, 0.2)])

    everyone = torch.arange(len(shown))
    moved = [float((total(everyone) - total(everyone[everyone != user])).norm()) for user in everyone]
    assert max(moved) <= 0.2 * (1 + 1e-5)
    assert max(moved[:-1]) > 0.199  # the bound is reached
    assert moved[-1] < 1e-6  # of the last one nothing is asked


def test_noise_has_the_deviation_that_the_accountant_was_told():
    """With no user at all, a gradient is noise alone: noise multiplier * clip, over the expected number of users."""
    made, (shown, _) = scorer(num_items=3000), users()
    nobody = shown.take(torch.empty(0, dtype=torch.int64))
    config = GradientConfig(steps=1, parts=("popularity", "items"), clip=0.4)
    train_privately(made, nobody, config, 3.0, 10.0, np.random.default_rng(3))
    for one in made.of(config.parts):
        assert float(one.grad.std()) == pytest.approx(3.0 * 0.4 / 10, rel=0.05)


def test_without_noise_the_loss_of_the_users_falls():
    made, (shown, asked) = scorer(), users(30)
    everything = replace(shown, items=Edges.join([shown.items, asked]))

    def loss():
        scores = made(replace(shown, items=shown.items.take(torch.empty(0, dtype=torch.int64)))).log_softmax(1)
        return -float(scores[everything.items.row, everything.items.node].mean().detach())

    before, trained = loss(), [one.detach().clone() for one in made.of(("values",))]
    items = made.encoder.table(ITEM).weight.detach().clone()
    config = GradientConfig(steps=60, sample_rate=0.5, learning_rate=0.05, clip=1.0, parts=("values", "popularity"))
    train_privately(made, everything, config, 0.0, 15.0, np.random.default_rng(3))
    assert loss() < before - 0.3
    assert all(not torch.equal(a, b) for a, b in zip(made.of(("values",)), trained, strict=True))
    assert torch.equal(made.encoder.table(ITEM).weight, items)  # not among the parts


def test_a_users_share_in_a_step_is_the_sample_rate(monkeypatch):
    drawn = []

    def recorded(made, shown, asked, parts, clip):
        drawn.append(shown.index)
        return [torch.zeros_like(one) for one in made.of(parts)]

    monkeypatch.setattr("gnnrec.training.private.clipped_gradients", recorded)
    made, (shown, _) = scorer(), users(40)
    config = GradientConfig(steps=200, sample_rate=0.25)
    train_privately(made, shown, config, 0.0, 10.0, np.random.default_rng(3))
    number = torch.tensor([len(one) for one in drawn]).float()
    assert 9.5 < number.mean() < 10.5  # 40 * .25
    assert 2.3 < number.std() < 3.2  # sqrt(40 * .25 * .75) = 2.7: independent coins, no batches of one size
    assert torch.bincount(torch.cat(drawn), minlength=40).min() > 30
