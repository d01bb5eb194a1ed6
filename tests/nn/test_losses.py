import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gnnrec.nn import losses


def random(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def log_sigmoid(x):
    return -math.log1p(math.exp(-x))


def test_link_bce_is_what_a_loop_finds():
    positive, negative = random(4), random(4, 3, seed=1)
    true = sum(-log_sigmoid(x) for x in positive.tolist()) / 4
    drawn = sum(-log_sigmoid(-x) for row in negative.tolist() for x in row) / 12
    assert losses.link_bce(positive, negative).item() == pytest.approx(true + drawn)


def test_bpr_is_what_a_loop_finds():
    positive, negative = random(4), random(4, 3, seed=1)
    pairs = [(p, n) for p, row in zip(positive.tolist(), negative.tolist(), strict=True) for n in row]
    assert losses.bpr(positive, negative).item() == pytest.approx(sum(-log_sigmoid(p - n) for p, n in pairs) / 12)


def test_bpr_compares_each_positive_with_its_own_negatives():
    # Row 0 is won by far and row 1 is a tie: (0 + log 2) / 2. Were the rows mixed up, a lost pair would cost 100.
    loss = losses.bpr(torch.tensor([100.0, 0.0]), torch.tensor([[0.0], [0.0]]))
    assert loss.item() == pytest.approx(math.log(2) / 2)


def test_softmax_of_one_item_each_is_torch_cross_entropy():
    score, item = random(5, 7), torch.tensor([3, 0, 6, 6, 2])
    assert losses.softmax(score, torch.arange(5), item).item() == pytest.approx(
        functional.cross_entropy(score, item).item()
    )


def test_softmax_weighs_pairs_alike_whoever_they_are_of():
    score = random(4, 6)
    pairs = [(2, 5), (0, 1), (2, 0), (2, 3)]  # users 1 and 3 have no item
    expected = 0.0
    for user, item in pairs:
        total = sum(math.exp(x) for x in score[user].tolist())
        expected -= math.log(math.exp(score[user, item].item()) / total) / 4
    row, item = torch.tensor(pairs).T
    assert losses.softmax(score, row, item).item() == pytest.approx(expected)


def test_softmax_does_not_see_the_scores_of_users_without_items():
    score = random(3, 4).requires_grad_()
    losses.softmax(score, torch.tensor([1]), torch.tensor([2])).backward()
    assert score.grad[[0, 2]].count_nonzero() == 0
    assert score.grad[1].count_nonzero() == 4


def test_softmax_gives_finite_gradients_where_items_cannot_be_chosen():
    score = random(2, 4).requires_grad_()
    hopeless = torch.tensor([0.0, -torch.inf, 0.0, -torch.inf], dtype=torch.float64)
    loss = losses.softmax(score + hopeless, torch.tensor([0, 1, 1]), torch.tensor([0, 0, 2]))
    loss.backward()
    without = losses.softmax(score[:, [0, 2]], torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]))
    assert loss.item() == pytest.approx(without.item())
    assert score.grad.isfinite().all()
    assert score.grad[:, [1, 3]].count_nonzero() == 0
    assert score.grad[:, [0, 2]].count_nonzero() == 4


def test_softmax_without_any_pair_is_zero():
    nothing = torch.empty(0, dtype=torch.int64)
    score = random(2, 3).requires_grad_()
    loss = losses.softmax(score, nothing, nothing)
    loss.backward()
    assert loss.item() == 0
    assert score.grad.count_nonzero() == 0


def test_sampled_softmax_is_what_a_loop_finds():
    positive, negative, chance, chance_negative = (
        random(3),
        random(3, 4, seed=1),
        random(3, seed=2),
        random(3, 4, seed=3),
    )
    expected = 0.0
    for b in range(3):
        true = math.exp(positive[b].item() - chance[b].item())
        drawn = sum(math.exp(negative[b, k].item() - chance_negative[b, k].item()) for k in range(4))
        expected += -math.log(true / (true + drawn)) / 3
    assert losses.sampled_softmax(positive, negative, chance, chance_negative).item() == pytest.approx(expected)


def test_sampled_softmax_takes_one_chance_per_drawn_item_for_all_rows():
    positive, negative, chance, shared = random(3), random(3, 4, seed=1), random(3, seed=2), random(4, seed=3)
    one = losses.sampled_softmax(positive, negative, chance, shared)
    assert one.item() == pytest.approx(losses.sampled_softmax(positive, negative, chance, shared.expand(3, 4)).item())


def test_sampled_softmax_of_several_true_items_against_the_same_drawn_ones():
    negative, row = random(2, 4, seed=1), torch.tensor([1, 0, 1])
    positive, chance, shared = random(3), random(3, seed=2), random(4, seed=3)
    repeated = losses.sampled_softmax(positive, negative[row], chance, shared)
    assert losses.sampled_softmax(positive, negative, chance, shared, row).item() == pytest.approx(repeated.item())


def test_sampled_softmax_corrects_for_how_often_an_item_is_drawn():
    # Items drawn with chance q and scored log q are as likely as one another: -log(1 / (1 + 2)).
    chance = torch.tensor([0.5, 0.1]).log()
    loss = losses.sampled_softmax(torch.tensor([0.4]).log(), chance[None], torch.tensor([0.4]).log(), chance)
    assert loss.item() == pytest.approx(math.log(3))


@pytest.mark.parametrize("size", [1, 3, 10])
def test_in_parts_is_one_pass(size: int) -> None:
    """A cross-entropy with a bias, twice: in parts, and at once; an unused parameter gets no gradient."""
    generator = torch.Generator().manual_seed(5)
    target = torch.randint(6, (10,), generator=generator)
    values, grads = [], []
    for whole in (False, True):
        draw = torch.Generator().manual_seed(7)
        rows, items, bias, unused = (
            torch.randn(shape, generator=draw).requires_grad_() for shape in ((10, 4), (6, 4), (6,), (2,))
        )

        def loss(part: Tensor, own: Tensor, shared: Tensor, bias: Tensor = bias) -> Tensor:
            score = (own @ shared.t() + bias).log_softmax(1)
            return -score[torch.arange(len(part)), target[part]].sum()

        if whole:
            value = loss(torch.arange(10), rows, items)
        else:
            value = losses.in_parts(loss, rows, items, (bias, unused), size)
        (3 * value).backward()
        values.append(float(value.detach()))
        assert unused.grad is None
        grads.append([one.grad for one in (rows, items, bias)])
    assert values[0] == pytest.approx(values[1], rel=1e-6)
    torch.testing.assert_close(grads[0], grads[1])
