"""What is committed fits together: results, tables, reference scores and configs."""

import json
import re

import pytest
import yaml
from jsonschema import Draft202012Validator

from experiments.budgets import render_budgets
from experiments.figures import FIGURES as MAKERS
from experiments.numbers import numbers_tex
from experiments.overview import replaced
from experiments.protocols import CONFIGS, FIGURES, PROTOCOLS, RESULTS, TABLES, TUNING, protocol_named
from experiments.render import read_kept, reference_lines, render
from experiments.replays import REPLAYS
from experiments.reproduce import README
from experiments.targets import render_targets
from gnnrec.experiment.config import MODELINE, read_config
from gnnrec.experiment.results import config_checksum
from gnnrec.experiment.schema import schema_text

KEPT = [(protocol, read_kept(protocol.results)) for protocol in PROTOCOLS if protocol.results.is_file()]
NAMES = [protocol.name for protocol, _ in KEPT]


def same_numbers(files):
    """Whether the committed files hold the same tables, and the same numbers in their captions, however worded."""
    for path, text in files.items():
        committed = path.read_text()
        assert lines(committed, path) == lines(text, path), path
        assert numbers(committed) == numbers(text), path


def lines(text, path):
    """The rows of a table; of a caption alone, none."""
    if path.name.endswith("-caption.tex"):
        return []
    return [line for line in text.splitlines() if line.startswith("|") or "&" in line]


def numbers(text):
    return re.findall(r"\d+(?:[.,]\d+)*", text)


@pytest.mark.parametrize(("protocol", "kept"), KEPT, ids=NAMES)
def test_the_committed_tables_are_those_of_the_committed_results(protocol, kept):
    same_numbers(render(protocol, kept, TABLES))


def test_the_committed_budgets_are_those_of_the_logs():
    same_numbers(render_budgets(TABLES))


def test_the_committed_targets_are_those_of_the_results():
    same_numbers(render_targets(KEPT, TABLES))


def test_another_number_in_a_table_or_a_caption_is_found(tmp_path):
    path = tmp_path / "synthetic.md"
    path.write_text("| model | ndcg |\n|---|---|\n| als | 0.5 |\n\nMean over 3 seeds.\n")
    same_numbers({path: "| model | ndcg |\n|---|---|\n| als | 0.5 |\n\nSeeds: 3; the mean.\n"})
    for other in ("| als | 0.6 |", "| bpr | 0.5 |"):
        with pytest.raises(AssertionError):
            same_numbers({path: path.read_text().replace("| als | 0.5 |", other)})
    with pytest.raises(AssertionError):
        same_numbers({path: path.read_text().replace("3 seeds", "4 seeds")})


def test_the_numbers_of_the_text_too():
    assert (TABLES / "numbers.tex").read_text() == numbers_tex(KEPT)


@pytest.mark.parametrize(("protocol", "kept"), KEPT, ids=NAMES)
def test_reference_scores_are_met(protocol, kept):
    for met, line in reference_lines(protocol, kept):
        assert met, line


@pytest.mark.parametrize(("protocol", "kept"), KEPT, ids=NAMES)
def test_every_cell_can_be_traced(protocol, kept):
    now = {config.name: config for config in map(read_config, protocol.configs())}
    for run in kept["runs"]:
        assert {"config", "data", "split"} <= set(run["checksums"])
        committed = now[run["name"]].with_seed(run["seed"]).config.model_dump(mode="json")
        assert run["checksums"]["config"] == config_checksum(run["config"]) == config_checksum(committed), run["name"]
        assert run["versions"]
        assert run["config"]["seed"] == run["seed"]
    for column in kept["columns"].values():
        for name, row in column["rows"].items():
            assert row is None or sum(run["name"] == name for run in kept["runs"]) >= 1


def test_no_result_holds_an_absolute_path():
    """What a run was made from is told by checksums and by paths that start from its config, on any machine."""
    files = [*RESULTS.glob("*.json"), *TUNING.glob("*/*.json")]
    assert len(files) > 40
    for path in files:
        assert not re.search(r'"(/[\w.-]+){2,}', path.read_text()), path


def test_every_result_and_table_belongs_to_a_protocol():
    known = {protocol.name for protocol in PROTOCOLS} | set(REPLAYS)
    there = {path.stem for path in RESULTS.glob("*.json") if not path.stem.startswith("bench_")}
    assert there <= known
    assert {path.stem for path in TABLES.glob("*.md")} - {"budgets", "targets"} == there


def test_names_are_unique_and_configs_have_a_protocol():
    assert len({protocol.name for protocol in PROTOCOLS}) == len(PROTOCOLS)
    assert {path.name for path in CONFIGS.iterdir() if path.is_dir()} <= {
        protocol.name for protocol in PROTOCOLS
    } | set(REPLAYS) | {"encoders"}


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: p.name)
def test_every_config_measures_what_the_table_shows(protocol):
    configs = [read_config(path) for path in protocol.configs()]
    for config in configs:
        assert set(protocol.columns) <= set(config.config.evaluate.names), config.name
    names = {config.name for config in configs}
    assert not names or {protocol.plain, *(score.model for score in protocol.reference_scores)} <= names


