"""The ONNX model beside the model that it was written from: numbers, lists, sizes, what cannot be written."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import described_users as described
import numpy as np
import pandas as pd
import pytest
import torch

from gnnrec.data.dataset import Dataset, Numeric
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.models.baselines.popularity import Popularity
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.nn.decoder import DecoderConfig
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.serving.artifact import Artifact
from gnnrec.serving.lists import recommend_to, serve
from gnnrec.serving.portable import PortableEncoder, Table, names_of, some_users, write
from gnnrec.serving.vocabulary import Vocabulary
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.split import Split
from gnnrec.training.ranking import RankingConfig
from gnnrec.views import Relation

SHARES = (1.0, 0.8, 0.6, 0.6, 0.4, 0.2, 0.1)


def shop(columns: int = 0) -> Dataset:
    """Synthetic data with a weighted relation, a number between knots, and perhaps many further columns."""
    data = synthetic(3)
    user = torch.arange(60).repeat(2)
    skill = torch.cat([torch.arange(60) % 5, (torch.arange(60) + 2) % 5])
    relations = [Relation("user", "has", "skill", torch.stack([user, skill]), (torch.arange(120) % 7).float())]
    ids = {**data.ids, "skill": pd.Index(list("abcdef"))}
    age = Numeric("user", "age in years", torch.arange(50), torch.linspace(18, 80, 50).double(), knots=4)
    numeric = tuple(one for one in data.numeric if one.name != "age in years")
    generator = torch.Generator().manual_seed(8)
    for number in range(columns):
        name = f"column {number}"
        value = torch.randint(3, (60,), generator=generator)
        relations.append(Relation("user", name, name, torch.stack([torch.arange(60), value])))
        ids[name] = pd.Index(["x", "y", "z"])
    return replace(data, ids=ids, relations=(*data.relations, *relations), numeric=(*numeric, age))


def fitted(split: Split, encoder: dict[str, Any] | None = None, **options: Any) -> Artifact:
    shape = {"channels": 8, "layers": 3, "regression": 6, "regression_shares": SHARES, **(encoder or {})}
    model = GraphSAGE(encoder=EncoderConfig(**shape), finetune=RankingConfig(epochs=2, batch_users=64), **options)
    model.fit(split.train, None, 4)
    return Artifact(model, Vocabulary.of(split.train, split.dataset.ids["user"]))


def split_of(data: Dataset, support: int = 3) -> Split:
    return make_split(data, UnseenUsers(test=0.2, validation=0.3, support=support), 3)


CASES: dict[str, Any] = {
    "regression beside layers": lambda: (split_of(shop()), {}),
    "layers alone": lambda: (split_of(shop()), {"encoder": {"regression": 0, "regression_shares": None}}),
    "no layer but one": lambda: (split_of(shop()), {"encoder": {"layers": 1, "residual": False, "norm": "none"}}),
    "sums": lambda: (split_of(shop()), {"encoder": {"layer": "torch_geometric.nn.GraphConv"}}),
    "merged columns": lambda: (split_of(shop(columns=20)), {}),
    "words and vectors": lambda: (
        described.split(5, {"says": described.LETTERS, "taste": {"vector": "taste"}}),
        {"encoder": {"layers": 2}},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_computes_what_the_model_computes(case: str) -> None:
    split, options = CASES[case]()
    artifact = fitted(split, **options)
    module = PortableEncoder(artifact.model, artifact.vocabulary, "float32", 5)
    for users in (split.validation.users, split.train.users, some_users(artifact.vocabulary)):
        with torch.no_grad():
            vector, score, best = module(*module.inputs(users))
        torch.testing.assert_close(score, artifact.model.score(users), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(vector, artifact.model.query(users)[:, :-1], atol=1e-4, rtol=1e-4)
        known = users.history(len(split.dataset.ids["item"]))
        assert not known.gather(1, best).any()
        assert split.train.candidates[best].all()
        ranked = artifact.model.score(users).masked_fill(known | ~split.train.candidates, -torch.inf)
        torch.testing.assert_close(ranked.gather(1, best), ranked.topk(5).values, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("case", "weights"),
    [("words and vectors", "float32"), ("regression beside layers", "int8")],
)
def test_a_runtime_without_torch_computes_it_too(case: str, weights: Any, tmp_path: Path) -> None:
    """Batches of any size, users of whom nothing is known, and names beside the numbers."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")
    split, options = CASES[case]()
    artifact = fitted(split, **options)
    told = write(artifact, tmp_path / "shop.onnx", weights, k=4)
    assert told["difference"] < (1e-4 if weights == "float32" else 0.5)
    session = onnxruntime.InferenceSession(str(tmp_path / "shop.onnx"))
    names = json.loads((tmp_path / "shop.json").read_text())
    assert names["inputs"] == [one.name for one in session.get_inputs()] == told["inputs"]
    assert names["items"] == [str(one) for one in split.dataset.ids["item"]]
    module = PortableEncoder(artifact.model, artifact.vocabulary, weights, 4)
    users = split.validation.users
    for some in (users, users.take(torch.tensor([4])), some_users(artifact.vocabulary).take(torch.tensor([2]))):
        everything, given = module.inputs(some)
        feed = {"users": everything.numpy(), **{name: one.numpy() for name, one in given.items()}}
        vector, score, best = session.run(None, feed)
        with torch.no_grad():
            expected = module(everything, given)
        np.testing.assert_allclose(vector, expected[0].numpy(), atol=1e-4, rtol=1e-4)
        np.testing.assert_allclose(score, expected[1].numpy(), atol=1e-4, rtol=1e-4)
        assert best.shape == (len(some), 4)


