"""A saved model on its own: same bits elsewhere in a fresh process, what it holds of people, and damage in one line."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from every_model import GRAPH, NAMES, SPLIT, TRAIN, fitted, unseen, vocabulary
from safetensors.torch import load_file, save_file
from torch import Tensor

from gnnrec.data.delimited import Format
from gnnrec.errors import ConfigError
from gnnrec.models.baselines import Popularity
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.models.saving import ARRAYS, STRUCTURE, TYPE
from gnnrec.options.resolve import build
from gnnrec.serving.artifact import ARTIFACT, HISTORIES, USER_IDS, Artifact, _sha256, load, save
from gnnrec.serving.lists import recommend_to, serve
from gnnrec.serving.vocabulary import Columns, Vocabulary
from gnnrec.testing.fresh_process import answers, answers_in_fresh_process


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an artifact of every recommender of the registry."""
    folder = tmp_path_factory.mktemp("saved")
    for name in NAMES:
        save(fitted(name), folder / name, vocabulary())
    return folder


def test_every_recommender_answers_the_same_elsewhere_in_a_fresh_process(saved: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "moved" / "away"
    shutil.copytree(saved, elsewhere)
    (tmp_path / "empty").mkdir()
    users = unseen()
    found = answers_in_fresh_process([elsewhere / name for name in NAMES], users, tmp_path, tmp_path / "empty")
    for name, ours in zip(NAMES, found, strict=True):
        before = answers(Artifact(fitted(name), vocabulary()), users)
        assert set(ours) == set(before), name
        for what, value in before.items():
            assert torch.equal(ours[what], value), (name, what)
    assert "vector" in found[NAMES.index("GraphSAGE")]


@pytest.mark.parametrize("name", NAMES)
def test_what_a_model_holds_is_what_is_in_its_arrays(saved: Path, name: str) -> None:
    structure = json.loads((saved / name / STRUCTURE).read_text())
    claimed = HISTORIES in load(saved / name).holds
    assert claimed == keeps_histories(structure["model"], load_file(saved / name / ARRAYS)), name


def keeps_histories(packed: Any, arrays: Mapping[str, Tensor]) -> bool:
    """Whether there is a matrix of training users by items, or the list of their items."""
    shape = {TRAIN.num_users, TRAIN.num_items}
    assert len(shape) == 2
    items = TRAIN.users.items.node.sort().values
    for kind, size, content in each_array(packed, arrays):
        if kind == "sparse" and set(size) == shape:
            return True
        if kind != "sparse" and len(size) == 2 and set(size) == shape:
            return True
        if kind != "sparse" and content is not None and content.numel() == len(items):
            flat = content.flatten()
            if not flat.is_floating_point() and torch.equal(flat.long().sort().values, items):
                return True
    return False


def each_array(packed: Any, arrays: Mapping[str, Tensor]) -> Iterator[tuple[str, tuple[int, ...], Tensor | None]]:
    if isinstance(packed, list):
        for one in packed:
            yield from each_array(one, arrays)
    elif isinstance(packed, dict):
        if packed.get(TYPE) in ("tensor", "array"):
            array = arrays[packed["key"]]
            yield packed[TYPE], tuple(array.shape), array
        elif packed.get(TYPE) == "sparse":
            yield "sparse", tuple(packed["shape"]), None
        for one in packed.values():
            yield from each_array(one, arrays)


def test_an_encoder_without_friends_holds_nothing_of_a_single_user(tmp_path: Path) -> None:
    relations = {t: e for t, e in TRAIN.users.relations.items() if t[2] != "user"}
    train = replace(TRAIN, users=replace(TRAIN.users, relations=relations))
    model = build(GraphSAGE, GRAPH)
    model.fit(train, None, 3)
    save(model, tmp_path, Vocabulary.of(train, SPLIT.dataset.ids["user"]))
    assert json.loads((tmp_path / ARTIFACT).read_text())["holds"] == []
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"item 7" in written
    assert b"user 7" not in written


def test_with_friends_it_holds_their_ids_and_a_blend_what_its_components_do(saved: Path) -> None:
    assert load(saved / "GraphSAGE").holds == (USER_IDS,)
    assert load(saved / "NeighbourPopularity").holds == (HISTORIES, USER_IDS)
    assert json.loads((saved / "ItemKNN" / ARTIFACT).read_text())["holds"] == [USER_IDS]


def test_a_blend_with_neighbours_holds_histories(tmp_path: Path) -> None:
    blend = type(fitted("Blend"))(components={"near": {"class": "AttributeKNN"}, "all": {"class": "Popularity"}})
    blend.fit(TRAIN, None, 0)
    save(blend, tmp_path, vocabulary())
    assert HISTORIES in load(tmp_path).holds


def of_popularity(folder: Path, words: Vocabulary | None = None) -> Path:
    save(fitted("Popularity"), folder, words or vocabulary())
    return folder


def test_a_vocabulary_comes_back_as_it_was(tmp_path: Path) -> None:
    words = replace(
        vocabulary(),
        separators={"club": "; "},
        columns=Columns("id", None, "item", "stars"),
        min_value=0.1 + 0.2,
        users_form=Format(separator=";", header=("id", "club")),
        history_form=Format(encoding="latin-1", quotes=False),
        missing=("?", "NA"),
    )
    found = load(of_popularity(tmp_path, words)).vocabulary
    for field in fields(words):
        ours, theirs = getattr(words, field.name), getattr(found, field.name)
        if isinstance(ours, dict) and field.name in ("ids", "seen", "of_items"):
            assert list(ours) == list(theirs)
            for key in ours:
                same = torch.equal if field.name != "ids" else lambda one, other: one.equals(other)
                assert same(ours[key], theirs[key])
                assert ours[key].dtype == theirs[key].dtype
        elif isinstance(ours, Tensor):
            assert torch.equal(ours, theirs)
        else:
            assert ours == theirs, field.name


@pytest.mark.parametrize(
    "ids",
    [
        pd.Index(np.arange(44, dtype=np.int32) * 7),
        pd.Index(np.arange(44) + 2**60),
        pd.Index([f"{i:03d}" for i in range(44)]),
        pd.Index(np.arange(44) / 4),
        pd.date_range("2024-01-01", periods=44),
    ],
    ids=lambda ids: str(ids.dtype),
)
def test_ids_keep_their_type(tmp_path: Path, ids: pd.Index) -> None:
    words = vocabulary()
    artifact = load(of_popularity(tmp_path, replace(words, ids={**words.ids, "item": ids})))
    assert artifact.vocabulary.ids["item"].dtype == ids.dtype
    assert artifact.vocabulary.ids["item"].equals(pd.Index(ids))
    if ids.dtype.kind in "iuf":
        some = str(ids[3])
        rows, warnings = recommend_to(serve(artifact), {}, [some], 44)
        assert warnings == []
        assert {row["item"] for row in rows} < set(ids.tolist())
        assert ids[3] not in [row["item"] for row in rows]


def test_ids_of_mixed_types_are_refused(tmp_path: Path) -> None:
    words = vocabulary()
    with pytest.raises(ConfigError, match="ids of item: must be all text or all whole numbers, got"):
        of_popularity(tmp_path, replace(words, ids={**words.ids, "item": pd.Index([*range(43), "x"], dtype=object)}))


def refused(folder: Path) -> str:
    with pytest.raises(ConfigError) as error:
        load(folder)
    message = str(error.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


FILES = (ARTIFACT, STRUCTURE, ARRAYS, "nodes-0.parquet", "nodes-1.parquet")


DAMAGES = [(name, damage) for name in FILES for damage in ("missing", "empty", "cut", "other", "one bit")]
DAMAGES.remove((ARTIFACT, "one bit"))  # its checksum stands in the result of the run, see tests/cli


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_a_damaged_file_is_one_line(tmp_path: Path, name: str, damage: str) -> None:
    path = of_popularity(tmp_path) / name
    content = path.read_bytes()
    middle = len(content) // 2
    bit = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    damaged = {"empty": b"", "cut": content[:middle], "other": b"\xff\xfe\x00" * 99, "one bit": bit}
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(damaged[damage])
    refused(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_model_is_refused(tmp_path: Path, name: str) -> None:
    one = of_popularity(tmp_path / "one")
    other = Popularity()
    other.fit(SPLIT.train, None, 0)
    words = Vocabulary.of(SPLIT.train, SPLIT.dataset.ids["user"])
    changed = {**words.ids, "item": words.ids["item"].str.upper(), "club": words.ids["club"].str.upper()}
    save(other, tmp_path / "two", replace(words, ids=changed))
    content = (tmp_path / "two" / name).read_bytes()
    if name == STRUCTURE and content == (one / name).read_bytes():
        pytest.fail("both are the same")
    (one / name).write_bytes(content)
    refused(one)


def rewritten(folder: Path, change: Callable[[dict[str, Any]], None], **files: bytes) -> None:
    """Changes what stands in artifact.json, and files with their checksums, as someone might who knows the format."""
    header = json.loads((folder / ARTIFACT).read_text())
    for name, content in files.items():
        (folder / name).write_bytes(content)
        header["sha256"][name] = _sha256(content)
    change(header)
    (folder / ARTIFACT).write_text(json.dumps(header))


def with_arrays(folder: Path, change: Callable[[Tensor], Tensor]) -> None:
    """Changes the arrays, with all checksums right."""
    save_file({key: change(value) for key, value in load_file(folder / ARRAYS).items()}, folder / ARRAYS)
    structure = json.loads((folder / STRUCTURE).read_text())
    structure["sha256"] = _sha256((folder / ARRAYS).read_bytes())
    arrays = {ARRAYS: (folder / ARRAYS).read_bytes(), STRUCTURE: json.dumps(structure).encode()}
    rewritten(folder, lambda header: None, **arrays)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, number: float) -> None:
    of_popularity(tmp_path)
    with_arrays(tmp_path, lambda value: torch.full_like(value, number) if value.is_floating_point() else value)
    assert ("NaN" if number != number else "not finite") in refused(tmp_path)


def test_one_weight_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    save(fitted("GraphSAGE"), tmp_path, vocabulary())

    def spoiled(value: Tensor) -> Tensor:
        value = value.clone()
        if value.is_floating_point() and value.numel() == 44 * 8:
            value.view(-1)[17] = float("nan")
        return value

    with_arrays(tmp_path, spoiled)
    assert "NaN" in refused(tmp_path)


@pytest.mark.parametrize("name", ["Popularity", "AttributeLinear", "NeighbourPopularity", "GraphSAGE"])
def test_arrays_of_another_shape_are_refused(tmp_path: Path, name: str) -> None:
    save(fitted(name), tmp_path, vocabulary())

    def shorter(value: Tensor) -> Tensor:
        return value[..., :-1].contiguous() if value.dim() and value.shape[-1] == 44 else value

    with_arrays(tmp_path, shorter if name != "GraphSAGE" else lambda value: value[:-1] if value.dim() else value)
    refused(tmp_path)


def test_a_model_of_other_items_is_refused(tmp_path: Path) -> None:
    words = vocabulary()
    fewer = replace(
        words,
        ids={**words.ids, "item": words.ids["item"][:-1]},
        seen={**words.seen, "item": words.seen["item"][:-1]},
        candidates=words.candidates[:-1],
        titles=words.titles[:-1],
        popularity=None,
        of_items={},
    )
    assert "does not fit its vocabulary (scores have the shape [2, 44] instead of [2, 43])" in refused(
        of_popularity(tmp_path, fewer)
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.update(format=2),
        lambda header: header.pop("vocabulary"),
        lambda header: header.update(more=1),
        lambda header: header["sha256"].pop(ARRAYS),
        lambda header: header["sha256"].pop("nodes-0.parquet"),
        lambda header: header["sha256"].update({"../../etc/passwd": "0"}),
        lambda header: header["vocabulary"]["nodes"].pop(0),
        lambda header: header["vocabulary"]["nodes"][0].update(count=43),
        lambda header: header["vocabulary"]["nodes"][1].update(file="nodes-0.parquet"),
        lambda header: header["vocabulary"]["relations"][0].update(target="nothing"),
        lambda header: header["vocabulary"].update(bounds={"age": ["young"]}),
        lambda header: header["vocabulary"].update(columns={"nothing": "x"}),
        lambda header: header.update(holds=["everything"]),
    ],
)
def test_a_header_that_does_not_fit_is_refused(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    rewritten(of_popularity(tmp_path), change)
    refused(tmp_path)


def test_a_folder_that_holds_no_model_says_what_to_do(tmp_path: Path) -> None:
    assert "no such run folder" in refused(tmp_path / "nothing")
    assert "not finished (no result.json); run its config again to finish it" in refused(tmp_path)


def test_an_interrupted_save_leaves_nothing_that_can_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_popularity(tmp_path)
    monkeypatch.setattr("gnnrec.serving.artifact.save_model", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        of_popularity(tmp_path)
    refused(tmp_path)


def test_a_save_over_another_leaves_no_file_of_it(tmp_path: Path) -> None:
    of_popularity(tmp_path)
    assert (tmp_path / "nodes-5.parquet").is_file()
    words = vocabulary()
    relations = {t: weighted for t, weighted in words.relations.items() if t[2] != "user"}
    fewer = {t: ids for t, ids in words.ids.items() if t != "user"}
    of_popularity(tmp_path, replace(words, ids=fewer, relations=relations))
    assert not (tmp_path / "nodes-5.parquet").exists()
    assert load(tmp_path).holds == ()


def test_saved_twice_the_files_are_the_same(tmp_path: Path) -> None:
    first, second = (save(fitted("ALS"), tmp_path / name, vocabulary()) for name in ("a", "b"))
    assert first == second
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
