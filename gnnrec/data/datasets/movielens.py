"""What MovieLens-100K and MovieLens-1M have in common."""

import numpy as np
import pandas as pd
import torch

from gnnrec.data.columns import attribute, node_ids, positions, sorted_interactions
from gnnrec.data.dataset import Dataset, Numeric
from gnnrec.views import ITEM, USER

TERMS = "research use, no redistribution, no commercial use without permission"
CITATION = (
    "Harper, Konstan: The MovieLens Datasets: History and Context. ACM Transactions on Interactive Intelligent "
    "Systems 5(4), 2015. doi:10.1145/2827872"
)

AGE_BOUNDS = (18.0, 25.0, 35.0, 45.0, 50.0, 56.0)
"""Inner bounds of the age groups that MovieLens-1M comes with, used for MovieLens-100K too."""


def movielens(name: str, ratings: pd.DataFrame, users: pd.DataFrame, movies: pd.DataFrame, separator: str) -> Dataset:
    """The data set of three tables.

    Args:
        name: of the data set.
        ratings: columns `user_id`, `item_id`, `rating` and, where there are times, `timestamp`.
        users: columns `user_id`, `gender`, `age`, `occupation` and `zip_code`, one row per user.
        movies: columns `item_id`, `title` and `genre`, one row per movie.
        separator: between the genres in one cell.
    """
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
