"""CiaoDVD: dated ratings of films on DVD, and whom users trust."""

from pathlib import Path

import pandas as pd

from gnnrec.data.catalogue import File, Source
from gnnrec.data.columns import attribute, edge_tensor, node_ids, positions, sorted_interactions
from gnnrec.data.dataset import Dataset, symmetric
from gnnrec.views import ITEM, USER, Relation


def read(files: dict[str, Path]) -> Dataset:
    """17,615 users, 16,121 films, 72,345 ratings out of 72,665 reviews, trust between 2,433 of the users.

    Of several reviews of one film by one user the first one counts; times are days. Trust is a relation in both
    directions, whoever declared it; it is left out where one of the two has rated nothing. No user has attributes.

    Args:
        files: `ratings` and `trust`, CSV files.
    """
    rows = pd.read_csv(files["ratings"], usecols=["user", "movie", "genre", "rating", "date"])
    rows["day"] = (pd.to_datetime(rows["date"], format="%Y-%m-%d") - pd.Timestamp(0)) // pd.Timedelta(days=1)
    first = rows.sort_values("day", kind="stable").drop_duplicates(["user", "movie"])
    trust = pd.read_csv(files["trust"])
    ids = {USER: node_ids(rows["user"].astype(str).unique()), ITEM: node_ids(rows["movie"].astype(str).unique())}
    ends = [positions(ids[USER], trust[column]) for column in ("trustor", "trustee")]
    rated = (ends[0] >= 0) & (ends[1] >= 0)
    trusted, _ = symmetric(edge_tensor(*(end[rated] for end in ends)))
    genre, ids["genre"] = attribute(ITEM, "genre", positions(ids[ITEM], rows["movie"]), rows["genre"].astype("string"))
    return Dataset(
        name="ciao-dvd",
        ids=ids,
        interactions=sorted_interactions(
            positions(ids[USER], first["user"]), positions(ids[ITEM], first["movie"]), first["rating"], first["day"]
        ),
        relations=(Relation(USER, "trust", USER, trusted), genre),
    )


SOURCE = Source(
    name="ciao-dvd",
    title="CiaoDVD: dated ratings of films, trust between users, genres",
    terms="research use, cite the paper",
    citation="Guo, Zhang, Thalmann, Yorke-Smith: ETAF, an extended trust antecedents framework. ASONAM 2014",
    page="https://guoguibing.github.io/librec/datasets.html",
    size="17,615 users, 16,121 items, 72,345 ratings",
    read=read,
    # The authors' files are of another layout; no checksum is known for them.
    files=(
        File("ratings", "movie-ratings.csv", "9cad30bb5ccca52b3c0e0d3b9f1ffae845b637e42c52c2f2f6ec4e4f1cbb4d09"),
        File("trust", "trusts.csv", "59c1776e221f8515c7f9bdfbd698ca03634d10b8e9d4c88655aa6e96ebd6c67d"),
    ),
)
