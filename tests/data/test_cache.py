"""Data that was read before: the same from memory-mapped arrays, and read anew as soon as anything has changed."""

import os
import time
import warnings
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from synthetic_table import write_shop

from gnnrec.data import cache as data_cache
from gnnrec.data import load
from gnnrec.data.cache import cached
from gnnrec.data.datasets import source_named
from gnnrec.data.synthetic import synthetic
from gnnrec.experiment.config import read_config


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GNNREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(data_cache, "MIN_BYTES", 0)
    return tmp_path / "cache" / "read"


def same(one, other):
    assert one.checksum == other.checksum
    assert (one.name, one.titles, one.skipped_rows) == (other.name, other.titles, other.skipped_rows)
    assert list(one.ids) == list(other.ids)
    for node_type, ids in one.ids.items():
        assert ids.equals(other.ids[node_type])
        assert (ids.dtype, ids.name) == (other.ids[node_type].dtype, other.ids[node_type].name)
    assert [r.type for r in one.relations] == [r.type for r in other.relations]
    for a, b in zip(one.numeric, other.numeric, strict=True):
        assert (a.node_type, a.name, a.bins, a.bounds) == (b.node_type, b.name, b.bins, b.bounds)
    for f in fields(one.interactions):
        a, b = (getattr(data.interactions, f.name) for data in (one, other))
        assert (a is None) == (b is None)
        assert a is None or (a.dtype == b.dtype and torch.equal(a, b))


def kept(folder: Path, data) -> bool:
    """Whether edges lie in a file that is mapped into memory."""
    address = data.relations[0].edge_index.data_ptr()
    for line in Path("/proc/self/maps").read_text().splitlines():
        low, high = (int(end, 16) for end in line.split()[0].split("-"))
        if low <= address < high:
            return str(folder) in line
    return False


def shop(folder: Path):
    return read_config(write_shop(folder))


def test_what_was_kept_is_what_was_read(tmp_path, cache, monkeypatch):
    config = shop(tmp_path)
    first = load(config.config.data, config.folder)
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr("gnnrec.data.table.read", lambda *_: pytest.fail("read again"))
    second = load(config.config.data, config.folder)
    same(first, second)
    assert [kept(tmp_path / "cache", data) for data in (first, second)] == [False, True]


@pytest.mark.parametrize("name", ["ml-1m", "hetrec-lastfm"])
def test_of_real_data_too(real_files, name):
    files = real_files(name)
    first = cached(name, list(files.values()), lambda: source_named(name).read(files))
    second = cached(name, list(files.values()), lambda: pytest.fail("read again"))
    same(first, second)


def test_a_changed_file_or_option_is_read_anew(tmp_path, cache):
    config = shop(tmp_path)
    first = load(config.config.data, config.folder)
    ratings = tmp_path / "ratings.csv"
    lines = ratings.read_text().splitlines(keepends=True)
    ratings.write_text("".join(lines[:-1]))
    fewer = load(config.config.data, config.folder)
    assert len(fewer.interactions) == len(first.interactions) - 1
    other = read_config(tmp_path / "shop.yaml", ["data.users.attributes={}"])
    assert "gender" not in load(other.config.data, other.folder).ids
    assert len(list(cache.iterdir())) == 3
    positive = read_config(tmp_path / "shop.yaml", ["data.positive=null"])  # applied after reading
    load(positive.config.data, positive.folder)
    assert len(list(cache.iterdir())) == 3


def test_a_changed_reader_of_a_named_data_set_is_read_anew(tmp_path, cache, monkeypatch):
    (tmp_path / "data" / "datasets").mkdir(parents=True)
    reader, file = tmp_path / "data" / "datasets" / "a.py", tmp_path / "file"
    monkeypatch.setattr(data_cache, "__file__", str(tmp_path / "data" / "cache.py"))
    file.write_text("x")
    for code in ("one", "two", "two"):
        reader.write_text(code)
        cached("a", [file], lambda: synthetic(0))
    assert len(list(cache.iterdir())) == 2


def test_data_that_is_read_with_a_warning_warns_each_time(tmp_path, cache):
    file = tmp_path / "file"
    file.write_text("x")

    def read():
        warnings.warn("a column is empty", stacklevel=2)
        return synthetic(0)

    for _ in range(2):
        with pytest.warns(UserWarning, match="a column is empty"):
            cached("synthetic", [file], read)
    assert not cache.exists()


def test_a_broken_folder_is_read_anew(tmp_path, cache):
    config = shop(tmp_path)
    first = load(config.config.data, config.folder)
    (folder,) = cache.iterdir()
    (folder / "interactions-user.npy").write_bytes(b"")
    same(first, load(config.config.data, config.folder))
    same(first, load(config.config.data, config.folder))
    assert [path.name for path in cache.iterdir()] == [folder.name]


def test_writing_into_an_array_changes_no_file(tmp_path):
    config = shop(tmp_path)
    first = load(config.config.data, config.folder)
    second = load(config.config.data, config.folder)
    second.interactions.user[:] = 0
    same(first, load(config.config.data, config.folder))


def test_small_files_and_a_folder_that_cannot_be_written_keep_nothing(tmp_path, cache, monkeypatch):
    file = tmp_path / "file"
    file.write_text("x")
    monkeypatch.setattr(data_cache, "MIN_BYTES", 2)
    cached("synthetic", [file], lambda: synthetic(0))
    assert not cache.exists()
    monkeypatch.setattr(data_cache, "MIN_BYTES", 0)
    cache.parent.mkdir(parents=True)
    cache.write_text("a file in the folder's place")
    assert cached("synthetic", [file], lambda: synthetic(0)).checksum == synthetic(0).checksum


def test_a_relation_without_edges(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    data = synthetic(0)
    none = replace(data.relations[0], edge_index=torch.empty(2, 0, dtype=torch.int64))
    data = replace(data, relations=(none, *data.relations[1:]))
    cached("synthetic", [file], lambda: data)
    again = cached("synthetic", [file], lambda: pytest.fail("read again"))
    assert again.checksum == data.checksum


def test_what_was_left_half_written_and_what_nobody_uses_is_deleted(tmp_path, cache):
    config = shop(tmp_path)
    load(config.config.data, config.folder)
    (used,) = cache.iterdir()
    ages = {"part-killed": 2, "part-being-written": 0.5, "unused": 91, "used-lately": 89}
    for name, days in ages.items():
        (cache / name).mkdir()
        os.utime(cache / name, (time.time() - 86_400 * days,) * 2)
    os.utime(used, (time.time() - 86_400 * 100,) * 2)
    load(config.config.data, config.folder)  # from the entry, which is new again
    other = read_config(tmp_path / "shop.yaml", ["data.users.attributes={}"])
    load(other.config.data, other.folder)
    assert {"part-being-written", "used-lately", used.name} < {entry.name for entry in cache.iterdir()}
    assert not {"part-killed", "unused"} & {entry.name for entry in cache.iterdir()}


def test_rows_that_were_left_out_are_kept_with_their_examples(tmp_path, cache):
    config = shop(tmp_path)
    with (tmp_path / "ratings.csv").open("a") as ratings:
        ratings.write("u-000,sku/0,bad,1\n")
    config = read_config(tmp_path / "shop.yaml", ["data.on_bad_row=skip"])
    first, second = (load(config.config.data, config.folder) for _ in range(2))
    assert kept(tmp_path / "cache", second)
    assert first.skipped == second.skipped
    assert "'bad' is not a number" in second.skipped
