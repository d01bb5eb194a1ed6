"""Files are written whole, and what a kill has left of them is deleted by the next write."""

import multiprocessing
import os
import socket
from pathlib import Path

from gnnrec.runtime.files import is_left, partial_ending, replace_file


def number_of_a_dead_process() -> int:
    process = multiprocessing.get_context("fork").Process(target=int)
    process.start()
    process.join()
    assert process.pid is not None
    return process.pid


def test_what_a_dead_process_has_left_of_a_file_is_deleted_and_nothing_else(tmp_path: Path) -> None:
    here, dead = socket.gethostname(), number_of_a_dead_process()
    left = tmp_path / f".a.json.{here}.{dead}.partial"
    others = [
        tmp_path / f".a.json.{here}.{os.getppid()}.partial",  # of a process that lives
        tmp_path / f".a.json.elsewhere.{dead}.partial",  # of another machine, where it may live
        tmp_path / f".b.json.{here}.{dead}.partial",  # of another file, which is deleted when that one is written
        tmp_path / f"a.json.{dead}.partial",  # a person's
    ]
    for path in (left, *others):
        path.touch()
    replace_file(tmp_path / "a.json", b"{}")
    assert set(tmp_path.iterdir()) == {tmp_path / "a.json", *others}
    assert (tmp_path / "a.json").read_bytes() == b"{}"


def test_a_process_knows_its_own_partial_files() -> None:
    assert not is_left(f"part-x{partial_ending()}")
    assert is_left(f"part-x.{socket.gethostname()}.{number_of_a_dead_process()}.partial")
    assert not is_left("part-x")
