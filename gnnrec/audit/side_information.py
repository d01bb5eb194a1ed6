"""How well each relation alone finds held-out targets: what no honest attribute could know is refused, the rest told.

Recomputed from edges and counts without the code of `split` and `graph`, as in `audit.training`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.stats import rankdata

from gnnrec.errors import AuditError
from gnnrec.views import ITEM, USER, Edges, EdgeType, TestSet, TrainingData

LIMIT, MARGIN = 0.9, 0.3
"""A relation that names a target with its first guess for more than this share of the held-out users, and for so many
more than popularity does, is refused. Of real data sets, the most telling relation has .69 (age, MovieLens-100K), and
the one with the largest lead over popularity .49 against .24 (friends, Last.fm)."""
PARTIAL = 0.8
"""A numeric attribute of items whose ranks have a larger partial correlation with held-out counts, given training
counts, is refused: it was counted with them."""
PAIRED = 0.9
"""A relation between items that holds a larger share of the pairs that held-out histories alone hold is refused."""
LEAST_USERS, LEAST_ITEMS = 30, 30
"""Of fewer held-out users, or items, no number is taken for more than chance."""
MOST_NUMBERS = 128
"""Numbers of a feature of items that are looked at."""
MOST_USERS, MOST_COUNTED = 200, 10_000
"""Users whose first guesses are looked at, and training users whom values are counted on, at most."""

Counts = NDArray[np.float64]


def audit_side_information(train: TrainingData, held_out: TestSet) -> dict[str, Any]:
    """Measures each relation by itself against the targets of held-out users.

    A relation from users scores the items by how many training users with the same values (or how many of the friends)
    have them, and its first guess is a hit where it is a target; so is the guess of the user's most telling value
    alone, for a relation of many values. A leak that is no better than an honest attribute can be cannot be told from
    one, and is only reported.

    Args:
        train: what the model was fitted on.
        held_out: cold users with their edges and targets.

    Returns:
        Relation -> `found`, the share of the held-out users with an edge whose first guess is a target; `by_one_value`,
        the same by the most telling value (or friend) alone; `training`, as `found`, for training users without their
        own history; `chance`, that of the most popular item; `users`, how many were looked at. For numeric
        attributes and short features of items `partial`, for relations between items `paired`, see `PARTIAL` and
        `PAIRED`.

    Raises:
        AuditError: a relation knows more than it could have known.
    """
    history = _matrix(train.users.items, train.num_users, train.num_items)
    target = _matrix(held_out.ground_truth, len(held_out.users), train.num_items)
    known = _matrix(held_out.users.items, len(held_out.users), train.num_items)
    popularity = np.asarray(history.sum(axis=0)).ravel()
    measured: dict[str, Any] = {}
    for edge_type, edges in held_out.users.relations.items():
        found = _of_users(train, edge_type, edges, history, target, known, popularity)
        if found is None:
            continue
        measured[edge_type[1]] = found
        best = max(found["found"], found["by_one_value"])
        if found["users"] >= LEAST_USERS and best > LIMIT and best > found["chance"] + MARGIN:
            raise AuditError(
                f"audit: relation {edge_type[1]!r} names a target of {best:.0%} of the held-out users at its first "
                f"guess (popularity: {found['chance']:.0%}); it was made from their interactions: leave it out with "
                "data.use, or make it from those of training users"
            )
    if target.shape[0] >= LEAST_USERS:
        measured |= _of_items(train, target, popularity, history)
    return measured


def _of_users(
    train: TrainingData,
    edge_type: EdgeType,
    edges: Edges,
    history: Any,
    target: Any,
    known: Any,
    popularity: Counts,
) -> dict[str, float] | None:
    """The first guesses of one relation from users; None where no held-out user has an edge."""
    nodes = train.num_users if edge_type[2] == USER else len(train.ids[edge_type[2]])
    theirs = _matrix(edges, target.shape[0], nodes)
    rows = _some(np.flatnonzero((theirs.sum(axis=1) > 0) & (target.sum(axis=1) > 0)))
    if not len(rows) or edge_type not in train.users.relations:
        return None
    ours = _matrix(train.users.relations[edge_type], train.num_users, nodes)
    if edge_type[2] == USER:
        share, count = history, np.ones(nodes)
    else:
        counted = _some(np.arange(train.num_users), MOST_COUNTED)
        ours, history = ours[counted], history[counted]
        count = np.maximum(ours.sum(axis=0), 1)
        share = sparse.csr_array(sparse.diags_array(1 / (count + 1)) @ (ours.T @ history))
    training = _some(np.flatnonzero((ours.sum(axis=1) > 0) & (history.sum(axis=1) > 0)))
    guess = (theirs[rows] @ share).toarray() - 1e9 * known[rows].toarray()
    popular = popularity - 1e9 * known[rows].toarray()
    own = (ours[training] @ share).toarray()
    if edge_type[2] != USER:  # without what the user has added to the counts of its own values
        added = ours[training] @ (1 / (count + 1))
        own -= added[:, None] * history[training].toarray()
    return {
        "found": _hits(guess, target[rows]),
        "by_one_value": _hits(_of_one_value(theirs[rows], share, known[rows]), target[rows]),
        "training": _hits(own, history[training]),
        "chance": _hits(popular, target[rows]),
        "users": len(rows),
    }


def _of_one_value(theirs: Any, share: Any, known: Any) -> Counts:
    """[B, I] scores that point to the best item of each user's most telling value."""
    share = sparse.csr_array(share)
    best, telling = np.asarray(share.argmax(axis=1)).ravel(), np.asarray(share.max(axis=1).toarray()).ravel()
    row, node = theirs.nonzero()
    value = telling[node] - 1e9 * np.asarray(known[row, best[node]]).ravel()
    order = np.lexsort((-value, row))
    first = order[np.unique(row[order], return_index=True)[1]]
    score = np.zeros((theirs.shape[0], share.shape[1]))
    score[row[first], best[node[first]]] = 1.0
    return score


