"""The main table: unseen users on MovieLens-100K and Last.fm.

Two steps, so that a table never trains and training never writes a table:

    gnnrec run configs/ml-100k/*.yaml --seeds 0,1,2 --out runs/ml-100k
    python -m experiments.table_cold_start runs/ml-100k      # keeps the small results, renders the table
    python -m experiments.table_cold_start                   # renders again from what was kept
"""

import json
import sys
from pathlib import Path
from statistics import fmean

from gnnrec.results import Result, find_runs, read_result
from gnnrec.tables import metrics_table

RESULTS = Path(__file__).parent / "results"
TABLES = Path(__file__).parents[1] / "paper" / "tables"
COLUMNS = {
    "ml-100k": ("ndcg@10", "recall@20", "precision@10", "coverage@10"),
    "hetrec-lastfm": ("precision@1", "precision@10", "precision@20", "recall@20", "map@100", "ndcg@10"),
}
"""Data set -> metrics that the table shows."""


def keep(folder: Path, name: str) -> None:
    """Copies the results of all finished runs in a folder into one small file."""
    results = [read_result(run) for run in find_runs([folder])]
    rows = [{**r.model_dump(), "config": {k: v for k, v in r.config.items() if k != "base"}} for r in results]
    path = RESULTS / f"cold_start_{name}.json"
    path.write_text("[\n" + ",\n".join(json.dumps(row, sort_keys=True) for row in rows) + "\n]\n")


def render(name: str) -> dict[Path, str]:
    """The table as Markdown and as LaTeX, from the kept results: path -> text."""
    results = [Result.model_validate(row) for row in json.loads((RESULTS / f"cold_start_{name}.json").read_text())]
    shown = [r.model_copy(update={"metrics": {m: r.metrics[m] for m in COLUMNS[name]}}) for r in results]
    mean = {r.name: fmean(s.metrics["ndcg@10"] or 0 for s in shown if s.name == r.name) for r in shown}
    shown = sorted(shown, key=lambda r: (-mean[r.name], r.name, r.seed))
    table = metrics_table(shown)
    rows = []
    for row, cells in enumerate(table.cells):
        texts = [f"\\textbf{{{cell}}}" if (row, place) in table.bold else cell for place, cell in enumerate(cells)]
        rows.append(" & ".join(texts).replace("±", "$\\pm$") + r" \\")
    head = " & ".join(table.header) + r" \\"
    body = "\n".join([r"\toprule", head, r"\midrule", *rows, r"\bottomrule"])
    latex = f"\\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}\n{body}\n\\end{{tabular}}\n"
    return {TABLES / f"cold_start_{name}.md": table.markdown(), TABLES / f"cold_start_{name}.tex": latex}


def main() -> None:
    """Keeps the results of the folders that are named, and renders every table there are results for."""
    for folder in map(Path, sys.argv[1:]):
        if folder.name not in COLUMNS:
            sys.exit(f"error: {folder}: must be called after its data set, one of {', '.join(COLUMNS)}")
        keep(folder, folder.name)
    for name in COLUMNS:
        if (RESULTS / f"cold_start_{name}.json").is_file():
            for path, text in render(name).items():
                path.write_text(text)


if __name__ == "__main__":
    main()
