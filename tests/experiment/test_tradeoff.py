"""What finished runs lose and gain by re-ranking."""

import json

import pytest
from synthetic_table import write_shop

from gnnrec.audit.test_access import read_test_accesses
from gnnrec.errors import ConfigError
from gnnrec.experiment.config import read_config
from gnnrec.experiment.run import run
from gnnrec.experiment.tradeoff import BESIDE, OF_ATTRIBUTES, PLAIN, lines, tradeoff

MODEL = "model={class: SegmentPopularity}"
MEASURED = "evaluate={metrics: [ndcg, coverage], at: [5]}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tradeoff")
    path = write_shop(folder)
    for seed in (1, 2):
        run(read_config(path, [MODEL, MEASURED, f"seed={seed}"]), folder / "runs" / "shop" / str(seed))
    return folder


def test_each_point_is_what_a_run_with_that_order_has(runs):
    found = tradeoff([runs / "runs"], ["less_popular", "fair"], [0.2, 0.8])
    names = [PLAIN, "less_popular 0.2", "less_popular 0.8", "fair 0.2", "fair 0.8"]
    assert [one.result.name for one in found] == names * 2
    assert [one.result.seed for one in found] == [1] * 5 + [2] * 5
    overrides = [MODEL, MEASURED, "seed=2", "rerank={method: less_popular, strength: 0.8}"]
    again = run(read_config(runs / "shop.yaml", overrides), None)
    assert {name: found[7].result.metrics[name] for name in again.result.metrics} == again.result.metrics
    assert found[7].per_user["ndcg@5"].tolist() == again.per_user["ndcg@5"].tolist()
    assert found[7].result.config["rerank"]["strength"] == 0.8
    assert "miscalibration@5" in found[0].result.metrics
    why = [access.why for access in read_test_accesses([runs / "runs"])]
    assert why.count("the lists of a finished run in other orders") == 2


def test_lines_are_means_over_seeds(runs):
    found = tradeoff([runs / "runs"], ["mmr"], [0.1, 0.9])
    panels, start, first = lines(found)
    assert first == "ndcg@5"
    assert [name.removesuffix("@5") for name in panels] == [*BESIDE, *OF_ATTRIBUTES]
    of = {(one.result.name, one.result.seed): one.result.metrics for one in found}
    x, y = ((of["mmr 0.9", 1][m] + of["mmr 0.9", 2][m]) / 2 for m in (first, "intra_list_diversity@5"))
    assert panels["intra_list_diversity@5"]["mmr"][1] == pytest.approx((x, y))
    assert start["intra_list_diversity@5"][1] < y


def test_the_command_draws_and_writes(runs, gnnrec, tmp_path):
    how = ("--method", "less_popular", "--strengths", "0.3")
    done = gnnrec("rerank", runs / "runs", *how, "--out", tmp_path, "--json")
    assert done.code == 0, done.err
    rows = json.loads(done.out)
    assert [row["name"] for row in rows] == [PLAIN, "less_popular 0.3"]
    assert json.loads((tmp_path / "tradeoff.json").read_text()) == rows
    assert (tmp_path / "tradeoff.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("methods", "strengths", "message"),
    [
        (["mrm"], [0.1], "--method: unknown value 'mrm'. Allowed: mmr, dpp"),
        ([], [1.5], "--strengths: 1.5 is not allowed; it should be above 0 and at most 1"),
        ([], [], "--strengths: name at least one"),
    ],
)
def test_what_does_not_fit_is_one_line(runs, methods, strengths, message):
    with pytest.raises(ConfigError, match=message):
        tradeoff([runs / "runs"], methods, strengths)


def test_runs_of_two_models_are_refused(runs, tmp_path):
    run(read_config(runs / "shop.yaml", ["model={class: Popularity}", MEASURED]), tmp_path / "other" / "0")
    with pytest.raises(ConfigError, match="the runs are of 2 models"):
        tradeoff([runs / "runs", tmp_path], [], [0.1])
