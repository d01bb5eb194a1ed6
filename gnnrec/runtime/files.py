"""Atomic writes of files, and errors of the file system as one line."""

import fcntl
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gnnrec.errors import ConfigError, InputError

LOCK = "lock"


def partial_ending() -> str:
    """What the name of a file or folder ends with that this process is writing: machine and process."""
    return f".{socket.gethostname()}.{os.getpid()}.partial"


def is_left(name: str) -> bool:
    """Whether something with such a name was left by a process of this machine that is gone."""
    found = re.search(rf"\.{re.escape(socket.gethostname())}\.(\d+)\.partial$", name)
    if found is None:
        return False
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it lives, and is another user's
        pass
    return False


def replace_file(path: Path, content: bytes) -> None:
    """Replaces a file atomically: after a crash, and to other processes, it is the old or the whole new one.

    What processes that were killed have left of the same file is deleted.
    """
    partial = path.with_name(f".{path.name}{partial_ending()}")  # several processes may write one file
    for other in path.parent.iterdir():
        if other.name.startswith(f".{path.name}.") and is_left(other.name):
            other.unlink(missing_ok=True)
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


@contextmanager
def claimed(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Keeps a folder to one process: a lock that ends with the process, however that ends.

    Args:
        folder: made if it is not there.
        wait: whether to wait for another process that has it.

    Raises:
        ConfigError: another process has it.
    """
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
    while True:
        with writing_to(folder):
            lock = (folder / LOCK).open("wb", buffering=0)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.path.samestat(os.fstat(lock.fileno()), os.stat(folder / LOCK))  # not that of one who is leaving
        except (BlockingIOError, FileNotFoundError):
            mine = False
        if mine:
            break
        lock.close()
        if not wait:
            raise ConfigError(
                f"{folder}: another process is at work in this folder; wait for it, or choose another --out"
            )
    with lock:
        with writing_to(folder):
            lock.write(f"{os.getpid()}\n".encode())  # a full disk is found out here, not after training
        yield
        (folder / LOCK).unlink(missing_ok=True)
