"""Naive Bayes over attribute values, against numbers worked by hand and against a dense second implementation."""

import numpy as np
import pandas as pd
import pytest
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.models.baselines import SegmentPopularity
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import Edges, TrainingData, UserBatch


def test_by_hand() -> None:
    # Users 0 and 1 have value 0; user 0 chose items 0 and 1, user 1 item 0, user 2 (no value) item 1.
    users = UserBatch(
        torch.arange(3),
        Edges(torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 0, 1])),
        {("user", "club", "club"): Edges(torch.tensor([0, 1]), torch.tensor([0, 0]))},
    )
    ids = {"item": pd.Index(["a", "b"]), "club": pd.Index(["x"])}
    train = TrainingData(users, ids, (), {}, torch.tensor([True, True]))
    model = SegmentPopularity(shrinkage=2.0, strength=1.0)
    model.fit(train, None, 0)
    scores = model.score(users)
    # p = (1/2, 1/2). Value 0: n = (2, 1), n(a) = 3; p(i|a) = ((2 + 1) / 5, (1 + 1) / 5) = (.6, .4).
    # With value 0: log(.5 * .6 / .5) - log(.5 * .4 / .5) = log 1.5 = .4055; without: 0.
    assert scores[0, 0] - scores[0, 1] == pytest.approx(0.4055, abs=1e-4)
    assert scores[2, 0] == scores[2, 1]


@pytest.mark.parametrize("strength", [0.5, 2.0])
def test_equals_the_dense_formula_up_to_a_constant_per_user(strength: float) -> None:
    split = make_split(synthetic(0), UnseenUsers(test=0.2, validation=0.2), 0)
    train, asked, shrinkage = split.train, split.validation.users, 7.0
    model = SegmentPopularity(shrinkage=shrinkage, strength=strength)
    model.fit(train, None, 0)
    chose = train.users.history(train.num_items).double().numpy()
    p = chose.sum(0) / chose.sum()
    wanted = np.repeat(np.log(p)[None], len(asked), axis=0)
    for edge_type in train.attribute_types:
        for value in range(len(train.ids[edge_type[2]])):
            known = train.users.relations[edge_type]
            counts = chose[known.row[known.node == value].numpy()].sum(0)
            p_value = (counts + shrinkage * p) / (counts.sum() + shrinkage)
            edges = asked.relations[edge_type]
            wanted[edges.row[edges.node == value].numpy()] += strength * np.log(p_value / p)
    difference = model.score(asked).numpy() - wanted
    can = train.candidates.numpy()
    assert np.ptp(difference[:, can], axis=1).max() < 1e-5


def test_without_strength_or_values_it_is_popularity() -> None:
    split = make_split(synthetic(0), UnseenUsers(test=0.2, validation=0.2), 0)
    popularity = split.train.popularity
    for model in (SegmentPopularity(strength=0.0), SegmentPopularity(attributes=[])):
        model.fit(split.train, None, 0)
        score = model.score(split.validation.users)[0]
        assert (score[:, None] > score).equal(popularity.clamp(0.5)[:, None] > popularity.clamp(0.5))


@pytest.mark.parametrize("options", [{"shrinkage": 0.0}, {"shrinkage": float("nan")}, {"strength": -1.0}])
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        SegmentPopularity(**options)
