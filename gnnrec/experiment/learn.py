"""Steps of training on what was recorded beside a saved model; the model that comes of it has a folder of its own."""

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from omegaconf import OmegaConf
from torch import Tensor

from gnnrec.data import table
from gnnrec.data.config import NodesFile, TableData
from gnnrec.data.dataset import Dataset
from gnnrec.data.delimited import Format
from gnnrec.data.files import Cells, open_file
from gnnrec.data.times import are_numbers
from gnnrec.errors import ConfigError, InputError
from gnnrec.experiment.config import NamedConfig, read_config
from gnnrec.experiment.results import CONFIG, RESULT
from gnnrec.experiment.run import load_split
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.reranking.around import Around
from gnnrec.runtime.files import claimed, is_left, partial_ending, replace_file, writing_to
from gnnrec.serving.artifact import ARTIFACT, Artifact, load, place_of, save
from gnnrec.serving.feedback import NO_TIME_AT_ALL
from gnnrec.serving.vocabulary import Vocabulary
from gnnrec.splits.parts import UNUSED
from gnnrec.splits.split import Split, training_data
from gnnrec.splits.temporal import in_time_order
from gnnrec.views import ITEM, USER, TrainingData

ADDED = {USER: "added-users", ITEM: "added-items"}
"""Names of the files of users and items that are in no file of the run."""
LEARNED = "learned.json"
"""What the model of a folder has learned from: how many recorded interactions, in how many steps, from which model."""


@dataclass(frozen=True)
class Learned:
    """What a model has learned from.

    Attributes:
        interactions: recorded since the last steps of training.
        users: who have some of them.
        new_users: of these, those who were in no training before.
        new_items: items that nobody had chosen before.
        steps: of training.
    """

    interactions: int
    users: int
    new_users: int
    new_items: int
    steps: int


def learn(folder: Path, to: Path, steps: int, users: Path | None = None, items: Path | None = None) -> Learned:
    """Trains a saved model for some steps on what was recorded beside it, with a replay of what it was trained on.

    The run's own files are read again. Of their users, those count who were in training, and those of whom something
    was recorded. The folder `to` appears whole or not at all; called again after a kill, or when it is done, the same
    call ends with the same folder. What was recorded is copied there, so that it can learn again.

    Args:
        folder: of a run on files of one's own, or one that this function wrote.
        to: folder of the new model.
        steps: of training, at least 1; see `GraphSAGE.update`.
        users: file of users who are not in the run's files, columns as there.
        items: file of items who are not in the run's files, columns as there.

    Raises:
        ConfigError: the model cannot learn in steps, or its run's files or config are not there.
        InputError: nothing was recorded since the last steps, or `to` holds something else.
        DataError: a file or a row cannot be read.
    """
    artifact, config, data = ready(folder, to)
    place = place_of(folder)
    before = _learned(place)
    recorded = artifact.feedback.frame
    fresh = recorded.iloc[before:]
    if not len(fresh):
        raise InputError(
            f"{folder}: nothing was recorded since the model was trained; give new interactions with --interactions"
        )
    added = {
        node_type: _added(place, node_type, described, given, data)
        for node_type, described, given in ((USER, data.users, users), (ITEM, data.items, items))
    }
    rows = {name: None if one is None else _sha256(one.to_csv(index=False).encode()) for name, one in added.items()}
    source = _sha256((place / ARTIFACT).read_bytes())
    about = {"interactions": len(recorded), "steps": steps, "from": source, "added": rows}
    split = load_split(config)
    _warn_of_changes(folder, split)
    whole = _read(config, data, _columns(recorded, data, artifact.vocabulary), added)
    train, is_fresh = _training(whole, split, recorded, fresh)
    news = _news(train, whole, split, is_fresh, recorded.iloc[:before], len(fresh), steps)
    place_of_lock = to.resolve().parent / f".{to.resolve().name}.learning"
    with claimed(place_of_lock):
        if not _is_done(to, about):
            model: Any = artifact.model
            model.update(train, fresh=is_fresh, steps=steps, seed=config.config.seed + len(recorded))
            _write(replace(artifact, vocabulary=Vocabulary.of(train, whole.ids[USER], data)), config, added, about, to)
    place_of_lock.rmdir()
    return news


