"""Two processes at once, forked so that nothing is imported twice: joined as torchrun joins them, or by a file."""

import multiprocessing
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from gnnrec.__main__ import start

SECONDS = 300  # until a process that hangs counts as failed


def in_two(folder: Path, work: Callable[[], Any]) -> list[Any]:
    """What `work` returns in each of two joined processes."""

    def joined(rank: int) -> None:
        torch.set_num_threads(1)
        dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=2)
        torch.save(work(), folder / f"{rank}.pt")
        dist.barrier()

    folder.mkdir(parents=True, exist_ok=True)
    processes = [begun(joined, rank) for rank in range(2)]
    assert [ended(process) for process in processes] == [0, 0]
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


def command_in_two(arguments: Sequence[Any], folder: Path) -> list[Any]:
    """Starts the command line twice, as torchrun does: the two processes, which say all into `<rank>.out`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])

    def run(rank: int) -> None:
        told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "GROUP_RANK": 0}
        os.environ |= {name: str(value) for name, value in told.items()}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"}
        sys.argv = ["gnnrec", *map(str, arguments)]
        with (folder / f"{rank}.out").open("w", buffering=1) as said:
            sys.stdout = sys.stderr = said
            start()

    return [begun(run, rank) for rank in range(2)]


def begun(work: Callable[[int], None], rank: int) -> Any:
    process = multiprocessing.get_context("fork").Process(target=work, args=(rank,), daemon=True)
    process.start()
    return process


def ended(process: Any) -> int | None:
    """The exit code of a process, waited for."""
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
    code: int | None = process.exitcode
    return code
