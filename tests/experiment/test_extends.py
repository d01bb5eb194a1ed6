from pathlib import Path

import pytest
import yaml

from gnnrec.errors import ConfigError
from gnnrec.experiment.config import NamedConfig, read_config
from gnnrec.experiment.extends import merge
from gnnrec.experiment.results import config_checksum

BASE = """
seed: 3
data: {source: ml-100k, positive: {min_value: 4}}
split: {kind: unseen_users, folds: 5, validation: 0.1}
evaluate: {metrics: [ndcg, recall], at: [10, 20]}
"""
MODEL = "extends: _base.yaml\nmodel: {class: ALS, factors: 8}\n"


def write(folder: Path, **texts: str) -> Path:
    """Writes files, `_` in front of a name being part of it; returns the path of the last one."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder / f"{list(texts)[-1]}.yaml"


def refused(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        read_config(path, overrides)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_a_config_that_extends_a_base_is_the_one_that_holds_all_of_it(tmp_path: Path) -> None:
    short = read_config(write(tmp_path, _base=BASE, als=MODEL))
    long = read_config(write(tmp_path / "long", als=BASE + "model: {class: ALS, factors: 8}\n"))
    assert short.config == long.config
    assert short.said == long.said
    assert short.own == {"extends": "_base.yaml", "model": {"class": "ALS", "factors": 8}}
    assert "extends" not in short.written(tmp_path)
    first, second = (config_checksum(one.config.model_dump(mode="json")) for one in (short, long))
    assert first == second


def test_mappings_merge_and_everything_else_replaces(tmp_path: Path) -> None:
    own = "split: {support: 10}\nevaluate: {at: [5]}\nseed: 4\ndata: {positive: null}\n"
    config = read_config(write(tmp_path, _base=BASE, als=MODEL + own)).config
    assert (config.seed, config.evaluate.metrics, config.evaluate.at) == (4, ["ndcg", "recall"], [5])
    assert config.split.model_dump(include={"folds", "support"}) == {"folds": 5, "support": 10}
    assert config.data.positive is None


@pytest.mark.parametrize(
    ("below", "above", "together"),
    [
        ({"class": "ALS", "a": 1}, {"class": "ALS", "b": 2}, {"class": "ALS", "a": 1, "b": 2}),
        ({"class": "ALS", "a": 1}, {"b": 2}, {"class": "ALS", "a": 1, "b": 2}),
        ({"class": "ALS", "a": 1}, {"class": "BPR", "b": 2}, {"class": "BPR", "b": 2}),
        ({"a": 1}, {"class": "BPR"}, {"class": "BPR", "a": 1}),
        ({"class": "ALS", "part": {"a": 1, "b": 2}}, {"part": {"b": 3}}, {"class": "ALS", "part": {"a": 1, "b": 3}}),
        ({"class": "ALS", "part": {"a": 1}}, {"part": None}, {"class": "ALS", "part": None}),
    ],
)
def test_a_model_merges_unless_it_is_of_another_class(below: object, above: object, together: object) -> None:
    assert merge({"model": below}, {"model": above}) == {"model": together}


def test_options_go_with_what_they_are_options_of() -> None:
    split = {"kind": "unseen_users", "folds": 5}
    assert merge({"split": split}, {"split": {"kind": "unseen_items"}}) == {"split": {"kind": "unseen_items"}}
    data = {"source": "ml-100k", "use": ["gender"]}
    assert merge({"data": data}, {"data": {"source": "ml-1m"}}) == {"data": {"source": "ml-1m"}}
    parts = {"x": {"class": "ALS", "factors": 8}, "y": {"class": "EASE"}}
    blend = {"class": "Blend", "components": parts, "finetune": {"objective": "rating", "penalty": 1}}
    above = {"components": {"x": {"class": "BPR"}, "y": {"l2": 3}}, "finetune": {"objective": "ranking"}}
    assert merge({"model": blend}, {"model": above}) == {
        "model": {
            "class": "Blend",
            "components": {"x": {"class": "BPR"}, "y": {"class": "EASE", "l2": 3}},
            "finetune": {"objective": "ranking"},
        }
    }
    columns = {"users": {"attributes": {"class": {"bins": 2}, "age": {}}}}
    other = {"users": {"attributes": {"class": {"bins": 3}}}}  # a column of that name chooses nothing
    assert merge({"data": columns}, {"data": other})["data"]["users"]["attributes"].keys() == {"class", "age"}
    encoder = {"layer": "A", "layer_options": {"aggr": "mean"}, "layers": 2}
    other = merge({"model": {"encoder": encoder}}, {"model": {"encoder": {"layer": "B"}}})
    assert other == {"model": {"encoder": {"layer": "B", "layers": 2}}}
    same = merge({"model": {"encoder": encoder}}, {"model": {"encoder": {"layer": "A"}}})
    assert same == {"model": {"encoder": encoder}}


def test_bases_extend_further_ones_and_the_last_of_a_list_lies_on_top(tmp_path: Path) -> None:
    write(tmp_path, _root=BASE)
    write(tmp_path / "few", _base="extends: ../_root.yaml\nsplit: {validation: 0.2}\n", _at="evaluate: {at: [1]}\n")
    path = write(tmp_path / "few", als=MODEL.replace("_base.yaml", "[_base.yaml, _at.yaml, ../_root.yaml]"))
    config = read_config(path).config
    assert config.split.validation == 0.1  # of _root.yaml, which is named last
    path.write_text(MODEL.replace("_base.yaml", "[../_root.yaml, _base.yaml, _at.yaml]"))
    config = read_config(path).config
    assert (config.seed, config.split.validation, config.evaluate.at) == (3, 0.2, [1])


def test_a_complete_config_can_be_extended_too_and_overrides_lie_on_top(tmp_path: Path) -> None:
    write(tmp_path, _base=BASE, als=MODEL)
    path = write(tmp_path, wide="extends: als.yaml\nmodel: {factors: 32}\n")
    assert read_config(path).config.model["factors"] == 32
    assert read_config(path, ["model.factors=16", "split.folds=2"]).config.model["factors"] == 16


def test_values_of_other_keys_are_put_in_after_merging(tmp_path: Path) -> None:
    base = BASE.replace("validation: 0.1", "validation: 0.1, seed: '${seed}'")
    assert read_config(write(tmp_path, _base=base, als=MODEL + "seed: 7\n")).config.split.seed == 7


TABLE = """
data:
  source: table
  interactions: {path: ratings.csv, user: u, item: i}
  users: {path: /data/users.csv, id: u}
  relations: [{path: friends.csv, source: {type: user, column: a}, target: {type: user, column: b}, name: friend}]
