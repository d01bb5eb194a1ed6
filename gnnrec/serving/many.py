"""Lists and vectors of many new users, batch after batch, into a file."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import torch
from torch import Tensor

from gnnrec.errors import InputError
from gnnrec.serving.artifact import Artifact
from gnnrec.serving.explain import Reasons, explain
from gnnrec.serving.lists import USERS, Served, best, users_at_once
from gnnrec.serving.newcomers import Newcomers
from gnnrec.views import ITEM

WHY = pa.list_(pa.struct([("relation", pa.string()), ("value", pa.string()), ("weight", pa.float32())]))


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        users: number of users in the file of users.
        rows: rows of the output.
        warnings: what was ignored or left out, a line each.
    """

    users: int
    rows: int
    warnings: list[str]


def recommend_file(
    served: Served,
    newcomers: Newcomers,
    number: int,
    to: Path,
    advance: Callable[[int], object] = lambda users: None,
    size: int | None = None,
    why: bool = False,
) -> Written:
    """Writes the list of each new user: columns user, item, rank (from 1), score, and title where items have one.

    With `why`, a last column has what of the user is behind each item, see `gnnrec.serving.explain`: in Parquet a list
    of relation, value and weight, in CSV the same as JSON.

    Args:
        served: a loaded model.
        newcomers: of its vocabulary.
        number: length of a list.
        to: ends in .parquet or .csv; it is there once it is complete.
        advance: called with the number of users after each batch.
        size: users of a batch; None for as many as have 8 million scores.
        why: tell it.

    Raises:
        InputError: the model scores by known items alone, and no user has any; or the file cannot be written.
    """
    vocabulary, model = served.vocabulary, served.model
    ids = pa.array(vocabulary.ids[ITEM])
    fields = [("user", newcomers.id_type), ("item", ids.type), ("rank", pa.int32()), ("score", pa.float32())]
    titles = pa.array(vocabulary.titles, pa.string()) if vocabulary.titles else None
    more = [*([("title", pa.string())] if titles is not None else []), *([("why", WHY)] if why else [])]
    schema = pa.schema([*fields, *more])
    size = users_at_once(vocabulary.num_items) if size is None else size
    rows = without = alike = not_finite = 0
    with _writer(to, schema) as write:
        for user, users in newcomers.batches(size):
            lists = best(served, users, number)
            listed = lists.score > -torch.inf  # [B, K]
            if not model.supports_cold_users:
                cold = torch.bincount(users.items.row, minlength=len(users)) == 0
                listed[cold] = False
                without += int(cold.sum())
            alike += int((lists.alike & listed.any(1)).sum())
            not_finite += lists.not_finite
            row, column = listed.nonzero(as_tuple=True)
            item = pa.array(lists.item[row, column].numpy())
            found = [
                user.take(pa.array(row.numpy())),
                ids.take(item),
                pa.array((column + 1).numpy(), pa.int32()),
                pa.array(lists.score[row, column].numpy()),
            ]
            if titles is not None:
                found.append(titles.take(item))
            if why:
                found.append(_reasons(explain(served, users, lists.item), row, column))
            write(pa.table(found, schema=schema))
            rows += len(row)
            advance(len(users))
        name = type(model).__name__
        if without and without == newcomers.count:
            raise InputError(f"{name} cannot score a user without known items, and no user has any; give --history")
    warnings = newcomers.notes()
    if without:
        warnings.append(f"{without:,} users without known items have no list: {name} cannot score them")
    if alike:
        warnings.append(f"{alike:,} users get the same score for every item: the order of their lists means nothing")
    if not_finite:
        warnings.append(f"{not_finite:,} scores were no finite numbers; these items were left out")
    return Written(newcomers.count, rows, warnings)


