"""A whole report of runs on a synthetic shop: safe, self-contained, the same twice, and open about what is missing."""

import re
import shutil
from html.parser import HTMLParser

import pandas as pd
import pytest
from synthetic_table import write_shop

from gnnrec.errors import ConfigError, InputError
from gnnrec.experiment.config import read_config
from gnnrec.experiment.report.data import Splits
from gnnrec.experiment.report.examples import examples
from gnnrec.experiment.report.page import write_report
from gnnrec.experiment.report.protocols import protocols
from gnnrec.experiment.results import find_runs, read_run
from gnnrec.experiment.run import run

HOSTILE = "<script>alert(1)</script>"
MODELS = {"popularity": "Popularity", "attribute-linear": "AttributeLinear"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Finished runs of two models, two seeds each, with shots; titles and values of attributes are markup."""
    folder = tmp_path_factory.mktemp("shop")
    text = write_shop(folder).read_text()
    for name, column in (("items.csv", "title"), ("users.csv", "gender")):
        table = pd.read_csv(folder / name, dtype=str)
        table[column] = table[column] + HOSTILE
        table.to_csv(folder / name, index=False)
    for name, model in MODELS.items():
        config = text.split("model:")[0].replace("validation: 0.2}", "validation: 0.2, support: 2}")
        shots = "evaluate: {metrics: [precision, ndcg], at: [10], shots: [0, 2]}"
        (folder / f"{name}.yaml").write_text(f"{config}model: {{class: {model}}}\n{shots}\n")
        for seed in (0, 1):
            read = read_config(folder / f"{name}.yaml", [f"seed={seed}"])
            run(read, folder / "runs" / name / str(seed))
    return folder


@pytest.fixture(scope="module")
def page(shop):
    write_report([shop / "runs"], shop / "report.html")
    return (shop / "report.html").read_text()


class Page(HTMLParser):
    """Tags, ids and outside addresses of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.addresses, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action", "data")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_safe_and_self_contained(page):
    found = Page(page)
    assert found.open == []
    assert "script" not in found.tags
    assert "&lt;script&gt;alert(1)" in page
    assert all(address.startswith("#") for address in found.addresses)
    assert "http://" not in page
    assert "https://" not in page
    assert "url(" not in page.replace("url(#", "")
    assert len(found.ids) == len(set(found.ids))
    assert {"h1", "h2", "h3", "caption", "svg", "title"} <= set(found.tags)
    assert found.tags.count("caption") == found.tags.count("table")
    assert page.count("<title>") == 1 + found.tags.count("svg")
    assert "Content-Security-Policy" in page


def test_the_same_runs_give_the_same_bytes(shop, page):
    write_report([shop / "runs"], shop / "again.html")
    assert (shop / "again.html").read_text() == page
    assert [path.name for path in shop.iterdir() if "partial" in path.name] == []


def test_all_sections_are_there(page):
    for heading in (
        "Models",
        "Quality by known items",
        "Learning curves",
        "Groups of users",
        "Who gains",
        "Example users",
    ):
        assert f"<h3>{heading}</h3>" in page
    assert "By number of interactions" in page or "By interests" in page
    assert page.count("User u-") == 10
    assert "SHA-256 of evaluation" in page
    assert "The config is that of seed 0, with seed 1." in page
    assert page.count("<pre") == 2


def test_lists_are_those_that_were_measured(shop):
    (part,) = protocols([read_run(folder) for folder in find_runs([shop / "runs"])])
    assert part.metric == "k0/precision@10"
    seed, shown, notes = examples(part, Splits())
    assert (seed, notes, len(shown)) == (0, [], 10)
    for example in shown:
        assert example.known == ()
        assert set(example.lists) == set(MODELS)
        for found in example.lists.values():
            assert len(found.places) == 10
            assert found.value == pytest.approx(sum(place.hit for place in found.places) / 10)
            assert {place.item for place in found.places if place.hit} <= set(example.held_out)
    reasons = [
        reason for example in shown for place in example.lists["attribute-linear"].places for reason in place.reasons
    ]
    assert {relation for relation, _, _ in reasons} & {"interests", "has", "gender", "age"}
    assert not any(place.reasons for example in shown for place in example.lists["popularity"].places)


def test_known_items_are_those_of_the_metric(shop):
    runs = [read_run(folder) for folder in find_runs([shop / "runs"])]
    (part,) = protocols(runs, metric="k2/ndcg@10")
    _, shown, _ = examples(part, Splits())
    assert {len(example.known) for example in shown} == {2}
    for example in shown:
        assert not {place.item for found in example.lists.values() for place in found.places} & set(example.known)


def test_missing_data_are_told_and_the_rest_is_there(shop, tmp_path):
    shutil.copytree(shop, tmp_path / "moved")
    (tmp_path / "moved" / "ratings.csv").unlink()
    write_report([tmp_path / "moved" / "runs"], tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "cannot be read" in page
    assert "ratings.csv" in page
    assert "There are no examples" in page
    assert "<h3>Models</h3>" in page
    assert "p (Holm)" in page


def test_other_data_than_those_of_the_run_are_not_used(shop, tmp_path):
    shutil.copytree(shop, tmp_path / "moved")
    ratings = pd.read_csv(tmp_path / "moved" / "ratings.csv")
    ratings[1:].to_csv(tmp_path / "moved" / "ratings.csv", index=False)
    write_report([tmp_path / "moved" / "runs"], tmp_path / "r.html")
    assert "have changed since the run" in (tmp_path / "r.html").read_text()


def test_a_run_without_its_model_has_no_lists(shop, tmp_path):
    shutil.copytree(shop, tmp_path / "moved")
    shutil.rmtree(tmp_path / "moved" / "runs" / "popularity" / "0" / "model")
    write_report([tmp_path / "moved" / "runs"], tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "popularity has no lists here" in page
    assert page.count("User u-") == 10


def test_users_without_attributes(tmp_path):
    write_shop(tmp_path)
    config = (
        "data:\n  source: table\n  interactions: {path: ratings.csv, user: user_id, item: item_id}\n"
        "split: {kind: unseen_users, test: 0.2, validation: 0.2}\n"
    )
    for name, model in (("popularity", "Popularity"), ("random", "Random")):
        (tmp_path / f"{name}.yaml").write_text(f"{config}model: {{class: {model}}}\n")
        with pytest.warns(UserWarning, match="no training user has any attribute"):
            run(read_config(tmp_path / f"{name}.yaml"), tmp_path / "runs" / name / "0")
    write_report([tmp_path / "runs"], tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "no attribute that makes two groups" in page or "no two groups" in page
    assert "While data were read" in page
    assert page.count("User u-") == 10
    assert re.search(r"\d+ hits?, ndcg@10", page)


def test_what_cannot_be_reported_is_one_line(shop, tmp_path):
    with pytest.raises(InputError, match=r"--out: r\.txt: the name must end in \.html"):
        write_report([shop / "runs"], tmp_path.relative_to(tmp_path) / "r.txt")
    with pytest.raises(ConfigError, match="no finished run in it"):
        write_report([tmp_path], tmp_path / "r.html")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_report([shop / "runs" / "popularity" / "0"], tmp_path / "folder.html")
