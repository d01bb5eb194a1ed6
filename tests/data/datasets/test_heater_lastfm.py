from collections import Counter

import pandas as pd
import torch

from gnnrec.data.datasets import heater_lastfm
from gnnrec.views import USER


def test_made_up_files(tmp_path):
    parts = {"train": [(7, 3), (7, 5), (10, 3)], "validation": [(2, 5)], "test": [(9, 4)]}
    for name, rows in parts.items():
        pd.DataFrame(rows, columns=["user", "item"]).to_parquet(tmp_path / name)
    pd.DataFrame([(7, 9), (9, 7), (2, 10)], columns=["user", "friend"]).to_parquet(tmp_path / "friends")
    data = heater_lastfm.read({name: tmp_path / name for name in (*parts, "friends")})
    assert list(data.ids["user"]) == ["2", "7", "9", "10"]
    assert list(data.ids["item"]) == ["3", "4", "5"]
    pairs = list(zip(data.interactions.user.tolist(), data.interactions.item.tolist(), strict=True))
    assert pairs == [(0, 2), (1, 0), (1, 2), (2, 1), (3, 0)]
    assert data.interactions.value is None
    (friend,) = data.relations
    assert friend.type == ("user", "friend", "user")
    assert friend.edge_index.tolist() == [[0, 1, 2, 3], [3, 2, 1, 0]]


def test_it_is_the_hetrec_data_under_other_ids(real):
    ours, theirs = real("heater-lastfm"), real("hetrec-lastfm")
    assert (ours.num_users, ours.num_items, len(ours.interactions)) == (1892, 17_632, 92_834)
    for of in ("user", "item"):
        degrees = [Counter(torch.bincount(getattr(data.interactions, of)).tolist()) for data in (ours, theirs)]
        assert degrees[0] == degrees[1]
    friends = [torch.bincount(d.relations[0].edge_index[0], minlength=d.num_users).tolist() for d in (ours, theirs)]
    assert sorted(friends[0]) == sorted(friends[1])
    assert set(ours.ids) == {USER, "item"}
