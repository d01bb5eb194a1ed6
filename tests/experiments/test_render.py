"""A table from kept results: order, marks, dashes, published rows, the caption; and the numbers of the text."""

import copy
from dataclasses import replace

import pytest
from synthetic_runs import PROTOCOL, synthetic_rows, synthetic_run

from experiments.comparisons import comparisons
from experiments.numbers import _of_difference, numbers, numbers_tex
from experiments.render import protocol_table, reference_lines, render, smallest_shown, suspects


def kept_of(rows, **changes):
    return {
        "openings": {"times": 10},
        "canaries": {"held_out_user": True, "table_of_users": True},
        "columns": comparisons(rows, PROTOCOL),
        "runs": [run.result.model_dump() for group in rows.values() for run in group],
    } | changes


@pytest.fixture(scope="module")
def kept():
    return kept_of(synthetic_rows())


def test_rows_are_sorted_and_marked(kept):
    table = protocol_table(PROTOCOL, kept)
    assert [cells[0] for cells in table.cells] == ["graphsage", "als", "LoCo †", "popularity", "shuffled", "als-mean"]
    assert table.bold == {(0, 1)}
    assert table.underlined == {(1, 1)}
    assert table.cells[5] == ("als-mean", "-", "-", "-")
    assert table.cells[2] == ("LoCo †", "0.4500", "", "")
    assert table.cells[1][-1] == "best baseline"
    assert table.cells[0][-1].startswith("+0.0100 (")
    d = kept["columns"]["ndcg@10"]["to_floor"]["graphsage"]
    assert f"p {d['p_value_holm']:.4f}" in table.cells[0][-1]


def test_the_caption_says_what_a_reader_must_know(kept):
    caption = protocol_table(PROTOCOL, kept).caption
    for part in (
        "seeds 0, 1.",
        "Users per run: 150, 300 different ones; left out without a target: 1.",
        "† published: Somebody, 2017.",
        "-: the model cannot score an unseen user.",
        "Planted leaks that the audit caught: 2 of 2.",
        "10 runs; the test part was opened 10 times.",
        "60 seconds in all.",
    ):
        assert part in caption, part


def test_the_caption_says_how_small_a_difference_can_be_seen(kept):
    d = kept["columns"]["ndcg@10"]["to_floor"]["graphsage"]
    assert smallest_shown(-1.959964, 1.959964) == pytest.approx(1.959964 + 0.841621)  # a standard error of 1
    least = (d["high"] - d["low"]) / 2 * 2.801585 / 1.959964
    assert (
        f"Between graphsage and als these users and seeds show a difference of {least:.4f} or more"
        in protocol_table(PROTOCOL, kept).caption
    )
    equal = copy.deepcopy(kept)
    for row in equal["columns"]["ndcg@10"]["to_floor"].values():
        row.update(low=0.0, high=0.0)
    assert "or more four times" not in protocol_table(PROTOCOL, equal).caption


def test_a_control_within_noise_and_one_that_is_not(kept):
    assert suspects(PROTOCOL, kept) == {}
    assert "Control shuffled against popularity: " in protocol_table(PROTOCOL, kept).caption
    rows = synthetic_rows()
    rows["shuffled"] = [
        synthetic_run("shuffled", run.result.seed, run.per_user["ndcg@10"] + 0.02, cls="GraphSAGE", shuffled=True)
        for run in rows["popularity"]
    ]
    leaky = kept_of(rows)
    assert set(suspects(PROTOCOL, leaky)) == {"shuffled"}
    table = protocol_table(PROTOCOL, leaky)
    assert "shuffled ‡" in [cells[0] for cells in table.cells]
    assert "‡ Control shuffled against popularity: +0.0200" in table.caption
    assert "not noise" in table.caption


def test_means_that_print_alike_are_both_bold(kept):
    alike = copy.deepcopy(kept)
    alike["columns"]["ndcg@10"]["rows"]["als"] = alike["columns"]["ndcg@10"]["rows"]["graphsage"]
    assert protocol_table(PROTOCOL, alike).bold == {(0, 1), (1, 1)}


def test_a_column_that_was_not_kept_is_empty(kept):
    protocol = replace(PROTOCOL, columns=("ndcg@10", "precision@5"))
    table = protocol_table(protocol, kept)
    assert [cells[2] for cells in table.cells] == [""] * 6
    assert table.cells[0][1].startswith("0.")


def test_files(kept, tmp_path):
    files = render(PROTOCOL, kept, tmp_path)
    assert {path.name for path in files} == {"synthetic.md", "synthetic.tex", "synthetic-caption.tex"}
    assert r"\underline{" in files[tmp_path / "synthetic.tex"]


def test_reference_scores(kept):
    off = copy.deepcopy(kept)
    off["columns"]["ndcg@10"]["rows"]["popularity"]["mean"] = 0.311
    assert reference_lines(PROTOCOL, off) == [
        (False, "MISSED: synthetic: popularity ndcg@10 0.3110, expected 0.3000 ± 0.0100")
    ]
    off["columns"]["ndcg@10"]["rows"]["popularity"]["mean"] = 0.309
    assert reference_lines(PROTOCOL, off)[0][0]


def test_numbers_of_the_text(kept):
    found = numbers([(PROTOCOL, kept)])
    assert found["synthetic/graphsage/ndcg@10/floor"] == "+0.010"
    assert found["synthetic/graphsage/ndcg@10/plain"] == "+0.200"
    assert (
        found["synthetic/popularity/ndcg@10/floor/p"] == "< .001"
        or float(found["synthetic/popularity/ndcg@10/floor/p"]) < 0.01
    )
    assert found["synthetic/als-mean/ndcg@10"] == "--"
    assert (found["synthetic/baseline"], found["synthetic/ours"], found["synthetic/control"]) == (
        "als",
        "graphsage",
        "shuffled",
    )
    assert found["synthetic/ours/ndcg@10/floor"] == found["synthetic/graphsage/ndcg@10/floor"]
    assert found["synthetic/ours/ndcg@10/floor/verdict"] == "not significantly different from"
    assert found["synthetic/ours/ndcg@10/plain/verdict"] == "better than"
    assert found["synthetic/popularity/ndcg@10/floor/verdict"] == "worse than"
    assert found["synthetic/control/ndcg@10/plain/noise"] == "within"
    assert found["synthetic/LoCo/ndcg@10"] == "0.450"
    assert (
        found["synthetic/runs"],
        found["synthetic/seeds"],
        found["synthetic/openings"],
        found["synthetic/minutes"],
    ) == (
        "10",
        "2",
        "10",
        "1",
    )
    assert r"\@n{synthetic/baseline}{als}" in numbers_tex([(PROTOCOL, kept)])


def test_lower_errors_are_better_in_words():
    d = {"mean": -0.01, "low": -0.02, "high": -0.005, "p_value_holm": 0.0001, "effect_size": None}
    assert _of_difference("x", d, lower=True)["x/verdict"] == "better than"
    assert _of_difference("x", d, lower=False)["x/verdict"] == "worse than"
    assert _of_difference("x", d, lower=True)["x/p"] == "below .001"