split: {kind: file, test: test.txt, validation: 0.1}
model: {class: GraphSAGE, pretrained: ../other/model}
"""


def files(config: NamedConfig) -> list[Path]:
    data, split = config.config.data, config.split
    found = [*data.files(config.folder), split.test, config.model().pretrained]
    return [path.resolve() for path in found]


def test_paths_start_from_the_folder_of_the_file_that_they_stand_in(tmp_path: Path) -> None:
    shop = tmp_path.resolve() / "shop"
    alone = read_config(write(shop, shop=TABLE))
    expected = [shop / "ratings.csv", Path("/data/users.csv"), shop / "friends.csv", shop / "test.txt"]
    assert files(alone) == [*expected, shop.parent / "other" / "model"]
    beside = read_config(write(shop, near="extends: shop.yaml\nseed: 1\n"))
    assert files(beside) == files(alone)
    assert beside.config.split == alone.config.split  # the same text, so that the checksum is the same too
    far = write(tmp_path / "a" / "b", far="extends: ../../shop/shop.yaml\nbase: ../../data\n")
    assert files(read_config(far)) == files(alone)
    assert files(read_config(far, ["base=."])) == files(alone)
    own = write(tmp_path / "a" / "b", own=far.read_text() + "split: {test: mine.txt}\n")
    assert read_config(own).split.test == tmp_path.resolve() / "data" / "mine.txt"
    top = read_config(write(tmp_path, top="extends: a/b/own.yaml\n"))
    assert files(top) == [*files(alone)[:3], tmp_path.resolve() / "data" / "mine.txt", files(alone)[4]]
    assert top.folder == tmp_path.resolve()


def test_a_runs_config_holds_everything_and_reads_back_the_same(tmp_path: Path) -> None:
    config = read_config(write(tmp_path / "x", _base=TABLE, far="extends: _base.yaml\nseed: 2\n"))
    folder = tmp_path / "runs" / "far" / "2"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config.written(folder)))
    (tmp_path / "x" / "_base.yaml").unlink()
    again = read_config(folder / "config.yaml")
    assert files(again) == files(config)
    assert again.config.model_dump(exclude={"base"}) == config.config.model_dump(exclude={"base"})


def test_a_mistake_is_reported_for_the_file_that_it_stands_in(tmp_path: Path) -> None:
    path = write(tmp_path, _base=BASE, als=MODEL)
    base = f"{tmp_path / '_base.yaml'} (extended by {path}): "
    for old, new, said in (
        ("seed: 3", "sed: 3", "unknown key 'sed'. Did you mean 'seed'?"),
        ("folds: 5", "fods: 5", "split: unknown key 'fods'. Did you mean 'folds'?"),
        ("validation: 0.1", "validation: 2", "split.validation: 2 is not allowed"),
        ("[ndcg, recall]", "[ndgc]", "evaluate.metrics.0: unknown value 'ndgc'. Did you mean 'ndcg'?"),
        ("seed: 3", "seed: 3\nmodel: {fators: 9}", "model: unknown key 'fators'. Did you mean 'factors'?"),
        ("seed: 3", "seed: 3\ntuning: {metric: mrr}", "tuning.metric: 'mrr' is not measured"),
    ):
        write(tmp_path, _base=BASE.replace(old, new))
        assert refused(path).startswith(base + said)
    write(tmp_path, _base=BASE)
    assert refused(write(tmp_path, als=MODEL + "split: {fods: 5}\n")).startswith(f"{path}: split: unknown key 'fods'")
    path.write_text(MODEL)
    assert refused(path, "split.fods=5").startswith(f"{path}: split: unknown key 'fods'")
    assert refused(path, "split.folds=1").startswith(f"{path}: split.folds: 1 is not allowed")
    write(tmp_path, _base=BASE.replace("split: {kind: unseen_users, folds: 5, validation: 0.1}", ""))
    assert refused(path).startswith(f"{path}: missing key 'split'")


def test_what_cannot_be_extended_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path, _base=BASE, als=MODEL)
    missing = refused(write(tmp_path, other=MODEL.replace("_base", "_bsae")))
    assert "other.yaml: extends: '_bsae.yaml': there is no file" in missing
    assert "Did you mean '_base.yaml'?" in missing
    for value in ("3", "[3]", "{a: b}", "''", "null"):
        wrong = refused(write(tmp_path, other=MODEL.replace("_base.yaml", value)))
        assert "other.yaml: extends: " in wrong
        assert "is not allowed; it is a config file, relative to this one, or a list of them" in wrong
    assert "is no override" in refused(path, "extends=_base.yaml")
    for name, said in (
        ("asl.yaml", "there is no file"),
        ("_base.yaml", "_base.yaml has no model"),
        ("b.yaml", "circle"),
    ):
        blend = f"extends: _base.yaml\nmodel: {{class: Blend, components: {{a: {{extends: {name}}}}}}}\n"
        wrong = refused(write(tmp_path, b=blend))
        assert "b.yaml: model.components.a.extends: " in wrong
        assert said in wrong
    write(tmp_path, _base="- 1\n")
    assert refused(path) == f"{tmp_path / '_base.yaml'}: must be a mapping (key: value)"
    write(tmp_path, _base="a: [1\n")
    assert refused(path).startswith(f"{tmp_path / '_base.yaml'}: cannot be read")
    write(tmp_path, _base="base: 3\n")
    assert refused(path).startswith(f"{tmp_path / '_base.yaml'}: base: 3 is not allowed")


def test_circles_are_refused_and_two_ways_to_one_base_are_not(tmp_path: Path) -> None:
    path = write(tmp_path, _one="extends: _two.yaml\n", _two="extends: _one.yaml\n", als="extends: _one.yaml\n")
    one, two = tmp_path / "_one.yaml", tmp_path / "_two.yaml"
    assert f"{two}: extends: '_one.yaml' leads in a circle, {path} -> {one} -> {two} -> {one};" in refused(path)
    assert "leads in a circle" in refused(write(tmp_path, own="extends: own.yaml\n"))
    write(tmp_path, _base=BASE, _one="extends: _base.yaml\n", _two="extends: _base.yaml\n")
    path.write_text(MODEL.replace("_base.yaml", "[_one.yaml, _two.yaml]"))
    assert read_config(path).config.seed == 3


def test_a_base_is_no_run(tmp_path: Path) -> None:
    message = refused(write(tmp_path, _base=BASE + "model: {class: Popularity}\n"))
    assert message.startswith(f"{tmp_path / '_base.yaml'}: is a base of other configs and no complete run")
    assert "[!_]*.yaml" in message
    assert "no such config file" in refused(tmp_path / "_none.yaml")


def test_the_weights_that_a_component_starts_from_lead_to_the_same_folder_from_everywhere(tmp_path: Path) -> None:
    """A path of a component starts from the folder of its config, as that of a model does, however it is extended."""
    head = "data: {source: ml-100k}\nsplit: {kind: unseen_users, test: 0.2}\n"
    sage = "model: {class: GraphSAGE, pretrained: runs/first}\n"
    blend = "model: {class: Blend, components: {graphsage: {class: GraphSAGE, pretrained: runs/first}}}\n"
    by_name = "model: {class: Blend, components: {graphsage: {extends: ../shop/sage.yaml}}}\n"
    write(tmp_path / "shop", sage=head + sage, blend=head + blend)
    write(tmp_path / "far", extended="extends: ../shop/blend.yaml\n", named=head + by_name)
    for path in ("shop/blend", "far/extended", "far/named"):
        model = read_config(tmp_path / f"{path}.yaml").model()
        assert model.models["graphsage"].pretrained.resolve() == (tmp_path / "shop" / "runs" / "first").resolve(), path
    assert read_config(tmp_path / "shop" / "sage.yaml").model().pretrained == tmp_path / "shop" / "runs" / "first"
