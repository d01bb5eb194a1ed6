"""Posters of one platform under the ids of another."""

import zipfile
from pathlib import Path

import pytest

from experiments import posters
from experiments.protocols import protocol_named
from gnnrec.data import load
from gnnrec.data.config import NamedData
from gnnrec.experiment.config import read_config
from gnnrec.views import ITEM


def test_rows_say_whether_they_take_them() -> None:
    rows = {path.stem: read_config(path) for path in protocol_named("ml-100k-transfer-5").configs()}
    assert [name for name, config in rows.items() if posters.wanted(config)] == ["graphsage-posters"]
    assert not posters.wanted(read_config(protocol_named("ml-1m-items").configs()[0].parent / "graphsage-posters.yaml"))


def test_a_film_has_the_poster_of_the_film_with_its_title(tmp_path: Path) -> None:
    if posters.archive() is None:
        pytest.skip("needs ml-1m-posters under GNNREC_DATA")
    path = posters.make(tmp_path)
    assert path is not None
    assert posters.make(tmp_path) == path
    here, there = (load(NamedData(source=name)) for name in ("ml-100k", "ml-1m"))
    other = {title: str(item) for title, item in zip(there.titles, there.ids[ITEM], strict=True)}
    own = posters.archive()
    assert own is not None
    with zipfile.ZipFile(path) as made, zipfile.ZipFile(own) as given:
        there_are = {Path(name).stem: name for name in given.namelist()}
        compared = 0
        for item, title in zip(here.ids[ITEM], here.titles, strict=True):
            name = there_are.get(other.get(title, ""))
            if name is not None and here.titles.count(title) == 1:
                assert made.read(f"{item}.jpg") == given.read(name), title
                compared += 1
        assert compared > 1000
        assert len(made.namelist()) < 1682
