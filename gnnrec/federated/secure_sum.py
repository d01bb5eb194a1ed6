"""Sums over clients of which a server sees the total alone: plain, or with pairwise masks that cancel."""

from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnrec.errors import TrainingError

Words = NDArray[np.uint64]

SCALE = 2.0**32
"""Steps of the fixed-point numbers within 1: half of the 64 bits are left for the whole part of a total."""
NEIGHBOURS = 16
"""Clients that each client shares masks with, where there are so many."""


class SecureSum(Protocol):
    """How a server gets a sum over clients, and nothing else of them."""

    def __call__(self, vectors: Tensor, arrived: Tensor, generator: torch.Generator) -> Tensor:
        """Adds up the vectors of the clients that have arrived.

        Args:
            vectors: [C, P] float, one for each client of a round.
            arrived: [C] bool, the clients that did not fail in the round; at least one.
            generator: source of the masks.

        Returns:
            [P] float64, the sum over the clients that have arrived.
        """
        ...


def plain_sum(vectors: Tensor, arrived: Tensor, generator: torch.Generator) -> Tensor:
    """A server that is trusted with each client's vector; see `SecureSum`."""
    return vectors[arrived].double().sum(0)


def masked_sum(vectors: Tensor, arrived: Tensor, generator: torch.Generator) -> Tensor:
    """A sum with `PairwiseMasks`; see `SecureSum`."""
    masks = PairwiseMasks(len(vectors), generator)
    sent = {client: masks.masked(client, vectors[client]) for client in arrived.nonzero().flatten().tolist()}
    return masks.total(sent)


class PairwiseMasks:
    """Masks of a round's clients: a pair shares a seed, one adds what is drawn from it, the other takes it off.

    Vectors are rounded to whole steps of 2^-32 and added modulo 2^64, so that masks are uniform (a masked vector tells
    nothing), and cancel to the last bit. Where a client fails, those that share a seed with it tell the server the
    seed, which takes their masks off: the round goes on without the client, and is not repeated.

    Source: Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine Learning", CCS 2017, section
        4; each client shares seeds with a few others alone, on a ring of random order, after Bell et al., "Secure
        Single-Server Aggregation with (Poly)Logarithmic Overhead", CCS 2020. Differs: this is a simulation of the
        arithmetic in one process. Seeds are drawn here, where clients would agree on them by exchanged keys; they are
        told by the survivors, where the protocol has secret shares of them and a second mask of each client's own,
        which protects a client whose vector is only late. It is no implementation to be deployed.

    Args:
        clients: C, of the round.
        generator: source of seeds and of the order.

    Example:
        >>> masks = PairwiseMasks(3, torch.Generator().manual_seed(5))
        >>> sent = {client: masks.masked(client, torch.tensor([0.5 + client, -1.0])) for client in (0, 2)}
        >>> masks.total(sent).tolist()  # client 1 has failed
        [3.0, -2.0]
    """

    def __init__(self, clients: int, generator: torch.Generator) -> None:
        self._clients = clients
        order = torch.randperm(clients, generator=generator).tolist()
        each_side = min(NEIGHBOURS // 2, clients // 2)
        linked = {
            (min(one, other), max(one, other))
            for place, one in enumerate(order)
            for other in (order[(place + step) % clients] for step in range(1, each_side + 1))
            if one != other
        }
        drawn = torch.randint(2**62, (len(linked),), generator=generator).tolist()
        self._seeds: list[dict[int, int]] = [{} for _ in range(clients)]
        for (one, other), seed in zip(sorted(linked), drawn, strict=True):
            self._seeds[one][other] = self._seeds[other][one] = seed

    def masked(self, client: int, vector: Tensor) -> Words:
        """What a client sends: its vector as whole numbers, with the masks that it shares with others.

        Raises:
            TrainingError: a number is not finite, or too large for the sum of all clients.
        """
        most = 2.0**63 / SCALE / self._clients
        if not bool((vector.abs() < most).all()):
            raise TrainingError(
                f"federated: a client's update has a number that is not finite or not below {most:.3g}, which masks "
                "cannot carry; lower model.federated.learning_rate and local_learning_rate"
            )
        whole = np.rint(vector.double().cpu().numpy() * SCALE).astype(np.int64).view(np.uint64)
        for sign, mask in self._shared(client, len(whole), list(self._seeds[client])):
            whole = whole + mask if sign > 0 else whole - mask
        return whole

    def total(self, sent: Mapping[int, Words]) -> Tensor:
        """[P] float64, what the server makes of what has arrived: client -> its masked vector."""
        size = len(next(iter(sent.values())))
        total = np.zeros(size, dtype=np.uint64)
        for client, words in sent.items():
            total = total + words
            missing = [other for other in self._seeds[client] if other not in sent]
            for sign, mask in self._shared(client, size, missing):
                total = total - mask if sign > 0 else total + mask
        return torch.from_numpy(total.view(np.int64) / SCALE)

    def _shared(self, client: int, size: int, others: list[int]) -> Iterator[tuple[int, Words]]:
        """The sign and the mask that a client shares with each of some others: of a pair, the lower number adds."""
        for other in others:
            bits = np.random.Generator(np.random.Philox(self._seeds[client][other]))
            yield (1 if client < other else -1), bits.integers(2**64, size=size, dtype=np.uint64)