def ready(folder: Path, to: Path) -> tuple[Artifact, NamedConfig, TableData]:
    """What `learn` begins with; called before anything is recorded, so that nothing is where it cannot learn.

    Raises:
        ConfigError: as `learn`.
        InputError: `to` is there, and is no model that has learned.
    """
    config, artifact = _config_of(folder), load(folder)
    data, name = config.config.data, type(artifact.model).__name__
    if not hasattr(artifact.model, "update"):
        why = "a run with erase" if isinstance(Around.of(artifact.model)[0], GraphSAGE) else name
        raise ConfigError(f"{folder}: {why} does not learn in steps; GraphSAGE does")
    if artifact.model.predicts_ratings:
        raise ConfigError(f"{folder}: {name} with objective: rating does not learn in steps; with ranking it does")
    if not isinstance(data, TableData):
        raise ConfigError(
            f"{folder}: {data.source} is a data set of its own, which nothing can be added to; steps need a run on "
            "files of one's own (data.source: table)"
        )
    for path in data.files(config.folder):
        if not path.is_file():
            raise ConfigError(
                f"{folder}: {path}, which it was trained on, is not there; bring it back, or, where the run was moved, "
                "run its config again"
            )
    if to.exists() and not (to / LEARNED).is_file():
        raise InputError(f"{to}: is there already, and is no model that has learned; choose another --out")
    return artifact, config, data


def _write(
    artifact: Artifact,
    config: NamedConfig,
    added: Mapping[str, pd.DataFrame | None],
    about: Mapping[str, Any],
    to: Path,
) -> None:
    """Writes the model and all that it takes to learn again, whole or not at all."""
    name = f".{to.resolve().name}"
    partial = to.resolve().parent / f"{name}{partial_ending()}"
    with writing_to(to):
        for other in partial.parent.glob(f"{name}.*"):
            if other == partial or is_left(other.name):
                shutil.rmtree(other, ignore_errors=True)
        save(artifact.model, partial, artifact.vocabulary, index_from=artifact.index_from)
        artifact.feedback.write(partial)
        for node_type, frame in added.items():
            if frame is not None:
                frame.to_parquet(partial / f"{ADDED[node_type]}.parquet", index=False)
        replace_file(partial / CONFIG, OmegaConf.to_yaml(OmegaConf.create(config.written(to.resolve()))).encode())
        replace_file(partial / LEARNED, json.dumps(about).encode())
        os.rename(partial, to)


def _config_of(folder: Path) -> NamedConfig:
    path = folder / CONFIG
    if not path.is_file():
        raise ConfigError(
            f"{folder}: has no {CONFIG}, which says where its training data are; name the folder of a run (or of a "
            "model that learned from one), not that of its model alone"
        )
    return read_config(path)


def _warn_of_changes(folder: Path, split: Split) -> None:
    """Warns where the files of a run are not those that it was trained on."""
    if (folder / RESULT).is_file():
        before = json.loads((folder / RESULT).read_text())["checksums"].get("data")
        if before != split.dataset.checksum:
            warnings.warn(
                f"{folder}: its files have changed since it was trained; what is in them now is replayed", stacklevel=3
            )


def _learned(place: Path) -> int:
    """How many of the recorded interactions a model was trained on."""
    path = place / LEARNED
    return int(json.loads(path.read_text())["interactions"]) if path.is_file() else 0


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _is_done(to: Path, about: Mapping[str, Any]) -> bool:
    """Whether the folder holds what is to be made already.

    Raises:
        InputError: it holds something else.
    """
    if not to.exists():
        return False
    path = to / LEARNED
    if path.is_file() and json.loads(path.read_text()) == about:
        return True
    raise InputError(
        f"{to}: is there already, and is no model of these interactions, users, items and steps; choose another --out"
    )


