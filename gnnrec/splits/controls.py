"""A control: the same attributes and friendships, dealt out to other users."""

from dataclasses import replace

import torch
from torch import Tensor

from gnnrec.data.dataset import Dataset
from gnnrec.runtime import seeds
from gnnrec.views import USER, Relation


def shuffle_attributes(dataset: Dataset, seed: int) -> Dataset:
    """Renames the users in everything but their interactions: nothing that is known of a user tells of its taste.

    Degrees, co-occurrence of attribute values and the shape of the friendship graph stay as they are.

    Args:
        dataset: the data.
        seed: the run's seed.
    """
    new = torch.randperm(dataset.num_users, generator=seeds.generator(seed, "shuffle attributes"))

    def rename(relation: Relation) -> Relation:
        rows: list[Tensor] = [
            new[row] if node_type == USER else row
            for node_type, row in zip((relation.source, relation.target), relation.edge_index, strict=True)
        ]
        return replace(relation, edge_index=torch.stack(rows))

    return replace(
        dataset,
        relations=tuple(rename(relation) for relation in dataset.relations),
        numeric=tuple(replace(a, node=new[a.node]) if a.node_type == USER else a for a in dataset.numeric),
    )
