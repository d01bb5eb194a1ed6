"""Checks of a split by time: nothing of after the moment is in the training data. Recomputed from the raw times."""

import numpy as np
from numpy.typing import NDArray

from gnnrec.data.dataset import Dataset
from gnnrec.errors import AuditError
from gnnrec.splits.parts import TEST, VALIDATION
from gnnrec.splits.split import Split
from gnnrec.views import ITEM, USER, Edges, TestSet, TrainingData

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]
NEVER = np.iinfo(np.int64).max


def audit_moment(split: Split, train: TrainingData, final: bool) -> None:
    """Checks, before a fit, that interactions, users, items, their relations and counts are of before the moment.

    Args:
        split: with moments, and the raw data.
        train: the training data.
        final: whether the moment is that of test; else it is that of validation.

    Raises:
        AuditError: which of them are not, and an example.
    """
    audit_before(split.dataset, train, _moment(split, final))


def audit_before(data: Dataset, train: TrainingData, moment: int) -> None:
    """The same for any training data and any moment.

    Args:
        data: the raw data.
        train: the training data.
        moment: the first time that is not known of.

    Raises:
        AuditError: as `audit_moment`.
    """
    index, items = train.users.index.numpy(), train.users.items
    time = _times(data, index[items.row.numpy()], items.node.numpy())
    late = np.flatnonzero(time >= moment)
    if len(late):
        one = int(late[0])
        user, item = data.ids[USER][index[int(items.row[one])]], data.ids[ITEM][int(items.node[one])]
        raise AuditError(
            f"audit: training holds {len(late)} interactions of after the moment {moment}, e.g. user {user}, item "
            f"{item} at {time[one]}"
        )
    if items.time is not None and not np.array_equal(items.time.numpy(), time):
        raise AuditError("audit: training has times of interactions that are not those of the data")
    for edge_type, edges in train.users.events.items():
        assert edges.time is not None
        late = np.flatnonzero(edges.time.numpy() >= moment)
        if len(late):
            one = int(late[0])
            raise AuditError(
                f"audit: training holds {len(late)} events {edge_type[1]!r} of after the moment {moment}, e.g. of user "
                f"{data.ids[USER][index[int(edges.row[one])]]} at {int(edges.time[one])}"
            )
        _check_event_times(data, edge_type[1], index, edges)
    first = _first(data, USER)[index]
    late = np.flatnonzero((first >= moment) & (first < NEVER))
    if len(late):
        user = data.ids[USER][index[late[0]]]
        raise AuditError(f"audit: {len(late)} training users first appear after the moment {moment}, e.g. {user}")
    known = _first(data, ITEM) < moment
    ends = [(t[1], t[2], edges.node) for t, edges in train.users.relations.items()]
    for relation in train.relations:
        ends += [(relation.name, relation.source, relation.edge_index[0])]
        ends += [(relation.name, relation.target, relation.edge_index[1])]
    ends.append(("candidates", ITEM, train.candidates.nonzero().flatten()))
    for name, node_type, node in ends:
        late = node.numpy()[~known[node.numpy()]] if node_type == ITEM else np.empty(0, dtype=np.int64)
        if len(late):
            item = data.ids[ITEM][late[0]]
            raise AuditError(f"audit: {name!r}: {len(late)} items first appear after the moment {moment}, e.g. {item}")


def audit_order(split: Split, held_out: TestSet, part: int) -> None:
    """Checks, before an evaluation, that what is shown of each user came before what is asked for.

    Args:
        split: with moments, and the raw data.
        held_out: its users.
        part: TEST or VALIDATION.

    Raises:
        AuditError: a user whose support is later than its ground truth, or ground truth that is before the part's
            moment, or after the next one.
    """
    data = split.dataset
    index = held_out.users.index.numpy()
    start = _moment(split, part == TEST)
    end = split.moments[1] if part == VALIDATION and split.moments is not None else NEVER

    def times(edges: Edges) -> tuple[Indices, Indices]:
        row = edges.row.numpy()
        return row, _times(data, index[row], edges.node.numpy())

    row, time = times(held_out.ground_truth)
    wrong = np.flatnonzero((time < start) | (time >= end))
    if len(wrong):
        user = data.ids[USER][index[row[wrong[0]]]]
        raise AuditError(
            f"audit: {len(wrong)} interactions of the ground truth are before the moment {start} or after the next "
            f"one, e.g. of user {user} at {time[wrong[0]]}"
        )
    audit_shown(data, index, held_out)


