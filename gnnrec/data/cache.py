"""Data sets that were read before, kept as arrays that are mapped into memory instead of parsed again."""

import hashlib
import json
import os
import shutil
import tempfile
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
from gnnrec.views import Relation

LEAST_BYTES = 1_000_000
"""Size of the files together below which reading them is as quick as looking for what was kept."""

HEADER = 128
"""Bytes before the numbers in a file of numpy; a file without more cannot be mapped."""


def cached(what: str, files: Sequence[Path], read: Callable[[], Dataset]) -> Dataset:
    """What `read` gives, from the folder of an earlier reading where there is one.

    A folder is named by a checksum of the files' contents, of `what`, of the readers' code and of pandas' version, so
    that none of them can change without a new reading. Its arrays are mapped into memory: processes on one machine
    share them. Data that is read with a warning is read, and warned of, each time. `<cache folder>/read` may be deleted
    at any time.

    Args:
        what: how the files are read, besides their contents.
        files: that `read` looks at.
        read: the reader.
    """
    if not all(path.is_file() for path in files) or sum(path.stat().st_size for path in files) < LEAST_BYTES:
        return read()
    folder = cache_folder() / "read" / _key(what, files)
    if folder.is_dir():
        try:
            return _load(folder)
        except (OSError, EOFError, ValueError, KeyError):  # somebody has cut or emptied a file
            shutil.rmtree(folder, ignore_errors=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dataset = read()
    for warning in caught:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if not caught:
        _store(folder, dataset)
    return dataset


def _key(what: str, files: Sequence[Path]) -> str:
    digest = hashlib.sha256(f"{what}\n{pd.__version__}\n".encode())
    for path in (*files, *sorted(Path(__file__).parent.rglob("*.py"))):
        with path.open("rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        digest.update(b"\0")
    return digest.hexdigest()


def _store(folder: Path, dataset: Dataset) -> None:
    """Writes a folder whole or not at all; where it cannot be written, nothing is kept."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix="part-"))
    except OSError:
        return
    try:
        tensors = _tensors(dataset)
        for name, tensor in tensors.items():
            np.save(partial / f"{name}.npy", tensor.numpy())
        for place, ids in enumerate(dataset.ids.values()):
            pd.DataFrame({"id": ids}).to_parquet(partial / f"ids-{place}.parquet")
        pd.DataFrame({"title": list(dataset.titles)}).to_parquet(partial / "titles.parquet")
        (partial / "about.json").write_text(json.dumps(_about(dataset, list(tensors))))
        os.rename(partial, folder)
    except OSError:  # no place is left, or another process was faster
        shutil.rmtree(partial, ignore_errors=True)


def _tensors(dataset: Dataset) -> dict[str, Tensor]:
    """File name -> tensor, of those that are there."""
    found = {f"interactions-{f.name}": getattr(dataset.interactions, f.name) for f in fields(Interactions)}
    for place, relation in enumerate(dataset.relations):
        found |= {f"edges-{place}": relation.edge_index, f"weight-{place}": relation.weight}
    for place, attribute in enumerate(dataset.numeric):
        found |= {f"node-{place}": attribute.node, f"number-{place}": attribute.number}
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def _about(dataset: Dataset, tensors: Sequence[str]) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "node_types": list(dataset.ids),
        "relations": [relation.type for relation in dataset.relations],
        "numeric": [(a.node_type, a.name, a.bins, a.bounds) for a in dataset.numeric],
        "skipped_rows": dataset.skipped_rows,
        "tensors": list(tensors),
    }


def _load(folder: Path) -> Dataset:
    about = json.loads((folder / "about.json").read_text())
    held = {name: _mapped(folder / f"{name}.npy") for name in about["tensors"]}
    columns: dict[str, Any] = {f.name: held.get(f"interactions-{f.name}") for f in fields(Interactions)}
    return Dataset(
        name=about["name"],
        ids={
            node_type: pd.Index(pd.read_parquet(folder / f"ids-{place}.parquet")["id"]).rename(None)
            for place, node_type in enumerate(about["node_types"])
        },
        interactions=Interactions(**columns),
        relations=tuple(
            Relation(source, name, target, held[f"edges-{place}"], held.get(f"weight-{place}"))
            for place, (source, name, target) in enumerate(about["relations"])
        ),
        numeric=tuple(
            Numeric(
                node_type,
                name,
                held[f"node-{place}"],
                held[f"number-{place}"],
                bins,
                None if bounds is None else tuple(bounds),
            )
            for place, (node_type, name, bins, bounds) in enumerate(about["numeric"])
        ),
        titles=tuple(pd.read_parquet(folder / "titles.parquet")["title"]),
        skipped_rows=about["skipped_rows"],
    )


def _mapped(path: Path) -> Tensor:
    """The array of a file, in a private mapping: what somebody writes into it stays in that process."""
    empty = path.stat().st_size <= HEADER
    return torch.from_numpy(np.load(path, mmap_mode=None if empty else "c"))
