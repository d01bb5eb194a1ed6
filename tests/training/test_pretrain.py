"""Link prediction: what is drawn against true edges, which edges are each other's reverses, and how it is measured."""

import pytest
import torch

from gnnrec.training.pretrain import _drawn, _mates, _others, ogb_evaluator


def test_ogb_evaluator_by_hand() -> None:
    # True scores 2 and 0 among drawn (1, 3) and (1, 3): ranks 2 and 3. MRR (1/2 + 1/3) / 2.
    result = ogb_evaluator()(torch.tensor([2.0, 0.0]), torch.tensor([[1.0, 3.0], [1.0, 3.0]]))
    assert result["mrr"] == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert result["hits@10"] == 1.0


def test_drawn_targets_are_never_the_true_one() -> None:
    reached = torch.tensor([2, 5, 7])
    target = torch.tensor([2, 5, 7]).repeat(50)
    drawn = _drawn(target, reached, 4, torch.Generator().manual_seed(0))
    assert (drawn != target[:, None]).all()
    assert drawn.unique().tolist() == [2, 5, 7]
    assert _others(torch.tensor([5, 7]), reached, 100, torch.Generator()).tolist() == [[2, 7], [2, 5]]


def test_mates_are_the_other_direction() -> None:
    edges = torch.tensor([[0, 1, 2, 0, 3], [1, 0, 0, 2, 0]])  # 3 -> 0 has no reverse
    assert _mates(edges).tolist() == [1, 0, 3, 2, 4]
