"""A fitted model as plain data: the same bits back, nothing but arrays and JSON in the files, damage in one line."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from torch import Tensor

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.graph.merge import AttributeMerge
from gnnrec.models.baselines import AttributeLinear, Popularity
from gnnrec.models.rating_points import Point
from gnnrec.models.saving import ARRAYS, STRUCTURE, load_model, pack, save_model, unpack
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.training.ranking import RankingConfig
from gnnrec.views import Edges

SPLIT = make_split(synthetic(0, num_users=40), UnseenUsers(test=0.2, validation=0.2), 0)


def again(value: Any) -> Any:
    """Packed, written as JSON, read and unpacked."""
    arrays: dict[str, Tensor] = {}
    packed = pack(value, arrays)
    assert all(tensor.is_contiguous() for tensor in arrays.values())
    return unpack(json.loads(json.dumps(packed, allow_nan=False)), arrays)


@pytest.mark.parametrize("value", [None, True, False, 0, -3, 2**60, "", 'a "b"\n', 0.1, -0.0, 1e-320, float("inf")])
def test_plain_values_stay_what_they_are(value: Any) -> None:
    found = again(value)
    assert type(found) is type(value)
    assert found == value
    assert repr(found) == repr(value)


def test_not_a_number_stays_that() -> None:
    assert np.isnan(again(float("nan")))
    assert np.isnan(again(np.float32("nan")))
    assert again(-np.inf) == -np.inf


def test_containers_keep_their_kind_and_the_kinds_of_their_keys() -> None:
    value = {0: [1, (2, 3)], "0": {}, ("user", "club", "club"): (), 1.5: [[]], None: ("x",)}
    found = again(value)
    assert found == value
    assert list(found) == list(value)
    assert [type(key) for key in found] == [type(key) for key in value]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (0, 4), (2, 3, 4)])
def test_arrays_and_tensors_keep_type_shape_and_bits(dtype: str, shape: tuple[int, ...]) -> None:
    array = (np.random.default_rng(0).random(shape) * 5).astype(dtype)
    for value in (np.asarray(array), torch.from_numpy(np.asarray(array))):
        found = again(value)
        assert type(found) is type(value)
        assert found.dtype == value.dtype
        assert found.shape == value.shape
        assert bytes(np.asarray(found).tobytes()) == np.asarray(value).tobytes()
    scalar = array.flat[0] if array.size else array.dtype.type(1)
    assert type(again(scalar)) is type(scalar)
    assert again(scalar) == scalar


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)])
def test_the_layout_in_memory_stays(order: tuple[int, ...]) -> None:
    """A product with a transposed matrix may differ in its last bit from one with a copy of it."""
    value = np.random.default_rng(0).random((3, 4, 5)).transpose(order)
    found = again(value)
    assert np.array_equal(found, value)
    assert found.strides == value.strides
    tensor = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0)).permute(order)
    assert again(tensor).stride() == tensor.stride()
    matrix = np.asfortranarray(np.random.default_rng(1).random((200, 100)))
    vector = np.random.default_rng(2).random(100)
    assert again(matrix).flags.f_contiguous
    assert np.array_equal(again(matrix) @ vector, matrix @ vector)


def test_a_part_of_an_array_is_kept_without_the_rest() -> None:
    arrays: dict[str, Tensor] = {}
    packed = pack(np.arange(1000.0)[::100], arrays)
    assert [tensor.numel() for tensor in arrays.values()] == [10]
    assert unpack(packed, arrays).tolist() == [100.0 * place for place in range(10)]


@pytest.mark.parametrize("cls", [sparse.csr_array, sparse.csc_array, sparse.csr_matrix])
def test_sparse_matrices_keep_format_and_entries(cls: Any) -> None:
    value = cls(np.diag([1.0, 0.0, 2.5])[:, :2])
    value.data[0] = 0  # an entry that is there and 0
    found = again(value)
    assert type(found) is cls
    assert found.shape == (3, 2)
    for part in ("data", "indices", "indptr"):
        assert np.array_equal(getattr(found, part), getattr(value, part))
        assert getattr(found, part).dtype == getattr(value, part).dtype


@pytest.mark.parametrize(
    "value", [pd.Index(["b", "a", "ü"]), pd.Index([3, 1, 2]), pd.Index([0.5, np.nan]), pd.Index([], dtype="int64")]
)
def test_an_index_keeps_order_and_type(value: pd.Index) -> None:
    found = again(value)
    assert found.equals(value)
    assert found.dtype == value.dtype


def test_objects_of_the_package_nest() -> None:
    value = {
        "point": Point("median", (1.0, 2.0), (1.5,)),
        "config": RankingConfig(epochs=3),
        "edges": [Edges(torch.tensor([0, 1]), torch.tensor([2, 3]), torch.tensor([0.5, 1.5]))],
        "merge": AttributeMerge(SPLIT.train),
    }
    found = again(value)
    assert found["point"] == value["point"]
    assert found["config"] == value["config"]
    assert torch.equal(found["edges"][0].weight, torch.tensor([0.5, 1.5]))
    assert found["merge"].needed == value["merge"].needed  # type: ignore[attr-defined]


def test_training_data_comes_back_whole() -> None:
    found = again(SPLIT.train)
    assert torch.equal(found.users.items.node, SPLIT.train.users.items.node)
    assert list(found.users.relations) == list(SPLIT.train.users.relations)
    assert found.bounds == SPLIT.train.bounds
    assert found.ids["club"].equals(SPLIT.train.ids["club"])
    assert torch.equal(found.popularity, SPLIT.train.popularity)


def fitted(folder: Path) -> AttributeLinear:
    model = AttributeLinear(svd_rank=4)
    model.fit(SPLIT.train, None, 0)
    save_model(model, folder)
    return model


def test_a_model_is_a_tree_of_json_and_named_arrays(tmp_path: Path) -> None:
    model = fitted(tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [ARRAYS, STRUCTURE]
    text = (tmp_path / "model" / STRUCTURE).read_text()
    assert json.loads(text)["model"]["class"] == "gnnrec.models.baselines.linear.AttributeLinear"
    loaded = load_model(tmp_path / "model")
    assert loaded.svd_rank == 4
    assert torch.equal(loaded.score(SPLIT.validation.users), model.score(SPLIT.validation.users))


def test_a_model_is_saved_over_another_and_twice_alike(tmp_path: Path) -> None:
    fitted(tmp_path)
    files = [(tmp_path / name).read_bytes() for name in (ARRAYS, STRUCTURE)]
    save_model(load_model(tmp_path), tmp_path)
    assert [(tmp_path / name).read_bytes() for name in (ARRAYS, STRUCTURE)] == files
    popularity = Popularity()
    popularity.fit(SPLIT.train, None, 0)
    save_model(popularity, tmp_path)
    assert isinstance(load_model(tmp_path), Popularity)


class Foreign:
    """Not of the package, and no recommender; an instance would leave a trace."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1


