from pathlib import Path

import pandas as pd
import pyarrow.parquet

from gnnrec.data.datasets import complete_journey


def test_counts_are_what_a_second_count_finds(real, real_files):
    data, files = real("complete-journey"), real_files("complete-journey")
    rows = pyarrow.parquet.read_table(files["transactions"]).to_pydict()
    columns = (rows[name] for name in ("household_id", "product_id", "quantity"))
    bought = {(user, item) for user, item, quantity in zip(*columns, strict=True) if quantity > 0}
    assert len(bought) == len(data.interactions) == 863_378
    assert {str(user) for user, _ in bought} == {*data.ids["user"]}
    assert {str(item) for _, item in bought} == {*data.ids["item"]}
    edges = {relation.name: relation.edge_index.shape[1] for relation in data.relations}
    assert (edges["age"], edges["home_ownership"], edges["marital_status"]) == (801, 801 - 233, 801 - 137)


def test_reader_on_two_households(tmp_path: Path) -> None:
    """Household 9 buys product 5 on two days (thrice), 10 only brings it back; 7 is no product that is described."""
    times = ["2017-01-02 08:00:00", "2017-01-01 23:59:59", "2017-01-02 00:00:01", "2017-01-05 00:00:00", "2017-01-06"]
    frames = {
        "transactions": pd.DataFrame(
            {
                "household_id": [9, 9, 9, 10, 10],
                "product_id": [5, 5, 5, 5, 7],
                "quantity": [1, 2, 1, 0, 1],
                "transaction_timestamp": pd.to_datetime(times, format="ISO8601"),
            }
        ),
        "demographics": pd.DataFrame(
            {"household_id": [10, 11], **{name: ["x", "y"] for name in complete_journey.HOUSEHOLD}}
        ).assign(home_ownership=[None, "Renter"]),
        "products": pd.DataFrame(
            {
                "product_id": [5, 6],
                **{name: ["p", "q"] for name in complete_journey.PRODUCT},
                "manufacturer_id": [3, 4],
                "product_type": ["MILK", "TEA"],
                "package_size": [None, "1 LB"],
            }
        ),
    }
    for name, frame in frames.items():
        frame.to_parquet(tmp_path / f"{name}.parquet")
    data = complete_journey.read({name: tmp_path / f"{name}.parquet" for name in frames})
    assert (list(data.ids["user"]), list(data.ids["item"])) == (["9", "10"], ["5", "7"])
    assert data.interactions.user.tolist() == [0, 1]
    assert data.interactions.value.tolist() == [2, 1]
    assert data.interactions.time.tolist() == [1_483_315_199, 1_483_660_800]  # 23:59:59 on 1 January, and 6 January
    edges = {relation.name: relation.edge_index.tolist() for relation in data.relations}
    assert edges["age"] == [[1], [0]]
    assert edges["home_ownership"] == [[], []]
    assert edges["manufacturer_id"] == [[0], [0]]
    assert list(data.ids["product_type"]) == ["MILK"]
    assert data.titles == ("MILK", "7")
