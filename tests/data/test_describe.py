import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from gnnrec.data.dataset import Dataset, Interactions
from gnnrec.data.datasets import SOURCES
from gnnrec.data.describe import describe, describe_text, list_sources, popularity_share
from gnnrec.data.synthetic import synthetic
from gnnrec.views import Features


def slow_popularity(data, seed):
    """The same by loops: NDCG@10 of popularity, and the mean over many random orders."""
    order = np.random.RandomState(seed).permutation(data.num_users)
    held_out = set(order[: int(0.2 * data.num_users)].tolist())
    pairs = list(zip(data.interactions.user.tolist(), data.interactions.item.tolist(), strict=True))
    count = dict.fromkeys(range(data.num_items), 0)
    for user, item in pairs:
        if user not in held_out:
            count[item] += 1
    candidates = [item for item in count if count[item]]

    def ndcg(ranking):
        values = []
        for user in held_out:
            wanted = {item for u, item in pairs if u == user and item in candidates}
            if wanted:
                found = sum(1 / np.log2(place + 2) for place, item in enumerate(ranking[:10]) if item in wanted)
                values.append(found / sum(1 / np.log2(place + 2) for place in range(min(10, len(wanted)))))
        return float(np.mean(values))

    by_count = sorted(candidates, key=lambda item: (-count[item], item))
    random = np.random.default_rng(0)
    return ndcg(by_count), float(np.mean([ndcg(random.permutation(candidates)) for _ in range(400)]))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_popularity_is_what_loops_find(seed):
    data = synthetic(seed, num_users=50, skew=1.0)
    got = popularity_share(data, seed)
    ndcg, chance = slow_popularity(data, seed)
    assert got["ndcg@10"] == pytest.approx(ndcg, abs=1e-12)
    assert got["chance"] == pytest.approx(chance, abs=0.02)
    assert got["explained"] == pytest.approx((got["ndcg@10"] - got["chance"]) / (1 - got["chance"]))


def everybody(choices):
    user, item = np.nonzero(choices)
    return Dataset(
        "toy",
        {"user": pd.Index(map(str, range(len(choices)))), "item": pd.Index(map(str, range(len(choices[0]))))},
        Interactions(torch.from_numpy(user), torch.from_numpy(item)),
    )


def test_popularity_explains_all_where_all_choose_the_same():
    # Ten users choose items 0 to 9, one more user 10 to 19, so that these are candidates; nobody chooses the rest.
    choices = np.zeros((11, 30), dtype=int)
    choices[:10, :10] = 1
    choices[10, 10:20] = 1
    data = everybody(choices)
    seed = next(s for s in range(9) if 10 not in np.random.RandomState(s).permutation(11)[:2])
    got = popularity_share(data, seed)
    assert got["ndcg@10"] == pytest.approx(1)
    assert got["explained"] == pytest.approx(1)
    # Each of the ten places holds one of the ten wanted items out of 20 with probability 1/2.
    assert got["chance"] == pytest.approx(0.5)
    assert got["top_10_percent"] == pytest.approx(2 / 10)  # 2 of 20 items are 10 %; a user has one of each


def test_nothing_to_hold_out_is_no_number():
    description = describe(everybody(np.eye(3, dtype=int)))
    assert description["popularity"] is None
    json.dumps(description, allow_nan=False)
    assert "popularity" not in describe_text(description)


def test_counts_and_gaps_of_made_data():
    data = synthetic(0)
    d = describe(data)
    json.dumps(d, allow_nan=False)
    assert (d["users"], d["items"], d["interactions"]) == (60, 40, len(data.interactions))
    assert d["density"] == pytest.approx(len(data.interactions) / 2400)
    attributes = {a["name"]: a for a in d["attributes"]}
    assert set(attributes) == {"club", "colour", "category", "age"}
    assert attributes["colour"]["missing"] == pytest.approx(0.1)  # every tenth of 60
    assert attributes["age"]["missing"] == pytest.approx(8 / 60)  # every seventh
    assert attributes["age"]["kind"] == "number"
    assert attributes["club"] == {
        "of": "user",
        "name": "club",
        "kind": "one value each",
        "values": 4,
        "edges": 60,
        "missing": 0.0,
    }
    assert [(r["source"], r["name"], r["target"]) for r in d["relations"]] == [("user", "friend", "user")]
    assert d["source"] is None


def test_degrees_count_those_without_any_interaction():
    # Users 0 to 3 have 1, 1, 2 and 0 interactions.
    data = everybody([[1, 0], [1, 0], [1, 1], [0, 0]])
    assert describe(data)["degrees"]["user"]["0"] == 0
    assert describe(data)["degrees"]["user"]["0.5"] == 1
    assert describe(data)["degrees"]["item"] == pytest.approx(
        {"0": 1, "0.25": 1.5, "0.5": 2, "0.75": 2.5, "0.9": 2.8, "0.99": 2.98, "1": 3}
    )


def test_several_values_each_is_told_from_one():
    data = synthetic(0)
    doubled = data.relations[0]
    edge_index = torch.cat([doubled.edge_index, torch.tensor([[0], [1]])], dim=1)
    data = replace(data, relations=(replace(doubled, edge_index=edge_index), *data.relations[1:]))
    assert next(a for a in describe(data)["attributes"] if a["name"] == "club")["kind"] == "several values each"


def test_text_of_a_named_source_has_terms_and_how_to_cite(real):
    text = describe_text(describe(real("ml-100k")))
    assert "943 users, 1,682 items, 100,000 interactions (density 6.305%)" in text  # 100000 / (943 * 1682)
    assert "terms: research use, no redistribution" in text
    assert "Harper, Konstan" in text
    assert max(map(len, text.splitlines())) <= 100


def test_popularity_of_1m_is_that_of_the_first_fold(real):
    """The floor that is known for ratings of 4 and 5 on the first of five folds: NDCG@10 .4023."""
    data = real("ml-1m").positives(4)
    assert popularity_share(data, 0)["ndcg@10"] == pytest.approx(0.4023, abs=0.002)


def test_list_of_sources_can_be_written_as_json(monkeypatch, tmp_path):
    monkeypatch.setenv("GNNREC_CACHE", str(tmp_path))
    monkeypatch.delenv("GNNREC_DATA", raising=False)
    rows = json.loads(json.dumps(list_sources()))
    assert [row["name"] for row in rows] == list(SOURCES)
    assert not any(row["here"] for row in rows)
    assert rows[0]["from"] == "package recbole==1.2.1"
    assert all(len(checksum) == 64 for row in rows for checksum in row["sha256"].values())


def test_features_are_told_with_how_many_items_have_them() -> None:
    data = everybody(np.eye(3, dtype=int))
    known = torch.tensor([True, False, True])
    pictures = Features("item", "picture", torch.ones(3, 5) * known[:, None], known)
    words = Features("item", "title", torch.zeros(3, 0), known, ("a", "", "b"), ("tfidf", {}))
    found = describe(replace(data, features=(pictures, words)))["attributes"]
    assert [(a["name"], a["of"], a["kind"], a["values"]) for a in found] == [
        ("picture", "item", "5 numbers", 2),
        ("title", "item", "words", 2),
    ]
    assert found[0]["missing"] == pytest.approx(1 / 3)
