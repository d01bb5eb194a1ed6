"""The Last.fm data of HetRec 2011."""

import csv
import hashlib
from functools import partial
from pathlib import Path

import pandas as pd

from gnnrec.data.catalogue import File, Source, unix_lines
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


def _without_one_line(line_sum: int, content: bytes) -> bytes:
    """Leaves out the one line that keeps the sum of the lines' hashes from being `line_sum`.

    The official file of tag assignments has 186,479 rows, and the copy whose checksum is known has one fewer, so
    the checksum of the official file is not known. Its odd line gives itself away by the difference of the sums;
    without it the file must have the known checksum, and both copies load as the same data.
    """
    lines = unix_lines(content).splitlines(keepends=True)
    hashes = [int.from_bytes(hashlib.sha256(line).digest(), "big") for line in lines]
    odd = (sum(hashes) - line_sum) % 2**256
    return b"".join(line for line, number in zip(lines, hashes, strict=True) if number != odd)


SOURCE = Source(
    name="hetrec-lastfm",
    title="HetRec 2011 Last.fm: listening counts, friendships, tags",
    terms="research use, non-commercial",
    citation=(
        "Cantador, Brusilovsky, Kuflik: 2nd Workshop on Information Heterogeneity and Fusion in Recommender "
        "Systems (HetRec 2011). RecSys 2011. doi:10.1145/2043932.2044016"
    ),
    page="https://grouplens.org/datasets/hetrec-2011/",
    size="1,892 users, 17,632 items, 92,834 listening counts",
    read=read,
    files=(
        File(
            "interactions",
            "user_artists.dat",
            "254272fa721c3935e8be286d28c051b206844307128698ab4eaa41d483379416",
            official="user_artists.dat",
        ),
        File(
            "friends",
            "user_friends.dat",
            "0360883a3557776e04fdebda851f2e5dd23e796cad7059b968acdebd528d13fa",
            official="user_friends.dat",
        ),
        File(
            "tags",
            "user_taggedartists.dat",
            "ea29a33bd281f16cb7559968076b601debf42e9c374f11d79a67c99355201eb6",
            official="user_taggedartists.dat",
            normal=partial(_without_one_line, 0x1DC385CC20D0ECBC06FC386B5A6CE5873FC0EC8BEFC7769045703818BA2C6554),
        ),
        File(
            "artists",
            "artists.dat",
            "c173881362c6b28551368fecb3c0be5a6a30a6cd859e1f5775413dfe46d48648",
            official="artists.dat",
        ),
    ),
    official="https://files.grouplens.org/datasets/hetrec2011/hetrec2011-lastfm-2k.zip",
)
