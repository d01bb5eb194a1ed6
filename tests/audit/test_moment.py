"""What comes after the moment of a split by time, planted into the training data or into a test set in many ways."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from gnnrec.audit.held_out import audit_held_out
from gnnrec.audit.training import audit
from gnnrec.data.dataset import Dataset, Numeric
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import AuditError
from gnnrec.splits import Temporal, make_split
from gnnrec.splits.parts import LATER, TEST, TEST_SUPPORT, TRAIN, UNUSED, VALIDATION
from gnnrec.splits.split import Split, training_data
from gnnrec.views import ITEM, Edges, TrainingData

SEED = 6


def arriving() -> Dataset:
    """Users arrive one after the other; the last items appear late, and have the highest prices."""
    data = synthetic(SEED, num_users=200, num_items=60, choices=10)
    own = data.interactions
    time = own.user * 100 + own.item % 10 * 150
    time = torch.where(own.item >= 52, time.clamp(min=17_000 + own.item), time)
    price = Numeric(ITEM, "price", torch.arange(60), torch.arange(60).double() ** 2, bins=3)
    return replace(data, interactions=replace(own, time=time), numeric=(*data.numeric, price))


DATA = arriving()


def split_of(data: Dataset = DATA, **options: Any) -> Split:
    return make_split(data, Temporal(test=0.3, validation=0.3, **options), SEED)


def audited(split: Split, train: TrainingData | None = None, final: bool = True) -> None:
    train = (split.full if final else split.train) if train is None else train
    audit(split, train, final=final)
    split.open_test("a test of the audit")
    audit_held_out(split, split.test if final else split.validation, train, TEST if final else VALIDATION)


def test_what_is_honest_passes() -> None:
    for users, support in (("new", 0), ("new", 3), ("known", 0)):
        for final in (False, True):
            audited(split_of(users=users, support=support), final=final)


def learned_too(split: Split, which: torch.Tensor) -> TrainingData:
    """The final training data, with further interactions."""
    parts = torch.isin(split.edge_part, torch.tensor([TRAIN, LATER, VALIDATION]))
    return training_data(split.dataset, split.full.users.index, parts | which, split.item_part != UNUSED)


def later_events_of_known_users() -> None:
    split = split_of()
    audited(split, learned_too(split, split.edge_part == UNUSED))


def an_event_of_the_moment_itself() -> None:
    """As if the cut were at `<=`, in the parts of the split too."""
    split = split_of(users="known")
    assert split.moments is not None
    time = DATA.interactions.time
    assert time is not None
    at = (time == time[split.edge_part == TEST].min()) & (split.edge_part == TEST)
    assert at.any()
    audited(replace(split, edge_part=torch.where(at, TRAIN, split.edge_part)))


def a_split_with_its_moments_moved() -> None:
    """The parts of a later cut under the moments of an earlier one."""
    early, late = split_of(), make_split(DATA, Temporal(test=0.2, validation=0.3), SEED)
    audited(replace(late, moments=early.moments))


def users_who_come_later() -> None:
    """Without their interactions; the parts of the split have them in training as well."""
    split = split_of()
    last = int((split.user_part == TEST).nonzero()[-1])
    user_part = torch.where(split.user_part == TEST, TRAIN, split.user_part)
    user_part[last] = TEST
    others = (split.edge_part == TEST) & (DATA.interactions.user != last)
    audited(replace(split, user_part=user_part, edge_part=torch.where(others, UNUSED, split.edge_part)))


def categories_of_later_items() -> None:
    split = split_of()
    audited(
        split,
        replace(split.full, relations=training_data(DATA, split.full.users.index, split.edge_part == TRAIN).relations),
    )


def bins_over_later_items() -> None:
    split = split_of()
    whole = training_data(DATA, split.full.users.index, split.edge_part == TRAIN)
    audited(split, replace(split.full, bounds=whole.bounds))


def later_items_among_the_candidates() -> None:
    split = split_of()
    audited(split, replace(split.full, candidates=torch.ones(DATA.num_items, dtype=torch.bool)))


def popularity_over_all_time() -> None:
    train = replace(split_of().full)
    train.__dict__["popularity"] = torch.bincount(DATA.interactions.item, minlength=DATA.num_items).float()
    audited(split_of(), train)


def validations_data_for_the_choice() -> None:
    """The final training data where a model is still being chosen."""
    split = split_of()
    audited(split, split.full, final=False)


def moved_times() -> None:
    split = split_of()
    items = split.full.users.items
    assert items.time is not None
    users = replace(split.full.users, items=replace(items, time=items.time - 1))
    audited(split, replace(split.full, users=users))


def support_after_the_ground_truth() -> None:
    """The last events of each user are shown instead of the first."""
    split = split_of(support=3)
    assert split.reveal_order is not None
    edge_part = torch.where(split.edge_part == TEST_SUPPORT, TEST, split.edge_part)
    user = DATA.interactions.user
    for one in (split.user_part == TEST).nonzero().flatten():
        mine = (user == one).nonzero().flatten()
        edge_part[mine[split.reveal_order[mine].argsort()[-3:]]] = TEST_SUPPORT
    audited(replace(split, edge_part=edge_part))


def a_choice_by_what_comes_after_the_test_moment() -> None:
    """Validation users are asked for all that they ever chose."""
    split = split_of()
    own = DATA.interactions
    edge_part = torch.where(split.user_part[own.user] == VALIDATION, VALIDATION, split.edge_part)
    audited(replace(split, edge_part=edge_part), final=False)


LEAKS: dict[Callable[[], None], str] = {
    later_events_of_known_users: "held-out interactions",
    an_event_of_the_moment_itself: "interactions of after the moment",
    a_split_with_its_moments_moved: "interactions of after the moment",
    users_who_come_later: "training users first appear after the moment",
    categories_of_later_items: "'category': .* items first appear after the moment",
    bins_over_later_items: "the bins of item attribute 'price'",
    later_items_among_the_candidates: "items first appear after the moment",
    popularity_over_all_time: "the popularity count is not that of the training users",
    validations_data_for_the_choice: "held-out users are among the training users",
    moved_times: "times of interactions that are not those of the data",
    support_after_the_ground_truth: "interactions of the support come after the ground truth",
    a_choice_by_what_comes_after_the_test_moment: "before the moment .* or after the next one",
}


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.__name__)
def test_a_leak_is_caught(leak: Callable[[], None]) -> None:
    with pytest.raises(AuditError, match=LEAKS[leak]):
        leak()


def test_edges_of_one_relation_carry_times_where_the_data_have_them() -> None:
    split = split_of()
    items = split.full.users.items
    assert items.time is not None
    assert split.full.users.take(torch.tensor([3])).items.time is not None
    joined = Edges.join([items, items.take(torch.tensor([0]))])
    assert joined.time is not None
    assert len(joined.time) == len(items) + 1
    assert Edges.join([items, Edges(items.row, items.node, items.weight)]).time is None
