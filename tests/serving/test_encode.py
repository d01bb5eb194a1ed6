"""Many users encoded together: the same edges as one by one, and what is ignored, counted."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from every_model import SPLIT, TRAIN, vocabulary

from gnnrec.data.config import TableData
from gnnrec.data.delimited import Format
from gnnrec.serving.encode import Known, Notes, Values, encode_frame, item_edges
from gnnrec.serving.profile import encode
from gnnrec.serving.vocabulary import Vocabulary, places
from gnnrec.views import UserBatch

CLUB, COLOUR, FRIEND, AGE = (("user", name, "user" if name == "friend" else name) for name in
                             ("club", "colour", "friend", "age"))  # fmt: skip


def random_users(count: int, seed: int) -> tuple[pd.DataFrame, list[list[str]]]:
    """Users with missing, unknown, repeated and several values; and their known items, some of them unknown."""
    random = np.random.default_rng(seed)

    def several(names: list[str], most: int) -> list[str]:
        return ["|".join(random.choice(names, random.integers(0, most + 1))) for _ in range(count)]

    frame = pd.DataFrame(
        {
            "colour": random.choice(["red", "blue", "pink", "", " green "], count),
            "age": random.choice(["17", "33", "33.0", "abc", "", "inf", "70.5"], count),
            "club": several(["club 0", "club 1", "club 9"], 1),
            "friend": several([f"user {u}" for u in range(0, 90, 3)] + ["nobody"], 4),
        }
    )
    items = [[f"item {i}" for i in random.integers(0, 60, random.integers(0, 5))] for _ in range(count)]
    return frame, items


def profile_of(row: "pd.Series") -> dict[str, Any]:
    """The same user as a person would write it as JSON."""
    profile = {name: cell if cell.strip() else None for name, cell in row.items()}
    return {**profile, "friend": [name for name in row["friend"].split("|") if name]}


def known(words: Vocabulary, items: list[list[str]]) -> Known:
    row = np.repeat(np.arange(len(items)), [len(one) for one in items])
    return Known(item_edges(words, Values(row, np.array([item for one in items for item in one], dtype=object)))[0])


def assert_same(one: UserBatch, other: UserBatch) -> None:
    assert torch.equal(one.index, other.index)
    assert list(one.relations) == list(other.relations)
    for ours, theirs in zip(
        (one.items, *one.relations.values()), (other.items, *other.relations.values()), strict=True
    ):
        assert torch.equal(ours.row, theirs.row)
        assert torch.equal(ours.node, theirs.node)
        assert (ours.weight is None) == (theirs.weight is None)
        assert ours.weight is None or theirs.weight is None or torch.equal(ours.weight, theirs.weight)


def test_a_thousand_users_together_are_the_same_as_one_by_one() -> None:
    words = vocabulary()
    frame, items = random_users(1000, 5)
    together = encode_frame(words, frame, known(words, items))
    assert min(len(edges) for edges in together.relations.values()) > 100
    for place in range(1000):
        alone, _ = encode(words, profile_of(frame.iloc[place]), items[place])
        assert_same(together.take(torch.tensor([place])), alone)


def test_values_come_as_text_numbers_truth_values_and_lists() -> None:
    words = vocabulary()
    ids = {**words.ids, "club": pd.Index(["1", "2", "true", "9007199254740993"])}
    seen = {**words.seen, "club": torch.ones(4, dtype=torch.bool)}
    words = replace(words, ids=ids, seen=seen)

    def clubs(cells: Any) -> list[list[int]]:
        edges = encode_frame(words, pd.DataFrame({"club": cells})).relations[CLUB]
        return [edges.node[edges.row == row].tolist() for row in range(len(cells))]

    assert clubs([1, 2, 1]) == [[0], [1], [0]]
    assert clubs([1.0, np.nan, 2.0]) == [[0], [], [1]]
    assert clubs([2**53 + 1, 1]) == [[3], [0]]
    assert clubs(["1", None, " 2 "]) == [[0], [], [1]]
    assert clubs([True, False]) == [[2], []]
    assert clubs([["1", "2"], None, [], ["2", "2", "x"]]) == [[0, 1], [], [], [1]]
    assert clubs([np.array([1, 2]), None, np.array([2])]) == [[0, 1], [], [1]]
    assert clubs(pd.Categorical(["2", None, "1"])) == [[1], [], [0]]
    assert clubs([]) == []


def test_bins_that_two_values_share_are_one_edge() -> None:
    words = vocabulary()
    edges = encode_frame(replace(words, separators={"age": ";"}), pd.DataFrame({"age": ["70;71;18", "", "18"]}))
    top, low = len(words.bounds["age"]), 0
    assert edges.relations[AGE].row.tolist() == [0, 0, 2]
    assert edges.relations[AGE].node.tolist() == [top, low, low]
    assert edges.relations[AGE].weight is None


def test_a_number_between_two_knots_has_an_edge_to_both_and_weights_add_up() -> None:
    words = vocabulary()
    weighted = {"relations": {**words.relations, AGE: True}, "bounds": {"age": (20.0, 40.0, 80.0)}}
    knots = replace(words, separators={"age": ";"}, **weighted)  # type: ignore[arg-type]
    users = pd.DataFrame({"age": ["25", "", "10", "90", "40;60", "old"]})
    edges = encode_frame(knots, users).relations[AGE]
    assert edges.row.tolist() == [0, 0, 2, 3, 4, 4]
    assert edges.node.tolist() == [0, 1, 0, 2, 1, 2]
    assert edges.weight is not None
    assert edges.weight.tolist() == [0.75, 0.25, 1, 1, 1.5, 0.5]
    for row, age in enumerate(users["age"]):  # one by one, as a request does
        alone = encode(knots, {"age": age or None})[0].relations[AGE] if ";" not in age else None
        if alone is not None:
            own = edges.row == row
            assert alone.node.tolist() == edges.node[own].tolist()
            assert alone.weight is not None
            assert alone.weight.tolist() == edges.weight[own].tolist()
    nobody = replace(words, relations=weighted["relations"], bounds={"age": ()})  # type: ignore[arg-type]
    assert len(encode_frame(nobody, users).relations[AGE]) == 0


def test_what_is_ignored_is_counted_with_three_examples() -> None:
    words = vocabulary()
    notes = Notes(words)
    frame = pd.DataFrame({"color": ["x", "y"], "colour": ["pink", "lilac"], "age": ["old", "30"]})
    more = pd.DataFrame(
        {"color": ["", ""], "colour": ["pink", "mauve"], "age": ["1", "2"], "friend": ["me|user 0|you", ""]}
    )
    encode_frame(words, frame, notes=notes)
    encode_frame(words, more, notes=notes)
    stranger = [] if 0 in TRAIN.users.index.tolist() else ["'user 0'"]
    examples = "'pink', 'lilac', 'mauve'; known: blue, green, red, yellow"
    assert sorted(notes.texts()) == sorted([
        f"colour: 4 values ignored, each a value that training has not seen, for example {examples}",
        "age: 1 values ignored, each no number, for example 'old'",
        f"friend: {2 + len(stranger)} values ignored, each no training user, for example "
        + ", ".join(["'me'", *stranger, "'you'"]),
        "unknown attribute 'color' is ignored. Did you mean 'colour'? Known: club, colour, friend, age",
    ])  # fmt: skip


def test_frames_without_columns_and_without_rows() -> None:
    words = vocabulary()
    nobody = encode_frame(words, pd.DataFrame(index=range(3)))
    assert len(nobody) == 3
    assert all(len(edges) == 0 for edges in nobody.relations.values())
    assert len(encode_frame(words, pd.DataFrame({"age": []}))) == 0


def test_of_several_values_of_one_item_the_last_one_counts() -> None:
    words = vocabulary()
    text = np.array(["item 4", "item 2", "item 4", "item 99", "item 4"], dtype=object)
    edges, fate = item_edges(words, Values(np.array([0, 0, 0, 1, 1]), text, np.array([1.0, 2.0, 5.0, 3.0, 4.0])))
    assert edges.row.tolist() == [0, 0, 1]
    assert edges.node.tolist() == [2, 4, 4]
    assert edges.weight is not None
    assert edges.weight.tolist() == [2, 5, 4]
    assert fate.tolist() == [0, 0, 0, 2, 0]
    first, _ = item_edges(replace(words, repeated="first"), Values(np.zeros(3, np.int64), text[:3], np.arange(3.0)))
    assert first.node.tolist() == [4, 2]
    assert first.weight is not None
    assert first.weight.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("ids", "text", "expected"),
    [
        (["1", "2"], ["2.0", "1", "02", "-1"], [1, 0, -1, -1]),
        (["1.0", "-2.0"], ["1", "-2", "1.0"], [0, 1, 0]),
        (["True", "false"], ["true", "False", "TRUE"], [0, 1, -1]),
        (["v1", "007"], ["v1.0", "7", "007"], [-1, -1, 1]),
    ],
)
def test_places(ids: list[str], text: list[str], expected: list[int]) -> None:
    assert places(pd.Index(ids, dtype=object), np.array(text, dtype=object)).tolist() == expected


def test_separators_are_those_of_training_or_where_users_have_several_values() -> None:
    assert dict(vocabulary().separators) == {"friend": "|"}
    assert SPLIT.full is TRAIN


def test_what_stands_for_a_missing_cell_in_training_does_so_in_new_users() -> None:
    cells = {
        "club": ["club 1", "NA", "n/a|club 0", "NULL"],
        "age": ["nan", "33", "NaN", "None"],
        "friend": ["NA", "null", "user 0", ""],
    }
    empty = {
        "club": ["club 1", "", "club 0", ""],
        "age": ["", "33", "", ""],
        "friend": ["", "", "user 0", ""],
    }
    words = replace(vocabulary(), separators={"club": "|"})
    notes = Notes(words)
    found = encode_frame(words, pd.DataFrame(cells), None, notes)
    assert_same(found, encode_frame(words, pd.DataFrame(empty)))
    assert notes.texts() == []
    others = Notes(replace(words, missing=("?",)))
    encode_frame(replace(words, missing=("?",)), pd.DataFrame({"club": ["?", "NA"]}), None, others)
    (note,) = others.texts()
    assert note.startswith("club: 1 values ignored, each a value that training has not seen, for example 'NA'")


def test_a_value_of_training_is_no_missing_one() -> None:
    words = replace(vocabulary(), missing=("club 1",))
    (edges,) = (encode_frame(words, pd.DataFrame({"club": ["club 1"]})).relations[edge] for edge in [CLUB])
    assert len(edges) == 1


def test_a_vocabulary_knows_how_the_files_of_training_were_written() -> None:
    config = {
        "source": "table",
        "missing": ["?"],
        "interactions": {"path": "r.csv", "user": "u", "item": "i", "separator": ";"},
        "users": {"path": "u.dat", "id": "u", "encoding": "latin-1", "separator": "|", "header": ["u", "age"]},
    }
    words = Vocabulary.of(TRAIN, SPLIT.dataset.ids["user"], TableData.model_validate(config))
    assert words.missing == ("?",)
    assert words.history_form == Format(separator=";")
    assert words.users_form == Format(separator="|", encoding="latin-1", header=("u", "age"))
    assert "NA" in vocabulary().missing