def test_names_say_how_a_number_becomes_edges() -> None:
    split = split_of(shop())
    artifact = fitted(split)
    relations = names_of(artifact, (None, {}), 5)["relations"]
    bounds = split.train.bounds["user", "age in years"]
    assert relations["age in years"]["knots"] == list(bounds)
    assert relations["has"] == {"values": list("abcdef"), "weighted": True}
    ids = split.dataset.ids["user"][split.train.users.index.numpy()]
    assert relations["friend"]["values"] == [str(one) for one in ids]


@pytest.mark.parametrize(("weights", "bytes_each"), [("float16", 2), ("int8", 1)])
def test_rows_in_fewer_bytes(weights: Any, bytes_each: int) -> None:
    rows = torch.randn(40, 16, generator=torch.Generator().manual_seed(2)) * torch.logspace(-2, 2, 40)[:, None]
    table = Table(rows, weights)
    assert table.rows.element_size() == bytes_each
    largest = rows.abs().amax(dim=1, keepdim=True)
    assert ((table.all() - rows).abs() <= largest / (250 if weights == "int8" else 1000)).all()
    node = torch.tensor([7, 0, 7])
    assert torch.equal(table[node], table.all()[node])


def test_a_small_part_of_a_row_keeps_its_precision() -> None:
    """The parts of a vector have scales of their own, and a row may end within a block."""
    random = torch.Generator().manual_seed(5)
    rows = torch.cat([100 * torch.randn(9, 32, generator=random), torch.randn(9, 8, generator=random)], dim=1)
    table = Table(rows, "int8")
    assert table.rows.shape == rows.shape
    assert (table.all() - rows)[:, 32:].abs().max() < 0.02
    assert torch.equal(table[torch.tensor([4])], table.all()[4:5])


def test_a_quarter_of_the_size_and_nearly_the_same_lists() -> None:
    split = split_of(shop())
    artifact = fitted(split, encoder={"channels": 64})
    modules = {one: PortableEncoder(artifact.model, artifact.vocabulary, one, 5) for one in ("float32", "int8")}
    sizes = {
        name: sum(
            table.rows.numel() * table.rows.element_size() for table in each.modules() if isinstance(table, Table)
        )
        for name, each in modules.items()
    }
    assert sizes["int8"] * 4 == sizes["float32"]
    users = split.validation.users
    with torch.no_grad():
        scores = [each(*each.inputs(users))[1] for each in modules.values()]
    assert (scores[0] - scores[1]).abs().mean() < 0.05 * scores[0].std()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda split: Popularity(), "Popularity is no graph encoder; export a run of GraphSAGE"),
        (lambda split: GraphSAGE(members=2), "it has 2 members; train with members: 1"),
        (lambda split: GraphSAGE(decoder=DecoderConfig(name="MLP")), "its decoder is MLP"),
        (lambda split: GraphSAGE(encoder=EncoderConfig(linear=8)), "it has a linear path"),
        (lambda split: GraphSAGE(encoder=EncoderConfig(layer="torch_geometric.nn.GATConv")), "its layer is .*GATConv"),
    ],
)
def test_what_cannot_be_written_is_one_line(make: Any, message: str, tmp_path: Path) -> None:
    split = split_of(shop())
    model = make(split)
    if isinstance(model, GraphSAGE) and model.members == 1:
        model.finetune = model.finetune.model_copy(update={"epochs": 0})
        model.fit(split.train, None, 1)
    artifact = Artifact(model, Vocabulary.of(split.train, split.dataset.ids["user"]))
    pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")
    with pytest.raises(ConfigError, match=message):
        write(artifact, tmp_path / "shop.onnx")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match=r"must end in \.onnx"):
        write(artifact, tmp_path / "shop.bin")


def test_the_page_says_how_to_use_it_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of docs/small_models.md gives the lists of `gnnrec recommend`."""
    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")
    page = (Path(__file__).parents[2] / "docs" / "small_models.md").read_text()
    code, _, _ = page.partition("```python\n")[2].partition("\nprint(")
    assert "torch" not in code
    split = split_of(shop())
    artifact = fitted(split)
    write(artifact, tmp_path / "shop.onnx", k=5)
    monkeypatch.chdir(tmp_path)
    there: dict[str, Any] = {}
    exec(code, there)
    ids = split.dataset.ids
    profile = {"has": ["a", "c"], "age in years": 33.5, "club": str(ids["club"][1])}
    friend = str(ids["user"][int(split.train.users.index[4])])
    for given, items in ((profile, []), ({**profile, "friend": friend}, [ids["item"][0], ids["item"][3]]), ({}, [])):
        rows, told = recommend_to(serve(artifact), given, items, number=5)
        assert told == []
        assert there["best"](given, items) == [str(row["item"]) for row in rows]