def audit_shown(data: Dataset, index: Indices, asked: TestSet) -> None:
    """Checks that nothing that is shown of a user is later than what is asked for, and that its events are earlier.

    Args:
        data: the raw data.
        index: [B] int64, the users.
        asked: B queries of them.

    Raises:
        AuditError: an interaction that is later.
    """
    row, items = asked.ground_truth.row.numpy(), asked.ground_truth.node.numpy()
    first = np.full(len(index), NEVER)
    np.minimum.at(first, row, _times(data, index[row], items))
    row, items = asked.users.items.row.numpy(), asked.users.items.node.numpy()
    wrong = np.flatnonzero(_times(data, index[row], items) > first[row])
    if len(wrong):
        user = data.ids[USER][index[row[wrong[0]]]]
        raise AuditError(f"audit: {len(wrong)} interactions of the support come after the ground truth, e.g. of {user}")
    for edge_type, edges in asked.users.events.items():
        assert edges.time is not None
        row = edges.row.numpy()
        wrong = np.flatnonzero(edges.time.numpy() >= first[row])
        if len(wrong):
            user = data.ids[USER][index[row[wrong[0]]]]
            raise AuditError(
                f"audit: {len(wrong)} events {edge_type[1]!r} do not come before the ground truth, e.g. of {user}"
            )
        _check_event_times(data, edge_type[1], index, edges)


def known_items(split: Split, final: bool) -> Mask:
    """[I] bool, the items with an interaction before the moment."""
    known: Mask = _first(split.dataset, ITEM) < _moment(split, final)
    return known


def _moment(split: Split, final: bool) -> int:
    assert split.moments is not None
    return split.moments[1 if final else 0]


def _first(data: Dataset, node_type: str) -> Indices:
    """[N] int64, the raw time of each node's first interaction or event."""
    own = data.interactions
    assert own.time is not None
    found = np.full(len(data.ids[node_type]), NEVER)
    np.minimum.at(found, (own.user if node_type == USER else own.item).numpy(), own.time.numpy())
    for relation in data.relations:
        if relation.time is not None:
            np.minimum.at(found, relation.edge_index[0 if node_type == USER else 1].numpy(), relation.time.numpy())
    return found


def _check_event_times(data: Dataset, name: str, index: Indices, edges: Edges) -> None:
    """The events of some users are at the times of the data."""
    raw = next(relation for relation in data.relations if relation.name == name and relation.time is not None)
    assert raw.time is not None
    assert edges.time is not None
    key = raw.edge_index[0].numpy() * data.num_items + raw.edge_index[1].numpy()
    order = np.argsort(key)
    wanted = index[edges.row.numpy()] * data.num_items + edges.node.numpy()
    place = order[np.searchsorted(key[order], wanted).clip(max=len(key) - 1)]
    if not np.array_equal(raw.time.numpy()[place], edges.time.numpy()):
        raise AuditError(f"audit: events {name!r} have times that are not those of the data")


def _times(data: Dataset, user: Indices, item: Indices) -> Indices:
    """[E] int64, the raw time of each pair of user and item, which the data have."""
    own, num_items = data.interactions, data.num_items
    assert own.time is not None
    key = own.user.numpy() * num_items + own.item.numpy()
    order = np.argsort(key, kind="stable")
    place = np.searchsorted(key[order], user * num_items + item).clip(max=len(key) - 1)
    found: Indices = own.time.numpy()[order[place]]
    return found
