"""Statistics of a table, against numbers known from how the runs were made."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_runs import PROTOCOL, synthetic_rows, synthetic_run

from experiments.comparisons import comparisons
from experiments.protocols import Protocol
from gnnrec.evaluation.statistics import holm


def test_best_floor_and_differences():
    rows = synthetic_rows()
    column = comparisons(rows, PROTOCOL)["ndcg@10"]
    assert (column["best"], column["floor"]) == ("graphsage", "als")
    assert column["to_floor"]["graphsage"]["mean"] == pytest.approx(0.01, abs=1e-6)
    assert column["to_plain"]["graphsage"]["mean"] == pytest.approx(0.2, abs=1e-6)
    assert column["to_best"]["popularity"]["p_value_holm"] < 0.01 < 0.05 < column["to_best"]["als"]["p_value_holm"]
    # Every other row that has numbers is compared, and corrected together.
    assert set(column["to_best"]) == {"als", "popularity", "shuffled"}
    differences = list(column["to_best"].values())
    corrected = holm([d["p_value"] for d in differences])
    assert [d["p_value_holm"] for d in differences] == pytest.approx(corrected, abs=1e-6)
    assert column["rows"]["als-mean"] is None
    assert column["intervals"]["popularity"]["mean"] == column["rows"]["popularity"]["mean"]
    low, high = (column["intervals"]["graphsage"][end] for end in ("low", "high"))
    assert low < column["rows"]["graphsage"]["mean"] < high


def test_a_reference_stands_in_the_best_baselines_place():
    rows = {name: row for name, row in synthetic_rows().items() if name in ("graphsage", "shuffled")}
    protocol = replace(PROTOCOL, reference="graphsage", plain="graphsage")
    column = comparisons(rows, protocol)["ndcg@10"]
    assert column["floor"] == "graphsage"
    assert column["to_floor"]["shuffled"]["mean"] == pytest.approx(-0.2, abs=1e-6)
    assert set(column["to_floor"]) == {"shuffled"}


def test_a_control_is_never_the_best():
    rows = synthetic_rows() | {
        "leaky": [synthetic_run("leaky", s, np.ones(150), cls="GraphSAGE", shuffled=True) for s in (0, 1)]
    }
    assert comparisons(rows, PROTOCOL)["ndcg@10"]["best"] == "graphsage"


def test_coverage_has_no_best():
    assert set(comparisons(synthetic_rows(), PROTOCOL)["coverage@10"]) == {"rows"}


def test_lower_errors_are_better():
    protocol = Protocol("synthetic", "", ("rmse",), plain="biases")

    def run(name, cls, squared):
        run = synthetic_run(name, 0, squared, cls=cls, metric="squared_error")
        run.per_user["ratings"] = 1.0
        metrics = {"rmse": float(np.mean(squared)) ** 0.5}
        return [type(run)(run.result.model_copy(update={"metrics": metrics}), run.per_user)]

    rows = {
        "biases": run("biases", "Biases", [1.0, 4.0]),
        "mean": run("mean", "ItemMean", [4.0, 4.0]),
        "graph": run("graph", "GraphRatingRecommender", [1.0, 1.0]),
    }
    column = comparisons(rows, protocol)["rmse"]
    assert (column["best"], column["floor"]) == ("graph", "biases")
    assert column["to_floor"]["graph"]["mean"] == pytest.approx(1 - 2.5**0.5, abs=1e-6)


def test_a_row_that_was_not_measured_is_left_out():
    rows = synthetic_rows() | {"other": [synthetic_run("other", s, [0.5] * 150, metric="mrr") for s in (0, 1)]}
    assert "other" not in comparisons(rows, PROTOCOL)["ndcg@10"]["rows"]


def test_every_number_of_shots_gets_intervals():
    protocol = Protocol("synthetic", "", ("k0/ndcg@10", "k1/ndcg@10"), compared="k1/ndcg@10")

    def run(name, cls):
        run = synthetic_run(name, 0, [0.1, 0.4, 0.3], cls=cls, metric="k0/ndcg@10")
        run.per_user["k1/ndcg@10"] = [0.3, 0.5, 0.7]
        metrics = {"k0/ndcg@10": float(run.per_user["k0/ndcg@10"].mean()), "k1/ndcg@10": 0.5}
        return [type(run)(run.result.model_copy(update={"metrics": metrics}), run.per_user)]

    found = comparisons({"popularity": run("popularity", "Popularity"), "als": run("als", "ALS")}, protocol)
    assert found["k0/ndcg@10"]["intervals"]["als"]["mean"] == pytest.approx(0.8 / 3, abs=1e-6)
    assert found["k1/ndcg@10"]["intervals"]["als"]["mean"] == pytest.approx(0.5)
    assert "to_floor" in found["k1/ndcg@10"]
    assert "to_floor" not in found["k0/ndcg@10"]
    gained = found["k1/ndcg@10"]["gained"]["als"]  # .2, .1 and .4 of three users
    assert gained["mean"] == pytest.approx(0.7 / 3, abs=1e-6)
    assert 0.1 <= gained["low"] < gained["mean"] < gained["high"] <= 0.4
    assert "gained" not in found["k0/ndcg@10"]


def test_where_each_number_of_shots_has_another_question_nothing_is_gained():
    protocol = Protocol("synthetic", "", ("k0/ndcg@10", "k1/ndcg@10"), compared="k1/ndcg@10")
    runs = {}
    for target in ("next", "rest"):
        run = synthetic_run(target, 0, [0.1, 0.4, 0.3], metric="k0/ndcg@10")
        run.per_user["k1/ndcg@10"] = [0.3, 0.5, 0.7]
        result = run.result.model_copy(
            update={
                "metrics": {"k0/ndcg@10": 0.8 / 3, "k1/ndcg@10": 0.5},
                "config": {**run.result.config, "split": {"kind": "temporal", "target": target}},
            }
        )
        runs[target] = [type(run)(result, run.per_user)]
    assert set(comparisons(runs, protocol)["k1/ndcg@10"]["gained"]) == {"rest"}