class OfAnObject(Popularity):
    """A recommender from elsewhere that keeps an object of another library."""

    def fit(self, train: Any, validation: Any, seed: int) -> None:
        super().fit(train, validation, seed)
        self.kept = Foreign()


@dataclass
class Elsewhere:
    """A recommender that is not of the package: it may be saved."""

    shift: Tensor

    def score(self, users: Any) -> Tensor:
        return self.shift


@pytest.mark.parametrize("value", [Foreign(), {"a": [Foreign()]}, object(), len, {1, 2}, np.array([{}]), 1j])
def test_what_is_neither_arrays_nor_of_the_package_is_not_saved(value: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="cannot be saved; keep arrays and plain values, or give a state_dict"):
        save_model(value, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_an_object_of_another_library_within_a_model_is_named(tmp_path: Path) -> None:
    model = OfAnObject()
    model.fit(SPLIT.train, None, 0)
    with pytest.raises(TypeError, match=r"Foreign cannot be saved"):
        save_model(model, tmp_path / "model")


def test_a_recommender_from_elsewhere_is_saved_by_its_attributes() -> None:
    found = again(Elsewhere(torch.tensor([1.0, 2.0])))
    assert isinstance(found, Elsewhere)
    assert torch.equal(found.shift, torch.tensor([1.0, 2.0]))


def refused(folder: Path) -> str:
    with pytest.raises(ConfigError) as error:
        load_model(folder)
    message = str(error.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    assert "no such file; name a folder that holds a saved model" in refused(tmp_path)
    (tmp_path / ARRAYS).write_bytes(b"")
    (tmp_path / "model.pt").write_bytes(b"")
    assert "run the config again with another --out (the model.pt of an older version is not read)" in refused(tmp_path)


@pytest.mark.parametrize("name", [ARRAYS, STRUCTURE])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "other", "one bit"])
def test_a_damaged_file_is_one_line(tmp_path: Path, name: str, damage: str) -> None:
    fitted(tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        bit = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        damaged = {"empty": b"", "cut": content[: len(content) // 2], "other": b"\xff\xfe\x00" * 99, "one bit": bit}
        path.write_bytes(damaged[damage])
    message = refused(tmp_path)
    assert "run the config again" in message or "no such file" in message


def changed(folder: Path, **change: Any) -> None:
    """Rewrites a saved model; keys of the whole, or of the model in it."""
    structure = json.loads((folder / STRUCTURE).read_text())
    for key, value in change.items():
        (structure if key in structure else structure["model"])[key] = value
    (folder / STRUCTURE).write_text(json.dumps(structure))


def test_another_format_is_refused_by_its_number(tmp_path: Path) -> None:
    fitted(tmp_path)
    changed(tmp_path, format=99)
    assert "format 99, only 1 can be read); run the config again" in refused(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "subprocess.Popen",
        "collections.OrderedDict",
        "torch.nn.Linear",
        f"{__name__}.Foreign",
        "os.system",
        "no_such_module.Model",
        "gnnrec.models.baselines.linear.NoSuchModel",
        "NoSuchModel",
    ],
)
def test_no_class_from_elsewhere_is_made(tmp_path: Path, name: str) -> None:
    fitted(tmp_path)
    changed(tmp_path, **{"class": name})
    before = Foreign.made
    assert "the saved model cannot be read (" in refused(tmp_path)
    assert Foreign.made == before


def test_options_and_a_state_do_not_make_one_either(tmp_path: Path) -> None:
    fitted(tmp_path)
    changed(tmp_path, **{"class": "subprocess.Popen", "options": {"args": ["true"]}, "state": {}})
    assert "Popen is no class of a saved model" in refused(tmp_path)


def test_a_structure_that_lacks_something_or_names_an_array_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for change in ({"attributes": {"$type": "tensor", "key": "999", "axes": []}}, {"attributes": {"$type": "mapping"}}):
        fitted(tmp_path)
        changed(tmp_path, **change)
        refused(tmp_path)
    fitted(tmp_path)
    (tmp_path / STRUCTURE).write_text("[1, 2]")
    refused(tmp_path)
