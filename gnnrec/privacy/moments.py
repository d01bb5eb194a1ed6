"""Noisy cross moments of what users have and what they chose, and what follows from them without further cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from gnnrec.graph.matrices import Matrix, histories
from gnnrec.privacy.sums import clip_rows, noisy_products
from gnnrec.views import EdgeType, UserBatch

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Moments:
    """Sums over users, in interactions: one of a user with few interactions counts 1. All of them are noisy.

    Attributes:
        popularity: [I], of each item.
        chosen: [A, I], of each item by the users who have a value.
        share: [A] in [0, 1], of the users who have a value.
        users: their number, at least 1.
        noise: standard deviation of the noise in `popularity` and in `chosen`.
    """

    popularity: Array
    chosen: Array
    share: Array
    users: float
    noise: float


def release_moments(
    users: UserBatch,
    values: Mapping[EdgeType, int],
    num_items: int,
    history_clip: float,
    noise_multiplier: float,
    random: np.random.Generator,
) -> Moments:
    """One Gaussian mechanism for popularity, choices by attribute value, and how many users have each value.

    With R relations, a user's profile is f = (1, values) / sqrt(1 + R), in which the values of each relation have a
    Euclidean norm of at most 1, and its choices are x = items / sqrt(history_clip) with a norm of at most 1. Released
    is the sum over users of f (x, f)' / sqrt(2) with noise: |f| <= 1 and |(x, f)| <= sqrt(2), so that a user's
    contribution has a norm of at most 1; see `noisy_products`, which clips once more. What follows is arithmetic on the
    result with public numbers.

    Args:
        users: U training users.
        values: relation to attribute values -> how many values there are.
        num_items: I.
        history_clip: so many interactions of a user count in full; a user with n more has them weighted by
            sqrt(history_clip / n).
        noise_multiplier: of the one release.
        random: draws the noise.

    Returns:
        The moments, in which clipping and noise are all that is lost.
    """
    profile, parts = profiles(users, values), 1 + len(values)
    items = choices(users, num_items, history_clip)
    right = sparse.csr_array(sparse.hstack([items, profile]) / math.sqrt(2))
    total = noisy_products(profile, right, noise_multiplier, random)
    unit = math.sqrt(2 * parts * history_clip)
    chosen = total[:, :num_items] * unit
    having = (total[0, num_items:] + total[:, num_items]) / 2  # the same sum, with two draws of noise
    share = np.clip(having[1:] / max(having[0], 1e-9), 1e-4, 1)
    number = max(float(having[0]) * math.sqrt(2) * parts, 1.0)
    return Moments(chosen[0], chosen[1:], share, number, noise_multiplier * unit)


def profiles(users: UserBatch, values: Mapping[EdgeType, int]) -> Matrix:
    """[U, 1 + A] float64, a constant and the values of each relation, of Euclidean norm at most 1 together."""
    parts: list[Matrix] = [sparse.csr_array(np.ones((len(users), 1)))]
    for edge_type, size in values.items():
        edges = users.relations[edge_type]
        place = (edges.row.numpy(), edges.node.numpy())
        parts.append(clip_rows(_once(sparse.csr_array((np.ones(len(edges)), place), (len(users), size))), 1.0))
    return sparse.csr_array(sparse.hstack(parts) / math.sqrt(len(parts)))


def choices(users: UserBatch, num_items: int, history_clip: float) -> Matrix:
    """[U, I] float64, the items of each user, of Euclidean norm at most 1, see `release_moments`."""
    clipped = clip_rows(_once(histories(users, num_items)), math.sqrt(history_clip))
    return sparse.csr_array(clipped / math.sqrt(history_clip))


def _once(rows: Matrix) -> Matrix:
    """An edge that is there twice counts once."""
    rows.sum_duplicates()
    rows.data[:] = 1
    return rows


def log_popularity(popularity: Array, noise: float) -> Array:
    """[I], the logarithm of each item's share, where what is lost in the noise counts as half of its deviation.

    Args:
        popularity: [I], noisy counts.
        noise: their standard deviation, in interactions.
    """
    floored = np.maximum(popularity, max(noise, 1.0) / 2)
    result: Array = np.log(floored / floored.sum())
    return result


def log_ratios(moments: Moments, spread: float) -> Array:
    """How much more often users with a value choose an item than all users do, as a shrunken logarithm: [A, I].

    With e = share x popularity, what one expects of a value without any preference, (chosen - e) / e is about the
    logarithm of the ratio. Under a normal prior around 0 it is multiplied by spread^2 / (spread^2 + variance), its
    variance being that of a count, e, plus that of the noise in both terms, over e^2.

    Source: empirical Bayes with known variance (Efron, Morris, JASA 1975); naive Bayes over attribute values as in
        `SegmentPopularity`. Differs: the prior's variance is an option, and not fitted on the data.

    Args:
        moments: of the training users.
        spread: standard deviation of the prior.
    """
    popularity = np.maximum(moments.popularity, max(moments.noise, 1.0) / 2)
    share = moments.share[:, None]
    expected = share * popularity
    ratio = (moments.chosen - share * moments.popularity) / expected
    variance = (expected + moments.noise**2 * (1 + share**2)) / expected**2
    result: Array = ratio * spread**2 / (spread**2 + variance)
    return result


def factors(ratios: Array, share: Array, width: int) -> tuple[Array, Array]:
    """Vectors of values [A, D] and of items [I, D] whose inner products are the ratios, as well as D numbers can.

    Errors count by the items' share in all interactions; where D is less than A, the truncated SVD is best (Eckart,
    Young 1936).

    Args:
        ratios: [A, I].
        share: [I], above 0.
        width: D.
    """
    root = np.sqrt(share)
    left, size, right = np.linalg.svd(ratios * root, full_matrices=False)
    kept = min(width, len(size))
    value, item = np.zeros((len(ratios), width)), np.zeros((len(root), width))
    value[:, :kept] = left[:, :kept] * np.sqrt(size[:kept])
    item[:, :kept] = (right[:kept] * np.sqrt(size[:kept, None])).T / root[:, None]
    return value, item


def sizes(relations: Sequence[EdgeType], ids: Mapping[str, Any]) -> dict[EdgeType, int]:
    """Relation to attribute values -> how many values there are."""
    return {t: len(ids[t[2]]) for t in relations}
