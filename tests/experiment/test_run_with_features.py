"""A config with Chinese titles, English attributes and pictures of which three are broken, from files to lists."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

CONFIG = """
seed: 3
data:
  source: table
  interactions: {path: r.csv, user: user, item: item}
  users: {path: u.csv, id: user, attributes: {occupation: {}}}
  items:
    path: i.csv
    id: item
    title: title
    attributes:
      colour: {}
      title: {text: {encoder: tfidf, options: {least: 1}}}
      picture: {image: {zip: p.zip, encoder: colours.Colours}}
      price: {number: {scale: log, knots: 2}}
split: {kind: unseen_items, test: 0.2, validation: 0.2}
model:
  class: GraphSAGE
  encoder: {layers: 1, channels: 8, linear: 16}
  pretrain: null
  finetune: {epochs: 4, batch_users: 64, learning_rate: 0.002, shown: any, new_items: 0.5}
"""
NAMES = ("红色 裙子", "蓝色 裙子", "红色 鞋", "蓝色 鞋")
COLOURS = """
import numpy as np


class Colours:
    def __call__(self, pictures):
        return np.array([np.asarray(one, float).mean((0, 1)) / 255 for one in pictures])
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GNNREC_CACHE", str(tmp_path / "cache"))
    draw = np.random.default_rng(3)
    kinds = np.arange(40) % 4
    rows = [(f"u{u}", f"i{i}") for u in range(80) for i in draw.choice(np.flatnonzero(kinds == u % 4), 5, False)]
    pd.DataFrame(rows, columns=["user", "item"]).to_csv(tmp_path / "r.csv", index=False)
    occupations = [("engineer", "painter")[u % 2] for u in range(80)]
    pd.DataFrame({"user": [f"u{u}" for u in range(80)], "occupation": occupations}).to_csv(tmp_path / "u.csv")
    items = {"item": [f"i{i}" for i in range(40)], "title": [f"{NAMES[k]} {n}" for n, k in enumerate(kinds)]}
    more = {"colour": [("red", "blue")[k % 2] for k in kinds], "price": draw.uniform(1, 99, 40).round(2)}
    pd.DataFrame({**items, **more}).to_csv(tmp_path / "i.csv", index=False)
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for i, kind in enumerate(kinds):
            file = io.BytesIO()
            Image.new("RGB", (8, 8), (255 * (kind % 2), 255 * (kind // 2), 9)).save(file, "PNG")
            content = file.getvalue()
            archive.writestr(f"i{i}.png", {0: b"", 1: b"no picture", 2: content[:30]}.get(i, content))
    (tmp_path / "colours.py").write_text(COLOURS)
    (tmp_path / "c.yaml").write_text(CONFIG)
    return tmp_path


def test_from_words_and_pictures_to_a_table(gnnrec: Any, shop: Path) -> None:
    answer = gnnrec("run", "c.yaml", "--json")
    assert answer.code == 0, answer.err
    assert "feature 'picture': 3 pictures cannot be read, for example i0.png, i1.png, i2.png" in answer.err
    assert "feature 'picture': 3 of 40 items have none, for example i0, i1, i2" in answer.err
    assert "Traceback" not in answer.err
    result = next((shop / "runs").rglob("result.json")).read_text()
    assert '"features"' in result  # what was checked before the fit


def test_new_items_are_found_by_what_describes_them(gnnrec: Any, shop: Path) -> None:
    import json

    values = {}
    for model in ("GraphSAGE", "ContentRidge", "Popularity"):
        own = CONFIG if model == "GraphSAGE" else CONFIG[: CONFIG.index("model:")] + f"model: {{class: {model}}}\n"
        (shop / f"{model}.yaml").write_text(own)
        answer = gnnrec("run", f"{model}.yaml", "--out", str(shop / model))
        assert answer.code == 0, answer.err
        found = json.loads(next((shop / model).rglob("result.json")).read_text())
        values[model] = found["metrics"]["ndcg@10"]
    assert values["GraphSAGE"] > values["Popularity"] + 0.2
    assert values["ContentRidge"] > values["Popularity"] + 0.2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("encoder: tfidf", "encoder: tfdif", "feature 'title': encoder 'tfdif' is unknown; there are use, tfidf"),
        ("zip: p.zip", "zip: q.zip", "feature 'picture': q.zip: no such file or folder"),
        ("zip: p.zip", "zip: i.csv", "is neither a folder nor a zip archive"),
        ("linear: 16", "linear: 0", "finetune.new_items: needs a linear path; set encoder.linear"),
        ("{scale: log, knots: 2}", "{scale: log, knots: -1}", "knots"),
    ],
)
def test_faults_are_one_line(gnnrec: Any, shop: Path, old: str, new: str, message: str) -> None:
    (shop / "c.yaml").write_text(CONFIG.replace(old, new))
    answer = gnnrec("run", "c.yaml")
    assert answer.code == 2
    assert message in " ".join(answer.err.split())
    assert "Traceback" not in answer.err