def _of_items(train: TrainingData, target: Any, popularity: Counts, history: Any) -> dict[str, Any]:
    """Attributes of items, and relations between items, against held-out interactions."""
    measured: dict[str, Any] = {}
    held_out = np.asarray(target.sum(axis=0)).ravel()
    for relation in train.relations:
        if relation.source != ITEM:
            continue
        if relation.target == ITEM:
            edges = Edges(relation.edge_index[0], relation.edge_index[1])
            paired, others = _pairs(_matrix(edges, train.num_items, train.num_items), history, target)
            measured[relation.name] = {"paired": round(paired, 4), "others": round(others, 4)}
            if paired > PAIRED and paired > others + MARGIN:
                raise AuditError(
                    f"audit: relation {relation.name!r} between items holds {paired:.0%} of the pairs of items that "
                    f"held-out users alone have chosen together ({others:.0%} of the other pairs); it was counted with "
                    "them: leave it out, or count it on training users"
                )
        elif (ITEM, relation.name) in train.bounds:  # bins ascend
            item, value = relation.edge_index[0].numpy(), relation.edge_index[1].numpy().astype(float)
            partial = _partial(value, held_out[item], popularity[item])
            measured[relation.name] = _not_counted("attribute", relation.name, partial)
    for one in train.features:
        if one.vector.shape[1] <= MOST_NUMBERS:  # more are made of words or pictures
            item = one.known.numpy().nonzero()[0]
            columns = one.vector.numpy()[item].astype(float).T
            partial = max((abs(_partial(value, held_out[item], popularity[item])) for value in columns), default=0.0)
            measured[one.name] = _not_counted("feature", one.name, partial)
    return measured


def _not_counted(what: str, name: str, partial: float) -> dict[str, float]:
    """What is told of a number of items.

    Raises:
        AuditError: it was counted with held-out interactions.
    """
    if partial > PARTIAL:
        raise AuditError(
            f"audit: {what} {name!r} of items follows the held-out interactions where training counts are equal "
            f"(partial rank correlation {partial:.2f}); it was counted with them: leave it out, or count it on "
            "training users"
        )
    return {"partial": round(partial, 4)}


def _pairs(edges: Any, history: Any, target: Any) -> tuple[float, float]:
    """Shares of related pairs: among those in held-out histories alone, and among those in no history."""
    some = target[_some(np.arange(target.shape[0]))]
    theirs, ours = (some.T @ some).astype(bool), (history.T @ history).astype(bool)
    theirs.setdiag(False)
    ours.setdiag(False)
    alone = sparse.csr_array(theirs > ours)
    edges = edges.astype(bool)
    related = sparse.csr_array(edges.multiply(alone)).nnz
    anywhere = sparse.csr_array((theirs + ours).astype(bool))
    rest = edges.shape[0] * (edges.shape[0] - 1) - anywhere.nnz
    beyond = edges.nnz - sparse.csr_array(edges.multiply(anywhere)).nnz
    return related / max(alone.nnz, 1), beyond / max(rest, 1)


def _partial(value: Counts, held_out: Counts, training: Counts) -> float:
    """Partial rank correlation of a value with held-out counts, given training counts; 0 where it is not defined."""
    ranks = np.stack([rankdata(one) for one in (value, held_out, training)])
    if len(value) < LEAST_ITEMS or (ranks.std(axis=1) == 0).any():
        return 0.0
    correlation = np.asarray(np.corrcoef(ranks))
    vh, vt, ht = correlation[0, 1], correlation[0, 2], correlation[1, 2]
    left = (1 - vt**2) * (1 - ht**2)
    return float((vh - vt * ht) / np.sqrt(left)) if left > 1e-9 else 0.0


def _hits(score: Counts, target: Any) -> float:
    """Share of rows whose best item is a target; 0 of no rows, as where no training user has an edge."""
    best = score.argmax(axis=1)
    if not len(best):
        return 0.0
    return round(float(np.asarray(target[np.arange(len(best)), best]).ravel().mean()), 4)


def _some(rows: NDArray[np.int64], most: int = MOST_USERS) -> NDArray[np.int64]:
    """At most so many of the rows, evenly spaced."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def _matrix(edges: Edges, rows: int, columns: int) -> Any:
    """[rows, columns], 1 where there is an edge."""
    ones = np.ones(len(edges))
    made = sparse.csr_array((ones, (edges.row.numpy(), edges.node.numpy())), shape=(rows, columns))
    made.data[:] = 1.0
    return made
