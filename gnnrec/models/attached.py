"""A trained encoder for users who are not in its graph."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from gnnrec.graph.block import Block
from gnnrec.graph.merge import AttributeMerge
from gnnrec.nn.encoder import Encoder, EncoderConfig, Vectors
from gnnrec.nn.words import WordMap
from gnnrec.views import ITEM, TrainingData, UserBatch


class AttachedEncoder:
    """An encoder with the vectors of all nodes before each step, and of the items after the last one.

    Args:
        encoder: the encoder.
        merge: how attribute columns are merged.
        outputs: node types for which the encoder has layers.
        ids: node type -> ids of the rows of the encoder's tables.
        words: node type -> where its values stand that no training user has, by their words.

    Attributes:
        encoder: the encoder.
        ids: node type -> ids of the rows of its tables.
        items: [I, D] float32, after `precompute`.
    """

    def __init__(
        self,
        encoder: Encoder,
        merge: AttributeMerge,
        outputs: tuple[str, ...],
        ids: Mapping[str, list[Any]],
        words: Mapping[str, WordMap] | None = None,
    ) -> None:
        self.encoder = encoder
        self._merge = merge
        self._outputs = outputs
        self.ids = ids
        self._words = dict(words or {})

    @torch.no_grad()
    def precompute(self, block: Block) -> None:
        """Computes the vectors from the whole graph of the training users."""
        self._states: list[Vectors] = [self._filled(state) for state in self.encoder.states(block)]
        last = self.encoder([block] * self.encoder.config.layers, outputs=(ITEM,))[ITEM]
        assert last is not None
        self.items = last

    def _filled(self, state: Vectors) -> Vectors:
        """The vectors before a step, with those of values that no training user has predicted from their words."""
        own = {t: one.filled(state[t]) for t, one in self._words.items() if state.get(t) is not None}  # type: ignore[arg-type]
        return {**state, **own}

    @torch.no_grad()
    def embed(self, users: UserBatch) -> Tensor:
        """[B, D] float32, the vectors of B users from what is known of them."""
        return self.encoder.attach(self._states, self._merge.users(users))

    def merged(self, users: UserBatch) -> UserBatch:
        """Users with their attribute columns merged as in training."""
        return self._merge.users(users)

    def state_dict(self) -> dict[str, Any]:
        """What `from_state` needs besides the weights."""
        return {
            "node_counts": {t: self.encoder.table(t).num_embeddings for t in self.ids},
            "node_types": self.encoder.node_types,
            "edge_types": self.encoder.edge_types,
            "outputs": self._outputs,
            "merge": self._merge,
            "ids": dict(self.ids),
            "states": self._states,
            "memory": dict(self.encoder.memory),
            "interpolated": self.encoder.interpolated,
            "described": {} if self.encoder.inputs is None else self.encoder.inputs.widths,
            "items": self.items,
        }

    @classmethod
    def from_state(
        cls, config: EncoderConfig, layer_class: Callable[..., nn.Module], state: Mapping[str, Any]
    ) -> "AttachedEncoder":
        """An encoder of the saved shape, with initial weights, and the saved vectors."""
        counts = {t: state["node_counts"].get(t, 0) for t in state["node_types"]}
        with torch.random.fork_rng():
            shape = counts, state["edge_types"], config, layer_class, state["outputs"]
            encoder = Encoder(*shape, state.get("interpolated", ()), state.get("described"))
        encoder.memory = dict(state.get("memory", {}))
        attached = cls(encoder, state["merge"], state["outputs"], state["ids"])
        attached._states, attached.items = state["states"], state["items"]
        return attached


def widths(users: UserBatch) -> dict[str, int]:
    """Name of each feature of users -> its width."""
    return {one.name: one.vector.shape[1] for one in users.features}


def take_users(encoder: Encoder, train: TrainingData, device: torch.device, start: Tensor | None = None) -> None:
    """Gives an encoder what describes the users of its graph.

    Args:
        encoder: on the CPU, with inputs for the features of the training users.
        train: the training users.
        device: where the features lie afterwards.
        start: [U, D] float32, vectors that the inputs begin near to; None for none.
    """
    if encoder.inputs is None:
        return
    encoder.inputs.start(train.users.features, start)
    encoder.users = tuple(
        replace(one, vector=one.vector.to(device), known=one.known.to(device)) for one in train.users.features
    )


def word_maps(train: TrainingData) -> dict[str, WordMap]:
    """Node type -> where its values stand that no training user has, by their words."""
    found = {}
    for one in train.values:
        ends = [edges.node for t, edges in train.users.relations.items() if t[2] == one.node_type]
        if ends:
            users = torch.bincount(torch.cat(ends), minlength=len(one.known)).float()
            found[one.node_type] = WordMap.of(one.vector, one.known, users)
    return found
