"""What is committed fits together: results, tables, floors and configs."""

import pytest

from experiments.numbers import numbers_tex
from experiments.protocols import CONFIGS, PROTOCOLS, RESULTS, TABLES
from experiments.render import floor_lines, read_kept, render

KEPT = [(protocol, read_kept(protocol.results)) for protocol in PROTOCOLS if protocol.results.is_file()]
NAMES = [protocol.name for protocol, _ in KEPT]


@pytest.mark.parametrize(("protocol", "kept"), KEPT, ids=NAMES)
def test_the_committed_tables_are_those_of_the_committed_results(protocol, kept):
    for path, text in render(protocol, kept, TABLES).items():
        assert path.read_text() == text


def test_the_numbers_of_the_text_too():
    assert (TABLES / "numbers.tex").read_text() == numbers_tex(KEPT)


@pytest.mark.parametrize(("protocol", "kept"), KEPT, ids=NAMES)
def test_floors_are_met(protocol, kept):
    for met, line in floor_lines(protocol, kept):
        assert met, line


@pytest.mark.parametrize(("protocol", "kept"), KEPT, ids=NAMES)
def test_every_cell_can_be_traced(protocol, kept):
    for run in kept["runs"]:
        assert {"config", "data", "split"} <= set(run["checksums"])
        assert run["versions"]
        assert run["config"]["seed"] == run["seed"]
    for column in kept["columns"].values():
        for name, row in column["rows"].items():
            assert row is None or sum(run["name"] == name for run in kept["runs"]) >= 1


def test_every_result_and_table_belongs_to_a_protocol():
    known = {protocol.name for protocol in PROTOCOLS}
    assert {path.stem for path in RESULTS.glob("*.json")} - {"paths"} <= known
    assert {path.stem for path in TABLES.glob("*.md")} == set(NAMES)


def test_names_are_unique_and_configs_have_a_protocol():
    assert len({protocol.name for protocol in PROTOCOLS}) == len(PROTOCOLS)
    assert {path.name for path in CONFIGS.iterdir() if path.is_dir()} <= {protocol.name for protocol in PROTOCOLS}


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: p.name)
def test_a_protocol_is_consistent(protocol):
    assert protocol.main in protocol.columns
    for row in protocol.published:
        assert row.source
        assert set(row.values) & set(protocol.columns)
    for floor in protocol.floors:
        assert floor.within > 0
        assert floor.metric.partition("@")[0]
