"""What the lists of a protocol's runs lose and gain in other orders (python -m experiments.tradeoffs).

Reads the saved models of `runs/<protocol>/graphsage/`, trains nothing, and writes the numbers of the figure.
"""

from pathlib import Path
from typing import Annotated

import typer

from experiments.keep import write_json
from experiments.protocols import RESULTS
from experiments.reproduce import err
from gnnrec.experiment.results import find_runs, read_result
from gnnrec.experiment.tables import metrics_table
from gnnrec.experiment.tradeoff import lines, tradeoff
from gnnrec.runtime.versions import versions

OF = {"ml-1m-lists": "graphsage"}
"""Protocol -> the row whose lists are put into other orders."""
KEPT = RESULTS / "tradeoffs"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs")) -> None:
    """Evaluates finished runs again with every re-ranking at several strengths."""
    for protocol, row in OF.items():
        folders = find_runs([out / protocol / row])
        found = tradeoff(folders, tell=err.print)
        panels, start, paid = lines(found)
        results = [read_result(folder) for folder in folders]
        rows = metrics_table([run.result for run in found]).rows
        runs = [{"seed": one.seed, "checksums": one.checksums} for one in results]
        content = {"protocol": protocol, "row": row, "paid": paid, "panels": panels, "start": start, "runs": runs}
        KEPT.mkdir(exist_ok=True)
        write_json(KEPT / f"{protocol}.json", {**content, "rows": rows, "versions": versions()})


if __name__ == "__main__":
    app()
