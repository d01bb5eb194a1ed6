"""Checks that the queries of a test set do not contain its ground truth.

Recomputed from the raw data without the code of `split`, as in `audit.training`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gnnrec.audit.moment import audit_order, audit_shown
from gnnrec.audit.training import check_weights, described, differing, raw_edges
from gnnrec.data.dataset import Dataset
from gnnrec.errors import AuditError
from gnnrec.splits.parts import TEST, TEST_SUPPORT, VALIDATION, VALIDATION_SUPPORT
from gnnrec.splits.split import Split
from gnnrec.views import ITEM, USER, Edges, EdgeType, TestSet, TrainingData

Indices = NDArray[np.int64]
GIVEN_AWAY = 0.5
"""A relation from users to items that holds more than this share of the ground truth is refused."""


def audit_held_out(split: Split, held_out: TestSet, train: TrainingData, part: int) -> dict[str, Any]:
    """Checks, before an evaluation, the queries and the ground truth of held-out users.

    Args:
        split: the split, with the raw data.
        held_out: the users with their support and other edges, and the ground truth.
        train: what the model was fitted on.
        part: TEST or VALIDATION.

    Returns:
        What was checked, ready for JSON.

    Raises:
        AuditError: which leak, and an example.
    """
    data, users = split.dataset, held_out.users
    raw = data.interactions
    index, friend = users.index.numpy(), train.users.index.numpy()
    edge_part = split.edge_part.numpy()
    pair = _pairs(data, raw.user.numpy(), raw.item.numpy())
    cold = bool((split.user_part == part).any())
    if cold:
        _check(data, index, split.user_part.numpy()[index] != part, "are in the test set, but not of this part")
        _check(data, index, np.isin(index, friend), "are in the test set and in training")
        allowed = pair[edge_part == (TEST_SUPPORT if part == TEST else VALIDATION_SUPPORT)]
    else:  # warm users with held-out interactions: the support is their training history
        later = [TEST, TEST_SUPPORT] if part == TEST else [TEST, TEST_SUPPORT, VALIDATION, VALIDATION_SUPPORT]
        allowed = pair[~np.isin(edge_part, later)]
    if len(np.unique(index)) < len(index):
        raise AuditError("audit: a held-out user is in the test set twice")
    target = _of(data, index, held_out.ground_truth)
    support = _of(data, index, users.items)
    _check_pairs(data, target, np.isin(target, pair[edge_part == part]), "are in the ground truth, but not held out")
    _check_pairs(data, support, ~np.isin(support, target), "are in the support and in the ground truth")
    _check_pairs(data, support, np.isin(support, allowed), "are in the support, but not of this part's support")
    check_weights("the support", support, users.items.weight, pair, raw.value)
    if split.moments is not None:
        audit_order(split, held_out, part)
    elif split.by_time:
        audit_shown(data, index, held_out)
    for edge_type, edges in users.events.items():
        if len(edges) and not split.by_time:
            raise AuditError(
                f"audit: {len(edges)} events {edge_type[1]!r} of held-out users are known, although nobody knows "
                "whether they came before the ground truth"
            )
    if held_out.masked is not None:
        masked = _of(data, index, held_out.masked)
        _check_pairs(data, masked, ~np.isin(masked, target), "are masked and in the ground truth")
    for edge_type, edges in users.relations.items():
        _check_relation(data, edge_type, edges, index, friend, train)
        if edge_type[2] == ITEM and edges.time is None:
            given = np.isin(target, _of(data, index, edges)).mean()
            if given > GIVEN_AWAY:
                raise AuditError(
                    f"audit: relation {edge_type[1]!r} of the held-out users holds {given:.0%} of the ground "
                    "truth; it is the interactions under another name: leave it out with data.use"
                )
    raw_features = {one.name: one for one in data.user_features}
    for one in users.features:
        if one.name not in raw_features:
            raise AuditError(f"audit: held-out users have a feature {one.name!r} that the data lack")
        own = raw_features[one.name]
        wrong = differing(one, described(own, np.sort(friend))[index], own.known.numpy()[index])
        _check(data, index, wrong, f"have another feature {one.name!r} than in the data, or one of another encoder")
    return {"asked_users": len(index), "asked_interactions": len(target), "shown_interactions": len(support)}


def _pairs(data: Dataset, user: Indices, item: Indices) -> Indices:
    """One number for each pair of user and item."""
    pairs: Indices = user * data.num_items + item
    return pairs


def _of(data: Dataset, index: Indices, edges: Edges) -> Indices:
    return _pairs(data, index[edges.row.numpy()], edges.node.numpy())


def _check(data: Dataset, index: Indices, wrong: NDArray[np.bool_], what: str) -> None:
    if wrong.any():
        raise AuditError(f"audit: {int(wrong.sum())} users {what}, e.g. {data.ids[USER][index[wrong][0]]}")


def _check_pairs(data: Dataset, pairs: Indices, fine: NDArray[np.bool_], what: str) -> None:
    if not fine.all():
        user, item = divmod(int(pairs[~fine][0]), data.num_items)
        example = f"user {data.ids[USER][user]}, item {data.ids[ITEM][item]}"
        raise AuditError(f"audit: {int((~fine).sum())} interactions {what}, e.g. {example}")


def _check_relation(
    data: Dataset, edge_type: EdgeType, edges: Edges, index: Indices, friend: Indices, train: TrainingData
) -> None:
    """Every edge of a held-out user is an edge of that user in the data, and none leads to a user outside training."""
    row, node = index[edges.row.numpy()], edges.node.numpy()
    if edge_type[2] == USER:
        beyond = (node < 0) | (node >= len(friend))
        _check(data, row, beyond, f"have an edge of {edge_type[1]!r} to a user who is not in training")
        node = friend[node]
    source, target, weight = raw_edges(data, edge_type, train, "held-out users have")
    size = int(max(target.max(initial=0), node.max(initial=0))) + 1
    key, raw_key = row * size + node, source * size + target
    _check(data, row, ~np.isin(key, raw_key), f"have an edge of {edge_type[1]!r} that is not theirs in the data")
    check_weights(f"the held-out users' edges of {edge_type[1]!r}", key, edges.weight, raw_key, weight)
