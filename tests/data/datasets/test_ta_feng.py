import csv
import io
import zipfile
from collections import defaultdict
from datetime import date, datetime

import pytest

from gnnrec.data.datasets import ta_feng


def test_counts_are_the_published_ones(real):
    data = real("ta-feng")
    assert (data.num_users, data.num_items, len(data.interactions)) == (32_266, 23_812, 743_228)
    assert len(data.ids["age_group"]) == 10
    assert list(data.ids["residence"]) == ["105", "106", "110", "114", "115", "221", "Others"]
    assert [r.type for r in data.relations] == [
        ("user", "age_group", "age_group"),
        ("user", "residence", "residence"),
        ("item", "subclass", "subclass"),
    ]


@pytest.mark.slow
def test_days_of_some_customers_are_what_a_loop_over_the_file_finds(real, real_files):
    data = real("ta-feng")
    customers = set(data.ids["user"][::4000])
    days = defaultdict(set)
    with zipfile.ZipFile(real_files("ta-feng")["transactions"]) as archive, archive.open(archive.namelist()[0]) as raw:
        for row in csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8-sig")):
            if row["CUSTOMER_ID"] in customers:
                day = datetime.strptime(row["TRANSACTION_DT"], "%m/%d/%Y").date()
                days[row["CUSTOMER_ID"], row["PRODUCT_ID"]].add((day - date(1970, 1, 1)).days)
    for customer in customers:
        mine = data.interactions.take(data.interactions.user == data.ids["user"].get_loc(customer))
        got = {
            data.ids["item"][int(item)]: (int(value), int(time))
            for item, value, time in zip(mine.item, mine.value, mine.time, strict=True)
        }
        assert got == {product: (len(d), min(d)) for (who, product), d in days.items() if who == customer}


def test_reader_on_three_customers(tmp_path):
    rows = (
        '"TRANSACTION_DT","CUSTOMER_ID","AGE_GROUP","PIN_CODE","PRODUCT_SUBCLASS","PRODUCT_ID","AMOUNT","ASSET","SALES_PRICE"\n'
        '"1/3/1970","007","45-49","115","9","2","2","24","30"\n'
        '"1/2/1970","007","45-49","115","9","2","500","24","30"\n'
        '"1/2/1970","007","45-49","115","10","2","1","24","30"\n'
        '"1/2/1970","8","None","Unknown","10","30","1","24","30"\n'
        '"1/2/1970","9","","Others","10","30","1","24","30"\n'
    )
    with zipfile.ZipFile(tmp_path / "t.csv.zip", "w") as archive:
        archive.writestr("t.csv", "\ufeff" + rows)
    data = ta_feng.read({"transactions": tmp_path / "t.csv.zip"})
    assert list(data.ids["user"]) == ["007", "8", "9"]
    assert list(data.ids["item"]) == ["2", "30"]
    # Customer 007 bought product 2 on two days, first on 2 January 1970 (day 1).
    assert data.interactions.value.tolist() == [2.0, 1.0, 1.0]
    assert data.interactions.time.tolist() == [1, 1, 1]
    age, residence, subclass = data.relations
    assert age.edge_index.tolist() == [[0], [0]]  # "None" and an empty cell are no age
    assert list(data.ids["residence"]) == ["115", "Others"]
    assert residence.edge_index.tolist() == [[0, 2], [0, 1]]
    assert subclass.edge_index.tolist() == [[0, 0, 1], [0, 1, 1]]  # product 2 stands in subclasses 9 and 10
