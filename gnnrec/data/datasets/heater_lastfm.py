"""The Last.fm data of HetRec 2011 as the authors of Heater split them."""

from pathlib import Path

import pandas as pd

from gnnrec.data.catalogue import File, Source
from gnnrec.data.columns import edge_tensor, node_ids, positions, sorted_interactions
from gnnrec.data.dataset import Dataset, symmetric
from gnnrec.views import ITEM, USER, Relation


def read(files: dict[str, Path]) -> Dataset:
    """1,892 users, 17,632 artists, 92,834 interactions without values, 12,717 friendships.

    The data are those of HetRec 2011 under other ids, so that neither tags nor names can be joined to them. Which users
    are in which part is not read from the files: lists of their ids are in the folder of the configs that use them.

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


SOURCE = Source(
    name="heater-lastfm",
    title="HetRec 2011 Last.fm as split by Heater: training, validation and test users, friendships",
    terms="research use, non-commercial",
    citation=(
        "Zhu, Sefati, Saadatpanah, Caverlee: Recommendation for New Users and New Items via Randomized "
        "Training and Mixture-of-Experts Transformation. SIGIR 2020. doi:10.1145/3397271.3401178"
    ),
    page="https://github.com/Zziwei/Heater--Cold-Start-Recommendation",
    size="1,892 users, 17,632 items, 92,834 interactions",
    read=read,
    # The authors' files are of another layout; no checksum is known for them.
    files=(
        File(
            "train",
            "train.parquet",
            "074a22cce29ba0e6077dc1742577aa6132a09645dc4b020f175ad8d47036a52d",
        ),
        File(
            "validation",
            "vali.parquet",
            "cf6b004147c62526ef3b0d6c05035ba787857679eca0b788fe319966478fb596",
        ),
        File(
            "test",
            "test.parquet",
            "28b2b660056530c703adcd57d0a84bd7f7e44a226f94f38978a041970e93dbe7",
        ),
        File(
            "friends",
            "friends.parquet",
            "78ab7a7ac82f8c7b3aaff81953693966f47e5d9fdc00c8b69452feb98658cf9c",
        ),
    ),
)
