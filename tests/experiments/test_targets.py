"""The table of targets, from synthetic runs: a target is met by number and by p-value, or not at all."""

from dataclasses import replace

import pytest
from synthetic_runs import PROTOCOL, synthetic_rows

from experiments.comparisons import comparisons
from experiments.protocols import PROTOCOLS, Target
from experiments.render import SINGLE
from experiments.targets import BLEND, _lead, _leads, _reached, targets


def kept_of(lead, protocol=PROTOCOL):
    """GraphSAGE leads ALS by `lead`, a blend with it the blend without by a quarter of that."""
    rows = synthetic_rows()
    baseline = rows["als"]
    parts = {"graphsage": {"class": "GraphSAGE"}, "als": {"class": "ALS"}}
    for name, gain, model in (
        (SINGLE, lead, {"class": "GraphSAGE"}),
        (BLEND, 0.02 + lead / 4, {"class": "Blend", "components": parts}),
        ("blend-without-graphsage", 0.02, {"class": "Blend", "components": {"als": {"class": "ALS"}}}),
    ):
        rows[name] = [
            replace(
                run,
                result=run.result.model_copy(
                    update={
                        "name": name,
                        "config": {"model": model, "seed": run.result.seed},
                        "metrics": run.result.metrics | {"ndcg@10": run.result.metrics["ndcg@10"] + gain},
                    }
                ),
                per_user=run.per_user.assign(**{"ndcg@10": run.per_user["ndcg@10"] + gain}),
            )
            for run in baseline
        ]
    runs = [{"config": run.result.config} for group in rows.values() for run in group]
    return {"columns": comparisons(rows, protocol), "runs": runs}


@pytest.mark.parametrize(
    ("lead", "wanted", "met"),
    [(0.04, 0.0, "graphsage and blend"), (0.04, 0.035, "graphsage"), (0.04, 0.05, "none"), (0.0, 0.0, "none")],
)
def test_a_target_is_met_by_the_number_and_by_a_lead_over_the_best_baseline(lead, wanted, met):
    kept = kept_of(lead)
    best = kept["columns"]["ndcg@10"]["rows"]["als"]["mean"]
    table = targets([(replace(PROTOCOL, targets=(Target("ndcg@10", None, best + wanted),)), kept)])
    (row,) = table.cells
    assert row[:3] == ("Synthetic users", "ndcg@10", "-")
    assert row[4:8] == tuple(f"{best + gain:.4f}" for gain in (0, 0.02, lead, 0.02 + lead / 4))
    assert row[-1] == met
    assert "Not run yet: ml-100k-agnn, " in table.caption


def test_a_target_may_be_a_share_over_the_best_baseline_and_of_an_error_lower_is_better():
    kept = kept_of(0.04)
    best = kept["columns"]["ndcg@10"]["rows"]["als"]["mean"]
    aims = (Target("ndcg@10", 0.4, None, over_best=0.01), Target("ndcg@10", 0.4, None, over_best=0.5))
    near, far = targets([(replace(PROTOCOL, targets=aims), kept)]).cells
    assert (near[3], far[3]) == (f"{best * 1.01:.4f}", f"{best * 1.5:.4f}")
    assert (near[-1], far[-1]) == ("graphsage and blend", "none")
    assert _reached("k1/rmse", 1.0, 1.1)
    assert not _reached("rmse", 1.2, 1.1)


def test_a_further_row_that_meets_a_target_is_named():
    kept = kept_of(0.04)
    column = kept["columns"]["ndcg@10"]
    column["rows"]["graphsage-gain"], column["to_floor"]["graphsage-gain"] = (
        column[part].pop(SINGLE) for part in ("rows", "to_floor")
    )
    target = Target("ndcg@10", None, column["rows"]["als"]["mean"] + 0.035, also=("graphsage-gain",))
    (row,) = targets([(replace(PROTOCOL, targets=(target,)), kept)]).cells
    assert (row[6], row[8], row[-1]) == ("-", "-", "graphsage-gain")


def test_a_blend_is_compared_with_the_best_blend_without_a_graph_model():
    column = kept_of(0.04)["columns"]["ndcg@10"]
    assert (column["floor"], column["blend_floor"]) == ("als", "blend-without-graphsage")
    assert column["to_floor"][SINGLE]["mean"] == pytest.approx(0.04, abs=1e-6)
    assert column["to_floor"][BLEND]["mean"] == pytest.approx(0.01, abs=1e-6)
    assert not {"als", "blend-without-graphsage"} & set(column["to_floor"])


def test_a_row_that_is_worse_by_more_than_noise_does_not_lead():
    behind, ahead = ({"mean": mean, "p_value_holm": 0.001} for mean in (-0.02, 0.02))
    assert (_leads("k1/ndcg@10", ahead), _leads("k1/ndcg@10", behind)) == (True, False)
    assert (_leads("rmse", ahead), _leads("rmse", behind)) == (False, True)
    assert not _leads("rmse", behind | {"p_value_holm": 0.06})


def test_every_target_is_of_a_row_and_a_column_of_its_protocol():
    assert sum(len(protocol.targets) for protocol in PROTOCOLS) == 77
    for protocol in PROTOCOLS:
        names = {path.stem for path in protocol.configs()}
        for target in protocol.targets:
            assert {SINGLE, *target.also, *protocol.rivals} <= names
            assert BLEND in names or not any("blend" in name for name in names)
            assert target.metric in protocol.columns


def test_rivals_set_the_target_in_place_of_the_best_baseline():
    """popularity is the only rival: ALS, 0.19 above it, sets no target, and GraphSAGE's lead over popularity counts.

    A rival is a single model, so the blend is not compared with it.
    """
    protocol = replace(PROTOCOL, rivals=("popularity",), targets=(Target("ndcg@10", None, None),))
    kept = kept_of(0.0, protocol)
    column = kept["columns"]["ndcg@10"]
    assert (column["floor"], column["rival"]) == ("als", "popularity")
    (row,) = targets([(protocol, kept)]).cells
    assert row[3] == row[4] == f"{column['rows']['popularity']['mean']:.4f}"
    assert row[8].startswith("+0.19")
    assert row[9] == "-"
    assert row[-1] == "graphsage"


def test_the_lead_of_an_error_is_how_much_smaller_it_is():
    d = {"mean": 0.02, "low": -0.01, "high": 0.05, "p_value_holm": 0.25}
    assert _lead("rmse", d) == "-0.0200 (-0.0500 to +0.0100), p 0.2500"
    assert _lead("ndcg@10", d) == "+0.0200 (-0.0100 to +0.0500), p 0.2500"
