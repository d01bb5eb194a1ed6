"""Words and vectors of new users as the features that a model was trained with."""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from gnnrec.data.config import NamedData, TableData
from gnnrec.data.features import numbers_in
from gnnrec.data.features.encoding import made_encoder, rows_of
from gnnrec.data.features.image import ENCODERS as IMAGE_ENCODERS
from gnnrec.data.features.text import ENCODERS, is_fitted
from gnnrec.views import USER, Features

Kind = Literal["text", "fitted text", "image", "vector"]
NOT_READ = {
    "fitted text": "is encoded by {encoder}, which was fitted on training's users and is not kept, and is ignored; "
    "train with `text: {{encoder: use}}`",
    "image": "is a picture, and those of new users are not read: it is ignored; give what {encoder} makes of it as a "
    "vector",
}


@dataclass(frozen=True)
class UserFeature:
    """What a model was told of users beside their edges.

    Attributes:
        name: of the feature, also its name in a profile.
        column: that files have it in.
        kind: what it is made from.
        encoder: name, or dotted class, of the encoder.
        options: of the encoder, as JSON.
        width: numbers of a vector.
    """

    name: str
    column: str
    kind: Kind
    encoder: str
    options: str
    width: int

    @classmethod
    def of(cls, one: Features, data: NamedData | TableData | None) -> "UserFeature":
        """A feature of training users; `data` says what it was made from."""
        encoder, options = one.encoder
        given = data.user_features.get(one.name) if isinstance(data, TableData) else None
        column, kind = one.name, "text"
        if encoder == "vector":
            kind = "vector"
            if given is not None and given.vector is not None and not given.vector.endswith(".npy"):
                column = given.vector
        elif encoder in IMAGE_ENCODERS or (given is not None and given.image is not None):
            kind = "image"
        elif is_fitted(encoder, options):
            kind = "fitted text"
        if given is not None and given.text is not None:
            column = given.text.column or one.name
        return cls(one.name, column, kind, encoder, json.dumps(dict(options)), one.vector.shape[1])  # type: ignore[arg-type]

    def nobody(self, number: int) -> Features:
        """The feature of so many users of whom it is not known."""
        known = torch.zeros(number, dtype=torch.bool)
        return Features(USER, self.name, torch.zeros(number, self.width), known, (), (self.encoder, {}))

    def read(self, cells: Sequence[Any]) -> tuple[Features, list[str]]:
        """The feature of B users, and a line for each reason for which some of it is ignored.

        Args:
            cells: [B], of each user a text, a list of numbers, or None for nothing.
        """
        found = self.nobody(len(cells))
        there = [row for row, cell in enumerate(cells) if cell is not None and str(cell).strip()]
        if not there:
            return found, []
        if self.kind in NOT_READ:
            return found, [f"{self.name}: {NOT_READ[self.kind].format(encoder=self.encoder)}"]
        if self.kind == "vector":
            return self._vectors(found, cells, there)
        if lists := [str(cells[row])[:40] for row in there if isinstance(cells[row], list | dict)]:
            return found, [f"{self.name}: {lists[0]} is ignored: one text is wanted"]
        texts = [str(cells[row]) for row in there]
        rows = torch.from_numpy(rows_of(self.encoder, _encoder(self.encoder, self.options), texts))
        if rows.shape[1] != self.width:
            told = (
                f"{self.encoder} gives {rows.shape[1]} numbers here, and gave {self.width} in training; it is ignored"
            )
            return found, [f"{self.name}: {told}"]
        fine = rows.isfinite().all(dim=1)
        places = torch.tensor(there)[fine]
        found.vector[places], found.known[places] = rows[fine], True
        return found, []

    def _vectors(self, found: Features, cells: Sequence[Any], there: Sequence[int]) -> tuple[Features, list[str]]:
        wrong = []
        for row in there:
            cell = cells[row]
            try:
                numbers = [*map(float, cell)] if isinstance(cell, list | tuple | np.ndarray) else numbers_in(str(cell))
            except (TypeError, ValueError):
                numbers = []
            if len(numbers) == self.width and np.isfinite(numbers).all():
                found.vector[row], found.known[row] = torch.tensor(numbers), True
            else:
                wrong.append(str(cell)[:40])
        if not wrong:
            return found, []
        count = "" if len(wrong) == 1 else f"{len(wrong):,} values like "
        return found, [f"{self.name}: {count}{wrong[0]!r} ignored: a vector of {self.width} numbers is wanted"]


@functools.cache
def _encoder(encoder: str, options: str) -> Callable[[Sequence[Any]], Any]:
    """An encoder of texts, made once for all requests."""
    return made_encoder(ENCODERS, encoder, json.loads(options))[1]


def describe(
    features: Sequence[UserFeature], cells: Mapping[str, Sequence[Any]], number: int
) -> tuple[tuple[Features, ...], list[str]]:
    """The features of so many users, and what of them is ignored.

    Args:
        features: of the model.
        cells: name of a feature, or of its column -> [number] cells.
        number: of users.
    """
    found, told = [], []
    for one in features:
        given = cells.get(one.name, cells.get(one.column))
        feature, notes = (one.nobody(number), []) if given is None else one.read(given)
        found.append(feature)
        told += notes
    return tuple(found), told
