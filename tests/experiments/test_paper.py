"""The paper quotes only what experiments wrote; it is built here where LaTeX is installed."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from synthetic_runs import synthetic_run

from experiments.comparisons import comparisons
from experiments.numbers import numbers, numbers_tex
from experiments.protocols import PROTOCOLS, ROOT
from experiments.render import read_kept, render
from experiments.replays import REPLAYS
from gnnrec.experiment.results import Run

PAPER = ROOT / "paper"
TEXT = (PAPER / "main.tex").read_text()
BODY = TEXT[TEXT.index(r"\begin{document}") :]
KNOWN = {protocol.name: protocol for protocol in PROTOCOLS}


def test_every_number_that_is_looked_up_is_there():
    found = numbers([(p, read_kept(p.results)) for p in PROTOCOLS if p.results.is_file()])
    for key in re.findall(r"\\num\{([^#}]+)\}", BODY):
        protocol, _, rest = key.partition("/")
        assert protocol in KNOWN, key
        assert key in found or protocol not in found, key
        assert rest


def test_no_result_is_written_by_hand():
    body = re.sub(r"\\(num|includegraphics|vspace|finding|drawing)(\[[^]]*\])?\{[^}]*\}", "", BODY)
    assert re.findall(r"(?<![\w@])\d*\.\d{2,}", body) == []


def test_findings_are_of_the_metric_that_models_are_compared_by():
    findings = re.findall(r"\\finding\{([^}]*)\}\{([^}]*)\}\{([^}]*)\}", BODY)
    assert len(findings) > 10
    for name, metric, words in findings:
        assert KNOWN[name].main == metric
        assert metric.rpartition("/")[2].removeprefix("rated_").replace("_", " ").lower() in words.lower()


def test_every_table_and_figure_has_its_place():
    tables = set(re.findall(r"\\(?:resultstable|carried)\{([^}]*)\}", BODY))
    assert tables == {"budgets", *REPLAYS} | {name for name in KNOWN if not name.startswith("hetrec-lastfm-1")}
    drawn = set(re.findall(r"\\drawing\{([^}]*)\}", BODY))
    assert {path.stem for path in (PAPER / "figures").glob("*.pdf")} <= drawn


def test_every_citation_is_in_the_bibliography_and_the_other_way_round():
    cited = {key for keys in re.findall(r"\\cite[pt]\{([^}]*)\}", BODY) for key in keys.split(",")}
    assert cited == set(re.findall(r"@\w+\{(\w+),", (PAPER / "refs.bib").read_text()))


NAMED = {f"graphsage-{name}" for name in ("pretrained", "values", "histories", "views", "words")}
NAMED |= {"popularity", "central-longer", "ten-percent", "ten-percent-failures"}
NAMED |= {"private-graphsage-4", "private-popularity-4"}
"""Rows that the text names besides."""


def full_results(protocol):
    """Results as if the protocol had been run: a graph model, its control, and the baselines that the text names."""
    random = np.random.default_rng(0)
    rows_of_text = {path.stem for path in protocol.configs()} & NAMED
    names = ["graphsage", "graphsage-shuffled", "als"]
    names += sorted({protocol.plain, protocol.reference, "biases", "item-mean", *rows_of_text} - {*names, ""})

    def run(name):
        graph = name.startswith("graph")
        run = synthetic_run(name, 0, random.random(30), cls="GraphSAGE" if graph else "ALS", shuffled="shuf" in name)
        for metric in protocol.columns:
            run.per_user[metric] = random.random(30)
        per_user = run.per_user.assign(squared_error=1.0, absolute_error=random.random(30), ratings=2.0)
        metrics = {metric: float(per_user[metric].mean()) for metric in protocol.columns}
        return Run(run.result.model_copy(update={"metrics": metrics}), per_user)

    rows = {name: [run(name)] for name in names}
    return {
        "openings": {"times": 4},
        "canaries": {"held_out_user": True},
        "columns": comparisons(rows, protocol),
        "groups": {},
        "curves": {},
        "paths": {},
        "runs": [run.result.model_dump() for group in rows.values() for run in group],
    }


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("latexmk") is None, reason="latexmk is not installed")
@pytest.mark.parametrize("results", ["committed", "all"])
def test_the_paper_builds(tmp_path, results):
    for part in ("main.tex", "refs.bib"):
        shutil.copy(PAPER / part, tmp_path)
    for part in ("tables", "figures"):
        shutil.copytree(PAPER / part, tmp_path / part)
    if results == "all":
        kept = [(protocol, full_results(protocol)) for protocol in PROTOCOLS]
        for protocol, content in kept:
            for path, text in render(protocol, content, tmp_path / "tables").items():
                path.write_text(text)
        (tmp_path / "tables" / "numbers.tex").write_text(numbers_tex(kept))
    command = ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", "-quiet", "main.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120)
    log = (tmp_path / "main.log").read_text(errors="replace")
    assert done.returncode == 0, log[-2000:]
    assert "undefined" not in log
    assert "Overfull" not in log
