"""Readers of MovieLens-100K and MovieLens-1M."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from gnnrec.data.columns import attribute, node_ids, positions, sorted_interactions
from gnnrec.data.dataset import Dataset, Numeric
from gnnrec.views import ITEM, USER

AGE_BOUNDS = (18.0, 25.0, 35.0, 45.0, 50.0, 56.0)
"""Inner bounds of the age groups that MovieLens-1M comes with, used for MovieLens-100K too."""

OCCUPATIONS = (
    *("other", "academic/educator", "artist", "clerical/admin", "college/grad student", "customer service"),
    *("doctor/health care", "executive/managerial", "farmer", "homemaker", "K-12 student", "lawyer", "programmer"),
    *("retired", "sales/marketing", "scientist", "self-employed", "technician/engineer", "tradesman/craftsman"),
    *("unemployed", "writer"),
)
"""The occupations of MovieLens-1M in the order of their codes, as its README names them."""


def read_100k(files: dict[str, Path]) -> Dataset:
    """943 users, 1,682 movies, 100,000 ratings of 1 to 5 with times.

    Args:
        files: `interactions`, `users` and `items`, tab-separated, with columns named as in `user_id:token`.
    """
    ratings, users, movies = (_atomic(files[key]) for key in ("interactions", "users", "items"))
    year = movies["release_year"].where(movies["release_year"].str.fullmatch(r"\d{4}"))
    movies["title"] = movies["movie_title"] + (" (" + year + ")").fillna("")
    return _movielens("ml-100k", ratings, users, movies.rename(columns={"class": "genre"}), " ")


def read_1m(files: dict[str, Path]) -> Dataset:
    """6,040 users, 3,881 movies (3,704 of them rated), 1,000,205 ratings of 1 to 5 without times.

    Two of the official 3,883 movies are copies of others and are merged with them (see sources.py); of two ratings of
    one movie the higher one is kept, which happens four times.

    Args:
        files: `interactions` (Parquet, or lines of `user::item::rating`), `users` and `items`.
    """
    if files["interactions"].suffix == ".parquet":
        ratings = pd.read_parquet(files["interactions"])
    else:
        number = np.fromstring(files["interactions"].read_text().replace("::", " "), dtype=np.int64, sep=" ")
        ratings = pd.DataFrame(number.reshape(-1, 3), columns=["user", "item", "rating"])
    ratings = ratings.sort_values("rating").drop_duplicates(["user", "item"], keep="last")
    ratings = ratings.rename(columns={"user": "user_id", "item": "item_id"})
    users = _colons(files["users"], ["user_id", "gender", "age", "occupation", "zip_code"])
    users["occupation"] = users["occupation"].astype(int).map(dict(enumerate(OCCUPATIONS)))
    movies = _colons(files["items"], ["item_id", "title", "genre"])
    return _movielens("ml-1m", ratings, users, movies, "|")


def _atomic(path: Path) -> pd.DataFrame:
    table: pd.DataFrame = pd.read_csv(path, sep="\t", dtype=str, quoting=csv.QUOTE_NONE, keep_default_na=False)
    table.columns = pd.Index([str(column).split(":")[0] for column in table])
    return table


def _colons(path: Path, columns: list[str]) -> pd.DataFrame:
    lines = pd.Series(path.read_text(encoding="utf-8").splitlines(), dtype="str")
    cells: pd.DataFrame = lines.str.split("::", expand=True)
    cells.columns = pd.Index(columns)
    return cells


def _movielens(name: str, ratings: pd.DataFrame, users: pd.DataFrame, movies: pd.DataFrame, separator: str) -> Dataset:
    ids = {USER: node_ids(users["user_id"]), ITEM: node_ids(movies["item_id"])}
    movies = movies.set_index("item_id").loc[ids[ITEM]]
    everyone = np.arange(len(users))
    users = users.set_index("user_id").loc[ids[USER]]
    relations = []
    for column in ("gender", "occupation", "zip_code"):
        relation, ids[column] = attribute(USER, column, everyone, users[column])
        relations.append(relation)
    relation, ids["genre"] = attribute(ITEM, "genre", np.arange(len(movies)), movies["genre"], separator)
    age = Numeric(
        USER, "age", torch.from_numpy(everyone), torch.from_numpy(users["age"].to_numpy(float)), bounds=AGE_BOUNDS
    )
    return Dataset(
        name=name,
        ids=ids,
        interactions=sorted_interactions(
            positions(ids[USER], ratings["user_id"]),
            positions(ids[ITEM], ratings["item_id"]),
            ratings["rating"].astype(float),
            ratings["timestamp"].astype(float) if "timestamp" in ratings else None,
        ),
        relations=(*relations, relation),
        numeric=(age,),
        titles=tuple(movies["title"]),
    )
