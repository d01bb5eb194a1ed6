"""Parts of a report: who is compared with whom, groups of users worked by hand, escaped text, charts."""

import re

import numpy as np
import pandas as pd
import pytest
import torch

from gnnrec.data.dataset import Dataset, Interactions, Numeric
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.experiment.report import charts
from gnnrec.experiment.report.examples import drawn_users
from gnnrec.experiment.report.groups import ACTIVITY, NO_VALUE, OTHERS, gains, groupings, joined, served
from gnnrec.experiment.report.history import panels
from gnnrec.experiment.report.markup import Html, element, table, text
from gnnrec.experiment.report.protocols import Protocol, protocols
from gnnrec.experiment.report.sections import NO_METRIC, Part, known_items, learning, models
from gnnrec.experiment.results import Result, Run
from gnnrec.views import ITEM, USER, Relation

DATA, SPLIT = {"source": "ml-100k"}, {"kind": "unseen_users"}


def synthetic_run(name, seed, values, *, users=None, question="q", model="Popularity", folder=None, **columns):
    """A run with a value of ndcg@10 for each user, and more columns; without values, of a model that cannot score."""
    users = [f"u{i}" for i in range(len(values or []))] if users is None else users
    measured = {"ndcg@10": values, **columns}
    result = Result(
        name=name,
        seed=seed,
        metrics={metric: None if v is None else float(np.mean(v)) for metric, v in measured.items()},
        users=len(users),
        users_without_target=0,
        checksums={"evaluation": f"{question} {seed}", "data": "d", "split": "s", "config": name},
        seconds={"fit": 1.0},
        peak_rss_mb=1.0,
        versions={"gnnrec": "1"},
        config={"seed": seed, "data": DATA, "split": SPLIT, "model": {"class": model}},
    )
    return Run(result, pd.DataFrame({"user": users} | {m: v for m, v in measured.items() if v is not None}), folder)


def test_text_is_escaped_and_markup_is_not_escaped_twice():
    hostile = "<script>alert('&')</script>"
    assert element("p", hostile) == "<p>&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;</p>"
    assert element("p", element("b", "<")) == "<p><b>&lt;</b></p>"
    assert element("p", title='"><script>') == '<p title="&quot;&gt;&lt;script&gt;"></p>'
    assert text("a\x1b[31m\u202eb") == r"a\x1b[31m\u202eb"
    assert not isinstance(element("b") + "<i>", Html)  # whatever is put behind markup is text again


def test_a_table_has_a_caption_and_headers_of_columns_and_rows():
    made = table("<numbers>", ("model", "x"), [("a", "1"), ("b", "2")], {(1, 1)})
    assert "<caption><span>&lt;numbers&gt;</span></caption>" in made
    assert made.count('<th scope="col">') == made.count('<th scope="row">') == 2
    assert "<td><strong>2</strong></td>" in made
    assert "<td>1</td>" in made


def test_runs_of_other_queries_are_in_a_part_of_their_own():
    runs = [
        synthetic_run("a", 0, [0.1, 0.2]),
        synthetic_run("b", 0, [0.1, 0.2], question="other"),
        synthetic_run("c", 0, [0.3, 0.4]),
    ]
    found = protocols(runs)
    assert [list(part.rows) for part in found] == [["a", "c"], ["b"]]
    assert [part.title for part in found] == ["ml-100k, unseen users (1)", "ml-100k, unseen users (2)"]


def test_a_row_without_a_seed_of_the_others_is_shown_and_not_compared():
    runs = [synthetic_run("a", 0, [0.1, 0.2]), synthetic_run("a", 1, [0.1, 0.2]), synthetic_run("b", 0, [0.5, 0.5])]
    (part,) = protocols(runs)
    assert list(part.compared) == ["a"] if part.reference == "a" else ["b"]
    shown = models(Part(part, 1))
    assert "Not compared: " in shown
    assert "run what is missing" in shown