def _added(
    place: Path, node_type: str, described: NodesFile | None, given: Path | None, data: TableData
) -> pd.DataFrame | None:
    """The rows of users, or items, that are in no file of the run: text, columns as there; None for none."""
    frames = []
    old = place / f"{ADDED[node_type]}.parquet"
    if old.is_file():
        frames.append(pd.read_parquet(old))
    if given is not None:
        if described is None:
            raise ConfigError(f"{given}: the run has no file of {node_type}s, so that no more can be read")
        alone = described.model_copy(update={"path": given})
        rows = open_file(given, "", described.form)
        missing = [name for name in _names(described) if name not in rows.names]
        if missing:
            raise InputError(f"{given}: no column {missing[0]!r}; there are {', '.join(rows.names)}")
        table.check_nodes(node_type, alone, open_file, data)
        read = rows.read([name for name in rows.names if name in _names(described)], False)
        frames.append(pd.DataFrame({name: column.to_pandas() for name, column in read.items()}))
    if not frames or described is None:
        return None
    every = pd.concat(frames, ignore_index=True)
    kept: pd.DataFrame = every[~every[described.id].duplicated(keep="last")].reset_index(drop=True)
    return kept


def _names(described: NodesFile) -> list[str]:
    """The columns that a file of nodes is read for."""
    title = getattr(described, "title", None)
    return [described.id, *described.attributes, *([] if title is None else [title])]


def _columns(recorded: pd.DataFrame, data: TableData, vocabulary: Vocabulary) -> dict[str, Any]:
    """The recorded interactions as the columns of the run's file: role -> [R]."""
    own = data.interactions
    time = recorded["time"].to_numpy(np.int64)
    last = 0 if vocabulary.last_time is None else vocabulary.last_time
    found: dict[str, Any] = {
        own.user: recorded["user"].to_numpy(object),
        own.item: recorded["item"].to_numpy(object),
    }
    if own.value is not None:
        found[own.value] = recorded["value"].fillna(vocabulary.mean_value or 0.0).to_numpy(float)
    if own.time is not None:
        found[own.time] = np.where(time == NO_TIME_AT_ALL, last, time)
        found[f"{own.time}.fraction"] = recorded["fraction"].to_numpy(float)
    if own.event is not None:
        found[own.event] = np.where(recorded["kind"] == "", own.asked, recorded["kind"])
    return found


class _Together:
    """The rows of a file, and further ones behind them, as `Cells`."""

    def __init__(self, first: Cells, more: Mapping[str, Any], time: str | None = None) -> None:
        self._first, self._more, self._time = first, more, time
        self.name, self.unit, self.names = first.name, first.unit, first.names
        self._rows = 0

    @property
    def broken(self) -> Sequence[tuple[int, str]]:
        """See `Cells`."""
        return self._first.broken

    def line(self, row: int) -> int:
        """See `Cells`; of a further row, its number, from 1."""
        return self._first.line(row) if row < self._rows else row - self._rows + 1

    def read(self, wanted: Sequence[str], skip: bool) -> dict[str, Any]:
        """See `Cells`."""
        found = self._first.read(wanted, skip)
        size = len(next(iter(self._more.values())))
        for name, column in found.items():
            self._rows = len(column)
            cells = self._more.get(name, np.full(size, None, dtype=object))
            if name == self._time:
                cells = self._times(column.to_pandas().fillna(""))
            more = pa.array([None if cell is None else str(cell) for cell in cells], pa.string())
            whole = pa.chunked_array([column, more]) if not isinstance(column, pa.ChunkedArray) else column
            if isinstance(column, pa.ChunkedArray):
                whole = pa.chunked_array([*column.chunks, more])
            found[name] = whole.combine_chunks()
        return found

    def _times(self, there: "pd.Series") -> list[str]:
        """The times of the further rows, written as the file's are: as numbers, or as dates."""
        whole, part = self._more[str(self._time)], self._more[f"{self._time}.fraction"]
        if are_numbers(there):
            return [f"{one}{f'{rest:.9f}'[1:] if rest else ''}" for one, rest in zip(whole, part, strict=True)]
        date = pd.to_datetime(pd.Series(whole), unit="s", utc=True).dt.strftime("%Y-%m-%dT%H:%M:%S")
        return [f"{one}{f'{rest:.9f}'[1:] if rest else ''}Z" for one, rest in zip(date, part, strict=True)]


