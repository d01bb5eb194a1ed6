"""The data cache: data sets that were parsed once, as arrays that are mapped into memory."""

import hashlib
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gnnrec.data.dataset import Dataset, Interactions, Numeric
from gnnrec.data.sources import cache_folder
from gnnrec.runtime.files import is_left, partial_ending
from gnnrec.views import Relation

MIN_BYTES = 1_000_000
"""Total size of the files below which parsing them takes no longer than a look-up in the cache."""

HEADER = 128
"""Bytes before the numbers in a .npy file; a file without any number cannot be mapped."""


PARTIAL = "part-"
"""What the name of an entry begins with that is not complete."""
PARTIAL_DAYS, UNUSED_DAYS = 1, 90
"""Days after which an entry that is not complete, or that was not used, is deleted."""


def cached(how: str, files: Sequence[Path], read: Callable[[], Dataset]) -> Dataset:
    """The result of `read`, from the data cache where there is an entry for it.

    An entry is a folder named by a checksum of the files' contents, of `how`, of the code of `gnnrec.data` and of
    pandas' version; a change in any of them makes a new entry. Its arrays are mapped into memory, so processes on one
    machine share them. A data set whose reader warns is not stored, so the warning comes each time. Entries that nobody
    has used for 90 days are deleted, and the folder `<cache folder>/read` may be deleted at any time.

    Args:
        how: how the files are read: the name of a data set, or the options of the reader.
        files: the files that `read` reads.
        read: the reader.
    """
    if not all(path.is_file() for path in files) or sum(path.stat().st_size for path in files) < MIN_BYTES:
        return read()
    folder = cache_folder() / "read" / _key(how, files)
    if folder.is_dir():
        try:
            dataset = _load(folder)
            os.utime(folder)
            return dataset
        except (OSError, EOFError, ValueError, KeyError):  # a file of the entry was cut or emptied
            shutil.rmtree(folder, ignore_errors=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dataset = read()
    for warning in caught:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if not caught:
        _sweep(folder.parent)
        _store(folder, dataset)
    return dataset


def _sweep(folder: Path) -> None:
    """Deletes what a kill has left half-written, and entries that nobody has asked for in a long time."""
    for entry in folder.glob("*"):
        days = PARTIAL_DAYS if entry.name.startswith(PARTIAL) else UNUSED_DAYS
        try:
            old = is_left(entry.name) or time.time() - entry.stat().st_mtime > 86_400 * days
        except OSError:  # another process was faster
            continue
        if old:
            shutil.rmtree(entry, ignore_errors=True)


def _key(how: str, files: Sequence[Path]) -> str:
    digest = hashlib.sha256(f"{how}\n{pd.__version__}\n".encode())
    for path in (*files, *sorted(Path(__file__).parent.rglob("*.py"))):
        with path.open("rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        digest.update(b"\0")
    return digest.hexdigest()


def _store(folder: Path, dataset: Dataset) -> None:
    """Writes an entry whole or not at all; without permission or space, nothing is stored."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(partial_ending(), PARTIAL, folder.parent))
    except OSError:
        return
    try:
        tensors = _tensors(dataset)
        for name, tensor in tensors.items():
            np.save(partial / f"{name}.npy", tensor.numpy())
        for place, ids in enumerate(dataset.ids.values()):
            pd.DataFrame({"id": ids}).to_parquet(partial / f"ids-{place}.parquet")
        pd.DataFrame({"title": list(dataset.titles)}).to_parquet(partial / "titles.parquet")
        pd.DataFrame({name: list(cells) for name, cells in dataset.cells.items()}).to_parquet(partial / "cells.parquet")
        (partial / "about.json").write_text(json.dumps(_about(dataset, list(tensors))))
        os.rename(partial, folder)
    except OSError:  # the disk is full, or another process has written the entry
        shutil.rmtree(partial, ignore_errors=True)


def _tensors(dataset: Dataset) -> dict[str, Tensor]:
    """File name -> tensor, without those that are None."""
    found = {f"interactions-{f.name}": getattr(dataset.interactions, f.name) for f in fields(Interactions)}
    for place, relation in enumerate(dataset.relations):
        found |= {
            f"edges-{place}": relation.edge_index,
            f"weight-{place}": relation.weight,
            f"time-{place}": relation.time,
        }
    for place, attribute in enumerate(dataset.numeric):
        found |= {f"node-{place}": attribute.node, f"number-{place}": attribute.number}
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def _about(dataset: Dataset, tensors: Sequence[str]) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "node_types": list(dataset.ids),
        "relations": [relation.type for relation in dataset.relations],
        "numeric": [(a.node_type, a.name, a.bins, a.bounds, a.knots) for a in dataset.numeric],
        "skipped": (dataset.skipped_rows, dataset.skipped_values, dataset.skipped_examples),
        "tensors": list(tensors),
    }


def _load(folder: Path) -> Dataset:
    about = json.loads((folder / "about.json").read_text())
    skipped_rows, skipped_values, examples = about["skipped"]
    tensors = {name: _mapped(folder / f"{name}.npy") for name in about["tensors"]}
    columns: dict[str, Any] = {f.name: tensors.get(f"interactions-{f.name}") for f in fields(Interactions)}
    return Dataset(
        name=about["name"],
        ids={
            node_type: pd.Index(pd.read_parquet(folder / f"ids-{place}.parquet")["id"]).rename(None)
            for place, node_type in enumerate(about["node_types"])
        },
        interactions=Interactions(**columns),
        relations=tuple(
            Relation(
                source,
                name,
                target,
                tensors[f"edges-{place}"],
                tensors.get(f"weight-{place}"),
                tensors.get(f"time-{place}"),
            )
            for place, (source, name, target) in enumerate(about["relations"])
        ),
        numeric=tuple(
            Numeric(
                node_type,
                name,
                tensors[f"node-{place}"],
                tensors[f"number-{place}"],
                bins,
                None if bounds is None else tuple(bounds),
                knots,
            )
            for place, (node_type, name, bins, bounds, knots) in enumerate(about["numeric"])
        ),
        titles=tuple(pd.read_parquet(folder / "titles.parquet")["title"]),
        cells={str(name): tuple(cells) for name, cells in pd.read_parquet(folder / "cells.parquet").items()},
        skipped_rows=skipped_rows,
        skipped_values=skipped_values,
        skipped_examples=tuple(examples),
    )


def _mapped(path: Path) -> Tensor:
    """The array of a file, mapped copy-on-write: a write to it changes neither the file nor another process."""
    empty = path.stat().st_size <= HEADER
    return torch.from_numpy(np.load(path, mmap_mode=None if empty else "c"))