def test_the_reference_is_the_best_baseline_else_the_first_row():
    runs = [
        synthetic_run("sage", 0, [0.9, 0.9], model="GraphSAGE"),
        synthetic_run("low", 0, [0.1, 0.1]),
        synthetic_run("high", 0, [0.4, 0.4], model="EASE"),
        synthetic_run("mf", 0, None, users=[]),
    ]
    (part,) = protocols(runs)
    assert (part.reference, part.metric) == ("high", "ndcg@10")
    assert list(part.compared) == ["sage", "low", "high"]
    assert "cannot score these users" in part.apart["mf"]
    assert protocols(runs, "low")[0].reference == "low"
    assert protocols(runs[:1])[0].reference == "sage"
    errors = [run for run in runs if run.result.users]
    by_error = [
        Run(r.result.model_copy(update={"metrics": {"rmse": r.result.metrics["ndcg@10"]}}), r.per_user) for r in errors
    ]
    by_error = [Run(r.result, r.per_user.assign(squared_error=1.0, ratings=1.0)) for r in by_error]
    assert protocols(by_error)[0].reference == "low"  # of an error, the smallest is best


def test_what_is_not_there_is_refused_with_what_is():
    runs = [synthetic_run("a", 0, [0.1]), synthetic_run("mf", 0, None, users=[])]
    with pytest.raises(ConfigError, match="--reference c: no such model or folder here; there are a, mf"):
        protocols(runs, "c")
    with pytest.raises(ConfigError, match="--metric mrr: has no value per user here; there are ndcg@10"):
        protocols(runs, metric="mrr")
    with pytest.raises(ConfigError, match="--reference mf: has no ndcg@10 of each user"):
        protocols(runs, "mf")
    with pytest.raises(ConfigError, match="two runs are called a and have seed 0"):
        protocols([*runs, synthetic_run("a", 0, [0.1])])


def test_without_a_metric_per_user_there_is_a_table_and_a_note():
    (part,) = protocols([synthetic_run("mf", 0, None, users=[])])
    shown = models(Part(part, 1))
    assert NO_METRIC in shown
    assert '<th scope="row">mf</th><td>-</td>' in shown


def test_the_comparison_is_that_of_compare():
    # Per user +.1, +.2, +.3: mean .2, and every draw lies between .1 and .3.
    runs = [synthetic_run("a", 0, [0.1, 0.2, 0.3]), synthetic_run("b", 0, [0.2, 0.4, 0.6], model="GraphSAGE")]
    (part,) = protocols(runs)
    shown = models(Part(part, 1))
    assert "+0.2000</td><td>+0.1000 to +0.3000" in shown
    assert "p (Holm)" in shown
    assert "Mean over seeds ± standard deviation" in shown


def test_small_groups_are_joined_and_users_without_a_value_are_a_group():
    users = frozenset(range(40))
    groups = [("small", frozenset(range(9))), ("large", frozenset(range(9, 20))), ("gone", frozenset({99}))]
    found = joined(groups, users)
    assert [(name, len(members)) for name, members in found] == [("large", 11), (NO_VALUE, 20), (OTHERS, 9)]
    few = [(name, len(members)) for name, members in joined(groups, frozenset(range(22)))]
    assert few == [("large", 11), (OTHERS, 11)]  # 9 of `small`, 2 without a value


def test_of_many_groups_the_largest_have_a_name():
    groups = [(f"g{n}", frozenset(range(100 * n, 100 * n + 10 + n))) for n in range(20)]
    found = joined(groups, frozenset().union(*(members for _, members in groups)))
    assert [name for name, _ in found] == [*(f"g{n}" for n in range(8, 20)), OTHERS]
    assert len(found[-1][1]) == sum(10 + n for n in range(8))


def test_a_user_with_several_values_is_in_several_groups():
    first, second = frozenset(range(12)), frozenset(range(6, 20))
    assert joined([("a", first), ("b", second)], first | second) == [("a", first), ("b", second)]


def data(users, count):
    """Users of whom user i has count[i] interactions, is of club a or b in turn, and has the age i."""
    user = np.repeat(np.arange(users), count)
    item = np.concatenate([np.arange(n) for n in count])
    club = Relation(USER, "club", "club", torch.stack([torch.arange(users), torch.arange(users) % 2]))
    return Dataset(
        "small",
        {
            USER: pd.Index([f"u{i}" for i in range(users)]),
            ITEM: pd.Index([f"i{i}" for i in range(max(count))]),
            "club": pd.Index(["a", "b"]),
        },
        Interactions(torch.from_numpy(user), torch.from_numpy(item)),
        (club,),
        (Numeric(USER, "age", torch.arange(users), torch.arange(users).double(), bounds=(10.0,)),),
    )


