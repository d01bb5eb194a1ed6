"""Words alone: the cosine of what a profile says and what items are called."""

from typing import Any

import torch
from torch import Tensor

from gnnrec.data.match import unit_vectors
from gnnrec.views import ITEM, USER, Edges, EdgeType, TestSet, TrainingData, UserBatch


class TextCosine:
    """The cosine of the words of a user's attribute values and of an item's title and attribute values.

    A user's vector is the mean of the vectors of its values, each read with its attribute ("occupation: artist"); an
    item's that of its title, with its values behind it. Nothing is learned from interactions. Words are encoded by the
    Universal Sentence Encoder (extra `text`).

    Source: no paper; what a text encoder knows without any recommendation.
    Shapes: users B -> scores [B, I], from -1 to 1.
    """

    supports_cold_users = True
    predicts_ratings = False

    def __init__(self) -> None:
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Encodes the words.

        Raises:
            ConfigError: the extra `text` is not installed.
        """
        self._values: dict[EdgeType, Tensor] = {}
        for edge_type in train.attribute_types:
            names = [f"{edge_type[1]}: {value}" for value in train.ids[edge_type[2]]]
            self._values[edge_type] = torch.from_numpy(unit_vectors(names))
        texts = [[title] for title in train.titles or map(str, train.ids[ITEM])]
        for relation in train.relations:
            if relation.source == ITEM and relation.target not in (USER, ITEM):
                names = train.ids[relation.target].astype(str).tolist()
                for item, value in relation.edge_index.T.tolist():
                    texts[item].append(names[value])
        self._items = torch.from_numpy(unit_vectors([", ".join(text) for text in texts]))

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32; 0 for a user without attributes."""
        total = torch.zeros(len(users), self._items.shape[1])
        for edge_type, vectors in self._values.items():
            edges = users.relations.get(edge_type, Edges(*torch.empty(2, 0, dtype=torch.int64)))
            total.index_add_(0, edges.row, vectors[edges.node])
        scores: Tensor = total / total.norm(dim=1, keepdim=True).clamp(min=1e-12) @ self._items.T
        return scores
