"""A control: attributes and friendships permuted over the users."""

from dataclasses import replace

import torch
from torch import Tensor

from gnnrec.data.dataset import Dataset
from gnnrec.runtime import seeds
from gnnrec.views import USER, Relation


def shuffle_attributes(dataset: Dataset, seed: int) -> Dataset:
    """Permutes the users in everything but their interactions, so that attributes and taste are independent.

    Degrees, co-occurrence of attribute values and the shape of the friendship graph are unchanged.

    Args:
        dataset: the data.
        seed: the run's seed.
    """
    new = torch.randperm(dataset.num_users, generator=seeds.generator(seed, "shuffle attributes"))

    def permuted(relation: Relation) -> Relation:
        if relation.time is not None:  # events are behaviour, as interactions are
            return relation
        rows: list[Tensor] = [
            new[row] if node_type == USER else row
            for node_type, row in zip((relation.source, relation.target), relation.edge_index, strict=True)
        ]
        return replace(relation, edge_index=torch.stack(rows))

    return replace(
        dataset,
        relations=tuple(permuted(relation) for relation in dataset.relations),
        user_features=tuple(one.take(new.argsort()) for one in dataset.user_features),
        numeric=tuple(replace(a, node=new[a.node]) if a.node_type == USER else a for a in dataset.numeric),
    )
