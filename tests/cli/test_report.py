import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import refused
from synthetic_table import write_shop


def test_report_writes_a_page_and_refuses_with_one_line(gnnrec: Any, tmp_path: Path) -> None:
    config = write_shop(tmp_path)
    (tmp_path / "popularity.yaml").write_text(config.read_text().split("model:")[0] + "model: {class: Popularity}\n")
    gnnrec("run", "popularity.yaml")
    answer = gnnrec("report", "runs", "--out", "pages/report.html")
    assert answer.code == 0, answer.err
    assert "written: pages/report.html" in answer.out
    assert "compared with popularity by ndcg@10" in answer.out
    assert (tmp_path / "pages" / "report.html").read_text().startswith("<!doctype html>")
    refused(gnnrec("report", "nowhere"), "nowhere", "no such folder")
    refused(gnnrec("report", "runs", "--out", "report.pdf"), "--out", "report.pdf", ".html")
    refused(gnnrec("report", "runs", "--reference", "best"), "--reference best", "there are popularity")
    refused(gnnrec("report", "runs", "--metric", "mrr"), "--metric mrr", "ndcg@10")


def test_without_matplotlib_there_is_one_line(gnnrec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("gnnrec.experiment.report", "matplotlib"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "gnnrec.experiment.plots", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    refused(gnnrec("report", "runs"), "matplotlib is missing", "pip install 'gnnrec[plots]'")
