"""`python -m gnnrec`: the command line; of several processes the first one prints, the others when they fail."""

import contextlib
import io
import os
import sys

from gnnrec.cli import main


def start() -> None:
    """Runs the command line, in each process that torchrun has started."""
    rank = os.environ.get("RANK", "0") if "TORCHELASTIC_RUN_ID" in os.environ else "0"
    if rank == "0":
        main()
        return
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            main()
    except BaseException as end:
        if not (isinstance(end, SystemExit) and not end.code):
            sys.stderr.write("".join(f"process {rank}: {line}\n" for line in said.getvalue().splitlines()))
        raise


if __name__ == "__main__":
    start()
