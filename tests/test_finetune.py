"""What users show of their histories in training."""

import torch

from gnnrec.finetune import _order, _shown


def test_users_show_nothing_or_a_few_items_and_never_all() -> None:
    count = torch.full((20_000,), 50)
    shown = _shown(count, 0.3, torch.Generator().manual_seed(0))
    assert shown.min() == 0
    assert shown.max() == 49
    # Log-uniform from 1 to 50: P(1) = ln 2 / ln 50 = 0.177 of the 70 % who show something; 5 to 9: ln 2 / ln 50 too.
    assert abs(float((shown == 0).float().mean()) - 0.3) < 0.02
    assert abs(float((shown == 1).float().mean()) - 0.7 * 0.177) < 0.02
    assert abs(float(((shown >= 5) & (shown < 10)).float().mean()) - 0.7 * 0.177) < 0.02
    assert (_shown(torch.ones(100, dtype=torch.int64), 0.0, torch.Generator().manual_seed(0)) == 0).all()


def test_the_order_is_random_within_each_user() -> None:
    row = torch.tensor([0, 0, 0, 2, 2, 5])
    seen = set()
    for seed in range(40):
        order = _order(row, torch.Generator().manual_seed(seed))
        assert sorted(order[:3].tolist()) == [0, 1, 2]
        assert sorted(order[3:5].tolist()) == [0, 1]
        assert order[5] == 0
        seen.add(tuple(order.tolist()))
    assert len(seen) == 12  # 3! orders of the first user's edges, 2! of the second's
