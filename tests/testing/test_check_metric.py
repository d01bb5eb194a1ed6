"""Every registered metric keeps the contract, each clause catches a metric that breaks it, and the document is true."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gnnrec.evaluation.metrics import METRICS, Metric, MetricInput
from gnnrec.evaluation.metrics.metric_input import KIND_OF
from gnnrec.testing import assert_metric, check_metric

DOCS = Path(__file__).parents[2] / "docs"
HITS = ("hits", "num_relevant")


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
@pytest.mark.parametrize("seed", [0, 1])
def test_registered(metric, seed):
    assert_metric(metric, seed)


def made(function, needs=HITS, higher_is_better=True, **options):
    return Metric(name="made", needs=needs, function=function, higher_is_better=higher_is_better, **options)


def raises(hits, num_relevant):
    raise RuntimeError("no such\nluck")


def mean_of_all(hits, num_relevant):
    """Each value is divided by the largest one of all users."""
    found = hits.sum(1).float()
    return found / found.max().clamp(min=1)


def by_place_in_batch(hits, num_relevant):
    return hits.float().mean(1) + torch.arange(len(hits))


def changes_hits(hits, num_relevant):
    hits[:, 0] = True
    return hits.float().mean(1)


def moves_on():
    count = iter(range(10**6))
    return lambda hits, num_relevant: hits.float().mean(1) + next(count)


ERRORS = {"needs": ("error",), "mean_over": "ratings", "takes_length": False}
WRONG = {
    "raises": (made(raises), "value", "RuntimeError: no such luck"),
    "value per place": (made(lambda h, n: h.float()), "value", r"gives \[11, 6\] torch.float32 where .* \[11\] floats"),
    "whole numbers": (made(lambda h, n: h.sum(1)), "value", r"gives \[11\] torch.int64"),
    "a float": (made(lambda h, n: 0.5), "value", "gives float where"),
    "one of many": (made(lambda h, n: h.float().mean(1), mean_over=None), "value", r"\[11\] where mean_over=None"),
    "division by zero": (made(lambda h, n: 1 / h.sum(1)), "value", "NaN or infinity for user 0; is there a division"),
    "log of an error": (made(lambda e: e.log(), **ERRORS), "value", "NaN or infinity for rating"),
    "infinite": (made(lambda h, n: float("inf"), mean_over=None), "value", "the metric is inf"),
    "percent": (made(lambda h, n: 100 * h.float().mean(1), bounds=(0, 1)), "bounds", "declared are 0 to 1"),
    "variance": (
        made(lambda h, n: h.sum(1) / (h.shape[1] - 1)),
        "list lengths",
        "with lists of 1: gives NaN",
    ),
    "largest of all": (made(mean_of_all), "batch independence", "another value when evaluated alone"),
    "place in the batch": (
        made(by_place_in_batch),
        "order of users",
        "do not keep their values|users in another order",
    ),
    "first user only": (
        made(lambda h, n: float(h[2].sum()), mean_over=None),
        "order of users",
        "with the users in another order",
    ),
    "misses": (made(lambda h, n: 1 - h.float().mean(1)), "direction", "higher_is_better=True, but the best input"),
    "a constant": (made(lambda h, n: torch.ones(len(h))), "direction", "gives 1 and the worst one 1"),
    "an error that is good": (made(lambda e: e**2, **ERRORS), "direction", "higher_is_better=True, but"),
    "a peak": (
        made(lambda h, n: h.sum(1) * (h.shape[1] + 0.5 - h.sum(1)) / n),
        "direction",
        r"but user \d+ has .* at worst and .* at best",
    ),
    "a late hit": (
        made(lambda first: first.float(), ("first_rank",), takes_length=False),
        "direction",
        "the best input",
    ),
    "in place": (made(changes_hits), "inputs unchanged", "hits was changed in place"),
    "another value each time": (made(moves_on()), "inputs unchanged", "the same input gives"),
}


@pytest.mark.parametrize(("metric", "clause", "message"), WRONG.values(), ids=WRONG)
def test_a_metric_that_breaks_a_clause(metric, clause, message):
    failed = {check.name: check.message for check in check_metric(metric) if not check.passed}
    assert re.search(message, failed[clause])
    assert all("\n" not in line for line in failed.values())


def test_every_clause_has_a_metric_that_breaks_it():
    assert {clause for _, clause, _ in WRONG.values()} == {check.name for check in check_metric(METRICS["ndcg"])}


def test_assertion_has_a_line_for_each_clause():
    with pytest.raises(AssertionError, match=r"^ndcg does not keep the contract of a metric\ndirection: [^\n]*$"):
        assert_metric(replace(METRICS["ndcg"], higher_is_better=False))


def test_signed_errors_have_no_better_direction():
    assert_metric(made(lambda e: e, higher_is_better=None, **ERRORS))


@pytest.fixture
def example(monkeypatch):
    """The module of the document's example, found as from inside its folder."""
    monkeypatch.syspath_prepend(DOCS / "examples")
    import my_metric

    yield my_metric
    del sys.modules["my_metric"]


def test_the_worked_example_passes(example):
    assert_metric(example.F1)
    # One hit of 3 places, 2 relevant: precision 1/3, recall 1/2, 2 / (3 + 2) = .4.
    given = MetricInput(num_users=1, hits=torch.tensor([[False, True, False]]), num_relevant=torch.tensor([2]))
    assert example.F1.measure(given)[0] == pytest.approx(0.4)


def test_the_document_shows_the_example_and_lists_needs_modules_and_checks():
    text = (DOCS / "add_a_metric.md").read_text()
    source = (DOCS / "examples" / "my_metric.py").read_text()
    assert source[source.index("def f1") :] in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    modules, needs, checks = (
        [re.match(r"\| `?(.+?)`? \|", line)[1] for line in table.splitlines()[2:]]
        for table in re.findall(r"^(?:\|.*\n)+", text, re.MULTILINE)
    )
    folder = Path(sys.modules["gnnrec.evaluation.metrics"].__file__).parent
    assert set(modules) == {p.name for p in folder.glob("*.py")} - {"__init__.py", "metric.py", "metric_input.py"}
    assert needs == list(KIND_OF)
    assert checks == [check.name for check in check_metric(METRICS["ndcg"])]
