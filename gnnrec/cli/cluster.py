"""What the commands share that can send their work to a Ray cluster."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from gnnrec.cli.console import line
from gnnrec.errors import InputError

OnRay = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Run on a Ray cluster: auto, or its head node as HOST:PORT; local starts one on this machine.",
    ),
]


def on_cluster(
    address: str,
    function: Callable[..., Any],
    jobs: Sequence[tuple[Any, ...]],
    names: Sequence[str],
    report: Callable[[int, Any], None] = lambda number, found: None,
) -> tuple[list[tuple[int, Any]], bool]:
    """Runs a function for each job on a cluster; a job that cannot be done says why in a line.

    Args:
        address: see `gnnrec.runtime.cluster.connected`.
        function: of a module.
        jobs: its arguments.
        names: of the jobs.
        report: called with the number of a job and its result, as the jobs finish.

    Returns:
        (Number of the job, result) for each one that was done, in the order of the jobs, and whether that is all.

    Raises:
        InputError: there is one job alone, and it cannot be done.
    """
    from gnnrec.runtime.cluster import connected

    done: list[tuple[int, Any]] = []
    told: set[str] = set()
    with connected(address) as cluster:
        for number, found in cluster.finished(function, jobs, names, line):
            if isinstance(found, InputError):
                if len(jobs) == 1:
                    raise found
                said = str(found) if names[number] in str(found) else f"{names[number]}: {found}"
                if said not in told:
                    line(f"error: {said}")
                told.add(said)
            else:
                report(number, found)
                done.append((number, found))
    return sorted(done, key=lambda one: one[0]), len(done) == len(jobs)
