"""Items that came after training, against numbers by hand and a slow second implementation."""

import numpy as np
import pandas as pd
import pytest
import torch

from gnnrec.serving.estimator import Recommender
from gnnrec.serving.new_items import NEIGHBOURS, ItemAttributes, NewItem, NewItems
from gnnrec.serving.vocabulary import Vocabulary
from gnnrec.views import ITEM


def words(items: int = 8, seed: int = 2, price: bool = False) -> Vocabulary:
    random = np.random.default_rng(seed)
    about = pd.DataFrame(
        {
            "item_id": np.arange(items),
            "colour": [["red", "blue"][i % 2] for i in range(items)],
            "kind": [["abc"[k] for k in range(3) if random.random() < 0.5] for _ in range(items)],
        }
    )
    if price:
        about["price"] = np.arange(items) * 10.0
    rows = pd.DataFrame({"user_id": np.arange(items), "item_id": np.arange(items)})
    options = {"colour": {}, "kind": {}, **({"price": {"bins": 4}} if price else {})}
    fitted = Recommender("Popularity").fit(rows, items=about, item_attributes=options)
    assert fitted.artifact is not None
    return fitted.artifact.vocabulary


def slow(vocabulary: Vocabulary, attributes: dict[str, list[str]]) -> np.ndarray:
    """[I] shares of the known items in the score of a new one, by loops."""
    sets: list[set[tuple[str, str]]] = [set() for _ in range(vocabulary.num_items)]
    for (_, name, target), edge in vocabulary.of_items.items():
        for item, value in edge.T.tolist():
            sets[item].add((name, str(vocabulary.ids[target][value])))
    mine = {(name, value) for name, values in attributes.items() for value in values}
    every = [one for own in sets for one in own]
    mine &= set(every)
    rarity = {one: max(np.log(len(sets) / every.count(one)), 1e-9) for one in set(every)}

    def length(own: set[tuple[str, str]]) -> float:
        return float(np.sqrt(sum(rarity[one] ** 2 for one in own)))

    alike = np.zeros(len(sets))
    for item, own in enumerate(sets):
        if own and mine and bool(vocabulary.candidates[item]):
            alike[item] = sum(rarity[one] ** 2 for one in own & mine) / (length(own) * length(mine))
    least = np.sort(alike)[::-1][: NEIGHBOURS + 1]
    if len(least) > NEIGHBOURS:
        alike[alike <= least[-1]] = 0  # no ties at the border in these data
    return alike / alike.sum() if alike.sum() else alike


@pytest.mark.parametrize("seed", [2, 5, 9])
def test_shares_are_those_of_a_slow_second_implementation(seed: int) -> None:
    vocabulary = words(seed=seed)
    attributes = ItemAttributes(vocabulary)
    given = [
        NewItem("n1", attributes={"colour": "red", "kind": ["a", "b"]}),
        NewItem("n2", attributes={"kind": ["c"]}),
        NewItem("n3", attributes={"colour": ["blue"], "kind": [None]}),
    ]
    new = NewItems(vocabulary, attributes, given)
    wanted = [{"colour": ["red"], "kind": ["a", "b"]}, {"kind": ["c"]}, {"colour": ["blue"]}]
    expected = np.stack([slow(vocabulary, one) for one in wanted])
    assert new.weights.toarray() == pytest.approx(expected, abs=1e-6)
    score = torch.randn(3, vocabulary.num_items, generator=torch.Generator().manual_seed(seed))
    assert new.score(score).numpy() == pytest.approx(score.numpy() @ expected.T, abs=1e-5)


def test_an_item_that_shares_nothing_has_no_score_and_unknown_values_are_told() -> None:
    vocabulary = words()
    attributes = ItemAttributes(vocabulary)
    given = [
        NewItem("3", "a title"),
        NewItem("n", "N", {"colour": "green", "size": 4}),
        NewItem("m", "M", {"colour": "red"}),
    ]
    new = NewItems(vocabulary, attributes, given)
    assert new.ids == ["n", "m"]  # 3 is an item of training
    assert new.titles == ["N", "M"]
    score = new.score(torch.ones(1, vocabulary.num_items))
    assert score.tolist() == [[-np.inf, pytest.approx(1.0)]]
    assert [warning.split(":")[0] for warning in new.warnings[0]] == [
        "colour",
        "unknown attribute 'size' of items is ignored; known",
    ]


def test_numbers_are_put_into_the_bins_of_training() -> None:
    vocabulary = words(price=True)
    attributes = ItemAttributes(vocabulary)
    (column,), wrong = attributes.columns("price", "1")
    assert (attributes.vectors[:, [column]].nonzero()[0].tolist(), wrong) == ([0, 1], "")
    new = NewItems(vocabulary, attributes, [NewItem("n", attributes={"price": 12})])
    assert new.weights.indices.tolist() == [0, 1]


def test_without_attributes_of_items_there_is_nothing_to_go_by() -> None:
    rows = pd.DataFrame({"user_id": [1, 1, 2], "item_id": [1, 2, 2]})
    fitted = Recommender("Popularity").fit(rows).artifact
    assert fitted is not None
    attributes = ItemAttributes(fitted.vocabulary)
    new = NewItems(fitted.vocabulary, attributes, [NewItem("n", attributes={"colour": "red"})])
    assert new.score(torch.ones(2, 2)).tolist() == [[-np.inf], [-np.inf]]
    assert fitted.vocabulary.popularity is not None
    assert dict(zip(fitted.vocabulary.ids[ITEM], fitted.vocabulary.popularity.tolist(), strict=True)) == {1: 1, 2: 2}
