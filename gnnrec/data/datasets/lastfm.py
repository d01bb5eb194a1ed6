"""Reader of the HetRec 2011 Last.fm data."""

import csv
from pathlib import Path

import pandas as pd

from gnnrec.data.columns import edge_tensor, node_ids, number_tensor, positions, sorted_interactions
from gnnrec.data.dataset import Dataset, symmetric
from gnnrec.views import ITEM, USER, Relation


def read(files: dict[str, Path]) -> Dataset:
    """1,892 users, 17,632 artists, 92,834 listening counts, 12,717 friendships, 9,749 tags.

    A tag is put on an artist, so a (artist, tag) pair is nearly an interaction: of the assignments only the tag is
    kept, weighted by how often the user gave it, to whichever artist.

    Args:
        files: `interactions`, `friends`, `tags` and `artists`, tab-separated with a header, plain or .gz.
    """
    listens, friends, tags, artists = (
        pd.read_csv(files[key], sep="\t", quoting=csv.QUOTE_NONE, encoding="utf-8", keep_default_na=False)
        for key in ("interactions", "friends", "tags", "artists")
    )
    ids = {
        USER: node_ids(listens["userID"].unique()),
        ITEM: node_ids(artists["id"].unique()),
        "tag": node_ids(tags["tagID"].unique()),
    }

    friend, _ = symmetric(
        edge_tensor(positions(ids[USER], friends["userID"]), positions(ids[USER], friends["friendID"]))
    )
    given = tags.groupby(["userID", "tagID"]).size().reset_index(name="count")
    tag = edge_tensor(positions(ids[USER], given["userID"]), positions(ids["tag"], given["tagID"]))
    names = artists.set_index(artists["id"].astype("str"))["name"].astype("str").loc[ids[ITEM]]
    return Dataset(
        name="hetrec-lastfm",
        ids=ids,
        interactions=sorted_interactions(
            positions(ids[USER], listens["userID"]), positions(ids[ITEM], listens["artistID"]), listens["weight"]
        ),
        relations=(
            Relation(USER, "friend", USER, friend),
            Relation(USER, "tag", "tag", tag, number_tensor(given["count"])),
        ),
        titles=tuple(names),
    )
