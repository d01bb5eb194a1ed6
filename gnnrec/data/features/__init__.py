"""What describes items and users by numbers: words, pictures, vectors and numbers, encoded once and kept."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from gnnrec.data.config import FeatureColumn, Image, Number, ValueWords
from gnnrec.data.dataset import Dataset
from gnnrec.data.features.encoding import encoded
from gnnrec.data.features.image import ENCODERS as IMAGE_ENCODERS
from gnnrec.data.features.image import Pictures, opened
from gnnrec.data.features.number import bent
from gnnrec.data.features.text import ENCODERS as TEXT_ENCODERS
from gnnrec.data.features.text import is_fitted
from gnnrec.errors import ConfigError, DataError
from gnnrec.views import ITEM, USER, Features

__all__ = ["missing_file", "numbers_in", "with_features", "with_value_words"]

TITLE = "title"
EXAMPLES = 3
"""Nodes without a feature, and pictures that cannot be read, that are named in a warning."""


@dataclass(frozen=True)
class _Nodes:
    """The nodes of one type, and the cells that their features are made of.

    Attributes:
        dataset: name of the data set.
        node_type: `item` or `user`.
        ids: [N].
        cells: name of a column -> [N] cells; of vectors in a file, the number of the row.
        titles: [N] of items; empty where there are none.
    """

    dataset: str
    node_type: str
    ids: pd.Index
    cells: Mapping[str, tuple[str, ...]]
    titles: tuple[str, ...]

    @classmethod
    def of(cls, dataset: Dataset, node_type: str) -> "_Nodes":
        if node_type == USER:
            return cls(dataset.name, node_type, dataset.ids[USER], dataset.user_cells, ())
        return cls(dataset.name, node_type, dataset.ids[ITEM], dataset.cells, dataset.titles)

    def column(self, name: str) -> tuple[str, ...]:
        """The cells of a column."""
        if name in self.cells:
            return self.cells[name]
        if name == TITLE and self.titles:
            return self.titles
        there = sorted({*self.cells, *([TITLE] if self.titles else [])})
        raise ConfigError(
            f"{self.dataset} has no column {name!r} of {self.node_type}s' words; there are {there or 'none'}"
        )


def with_features(
    dataset: Dataset, wanted: Mapping[str, FeatureColumn], base: Path, *, node_type: str = ITEM, progress: bool = True
) -> Dataset:
    """Adds features of items, or of users, to a data set; a number of users gets knots.

    Args:
        dataset: with the cells that features are made of; `title` are its titles.
        wanted: name -> what is to be made.
        base: folder that paths are relative to; a file that is not there is looked for under GNNREC_DATA.
        node_type: `item` or `user`, whose features they are.
        progress: show a progress bar on standard error.

    Raises:
        ConfigError: a column, an encoder or its library is not there.
        DataError: a file cannot be read, or vectors do not fit.
    """
    found, nodes = [], _Nodes.of(dataset, node_type)
    numbers = {one.name for one in dataset.numeric if one.node_type == USER}
    for name, options in wanted.items():
        if not options.is_feature:
            raise ConfigError(f"data.features.{name}: give one of text, image, vector and number")
        if options.number is not None and name in numbers and name not in dataset.cells:
            dataset = _with_knots(dataset, name, options.number)
            continue
        try:
            if options.text is not None and is_fitted(options.text.encoder, options.text.options):
                words = nodes.column(options.text.column or name)
                vector, known = np.zeros((len(words), 0)), np.array([bool(text) for text in words])
            else:
                words, (vector, known) = (), _vectors(nodes, dataset, name, options, base, progress)
        except ConfigError as error:
            raise ConfigError(f"feature {name!r}: {error}") from None
        except DataError as error:
            raise DataError(f"feature {name!r}: {error}") from None
        if not known.any():
            warnings.warn(f"feature {name!r}: no {node_type} has any; it is left out", stacklevel=2)
            continue
        if not known.all():
            ids = nodes.ids[~known]
            some = ", ".join(map(str, ids[:EXAMPLES]))
            warnings.warn(
                f"feature {name!r}: {len(ids):,} of {len(known):,} {node_type}s have none, for example {some}",
                stacklevel=2,
            )
        rows = np.where(known[:, None], vector, 0).astype(np.float32)
        how = options.text or options.image
        encoder = ("number" if options.number else "vector", {}) if how is None else (how.encoder, how.options)
        found.append(Features(node_type, name, torch.from_numpy(rows), torch.from_numpy(known), words, encoder))
    if not found:
        return dataset
    if node_type == USER:
        return replace(dataset, user_features=tuple(found))
    return replace(dataset, features=tuple(found))


def _with_knots(dataset: Dataset, name: str, options: Number) -> Dataset:
    """The data set with knots instead of bins of a number of users."""
    try:
        options.check_of_users(f"data.features.{name}")
    except ValueError as error:
        raise ConfigError(str(error)) from None
    numeric = tuple(
        replace(one, bins=None, bounds=None, knots=options.knots) if (one.node_type, one.name) == (USER, name) else one
        for one in dataset.numeric
    )
    return replace(dataset, numeric=numeric)


def with_value_words(dataset: Dataset, wanted: Mapping[str, ValueWords], *, progress: bool = True) -> Dataset:
    """Adds vectors of the words of attribute values to a data set.

    Args:
        dataset: the data set.
        wanted: name of an attribute of users -> how its values' words become vectors.
        progress: show a progress bar on standard error.

    Raises:
        ConfigError: users have no such attribute with words as values, or the encoder is not there, or is fitted.
    """
    own = {r.name: r.target for r in dataset.relations if r.source == USER and r.target not in (USER, ITEM)}
    found = []
    for name, how in wanted.items():
        if name not in own:
            raise ConfigError(
                f"data.values: {dataset.name}: users have no attribute {name!r} whose values are words; there are "
                f"{', '.join(own) or 'none'}"
            )
        if is_fitted(how.encoder, how.options):
            raise ConfigError(f"data.values.{name}: encoder {how.encoder} is fitted on items; take use, or a class")
        words = [str(one) for one in dataset.ids[own[name]]]
        vector, known = encoded(name, words, TEXT_ENCODERS, how.encoder, how.options, progress)
        rows = vector / np.maximum(np.linalg.norm(vector, axis=1, keepdims=True), 1e-12)
        encoder = how.encoder, how.options
        found.append(Features(own[name], name, torch.from_numpy(rows), torch.from_numpy(known), (), encoder))
    return replace(dataset, values=tuple(found)) if found else dataset


def missing_file(wanted: Mapping[str, FeatureColumn], base: Path) -> Path | None:
    """The first file or folder that features are made of and that is not there; None where all are."""
    for options in wanted.values():
        image = options.image
        path = None if image is None else image.folder or image.zip
        if options.vector is not None and options.vector.endswith(".npy"):
            path = Path(options.vector)
        if path is not None and not any(place.exists() for place in _places(path, base)):
            return path
    return None


def _vectors(
    nodes: _Nodes, dataset: Dataset, name: str, options: FeatureColumn, base: Path, progress: bool
) -> tuple[np.ndarray, np.ndarray]:
    """[N, F] numbers, and [N] bool which are known."""
    if options.text is not None:
        how_text = options.text
        cells = nodes.column(how_text.column or name)
        return encoded(name, cells, TEXT_ENCODERS, how_text.encoder, how_text.options, progress)
    if options.image is not None:
        names = nodes.column(options.image.column) if options.image.column else tuple(nodes.ids)
        pictures, how = Pictures(_place(options.image, base), names), options.image
        vector, known = encoded(name, pictures, IMAGE_ENCODERS, how.encoder, how.options, progress, opened)
        broken = [pictures[place].name for place in np.flatnonzero(~known).tolist() if pictures[place]]
        if broken:
            some = ", ".join(broken[:EXAMPLES])
            warnings.warn(f"feature {name!r}: {len(broken)} pictures cannot be read, for example {some}", stacklevel=3)
        return vector, known
    if options.number is not None:
        if name not in dataset.cells:
            of_items = ", ".join(sorted(dataset.cells)) or "none"
            of_users = ", ".join(sorted(one.name for one in dataset.numeric if one.node_type == USER)) or "none"
            raise ConfigError(
                f"{dataset.name} has no column of numbers {name!r}; columns of items: {of_items}; numbers of users, "
                f"for knots: {of_users}"
            )
        cells = dataset.cells[name]
        number = np.array([float(cell) if cell else np.nan for cell in cells])
        return bent(number, options.number.scale, options.number.knots)
    assert options.vector is not None
    if options.vector.endswith(".npy"):
        return _from_file(nodes, name, _found(Path(options.vector), base))
    return _from_cells(nodes, options.vector)


def _place(image: Image, base: Path) -> Path:
    path = image.folder or image.zip
    assert path is not None
    return _found(path, base)


def _found(path: Path, base: Path) -> Path:
    places = _places(path, base)
    for place in places:
        if place.exists():
            return place
    raise DataError(f"{path}: no such file or folder; looked at {' and '.join(map(str, places))}")


def _places(path: Path, base: Path) -> list[Path]:
    """Beside the config, and under GNNREC_DATA."""
    shared = os.environ.get("GNNREC_DATA")
    return [base / path, *([Path(shared) / path] if shared else [])]


def _from_file(nodes: _Nodes, name: str, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The rows of a file; a row that is not finite is a missing one."""
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as .npy ({error})") from None
    if rows.ndim != 2 or rows.dtype.kind not in "fiu":
        raise DataError(f"{path}: must be numbers with two dimensions, got {rows.dtype} {rows.shape}")
    cells = nodes.cells.get(name)
    place = np.arange(len(rows)) if cells is None else np.array([int(row) for row in cells])
    if cells is not None and place.max(initial=-1) >= len(rows):
        raise DataError(
            f"{path}: has {len(rows)} rows, the file of {nodes.node_type}s more; write one for each of its rows"
        )
    if cells is None and len(rows) != len(nodes.ids):
        raise DataError(f"{path}: has {len(rows)} rows for {len(nodes.ids)} {nodes.node_type}s; write one for each")
    vector = rows[place].astype(np.float64)
    known = np.isfinite(vector).all(axis=1)
    return np.where(known[:, None], vector, 0), known


def _from_cells(nodes: _Nodes, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers in the cells of a column, with blanks or commas between them."""
    rows: list[list[float] | None] = []
    for one, cell in zip(nodes.ids, nodes.column(column), strict=True):
        try:
            rows.append(numbers_in(cell) or None)
        except ValueError:
            raise DataError(
                f"{nodes.node_type} {one}, column {column!r}: {cell[:50]!r} is no vector of numbers"
            ) from None
    lengths = {len(row) for row in rows if row is not None}
    if len(lengths) > 1:
        raise DataError(f"column {column!r}: vectors have {min(lengths)} and {max(lengths)} numbers; all need as many")
    width = lengths.pop() if lengths else 1
    vector = np.array([row if row is not None else [np.nan] * width for row in rows])
    known = np.isfinite(vector).all(axis=1)
    return np.where(known[:, None], vector, 0), known


def numbers_in(cell: str) -> list[float]:
    """The numbers of a cell, with blanks or commas between them.

    Raises:
        ValueError: a part is no number.

    Example:
        >>> numbers_in("[0.5, 2]")
        [0.5, 2.0]
    """
    return [float(part) for part in cell.strip(" []()").replace(",", " ").split()]
