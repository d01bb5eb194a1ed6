"""Encoding texts or pictures once: in batches, with progress, and kept for the next run."""

import hashlib
import inspect
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gnnrec.data.sources import cache_folder
from gnnrec.errors import ConfigError, DataError
from gnnrec.options.resolve import build, resolve
from gnnrec.runtime.files import partial_ending

BATCH = 512
"""Texts or pictures of one batch; so many are lost when a run is killed."""


class Cells(Protocol):
    """What is encoded: an item's text, or its picture."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> Any: ...


def encoded(
    name: str,
    cells: Cells,
    encoders: Mapping[str, str],
    encoder: str,
    options: Mapping[str, Any],
    progress: bool,
    opened: Callable[[Any], Any] = lambda cell: cell,
) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of texts or pictures, from the cache where they are there.

    A folder of the cache is named by a checksum of the cells and of the encoder: its class, options and version. Each
    batch is a file of its own until all are there, so a killed run goes on where it was. The folder
    `<cache folder>/features` may be deleted at any time.

    Args:
        name: of the feature, for the progress bar.
        cells: [I]; a falsy one is missing.
        encoders: name -> dotted name of a class.
        encoder: one of these names, or a dotted name.
        options: of the class.
        progress: show a progress bar.
        opened: from a cell to what the encoder takes; None where it cannot be read.

    Returns:
        [I, F] float32, 0 where missing, and [I] bool which are there.

    Raises:
        ConfigError: the encoder is not there.
        DataError: it does not give a row of numbers for each cell.
    """
    cls, made = made_encoder(encoders, encoder, options)
    folder = cache_folder() / "features" / _key(cls, options, cells)
    try:
        with np.load(folder / "all.npz", allow_pickle=False) as stored:
            return stored["vector"], stored["known"]
    except (OSError, ValueError, KeyError):
        pass
    present = np.array([bool(cells[place]) for place in range(len(cells))], dtype=bool)
    places = present.nonzero()[0]
    batches = [places[start : start + BATCH] for start in range(0, len(places), BATCH)]
    found = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not progress, transient=True) as bar:
        task = bar.add_task(f"{name}: {encoder}", total=len(places))
        for number, batch in enumerate(batches):
            path = folder / f"{number}.npz"
            rows = _stored(path, len(batch))
            if rows is None:
                rows = rows_of(encoder, made, [opened(cells[place]) for place in batch])
                _store(path, rows=rows)
            found.append(rows)
            bar.advance(task, len(batch))
    widths = {rows.shape[1] for rows in found if np.isfinite(rows).any()} or {1}
    if len(widths) > 1:
        raise DataError(f"{encoder}: gives vectors of different lengths")
    vector = np.zeros((len(cells), widths.pop()), np.float32)
    readable = np.zeros(len(cells), dtype=bool)
    for batch, rows in zip(batches, found, strict=True):
        fine = np.isfinite(rows).all(axis=1)
        vector[batch[fine]], readable[batch] = rows[fine], fine
    if _store(folder / "all.npz", vector=vector, known=readable):
        for number in range(len(batches)):
            (folder / f"{number}.npz").unlink(missing_ok=True)
    return vector, readable


def made_encoder(
    encoders: Mapping[str, str], encoder: str, options: Mapping[str, Any]
) -> tuple[type, Callable[[Sequence[Any]], Any]]:
    """The class of an encoder, and an encoder.

    Raises:
        ConfigError: there is no such encoder, it cannot be made with these options, or it is not callable.
    """
    if encoder not in encoders and "." not in encoder:
        raise ConfigError(
            f"encoder {encoder!r} is unknown; there are {', '.join(encoders)}, or name a class with its module"
        )
    cls = resolve(encoders.get(encoder, encoder), "gnnrec.data.features")
    made = build(cls, options, at="options")
    if not callable(made):
        raise ConfigError(f"encoder {encoder}: its objects must be callable: texts or pictures -> array of rows")
    return cls, made


def rows_of(encoder: str, made: Callable[[Sequence[Any]], Any], given: Sequence[Any]) -> np.ndarray:
    """[N, F] float32, not numbers where nothing is given.

    Raises:
        DataError: the encoder does not give a row of numbers for each.
    """
    there = [place for place, one in enumerate(given) if one is not None]
    if not there:
        return np.full((len(given), 1), np.nan, np.float32)
    found = np.asarray(made([given[place] for place in there]))
    if found.ndim != 2 or len(found) != len(there) or found.dtype.kind not in "fiu":
        raise DataError(
            f"{encoder}: must give {len(there)} rows of numbers for {len(there)} cells, got {found.dtype} {found.shape}"
        )
    rows = np.full((len(given), found.shape[1]), np.nan, np.float32)
    rows[there] = found
    return rows


def _key(cls: type, options: Mapping[str, Any], cells: Cells) -> str:
    """A checksum of what is encoded and of the encoder with its code."""
    digest = hashlib.sha256(f"{cls.__module__}.{cls.__qualname__} {sorted(options.items())!r}\n".encode())
    digest.update(str(getattr(cls, "version", lambda: "")()).encode())
    try:
        digest.update(inspect.getsource(cls).encode())
    except (OSError, TypeError):
        digest.update(b"no source")
    for place in range(len(cells)):
        one = cells[place]
        content = one if isinstance(one, str) else getattr(one, "checksum", "")
        digest.update(content.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def _stored(path: Path, count: int) -> np.ndarray | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            rows: np.ndarray = stored["rows"]
    except (OSError, ValueError, KeyError):
        return None
    return rows if len(rows) == count else None


def _store(path: Path, **arrays: np.ndarray) -> bool:
    """Writes arrays whole or not at all; without permission or space, nothing is kept."""
    partial = path.with_name(f"{path.stem}{partial_ending()}.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(partial, **arrays)  # type: ignore[arg-type]
        os.replace(partial, path)
    except OSError:
        shutil.rmtree(path.parent, ignore_errors=True)
        return False
    return True
