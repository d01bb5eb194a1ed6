"""The table of budgets, from synthetic logs."""

import json

from experiments.budgets import budgets, render_budgets


def write(folder, name, seconds, values, space=("x",)):
    trials = [{"number": n, "value": v, "own": n == 0} for n, v in enumerate(values)]
    log = {
        "config": name,
        "best": values.index(max(values)),
        "metric": "ndcg@10",
        "seconds": seconds,
        "space": dict.fromkeys(space, "Uniform(0, 1)"),
        "budget": {"trials": 20, "minutes": 10.0},
        "trials": trials,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(log))


def test_a_row_for_the_graph_model_and_one_for_all_baselines(tmp_path):
    write(tmp_path / "ml-100k", "graphsage-no-pretraining", 630.0, [0.4, 0.45, 0.42])
    write(tmp_path / "ml-100k", "bpr-mean", 90.0, [0.3, 0.31])
    write(tmp_path / "ml-100k", "als-mean", 6.0, [0.3])
    write(tmp_path / "ml-100k", "random", 0.1, [0.01], space=())
    table = budgets(tmp_path)
    title = "MovieLens-100K, demographics"
    assert table.cells == [
        (title, "graphsage-no-pretraining", "3", "10.5", "ndcg@10", "0.4000", "0.4500"),
        (title, "2 baselines, each", "1 to 2", "0.1 to 1.5", "ndcg@10", "", ""),
    ]
    assert "20 trials or 10 minutes" in table.caption


def test_before_the_first_search_there_is_no_table(tmp_path):
    assert render_budgets(tmp_path, tmp_path / "none") == {}
