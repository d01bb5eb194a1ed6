"""A fitted model that stands on its own: saved with its vocabulary, loaded without any training data."""

import hashlib
import inspect
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from gnnrec.data.delimited import Format
from gnnrec.data.textfile import MISSING
from gnnrec.errors import ConfigError
from gnnrec.models.saving import ARRAYS, REGISTRY, STRUCTURE, TYPE, load_model, save_model
from gnnrec.options.resolve import resolve
from gnnrec.recommender import Recommender
from gnnrec.runtime.files import replace_file
from gnnrec.runtime.versions import versions
from gnnrec.serving.described import UserFeature
from gnnrec.serving.encode import batch
from gnnrec.serving.feedback import Feedback, read_feedback
from gnnrec.serving.vocabulary import Columns, Kinds, Vocabulary
from gnnrec.views import ITEM, USER, Edges, UserBatch

FORMAT = 1
"""Version of the layout of an artifact."""
ARTIFACT, MODEL, RESULT = "artifact.json", "model", "result.json"
HISTORIES, USER_IDS = "training interactions", "ids of training users"
"""What an artifact may hold of training users: what a model scores by, and the names of friends."""
INDEX_FROM = 1_000_000
"""Candidates from which on the best items come from an index."""


@dataclass(frozen=True)
class Artifact:
    """A fitted model, and all that it takes to ask it.

    Attributes:
        model: fitted.
        vocabulary: ids, names and bins.
        holds: of training users, `training interactions` where their histories are among the arrays, and `ids of
            training users` where a relation leads to them (friends); empty for weights alone.
        index_from: candidates from which on the best items come from an index.
        feedback: interactions recorded since the fit.
    """

    model: Recommender
    vocabulary: Vocabulary
    holds: tuple[str, ...] = ()
    index_from: int = INDEX_FROM
    feedback: Feedback = field(default_factory=Feedback, compare=False)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Nodes(_Strict):
    """One node type."""

    type: str
    count: int
    file: str


class _Relation(_Strict):
    name: str
    target: str
    weighted: bool


class _OfItems(_Strict):
    name: str
    target: str
    file: str


class _Kinds(_Strict):
    predicted: str | None = None
    weights: dict[str, float] = {}
    least: dict[str, float] = {}


class _Words(_Strict):
    """The part of a vocabulary that is no table."""

    nodes: tuple[_Nodes, ...]
    relations: tuple[_Relation, ...]
    bounds: dict[str, tuple[float, ...]]
    titles: bool
    mean_value: float | None
    min_value: float | None
    separators: dict[str, str]
    columns: dict[str, str | None]
    users_form: Format = Format()
    history_form: Format = Format()
    missing: tuple[str, ...] = MISSING
    repeated: Literal["first", "last"] = "last"
    features: tuple[UserFeature, ...] = ()
    last_time: int | None = None
    kinds: _Kinds = _Kinds()
    of_items: tuple[_OfItems, ...] = ()
    item_bounds: dict[str, tuple[float, ...]] = {}


class _Header(_Strict):
    """What stands in artifact.json."""

    format: Literal[1]
    model_class: str
    options: dict[str, Any]
    holds: tuple[Literal["training interactions", "ids of training users"], ...]
    index_from: int
    versions: dict[str, str]
    vocabulary: _Words
    sha256: dict[str, str]