KNOWN = {"unseen_values": {"known": True}}


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: p.name)
def test_a_row_holds_its_model_and_leaves_the_rest_to_the_base(protocol):
    for path in protocol.configs():
        own = yaml.safe_load(path.read_text())
        bases = own["extends"] if isinstance(own["extends"], list) else [own["extends"]]
        assert all((path.parent / base).is_file() for base in bases), path
        assert "_base.yaml" in bases or len(bases) == 1, path
        assert set(own) <= {"extends", "shuffle_attributes", "model", "erase", "rerank", "data", "split"}, path
        # what is asked, and of whom, is the same in every row; training may know more
        of_split = own.get("split", KNOWN)
        assert of_split == KNOWN or of_split["labelled"]["others"] == "kept", path
        assert set(own.get("data", {})) <= {"features", "values"}, path
        assert path.read_text().startswith(f"{MODELINE}$schema=../schema.json\n"), path


@pytest.fixture(scope="module")
def check():
    return Draft202012Validator(json.loads(schema_text()))


@pytest.mark.parametrize("folder", [CONFIGS, *(CONFIGS / p.name for p in PROTOCOLS)], ids=lambda f: f.name)
def test_every_config_is_valid_under_the_schema_as_written_and_complete(folder, check):
    for path in sorted(folder.glob("*.yaml")):
        check.validate(json.loads(json.dumps(yaml.safe_load(path.read_text()))))
        if not path.name.startswith("_"):
            check.validate(read_config(path).written(folder))


@pytest.mark.parametrize(
    "path", sorted(CONFIGS.glob("hetrec-lastfm-1*/[!_]*.yaml")), ids=lambda p: f"{p.parent.name}/{p.stem}"
)
def test_a_share_of_the_users_is_all_that_differs(path):
    few, whole = read_config(path).config, read_config(CONFIGS / "hetrec-lastfm" / path.name).config
    assert few.split.train_share == int(path.parent.name.rpartition("-")[2]) / 100
    assert few.model_copy(update={"split": whole.split}) == whole


def options_of_row(protocol, name):
    model = read_config(CONFIGS / protocol.name / f"{name}.yaml").config.model
    parts = [part for part in ("encoder", "finetune", "decoder") if part in model]
    flat = {f"{part}.{key}": value for part in parts for key, value in model[part].items()}
    return flat | {key: value for key, value in model.items() if key not in parts}


def changed_options(protocol, name, reference):
    one, other = options_of_row(protocol, name), options_of_row(protocol, reference)
    return {key for key, value in one.items() if value != other[key]}


@pytest.mark.parametrize("protocol", [p for p in PROTOCOLS if p.name.endswith("-ablation")], ids=lambda p: p.name)
def test_variants_differ_from_their_reference_in_one_option(protocol):
    for path in protocol.configs():
        assert len(changed_options(protocol, path.stem, protocol.reference)) == (path.stem != protocol.reference)
    as_it_was = ["model.encoder.regression=0", "model.pretrain={}"]  # when the tables were made
    of_data = read_config(CONFIGS / protocol.name.removesuffix("-ablation") / f"{protocol.reference}.yaml", as_it_was)
    assert read_config(CONFIGS / protocol.name / f"{protocol.reference}.yaml").config == of_data.config


def test_rows_of_kinds_and_times_differ_from_their_model_in_one_option():
    protocol = protocol_named("ml-100k-events")
    models = ("graphsage-dot", "graphsage-linear", "item-knn", "ease", "als")
    changed = set()
    for path in protocol.configs():
        (model,) = (one for one in models if path.stem.startswith(one))
        different = changed_options(protocol, path.stem, model)
        assert len(different) == (path.stem != model), path.stem
        changed |= different
        assert options_of_row(protocol, model)["events"] == []
    assert changed == {"events", "decoder.last", "finetune.half_life", "finetune.target"}


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: p.name)
def test_a_protocol_is_consistent(protocol):
    assert protocol.main in protocol.columns
    for row in protocol.published:
        assert row.source
        assert set(row.values) & set(protocol.columns)
    for score in protocol.reference_scores:
        assert score.within > 0
        assert score.metric.partition("@")[0]


def test_the_overview_is_that_of_the_results():
    text = README.read_text()
    kept = {protocol.name: kept for protocol, kept in KEPT}
    assert replaced(text, kept) == text
    assert all(protocol.title in text for protocol, _ in KEPT)
    fewer = dict(list(kept.items())[1:])  # a protocol that was not run yet has no row
    assert f"| {KEPT[0][0].title} |" not in replaced(text, fewer)


def test_every_figure_of_the_results_is_there_and_no_other():
    by_name = {protocol.name: kept for protocol, kept in KEPT}
    names = {name for make in MAKERS for name in make(by_name)}
    assert {path.stem for path in FIGURES.glob("*.pdf")} == {path.stem for path in FIGURES.glob("*.png")} == names