def _read(
    config: NamedConfig, data: TableData, recorded: Mapping[str, Any], added: Mapping[str, pd.DataFrame | None]
) -> Dataset:
    """The run's files with further rows, by the rules of the config.

    Users and items of whom something was recorded, and whom no file has a row of, get one without attributes.
    """
    own = data.interactions
    ids = {USER: recorded[own.user], ITEM: recorded[own.item]}

    def opened(path: Path, place: str, form: Format) -> Cells:
        first = open_file(config.folder / path, place, form)
        if place == "data.interactions":
            return _Together(first, recorded, own.time)
        for node_type, described in ((USER, data.users), (ITEM, data.items)):
            if place == f"data.{node_type}s" and described is not None:
                more = added[node_type]
                more = pd.DataFrame({described.id: []}, dtype=object) if more is None else more.astype(object)
                there = set(first.read([described.id], True)[described.id].to_pylist()) | set(more[described.id])
                bare = [one for one in dict.fromkeys(ids[node_type]) if one not in there]
                more = pd.concat([more, pd.DataFrame({described.id: bare}, dtype=object)], ignore_index=True)
                rows = open_file(config.folder / path, place, form)
                return _Together(rows, {str(n): c.where(c.notna(), None).to_numpy(object) for n, c in more.items()})
        return first

    whole = table.read(data, opened)
    return whole if data.positive is None else whole.positives(data.positive.min_value, data.positive.kinds)


def _training(whole: Dataset, split: Split, recorded: pd.DataFrame, fresh: pd.DataFrame) -> tuple[TrainingData, Tensor]:
    """What the model was trained on, and what was recorded; and [U] bool, of whom something is new."""
    old = split.full
    user_of, item_of = (
        torch.from_numpy(whole.ids[t].get_indexer(split.dataset.ids[t]).astype(np.int64)) for t in (USER, ITEM)
    )
    told_user, told_item = (
        torch.from_numpy(whole.ids[t].get_indexer(pd.Index(recorded[name], dtype="str")).astype(np.int64))
        for t, name in ((USER, "user"), (ITEM, "item"))
    )
    told = told_user * whole.num_items + told_item

    def learned(edges: Any) -> Tensor:
        """Numbers of pairs: those of training, and the recorded ones."""
        row, node = user_of[old.users.index[edges.row]], item_of[edges.node]
        return torch.cat([row * whole.num_items + node, told])

    own = whole.interactions
    chosen = torch.isin(own.user * whole.num_items + own.item, learned(old.users.items))
    relations = []
    for relation in whole.relations:
        if relation.time is not None:
            there = old.users.relations.get(relation.type)
            pairs = told if there is None else learned(there)
            user, item = relation.edge_index
            relation = relation.take(torch.isin(user * whole.num_items + item, pairs))
        relations.append(relation)
    users = torch.cat([user_of[old.users.index], told_user[told_user >= 0]]).unique()
    known = torch.ones(whole.num_items, dtype=torch.bool)
    known[item_of[split.item_part == UNUSED]] = False  # of after the moment of a split by time
    known[told_item[told_item >= 0]] = True
    items = None if known.all() else known
    order = in_time_order(whole) if split.by_time else None
    train = training_data(replace(whole, relations=tuple(relations)), users, chosen, items, order, old.bounds)
    new = whole.ids[USER].get_indexer(pd.Index(fresh["user"], dtype="str").unique())
    return train, torch.isin(train.users.index, torch.from_numpy(new.astype(np.int64)))


def _news(
    train: TrainingData,
    whole: Dataset,
    split: Split,
    is_fresh: Tensor,
    before: pd.DataFrame,
    interactions: int,
    steps: int,
) -> Learned:
    """How many users and items are new, beside those of training and those that were learned from before."""

    def count(node_type: str, there: np.ndarray, known: np.ndarray, column: str) -> int:
        old = split.dataset.ids[node_type][known].union(pd.Index(before[column], dtype="str"))
        return int((~whole.ids[node_type][there].isin(old)).sum())

    fresh = train.users.index[is_fresh].numpy()
    users = count(USER, fresh, split.full.users.index.numpy(), "user")
    items = count(ITEM, train.candidates.numpy(), split.full.candidates.numpy(), "item")
    return Learned(interactions, len(fresh), users, items, steps)
