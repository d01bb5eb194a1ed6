"""Batches of new and old users."""

import torch

from gnnrec.training.feedback import mixed_batches


def drawn(count: list[int], fresh: list[bool], steps: int, size: int, seed: int = 1) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [b.tolist() for b in mixed_batches(torch.tensor(count), torch.tensor(fresh), steps, size, generator)]


def test_half_are_new_and_half_are_old() -> None:
    fresh = [number % 5 == 0 for number in range(100)]
    batches = drawn([3] * 100, fresh, 40, 20)
    assert len(batches) == 40
    for batch in batches:
        assert len({*batch}) == 20
        assert sum(fresh[user] for user in batch) == 10
    assert {user for batch in batches for user in batch} == set(range(100))


def test_where_few_are_new_or_old_the_others_take_their_place() -> None:
    assert all(sorted(batch)[0] == 0 and len(batch) == 10 for batch in drawn([1] * 50, [True] + [False] * 49, 5, 10))
    assert all(len(batch) == 10 and 49 in batch for batch in drawn([1] * 50, [True] * 49 + [False], 5, 10))
    assert all(len(batch) == 4 for batch in drawn([1] * 4, [True, True, False, False], 3, 10))


def test_users_without_interactions_are_never_drawn() -> None:
    assert {user for batch in drawn([0, 1, 0, 2], [True, True, False, False], 9, 4) for user in batch} == {1, 3}
    assert drawn([0, 0], [True, False], 3, 4) == []
