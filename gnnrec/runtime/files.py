"""Atomic writes of files."""

import os
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Replaces a file atomically: after a crash, and to other processes, it is the old or the whole new one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")  # several processes may write one file
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