def save(model: Any, folder: Path | str, vocabulary: Vocabulary, *, index_from: int = INDEX_FROM) -> str:
    """Writes a fitted model with its vocabulary: arrays in safetensors, everything else in JSON and Parquet.

    Args:
        model: a fitted recommender.
        folder: made if it is not there. `artifact.json`, which has the checksums of the other files, is written last.
        vocabulary: of what the model was fitted on, see `Vocabulary.of`; of a model with a `guarantee`, only what is
            public of it is written, see `Vocabulary.public`.
        index_from: candidates from which on the best items come from an index, if the model has vectors.

    Returns:
        SHA-256 of `artifact.json`.

    Raises:
        ConfigError: ids of one node type are neither all text nor all numbers.
        TypeError: the model has an attribute that cannot be kept, see `save_model`.
    """
    folder = Path(folder)
    vocabulary = released(model, vocabulary)
    tables = dict(_tables(vocabulary))
    folder.mkdir(parents=True, exist_ok=True)
    for old in (folder / ARTIFACT, *folder.glob("nodes-*.parquet"), *folder.glob("edges-*.parquet")):
        old.unlink(missing_ok=True)
    save_model(model, folder)
    structure = (folder / STRUCTURE).read_bytes()
    packed = json.loads(structure)
    for name, content in tables.items():
        replace_file(folder / name, content)
    header = _Header(
        format=FORMAT,
        model_class=packed["model"]["class"],
        options=options_of(model),
        holds=(
            *((HISTORIES,) if _keeps_interactions(packed["model"]) else ()),
            *((USER_IDS,) if USER in vocabulary.ids else ()),
        ),
        index_from=index_from,
        versions=versions(),
        vocabulary=_words(vocabulary),
        sha256={
            STRUCTURE: _sha256(structure),
            ARRAYS: packed["sha256"],
            **{name: _sha256(content) for name, content in tables.items()},
        },
    )
    content = (json.dumps(header.model_dump(mode="json"), indent=1, allow_nan=False) + "\n").encode()
    replace_file(folder / ARTIFACT, content)
    return _sha256(content)


def released(model: Any, vocabulary: Vocabulary) -> Vocabulary:
    """What goes with a model: of one with a guarantee of privacy, which is about all of it, the public part alone."""
    guarantee = getattr(model, "guarantee", {})
    return vocabulary.public(guarantee["declared"]) if guarantee else vocabulary


def load(folder: Path | str) -> Artifact:
    """The model of a finished run, or one that `save` wrote, with the same scores bit for bit, without training data.

    Args:
        folder: of a run, or of a saved model.

    Raises:
        ConfigError: there is no model in it, or a file is missing, damaged, of another format, or of another model.
    """
    place, expected = _find(Path(folder))
    content = _read(place / ARTIFACT)
    if expected is not None and _sha256(content) != expected:
        raise ConfigError(f"{place}: is not the model of this run (its checksum in {RESULT} is another); run it again")
    try:
        header = _Header.model_validate_json(content)
        for name in (ARRAYS, STRUCTURE):
            if name not in header.sha256:
                raise ValueError(f"no checksum of {name}")
        files = {
            name: _checked(place / name, checksum)
            for name, checksum in header.sha256.items()
            if name != ARRAYS  # model.json has its checksum, which load_model compares
        }
        if json.loads(files[STRUCTURE]).get("sha256") != header.sha256[ARRAYS]:
            raise ValueError(f"{STRUCTURE} belongs to other arrays")
        vocabulary = _vocabulary(header.vocabulary, files)
    except (ValidationError, ValueError, LookupError, TypeError, AttributeError, pa.ArrowException) as error:
        raise ConfigError(f"{place / ARTIFACT}: cannot be read ({_reason(error)}); save the model again") from error
    model = load_model(place)
    _check(model, vocabulary, place)
    return Artifact(model, vocabulary, tuple(header.holds), header.index_from, read_feedback(place))


def place_of(folder: Path | str) -> Path:
    """The folder of the model itself: of a run, the one below it.

    Raises:
        ConfigError: as `load`.
    """
    return _find(Path(folder))[0]


