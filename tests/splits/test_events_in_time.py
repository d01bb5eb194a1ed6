"""Events of other kinds: what is known of them when, and what the audit says to those of later."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from gnnrec.audit.held_out import audit_held_out
from gnnrec.audit.training import audit
from gnnrec.data.dataset import Dataset, Interactions, event_relation
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import AuditError
from gnnrec.splits import Temporal, UnseenItems, UnseenUsers, WarmInteractions, make_split
from gnnrec.splits.controls import shuffle_attributes
from gnnrec.splits.kind import SplitKind
from gnnrec.splits.kshot import reveal
from gnnrec.splits.parts import TEST, TRAIN, VALIDATION
from gnnrec.splits.split import Split
from gnnrec.splits.temporal import first_seen
from gnnrec.views import ITEM, USER, Edges, TestSet, TrainingData, UserBatch

SEED = 5
VIEW, BACK = (USER, "view", ITEM), (USER, "back", ITEM)


def watching(seed: int = SEED) -> Dataset:
    """Users come one after the other, and look at items, choose some, and send others back."""
    data = synthetic(seed, num_users=150, num_items=40, choices=8)
    own = data.interactions
    drawn = torch.Generator().manual_seed(seed)
    time = own.user * 40 + torch.randint(0, 2500, (len(own),), generator=drawn)
    own = replace(own, time=time)
    other = (own.item + 1 + own.user % 7) % 40
    views = Interactions(own.user, other, time=time - torch.randint(-20, 200, (len(own),), generator=drawn))
    back = own.take(torch.arange(len(own)) % 5 == 0)
    back = replace(back, item=(back.item + 11) % 40)
    events = [*event_relation("view", _once(views), 0.2), *event_relation("back", _once(back), -1.0)]
    return replace(data, interactions=own, relations=(*data.relations, *events))


def _once(rows: Interactions) -> Interactions:
    key = rows.user * 40 + rows.item
    first = torch.tensor([int((key == one).nonzero()[0]) for one in key.unique()])
    return rows.take(first)


DATA = watching()
LATE, EARLY = torch.iinfo(torch.int64).max, torch.iinfo(torch.int64).min
NEW = Temporal(test=0.3, validation=0.3, support=3)
KINDS = [
    NEW,
    Temporal(test=0.3, validation=0.3, support=3, target="next"),
    Temporal(test=0.3, validation=0.3, users="known"),
    UnseenUsers(test=0.2, validation=0.2, support=3, reveal="time"),
    UnseenUsers(test=0.2, validation=0.2, support=3, reveal="time", target="next"),
]


def opened(kind: SplitKind, data: Dataset = DATA) -> Split:
    split = make_split(data, kind, SEED)
    split.open_test("a test of events")
    return split


def raw(name: str, data: Dataset = DATA) -> set[tuple[int, int, int]]:
    (relation,) = (r for r in data.relations if r.name == name)
    assert relation.time is not None
    return set(zip(*relation.edge_index.tolist(), relation.time.tolist(), strict=True))


def known(users: UserBatch, edge_type: Any) -> set[tuple[int, int, int]]:
    edges = users.relations[edge_type]
    assert edges.time is not None
    return set(zip(users.index[edges.row].tolist(), edges.node.tolist(), edges.time.tolist(), strict=True))


def expected(test: TestSet, name: str, moments: dict[int, int], train: TrainingData) -> set[tuple[int, int, int]]:
    """By a slow loop: the events of each user that came before its moment, of items that training knows."""
    return {
        (user, item, time)
        for user, item, time in raw(name)
        if user in moments and time < moments[user] and bool(train.reachable[ITEM][item])
    }


def first_asked(test: TestSet, more: Edges | None = None) -> dict[int, int]:
    found: dict[int, int] = {}
    for edges in (test.ground_truth, *([] if more is None else [more])):
        assert edges.time is not None
        for user, time in zip(test.users.index[edges.row].tolist(), edges.time.tolist(), strict=True):
            found[user] = min(time, found.get(user, LATE))
    return found


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_only_what_came_before_the_first_item_that_is_asked_for_is_known(kind: SplitKind) -> None:
    split = opened(kind)
    for test, train in ((split.validation, split.train), (split.test, split.full)):
        assert len(test.users.relations[VIEW]) > 20
        for name, edge_type in (("view", VIEW), ("back", BACK)):
            assert known(test.users, edge_type) == expected(test, name, first_asked(test), train)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.support_size], ids=str)
@pytest.mark.parametrize("shots", [0, 1, 3])
def test_with_fewer_items_shown_less_of_the_events_is_known(kind: SplitKind, shots: int) -> None:
    split = opened(kind)
    shown = reveal(split.test, shots)
    items = split.test.users.items
    place = torch.tensor([int((items.row[:one] == items.row[one]).sum()) for one in range(len(items))])
    moments = first_asked(split.test, items.take(place >= shots))
    assert known(shown.users, VIEW) == expected(shown, "view", moments, split.full)
    assert len(known(shown.users, VIEW)) < len(known(split.test.users, VIEW)) or shots == 3


def test_without_an_order_of_time_no_event_of_a_held_out_user_is_known() -> None:
    split = opened(UnseenUsers(test=0.2, validation=0.2, support=3))
    for test in (split.validation, split.test):
        assert all(len(edges) == 0 for edges in test.users.events.values())
    assert len(split.train.users.relations[VIEW]) > 100


def test_a_user_or_an_item_is_there_from_its_first_event_on() -> None:
    own = DATA.interactions
    assert own.time is not None
    for node_type, node, end in ((USER, own.user, 0), (ITEM, own.item, 1)):
        found = first_seen(DATA, node_type)
        for one in range(len(DATA.ids[node_type])):
            times = [int(time) for time in own.time[node == one]]
            times += [time for name in ("view", "back") for *ends, time in raw(name) if ends[end] == one]
            assert int(found[one]) == min(times, default=LATE)


def test_training_knows_no_event_of_after_its_moment() -> None:
    split = opened(NEW)
    assert split.moments is not None
    for train, moment in ((split.train, split.moments[0]), (split.full, split.moments[1])):
        users = set(train.users.index.tolist())
        wanted = {(u, i, t) for u, i, t in raw("view") if u in users and t < moment}
        assert known(train.users, VIEW) == wanted
        assert len(wanted) > 50


def test_users_held_out_of_training_have_the_events_of_before_their_first_choice() -> None:
    train = opened(NEW).full
    rest, held_out = train.hold_out(torch.arange(0, train.num_users, 3))
    assert known(held_out.users, VIEW) == expected(held_out, "view", first_asked(held_out), rest)
    assert len(held_out.users.relations[VIEW]) > 5


def test_events_are_no_attributes() -> None:
    train = opened(NEW).train
    assert VIEW not in train.attribute_types
    assert set(train.users.events) == {VIEW, BACK}
    shuffled = shuffle_attributes(DATA, 1)
    assert raw("view", shuffled) == raw("view")
    assert not torch.equal(shuffled.relations[0].edge_index, DATA.relations[0].edge_index)


def test_items_that_are_held_out_have_no_events() -> None:
    split = opened(UnseenItems(test=0.2, validation=0.2))
    held_out = (split.item_part != TRAIN).nonzero().flatten()
    assert not torch.isin(split.train.users.relations[VIEW].node, held_out).any()
    assert len(split.train.users.relations[VIEW]) > 100


def test_rejected_items_are_in_no_list() -> None:
    split = opened(NEW)
    users = split.test.users
    own = users.relations[BACK]
    assert len(own) > 10
    assert set(zip(*(getattr(users.rejected, end).tolist() for end in ("row", "node")), strict=True)) == set(
        zip(own.row.tolist(), own.node.tolist(), strict=True)
    )
    truth = set(zip(split.test.ground_truth.row.tolist(), split.test.ground_truth.node.tolist(), strict=True))
    shown = set(zip(users.items.row.tolist(), users.items.node.tolist(), strict=True))
    left = split.test.unranked
    assert set(zip(left.row.tolist(), left.node.tolist(), strict=True)) == shown | (
        set(zip(own.row.tolist(), own.node.tolist(), strict=True)) - truth
    )


def audited(split: Split, train: TrainingData | None = None, test: TestSet | None = None) -> None:
    audit(split, split.full if train is None else train, final=True)
    audit_held_out(split, split.test if test is None else test, split.full if train is None else train, TEST)


WITHOUT_ORDER = [
    UnseenUsers(test=0.2, validation=0.2, support=1),
    UnseenItems(test=0.2, validation=0.2),
    WarmInteractions(test=0.2, validation=0.2),
]


@pytest.mark.parametrize("kind", [*KINDS, *WITHOUT_ORDER], ids=str)
def test_what_is_honest_passes_the_audit(kind: SplitKind) -> None:
    split = opened(kind)
    audited(split)
    audit(split, split.train, final=False)
    audit_held_out(split, split.validation, split.train, VALIDATION)


def _all_views(split: Split, users: UserBatch) -> Edges:
    """Every look of some users, whenever."""
    place = {user: row for row, user in enumerate(users.index.tolist())}
    found = sorted((place[u], i, t) for u, i, t in raw("view") if u in place)
    row, node, time = (torch.tensor(column) for column in zip(*found, strict=True))
    return Edges(row, node, torch.full((len(row),), 0.2), time)


def _with_views(users: UserBatch, edges: Edges) -> UserBatch:
    return replace(users, relations={**users.relations, VIEW: edges})


def later_events_in_training(split: Split) -> None:
    train = split.full
    audited(split, replace(train, users=_with_views(train.users, _all_views(split, train.users))))


def later_events_in_training_with_earlier_times(split: Split) -> None:
    train = split.full
    edges = _all_views(split, train.users)
    assert edges.time is not None
    assert split.moments is not None
    moved = replace(edges, time=edges.time.clamp(max=split.moments[1] - 1))
    audited(split, replace(train, users=_with_views(train.users, moved)))


def later_events_of_the_asked(split: Split) -> None:
    users = split.test.users
    edges = _all_views(split, users)
    seen = edges.take(split.full.reachable[ITEM][edges.node])
    audited(split, test=replace(split.test, users=_with_views(users, seen)))


def later_events_of_the_asked_with_earlier_times(split: Split) -> None:
    users = split.test.users
    edges = _all_views(split, users)
    seen = edges.take(split.full.reachable[ITEM][edges.node])
    assert seen.time is not None
    moved = replace(seen, time=torch.full_like(seen.time, EARLY))
    audited(split, test=replace(split.test, users=_with_views(users, moved)))


def an_event_of_the_very_moment(split: Split) -> None:
    users, truth = split.test.users, split.test.ground_truth
    assert truth.time is not None
    edges = _all_views(split, users)
    moments = first_asked(split.test)
    at = torch.tensor([moments.get(user, LATE) for user in users.index.tolist()])
    assert edges.time is not None
    row = int(edges.row[0])
    mine = edges.take(torch.tensor([0]))
    audited(split, test=replace(split.test, users=_with_views(users, replace(mine, time=at[[row]]))))


def events_of_somebody_else(split: Split) -> None:
    users = split.test.users
    own = users.relations[VIEW]
    audited(split, test=replace(split.test, users=_with_views(users, replace(own, node=own.node.roll(1)))))


def weights_turned_round(split: Split) -> None:
    users = split.test.users
    own = users.relations[BACK]
    assert own.weight is not None
    turned = {**users.relations, BACK: replace(own, weight=-own.weight)}
    audited(split, test=replace(split.test, users=replace(users, relations=turned)))


def test_an_event_without_an_order_of_time_is_caught() -> None:
    split = opened(WITHOUT_ORDER[0])
    with pytest.raises(AuditError, match="events 'view' of held-out users are known, although nobody knows"):
        later_events_of_the_asked(split)


@pytest.mark.parametrize(
    ("leak", "message"),
    [
        (later_events_in_training, "training holds .* events 'view' of after the moment"),
        (later_events_in_training_with_earlier_times, "have times that are not those of the data"),
        (later_events_of_the_asked, "events 'view' do not come before the ground truth"),
        (later_events_of_the_asked_with_earlier_times, "have times that are not those of the data"),
        (an_event_of_the_very_moment, "events 'view' do not come before the ground truth"),
        (events_of_somebody_else, "have an edge of 'view' that is not theirs|not those of the data"),
        (weights_turned_round, "'back'"),
    ],
)
def test_events_of_later_are_caught(leak: Callable[[Split], None], message: str) -> None:
    with pytest.raises(AuditError, match=message):
        leak(opened(NEW))
