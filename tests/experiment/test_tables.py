"""Tables of synthetic runs: numbers worked by hand, and what must be refused."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from gnnrec.errors import ConfigError
from gnnrec.experiment.results import Result, Run, write_result
from gnnrec.experiment.tables import compare, dash_told, expected_rows, metrics_table
from gnnrec.experiment.text_table import Table


def synthetic_run(name, seed, values, users=None, *, split="s", metric="ndcg@10", **changes):
    """A run with the given values per user; without values, one of a model that cannot score them."""
    users = [f"user {i}" for i in range(0 if values is None else len(values))] if users is None else users
    mean = None if values is None else float(np.mean(values))
    result = Result(
        **{
            "name": name,
            "seed": seed,
            "metrics": {metric: mean, "coverage@10": None if values is None else 0.5},
            "users": len(users),
            "users_without_target": 1,
            "checksums": {"data": "d", "split": f"{split} {seed}", "config": name},
            "seconds": {},
            "peak_rss_mb": 1.0,
            "versions": {},
            "config": {},
        }
        | changes
    )
    return Run(result, pd.DataFrame({"user": users} | ({} if values is None else {metric: values})))


def written(tmp_path, *runs):
    for run in runs:
        write_result(tmp_path / run.result.name / str(run.result.seed), run.result, run.per_user)
    return tmp_path


def text(table):
    console = Console(width=200)
    with console.capture() as captured:
        console.print(table.rich())
    return captured.get()


def many(seed, users=200):
    return np.random.default_rng(seed).random(users)


def test_mean_and_spread_over_seeds():
    # .2 and .4: mean .3, standard deviation sqrt(((.1)^2 + (.1)^2) / 1) = .1414.
    runs = [synthetic_run("a", 0, [0.1, 0.3]), synthetic_run("a", 1, [0.4, 0.4]), synthetic_run("b", 0, [0.25, 0.26])]
    table = metrics_table([run.result for run in runs])
    assert table.header == ("model", "ndcg@10", "coverage@10")
    assert table.cells == [("a", "0.3000 ± 0.1414", "0.5000 ± 0.0000"), ("b", "0.2550", "0.5000")]
    assert table.bold == {(0, 1)}  # of coverage, more is not better
    assert table.rows[0]["seeds"] == [0, 1]
    assert table.rows[0]["metrics"]["ndcg@10"] == {"mean": pytest.approx(0.3), "std": pytest.approx(0.02**0.5)}
    assert table.rows[1]["metrics"]["ndcg@10"]["std"] is None
    assert json.loads(json.dumps(table.rows)) == table.rows


def test_a_model_that_cannot_score_gets_a_dash_and_no_zero():
    table = metrics_table([synthetic_run("mf", 0, None).result, synthetic_run("popularity", 0, [0.5]).result])
    assert table.cells[0] == ("mf", "-", "-")
    assert table.rows[0]["metrics"] == {"ndcg@10": None, "coverage@10": None}
    assert table.bold == {(1, 1)}
    assert "the model cannot score an unseen user" in table.caption


def test_a_metric_that_was_not_asked_for_is_left_empty():
    table = metrics_table([synthetic_run("a", 0, [0.5]).result, synthetic_run("b", 0, [0.5], metric="mrr").result])
    assert table.cells == [("a", "0.5000", "0.5000", ""), ("b", "", "0.5000", "0.5000")]


@pytest.mark.parametrize(("metric", "best"), [("ndcg@10", {(1, 1)}), ("rmse", {(0, 1)}), ("mae", {(0, 1)})])
def test_the_best_is_bold(metric, best):
    runs = [synthetic_run("low", 0, [0.9], metric=metric), synthetic_run("high", 0, [1.1], metric=metric)]
    assert metrics_table([run.result for run in runs]).bold == best


def test_values_that_print_alike_are_both_best():
    runs = [synthetic_run("a", 0, [0.50001]), synthetic_run("b", 0, [0.50002])]
    assert metrics_table([run.result for run in runs]).bold == {(0, 1), (1, 1)}


def test_markdown_and_terminal():
    table = Table(("model", "x"), [("a[b]", "1"), ("c", "2")], {(1, 1)}, "Over 3 users.", [])
    assert table.markdown() == "| model | x |\n|---|---:|\n| a[b] | 1 |\n| c | **2** |\n\nOver 3 users.\n"
    shown = text(table)
    assert "a[b]" in shown
    assert "Over 3 users." in shown


def test_marks_of_the_best_and_of_what_is_not_worse():
    cells = [("a_b", "0.5000 ± 0.1000"), ("c", "0.4"), ("d & e", "-")]
    table = Table(("model", "x"), cells, {(0, 1)}, "", [], underlined={(0, 1), (1, 1)})
    assert table.markdown().splitlines()[2:5] == [
        "| a_b | **0.5000 ± 0.1000** |",
        "| c | <ins>0.4</ins> |",
        "| d & e | - |",
    ]
    assert table.latex().splitlines() == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"model & x \\",
        r"\midrule",
        r"a\_b & \textbf{0.5000 $\pm$ 0.1000} \\",
        r"c & \underline{0.4} \\",
        r"d \& e & - \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_the_caption_counts_users():
    runs = [
        synthetic_run("a", 0, [0.5] * 187).result,
        synthetic_run("a", 1, [0.5] * 189, users_without_target=0).result,
    ]
    assert metrics_table(runs).caption == "Users per run: 187 to 189; left out without a target: 0 to 1."


def test_rows_of_other_data_carry_a_warning():
    runs = [synthetic_run("a", 0, [0.5]).result, synthetic_run("b", 0, [0.5], split="other").result]
    assert "do not compare" in metrics_table(runs).caption
    assert "do not compare" not in metrics_table(runs[:1]).caption


def test_one_name_and_seed_twice_is_refused():
    with pytest.raises(ConfigError, match="two runs are called a and have seed 0"):
        metrics_table([synthetic_run("a", 0, [0.5]).result] * 2)
    with pytest.raises(ConfigError, match="two runs are called a and have seed 0"):
        compare([synthetic_run("a", 0, [0.5]), synthetic_run("a", 0, [0.6]), synthetic_run("b", 0, [0.5])])


def test_a_difference_worked_by_hand():
    # Per user +.1, +.2, +.3 whatever their order in the file: mean .2, sd .1, effect 2; every draw is above zero.
    first = synthetic_run("popularity", 0, [0.1, 0.2, 0.3], ["a", "b", "c"])
    second = synthetic_run("graphsage", 0, [0.6, 0.2, 0.4], ["c", "a", "b"])
    table = compare([first, second])
    assert table.cells[0] == ("popularity", "0.2000", "reference", "", "", "", "", "")
    name, mean, difference, interval, *_, effect, _ = table.cells[1]
    assert (name, mean, difference, interval, effect) == (
        "graphsage",
        "0.4000",
        "+0.2000",
        "+0.1000 to +0.3000",
        "+2.00",
    )
    assert table.rows[0]["difference"] is None
    assert table.rows[1]["difference"]["mean"] == pytest.approx(0.2)
    assert table.rows[1]["difference"]["users"] == 3
    assert json.loads(json.dumps(table.rows)) == table.rows


def test_several_seeds_are_averaged_over_runs():
    # Differences .1 (one user) and .3 (two users): mean over runs .2.
    runs = [synthetic_run("a", 0, [0.2], ["x"]), synthetic_run("a", 1, [0.2, 0.2], ["y", "z"])]
    runs += [synthetic_run("b", 1, [0.5, 0.5], ["z", "y"]), synthetic_run("b", 0, [0.3], ["x"])]
    difference = compare(runs).rows[1]["difference"]
    assert (difference["mean"], difference["users"]) == (pytest.approx(0.2), 3)


def test_a_real_difference_is_found_and_none_is_not_made_up():
    base = many(0)
    noise = np.random.default_rng(1).normal(0, 0.1, (2, 200))
    runs = [
        synthetic_run("base", 0, base),
        synthetic_run("better", 0, base + 0.05 + noise[0]),
        synthetic_run("same", 0, base + noise[1]),
    ]
    rows = {row["name"]: row["difference"] for row in compare(runs).rows}
    assert rows["better"]["p_value_holm"] < 0.001 < 0.05 < rows["same"]["p_value"]
    assert rows["better"]["low"] > 0 > rows["same"]["low"]
    # Two comparisons: the smaller p-value counts twice, the other one once.
    assert rows["better"]["p_value_holm"] == pytest.approx(2 * rows["better"]["p_value"])
    assert rows["same"]["p_value_holm"] == rows["same"]["p_value"]


def test_the_reference_by_name_or_folder(tmp_path):
    folder = written(
        tmp_path, *(synthetic_run(name, s, many(s) * f) for name, f in (("a", 0.5), ("b", 1)) for s in (0, 1))
    )
    assert [row["reference"] for row in compare([folder]).rows] == ["a", "a"]
    by_name = compare([folder], reference="b")
    assert by_name.rows[1]["difference"] is None
    assert by_name.rows[0]["difference"]["mean"] == pytest.approx(-0.5 * np.mean([many(0), many(1)]))
    for runs, reference in (
        ([folder], folder / "b"),
        ([folder / "a"], folder / "b"),
        ([folder / "a"], str(folder / "b")),
    ):
        table = compare(runs, reference=reference)
        assert [(row["name"], row["reference"]) for row in table.rows] == [("a", "b"), ("b", "b")]
    with pytest.raises(ConfigError, match="--reference c: no such model or folder; there are a, b"):
        compare([folder], reference="c")
    with pytest.raises(ConfigError, match="holds several models: a, b; name one"):
        compare([folder / "a"], reference=folder)


def test_one_config_in_two_folders_is_two_rows(tmp_path):
    for where, factor in (("before", 1), ("after", 1.1)):
        written(tmp_path / where, synthetic_run("sage", 0, many(0) * factor))
    table = compare([tmp_path / "before", tmp_path / "after"])
    assert [row["name"] for row in table.rows] == [str(tmp_path / w / "sage") for w in ("before", "after")]
    assert table.rows[1]["difference"]["mean"] == pytest.approx(0.1 * many(0).mean())


def test_a_model_without_numbers_stays_in_the_table():
    runs = [synthetic_run("a", 0, many(0)), synthetic_run("mf", 0, None), synthetic_run("b", 0, many(1))]
    table = compare(runs)
    assert table.cells[1] == ("mf", "-", "-", "-", "-", "-", "-", "-")
    assert "1 comparison." in table.caption
    with pytest.raises(ConfigError, match="mf cannot score these users"):
        compare(runs, reference="mf")


def test_a_metric_that_this_version_does_not_know_has_no_best():
    results = [synthetic_run(name, 0, [value], metric="surprise@10").result for name, value in (("a", 0.1), ("b", 0.9))]
    assert metrics_table(results).bold == set()


def test_rmse_is_compared_over_all_ratings():
    # Of 1 + 3 ratings: reference rmse sqrt((4 + 12) / 4) = 2, the other sqrt((1 + 3) / 4) = 1.
    def rating_run(name, squared, value):
        run = synthetic_run(name, 0, None, ["x", "y"], metrics={"rmse": value, "mae": 0.5})
        return Run(
            run.result, run.per_user.assign(squared_error=squared, absolute_error=[1.0, 1.0], ratings=[1.0, 3.0])
        )

    runs = [rating_run("bias", [4.0, 12.0], 2.0), rating_run("sage", [1.0, 3.0], 1.0)]
    difference = compare(runs).rows[1]["difference"]
    assert (difference["mean"], difference["low"], difference["high"]) == pytest.approx((-1, -1, -1))
    assert compare(runs).bold == {(1, 1)}
    assert compare(runs, metric="mae").rows[1]["difference"]["mean"] == 0


def test_rmse_after_some_shots_is_compared_by_the_sums_of_that_number():
    def shot_run(name, squared, value):
        run = synthetic_run(name, 0, None, ["x", "y"], metrics={"k0/rmse": 9.0, "k1/rmse": value})
        columns = {"k0/squared_error": [81.0, 81.0], "k0/ratings": [1.0, 1.0], "k1/squared_error": squared}
        return Run(run.result, run.per_user.assign(**columns, **{"k1/ratings": [1.0, 3.0]}))

    runs = [shot_run("bias", [4.0, 12.0], 2.0), shot_run("sage", [1.0, 3.0], 1.0)]  # as above
    assert compare(runs, metric="k1/rmse").rows[1]["difference"]["mean"] == pytest.approx(-1)
    assert compare(runs, metric="k1/rmse").bold == {(1, 1)}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ([synthetic_run("b", 0, [0.5, 0.5], split="t")], "b and a, seed 0: the splits differ"),
        ([synthetic_run("b", 0, [0.5, 0.5], ["user 0", "user 9"])], "b and a, seed 0: the evaluated users differ"),
        ([synthetic_run("b", 1, [0.5, 0.5])], r"b has seeds \[1\], but a \[0\]"),
        ([synthetic_run("b", 0, [0.5, 0.5]), synthetic_run("b", 1, [0.5, 0.5])], r"b has seeds \[0, 1\], but a \[0\]"),
        ([synthetic_run("b", 0, [0.5, 0.5], metric="mrr")], "b was not measured by ndcg@10; it has mrr"),
        ([], "only a is given"),
    ],
)
def test_what_cannot_be_paired(other, message):
    with pytest.raises(ConfigError, match=message):
        compare([synthetic_run("a", 0, [0.5, 0.4]), *other])


def test_other_attributes_but_the_same_question_can_be_paired():
    def asked(name, split, evaluation):
        return synthetic_run(
            name, 0, [0.5, 0.6], checksums={"data": split, "split": split, "config": name, "evaluation": evaluation}
        )

    assert compare([asked("tags", "s", "e"), asked("friends", "t", "e")]).rows[1]["difference"]["mean"] == 0
    with pytest.raises(ConfigError, match="the splits differ"):
        compare([asked("tags", "s", "e"), asked("friends", "s", "f")])
    with pytest.raises(ConfigError, match="the splits differ"):
        compare([asked("tags", "s", "e"), synthetic_run("friends", 0, [0.5, 0.6], split="t")])


@pytest.mark.parametrize("metric", ["coverage@10", "mrr"])
def test_a_metric_without_values_per_user(metric):
    with pytest.raises(ConfigError, match=f"--metric {metric}: has no value per user here; there are ndcg@10"):
        compare([synthetic_run("a", 0, [0.5]), synthetic_run("b", 0, [0.5])], metric=metric)


def test_expected_numbers():
    runs = [synthetic_run("a", 0, [0.40]), synthetic_run("a", 1, [0.42]), synthetic_run("mf", 0, None)]
    number = SimpleNamespace(mean=0.4, within=0.0101)
    rows = expected_rows(runs, {"a": {"ndcg@10": number}, "mf": {"ndcg@10": number}, "b": {}})
    assert [row.met for row in rows] == [True, False]
    assert rows[0].text == "met: a ndcg@10 0.4100 (2 runs), expected 0.4000 within 0.0101"
    assert rows[1].text.startswith("MISSED: mf ndcg@10 - (1 run)")
    off = SimpleNamespace(mean=0.4, within=0.0099)
    assert [row.met for row in expected_rows(runs, {"a": {"ndcg@10": off}})] == [False]


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ([], ""),
        (["ndcg@10"], " -: the model cannot score an unseen user."),
        (["brier"], " -: the model has no probabilities."),
        (["brier", "k0/ndcg@10"], " -: the model cannot score an unseen user or has no probabilities."),
    ],
)
def test_what_a_dash_says(missing, told):
    assert dash_told(missing) == told
