"""The Rent The Runway reviews."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from gnnrec.data.catalogue import File, Source
from gnnrec.data.columns import attribute, node_ids, positions, sorted_interactions
from gnnrec.data.dataset import Dataset, Numeric
from gnnrec.views import ITEM, USER

CATEGORICAL = ("body_type", "bust_size_letter")
NUMERIC = ("age", "height_in", "weight_lbs", "bust_size_num")
BINS = 7
"""Quantile bins of each numeric attribute; an age of 116 falls into the oldest bin and does no harm there."""


def read(files: dict[str, Path]) -> Dataset:
    """105,571 users, 5,850 garments, 192,278 distinct rentals without values; time is the first review, in days.

    `size`, `fit` and `rented_for` describe the rental that is to be predicted, not the user, and are not read. A user
    writes its measurements into each review anew: the first that is given, in the order of the reviews, counts. Five
    garments have two categories.

    Args:
        files: `reviews`, a Parquet file.
    """
    columns = ["user_id", "item_id", "review_date", "category", *CATEGORICAL, *NUMERIC]
    reviews = pd.read_parquet(files["reviews"], columns=columns)
    reviews = reviews.sort_values(["review_date", "user_id", "item_id"], kind="stable")
    ids = {USER: node_ids(reviews["user_id"].unique()), ITEM: node_ids(reviews["item_id"].unique())}

    rentals = reviews.drop_duplicates(["user_id", "item_id"])
    days = (rentals["review_date"] - pd.Timestamp(0)) // pd.Timedelta(days=1)
    users = reviews.groupby("user_id").first()  # the first value that is there, for each column on its own
    owner = positions(ids[USER], users.index.to_series())
    relations = []
    for name in CATEGORICAL:
        relation, ids[name] = attribute(USER, name, owner, users[name])
        relations.append(relation)
    relation, ids["category"] = attribute(
        ITEM, "category", positions(ids[ITEM], reviews["item_id"]), reviews["category"]
    )
    return Dataset(
        name="renttherunway",
        ids=ids,
        interactions=sorted_interactions(
            positions(ids[USER], rentals["user_id"]), positions(ids[ITEM], rentals["item_id"]), time=days
        ),
        relations=(*relations, relation),
        numeric=tuple(_numeric(name, owner, users[name]) for name in NUMERIC),
    )


def _numeric(name: str, owner: np.ndarray, number: "pd.Series") -> Numeric:
    known = number.notna().to_numpy()
    return Numeric(
        USER, name, torch.from_numpy(owner[known]), torch.from_numpy(number.to_numpy(float)[known]), bins=BINS
    )


SOURCE = Source(
    name="renttherunway",
    title="Rent The Runway: rentals of clothes, measurements of users, categories of clothes",
    terms="research use",
    citation=(
        "Misra, Wan, McAuley: Decomposing Fit Semantics for Product Size Recommendation in Metric Spaces. "
        "RecSys 2018. doi:10.1145/3240323.3240398"
    ),
    page="https://cseweb.ucsd.edu/~jmcauley/datasets.html#clothing_fit",
    size="105,571 users, 5,850 items, 192,278 rentals",
    read=read,
    # The official file is JSON with heights and weights as text; no checksum is known for it.
    files=(
        File(
            "reviews",
            "reviews.parquet",
            "1bad42787c49871c6cbca9c0149e46430aa9f2ffd783484ad520383730b54e49",
        ),
    ),
)