def _find(folder: Path) -> tuple[Path, str | None]:
    """The folder of the artifact, and the checksum that the run's result has for it."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such run folder, nor one of a saved model; `gnnrec run CONFIG` writes one")
    if (folder / RESULT).is_file():
        try:
            expected = json.loads(_read(folder / RESULT))["checksums"].get(MODEL)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ConfigError(f"{folder / RESULT}: cannot be read ({_reason(error)}); run the config again") from error
        if not (folder / MODEL / ARTIFACT).is_file():
            raise ConfigError(
                f"{folder / MODEL / ARTIFACT}: no such file; run the config again with another --out (a run of an "
                "older version has no model that stands on its own)"
            )
        return folder / MODEL, "" if expected is None else expected
    if (folder / ARTIFACT).is_file():
        return folder, None
    below = next(iter(sorted(folder.glob(f"**/{RESULT}"))), None)
    if below is not None:
        raise ConfigError(f"{folder}: holds runs and is none itself; name one of them, for example {below.parent}")
    raise ConfigError(
        f"{folder}: there is no saved model (no {ARTIFACT}), and no run, or one that is not finished (no {RESULT}); "
        "run its config again to finish it"
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); save the model again") from error


def _checked(path: Path, checksum: str) -> bytes:
    if path.name not in (STRUCTURE, ARRAYS) and not path.name.endswith(".parquet"):
        raise ValueError(f"{path.name} is no file of an artifact")
    content = _read(path)
    if _sha256(content) != checksum:
        raise ValueError(f"{path.name} is not the file that it was written with")
    return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return shorten(f"{type(error).__name__}: {error}", 300)


def options_of(model: Any) -> dict[str, Any]:
    """The arguments of the constructor, for people to read."""
    if hasattr(model, "options"):
        return dict(model.options)
    names = [name for name in inspect.signature(type(model)).parameters if hasattr(model, name)]
    found: dict[str, Any] = json.loads(json.dumps({name: getattr(model, name) for name in names}, default=_plain))
    return found


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


def _keeps_interactions(packed: Any) -> bool:
    """Whether an object of the saved model is of a class that says so (`keeps_interactions = True`)."""
    if isinstance(packed, list):
        return any(_keeps_interactions(one) for one in packed)
    if not isinstance(packed, Mapping):
        return False
    if packed.get(TYPE) == "object" and getattr(resolve(packed["class"], REGISTRY), "keeps_interactions", False):
        return True
    return any(_keeps_interactions(one) for one in packed.values())


def _words(vocabulary: Vocabulary) -> _Words:
    return _Words(
        nodes=tuple(
            _Nodes(type=t, count=len(ids), file=f"nodes-{place}.parquet")
            for place, (t, ids) in enumerate(vocabulary.ids.items())
        ),
        relations=tuple(
            _Relation(name=name, target=target, weighted=weighted)
            for (_, name, target), weighted in vocabulary.relations.items()
        ),
        bounds=dict(vocabulary.bounds),
        titles=bool(vocabulary.titles),
        mean_value=vocabulary.mean_value,
        min_value=vocabulary.min_value,
        separators=dict(vocabulary.separators),
        columns=asdict(vocabulary.columns),
        users_form=vocabulary.users_form,
        history_form=vocabulary.history_form,
        missing=vocabulary.missing,
        repeated=vocabulary.repeated,
        features=vocabulary.features,
        last_time=vocabulary.last_time,
        kinds=_Kinds(**asdict(vocabulary.kinds)),
        of_items=tuple(
            _OfItems(name=name, target=target, file=f"edges-{place}.parquet")
            for place, (_, name, target) in enumerate(vocabulary.of_items)
        ),
        item_bounds=dict(vocabulary.item_bounds),
    )


def _tables(vocabulary: Vocabulary) -> Iterator[tuple[str, bytes]]:
    """The file of each node type, with one row per node, and of each relation from items, with one per edge."""
    for nodes in _words(vocabulary).nodes:
        columns: dict[str, Any] = {"id": vocabulary.ids[nodes.type]}
        if nodes.type != USER:
            columns["seen"] = vocabulary.seen[nodes.type].numpy()
        if nodes.type == ITEM:
            columns["candidate"] = vocabulary.candidates.numpy()
            if vocabulary.popularity is not None:
                columns["count"] = vocabulary.popularity.numpy()
            if vocabulary.titles:
                columns["title"] = list(vocabulary.titles)
        content = io.BytesIO()
        try:
            pd.DataFrame(columns).to_parquet(content, index=False)
        except (pa.ArrowException, TypeError) as error:
            some = list(vocabulary.ids[nodes.type][:3])
            raise ConfigError(f"ids of {nodes.type}: must be all text or all whole numbers, got {some} ...") from error
        yield nodes.file, content.getvalue()
    for relation, edge in zip(_words(vocabulary).of_items, vocabulary.of_items.values(), strict=True):
        content = io.BytesIO()
        pd.DataFrame({"item": edge[0].numpy(), "value": edge[1].numpy()}).to_parquet(content, index=False)
        yield relation.file, content.getvalue()


def _vocabulary(words: _Words, files: Mapping[str, bytes]) -> Vocabulary:
    frames = {nodes.type: pd.read_parquet(io.BytesIO(files[nodes.file])) for nodes in words.nodes}
    for nodes in words.nodes:
        if len(frames[nodes.type]) != nodes.count:
            raise ValueError(f"{nodes.file} has {len(frames[nodes.type])} rows instead of {nodes.count}")
    missing = {ITEM, *(one.target for one in words.relations), *(one.target for one in words.of_items)} - set(frames)
    if missing:
        raise ValueError(f"no ids of {', '.join(sorted(missing))}")
    ids = {t: pd.Index(frame["id"]).rename(None) for t, frame in frames.items()}
    for t, known in ids.items():
        if not known.is_unique:
            raise ValueError(f"an id of {t} is repeated")
    items = frames[ITEM]
    return Vocabulary(
        ids=ids,
        seen={t: _mask(frame["seen"]) for t, frame in frames.items() if t != USER},
        relations={(USER, one.name, one.target): one.weighted for one in words.relations},
        bounds=words.bounds,
        candidates=_mask(items["candidate"]),
        titles=tuple(items["title"]) if words.titles else (),
        mean_value=words.mean_value,
        min_value=words.min_value,
        separators=words.separators,
        columns=Columns(**words.columns),
        users_form=words.users_form,
        history_form=words.history_form,
        missing=words.missing,
        repeated=words.repeated,
        features=words.features,
        last_time=words.last_time,
        kinds=Kinds(**dict(words.kinds)),
        popularity=torch.from_numpy(items["count"].to_numpy(np.int64, copy=True)) if "count" in items else None,
        of_items={(ITEM, one.name, one.target): _edges(one, files, ids) for one in words.of_items},
        item_bounds=words.item_bounds,
    )


def _edges(relation: _OfItems, files: Mapping[str, bytes], ids: Mapping[str, pd.Index]) -> torch.Tensor:
    frame = pd.read_parquet(io.BytesIO(files[relation.file]))
    edge = torch.from_numpy(frame[["item", "value"]].to_numpy(np.int64, copy=True)).T.contiguous()
    for end, node_type in zip(edge, (ITEM, relation.target), strict=True):
        if len(end) and not (int(end.min()) >= 0 and int(end.max()) < len(ids[node_type])):
            raise ValueError(f"{relation.file} has an edge to no {node_type}")
    return edge


def _mask(column: "pd.Series") -> torch.Tensor:
    if column.dtype != bool:
        raise ValueError(f"{column.name} holds {column.dtype} instead of truth values")
    return torch.from_numpy(column.to_numpy(bool, copy=True))


def _check(model: Any, vocabulary: Vocabulary, place: Path) -> None:
    """A model that does not score users of this vocabulary is refused when it is loaded, not when it is asked."""
    try:
        with torch.no_grad():
            score = model.score(_extremes(vocabulary))
        wrong = (
            f"scores have the shape {list(score.shape)} instead of {[2, vocabulary.num_items]}"
            if score.shape != (2, vocabulary.num_items)
            else ""
            if score.isfinite().all()
            else "scores are not finite"
        )
    except Exception as error:  # arrays that do not fit may raise anything
        wrong = _reason(error)
    if wrong:
        raise ConfigError(f"{place}: the saved model does not fit its vocabulary ({wrong}); save the model again")


def _extremes(vocabulary: Vocabulary) -> UserBatch:
    """A user with an edge to the first and the last node of each type, and one of whom nothing is known."""

    def ends(count: int) -> torch.Tensor:
        return torch.from_numpy(np.unique([0, count - 1]) if count else np.empty(0, np.int64))

    nodes = {t: ends(len(vocabulary.ids[t[2]])) for t in vocabulary.relations}
    relations = {t: vocabulary.edges(t, torch.zeros_like(node), node) for t, node in nodes.items()}
    item = ends(vocabulary.num_items)
    weight = None if vocabulary.mean_value is None else torch.ones(len(item))
    features = tuple(one.nobody(2) for one in vocabulary.features)
    return batch(2, Edges(torch.zeros_like(item), item, weight), relations, features)
