"""Atomic writes of files, and errors of the file system as one line."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gnnrec.errors import InputError


def replace_file(path: Path, content: bytes) -> None:
    """Replaces a file atomically: after a crash, and to other processes, it is the old or the whole new one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")  # several processes may write one file
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:  # a full disk is not filled with what is of no use
        partial.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Says in one line that something cannot be written: no permission, no space, a file in a folder's place.

    Raises:
        InputError: instead of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{error.filename or folder}: cannot be written ({error.strerror or error}); mend that, or choose another "
            "--out, and run the same command again"
        ) from error