def test_groupings_by_activity_relation_and_number():
    # 40 users with 1, 2, 3 and 4 interactions, ten of each: quarters are 1, 2, 3 and 4.
    dataset = data(40, [1 + i // 10 for i in range(40)])
    found = groupings(dataset, frozenset(f"u{i}" for i in range(40)))
    assert {by: [(name, len(users)) for name, users in groups] for by, groups in found.items()} == {
        ACTIVITY: [("1", 10), ("2", 10), ("3", 10), ("4", 10)],
        "club": [("a", 20), ("b", 20)],
        "age": [("below 10", 10), ("10 and above", 30)],
    }
    assert "u0" in dict(found["club"])["a"]
    assert "u1" in dict(found["club"])["b"]


def test_users_alike_make_no_groups():
    assert groupings(data(5, [1] * 5), frozenset({"u0", "u1"})) == {}
    assert groupings(data(5, [1] * 5), frozenset()) == {}


def test_gains_worked_by_hand():
    # Seed 0 has u0 to u3, seed 1 has u4 alone. Group x: u0 +.2, u1 +.4, mean .3. Group y: u4 alone, -.5, in seed 1
    # only. Everybody: seed 0 (.2 + .4 + 0 + .2) / 4 = .2, seed 1 -.5, mean over runs -.15.
    runs = [
        synthetic_run("base", 0, [0.1, 0.1, 0.1, 0.1]),
        synthetic_run("base", 1, [0.6], users=["u4"]),
        synthetic_run("sage", 0, [0.3, 0.5, 0.1, 0.3], model="GraphSAGE"),
        synthetic_run("sage", 1, [0.1], users=["u4"], model="GraphSAGE"),
    ]
    (part,) = protocols(runs)
    everybody = frozenset(f"u{i}" for i in range(5))
    groups = [
        ("x", frozenset({"u0", "u1"})),
        ("y", frozenset({"u4"})),
        ("all", everybody),
        ("nobody", frozenset({"z"})),
    ]
    found = gains(part, groups)
    assert [(gain.group, gain.users) for gain in found] == [("x", 2), ("y", 1), ("all", 5)]
    x, y, every = (gain.differences["sage"] for gain in found)
    assert (x.mean, x.low, x.high) == pytest.approx((0.3, 0.2, 0.4))  # draws of two: .2, .3 or .4
    assert (y.mean, y.low, y.high) == pytest.approx((-0.5, -0.5, -0.5))
    assert every.mean == pytest.approx(-0.15)


def test_how_groups_are_served_worked_by_hand():
    # Seed 0 has u0 to u5, seed 1 the first three again. Group a: u0 and u1; group b: u2 and u3.
    runs = [
        synthetic_run("one", 0, [0.5, 0.0, 1.0, 1.0, 0.0, 0.0]),
        synthetic_run("one", 1, [0.5, 0.5, 0.5]),
    ]
    groups = [("a", frozenset({"u0", "u1"})), ("b", frozenset({"u2", "u3"})), ("nobody", frozenset({"z"}))]
    found = served(runs, groups, "ndcg@10", higher_is_better=True)
    assert {name: users for name, (users, _) in found.means.items()} == {"a": 2, "b": 2}
    # A mean is over runs: a (.25 + .5) / 2; b (1 + .5) / 2.
    assert found.means["a"][1].mean == pytest.approx(0.375)
    assert found.means["b"][1].mean == pytest.approx(0.75)
    assert found.worst == "a"
    # The gap is of the users' means: a (.5 + .25) / 2, b (.75 + 1) / 2.
    assert found.gap[0] == pytest.approx(0.5)
    assert found.gap[1] <= found.gap[0] <= found.gap[2]
    assert served(runs, groups, "ndcg@10", higher_is_better=False).worst == "b"
    assert served(runs, groups[1:], "ndcg@10", higher_is_better=True) is None


def test_examples_are_the_same_in_any_order():
    users = pd.Series([f"u{i}" for i in range(50)])
    drawn = drawn_users(users, 10)
    assert len(set(drawn)) == 10
    assert drawn == drawn_users(users.sample(frac=1, random_state=3), 10)
    assert drawn_users(users[:3], 10) == ["u0", "u1", "u2"]


def test_history_by_stage_and_what_cannot_be_read(tmp_path):
    for name, content in {
        "sage": '[{"stage": "choose/1/pretrain", "epoch": 1, "loss": 2.0}, {"stage": "choose/2/pretrain", "epoch": 1, '
        '"loss": 3.0}, {"stage": "final/encoder/finetune", "epoch": 1, "loss": 1.0, "ndcg@10": 0.5}]',
        "cut": '[{"stage": "final',
        "empty": "[]",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "history.json").write_text(content)
    rows = {name: [synthetic_run(name, 0, [0.1], folder=tmp_path / name)] for name in ("sage", "cut", "empty", "gone")}
    found, notes = panels(rows)
    assert [(panel.title, panel.value, panel.lines) for panel in found] == [
        ("pretrain, model selection", "loss", {"sage": [[(1, 2.0)], [(1, 3.0)]]}),
        ("finetune, final fit", "loss", {"sage / encoder": [[(1, 1.0)]]}),
        ("finetune, final fit", "ndcg@10", {"sage / encoder": [[(1, 0.5)]]}),
    ]
    assert len(notes) == 2
    assert "cut, seed 0: history.json cannot be read (JSONDecodeError" in notes[0]
    assert notes[1] == "gone, seed 0: history.json cannot be read (No such file or directory)"
    shown = learning(Part(Protocol("p", rows), 1))
    assert shown.count("<svg") == 3
    assert "gone, seed 0" in shown


def test_quality_by_known_items():
    # Two users: k0 .2 and .4, k5 .6 and .8.
    run = synthetic_run("a", 0, [0.1, 0.1], **{"k0/ndcg@10": [0.2, 0.4], "k5/ndcg@10": [0.6, 0.8]})
    run.result.metrics.pop("ndcg@10")
    (part,) = protocols([run])
    shown = known_items(Part(part, 1))
    assert "0.2000 to 0.4000</td><td>0.6000 to 0.8000" in shown
    assert ">5</text>" in shown
    (plain,) = protocols([synthetic_run("a", 0, [0.1])])
    assert "one number of known items" in known_items(Part(plain, 1))


def test_a_chart_is_the_same_twice_and_holds_text_as_text():
    lines = {
        "a<b": {0.0: (0.1, 0.0, 0.2), 5.0: (0.2, 0.1, 0.3)},
        "_$x$": {0.0: (0.3, 0.2, 0.4)},
        "名": {5.0: (0, 0, 0)},
    }
    places = {name: place for place, name in enumerate(lines)}
    made = charts.shot_curve(lines, "ndcg@10", places, "1-x", 'a "title" <i>')
    assert made == charts.shot_curve(lines, "ndcg@10", places, "1-x", 'a "title" <i>')
    assert 'aria-label="a &quot;title&quot; &lt;i&gt;"' in made
    assert "<title>a &quot;title&quot; &lt;i&gt;</title>" in made
    for name in ("a&lt;b", "_$x$", "名", "ndcg@10"):
        assert f">{name}</text>" in made
    assert "http" not in made
    assert not re.search(r"#[0-9a-f]{6}", made)  # colours are those of the page, light or dark
    ids = re.findall(r' id="([^"]*)"', made)
    other = charts.shot_curve(lines, "ndcg@10", places, "1-y", "t")
    assert not set(ids) & set(re.findall(r' id="([^"]*)"', other))


def test_a_model_has_one_colour_in_all_charts():
    forest = charts.forest([("x", 3, {"b": (0.1, 0.0, 0.2)})], "difference", {"a": 0, "b": 1}, "f", "t")
    assert "--series-2" in forest
    assert "--series-1)" not in forest
    many = {f"m{n}": n for n in range(9)}
    assert charts.learning_curves({n: [[(1, 2.0)]] for n in many}, "loss", many, "l", "t").count("</text>") > 9


def test_the_data_of_the_package_have_groups():
    dataset = synthetic(0, num_users=60)
    found = groupings(dataset, frozenset(dataset.ids[USER].tolist()))
    assert {"club", "colour", "age"} <= set(found)
    assert "friend" not in found
