"""Reader of the Last.fm data as the authors of Heater split it."""

from pathlib import Path

import pandas as pd

from gnnrec.data.columns import edge_tensor, node_ids, positions, sorted_interactions
from gnnrec.data.dataset import Dataset, symmetric
from gnnrec.views import ITEM, USER, Relation


def read(files: dict[str, Path]) -> Dataset:
    """1,892 users, 17,632 artists, 92,834 interactions without values, 12,717 friendships.

    The data are those of HetRec 2011 under other ids, so that neither tags nor names can be joined to them. Which users
    are in which part is not read from the files: the lists of the users' ids stand beside the configs that use them.

    Args:
        files: `train`, `validation`, `test` and `friends`, Parquet files.
    """
    listens = pd.concat([pd.read_parquet(files[part]) for part in ("train", "validation", "test")])
    friends = pd.read_parquet(files["friends"])
    ids = {USER: node_ids(listens["user"].unique()), ITEM: node_ids(listens["item"].unique())}
    ends = (positions(ids[USER], friends[column]) for column in ("user", "friend"))
    friend, _ = symmetric(edge_tensor(*ends))
    return Dataset(
        name="heater-lastfm",
        ids=ids,
        interactions=sorted_interactions(positions(ids[USER], listens["user"]), positions(ids[ITEM], listens["item"])),
        relations=(Relation(USER, "friend", USER, friend),),
    )