def _reasons(reasons: Reasons, row: Tensor, column: Tensor) -> pa.Array:
    """Those of some items of the lists, as Arrow has them.

    Args:
        reasons: of B users and K items.
        row: [L] int64, users.
        column: [L] int64, places in their lists.
    """
    weight = reasons.weight[row, column]  # [L, M]
    there = weight > 0
    edge = reasons.edge[row, column][there].numpy()
    value = pa.array(reasons.value[edge].astype(str), pa.string())
    told = [pa.array(reasons.relation[edge], pa.string()), value, pa.array(weight[there].numpy())]
    start = torch.cat([torch.zeros(1, dtype=torch.int64), there.sum(1).cumsum(0)])
    return pa.ListArray.from_arrays(
        start.to(torch.int32).numpy(), pa.StructArray.from_arrays(told, fields=[*WHY.value_type])
    )


def embedder(artifact: Artifact) -> Any:
    """The model, which has `embed`.

    Raises:
        InputError: it has not.
    """
    model = artifact.model
    if not hasattr(model, "embed"):
        raise InputError(f"{type(model).__name__} has no vectors of users; serve a model that has, such as GraphSAGE")
    return model


def embed_file(
    artifact: Artifact,
    newcomers: Newcomers,
    to: Path,
    advance: Callable[[int], object] = lambda users: None,
    size: int = USERS,
) -> Written:
    """Writes the vector of each new user: a column user, and in Parquet a list column vector, in CSV v0, v1, ...

    Args:
        artifact: a loaded model.
        newcomers: of its vocabulary.
        to: ends in .parquet or .csv; it is there once it is complete.
        advance: called with the number of users after each batch.
        size: users of a batch.

    Raises:
        InputError: the model has no vectors, or a vector is not finite; or the file cannot be written.
    """
    model = embedder(artifact)

    def vectors() -> Iterator[tuple[Any, np.ndarray]]:
        for user, users in newcomers.batches(size):
            with torch.no_grad():
                found = model.embed(users)
            if not found.isfinite().all():
                raise InputError(f"{to}: a vector is not finite; the model cannot be used")
            yield user, np.ascontiguousarray(found.numpy(), dtype=np.float32)
            advance(len(users))

    made = vectors()
    first = next(made, None)
    width = 0 if first is None else first[1].shape[1]
    listed = to.suffix == ".parquet"
    columns = [("vector", pa.list_(pa.float32(), width))] if listed else [(f"v{d}", pa.float32()) for d in range(width)]
    schema = pa.schema([("user", newcomers.id_type), *columns])
    with _writer(to, schema) as write:
        while first is not None:
            user, vector = first
            flat = [pa.FixedSizeListArray.from_arrays(pa.array(vector.ravel()), width)] if listed else vector.T
            write(pa.table([user, *map(pa.array, flat)] if not listed else [user, *flat], schema=schema))
            first = next(made, None)
    return Written(newcomers.count, newcomers.count, newcomers.notes())


@contextmanager
def _writer(to: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """Writes tables one after the other, beside the place of the file, which is replaced when all are written."""
    if to.suffix not in (".parquet", ".csv"):
        raise InputError(f"--out: {to}: the name must end in .parquet or .csv")
    partial = to.with_name(f".{to.name}.partial")
    if to.suffix == ".csv":
        schema = pa.schema({one.name: _plain(one.type) for one in schema})
    kind = pa.parquet.ParquetWriter if to.suffix == ".parquet" else pa.csv.CSVWriter
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with kind(str(partial), schema) as file:
            yield lambda table: file.write_table(_told_as(table, schema))
        partial.replace(to)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise InputError(f"--out: {to}: cannot be written ({reason})") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type of a column's cells in a CSV file."""
    if pa.types.is_list(kind):
        return pa.string()
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _told_as(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with these types; lists that become text are written as JSON."""
    for place, field in enumerate(schema):
        if pa.types.is_list(table.schema[place].type) and pa.types.is_string(field.type):
            cells = [json.dumps(cell, allow_nan=False) for cell in table.column(place).to_pylist()]
            table = table.set_column(place, field, pa.array(cells, pa.string()))
    return table.cast(schema)
