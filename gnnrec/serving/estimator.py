"""A recommender on data frames, in the manner of scikit-learn: fit, recommend, embed, score, save, load."""

import inspect
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import BaseModel, ValidationError

from gnnrec.data import table
from gnnrec.data.config import TableData
from gnnrec.data.dataset import Dataset
from gnnrec.data.frames import frame_rows, from_frames
from gnnrec.errors import ConfigError, DataError, InputError
from gnnrec.models.saving import REGISTRY
from gnnrec.options.messages import one_line
from gnnrec.options.resolve import build, complete_options, resolve
from gnnrec.reranking.around import Around
from gnnrec.runtime import seeds
from gnnrec.runtime.devices import DeviceName, place
from gnnrec.runtime.threads import threads_for
from gnnrec.serving import artifact
from gnnrec.serving.artifact import Artifact, released
from gnnrec.serving.encode import Notes, encode_frame
from gnnrec.serving.feedback import FOLDER, unknown_items
from gnnrec.serving.frames import (
    Attributes,
    Frame,
    as_pandas,
    described,
    events_of,
    id_texts,
    known_events,
    like,
    own_ids,
)
from gnnrec.serving.lists import best, serve
from gnnrec.serving.vocabulary import Vocabulary, places
from gnnrec.splits.split import training_data
from gnnrec.views import ITEM, USER, TrainingData, UserBatch

VALIDATION, MOST_VALIDATION = 0.1, 2000
"""Share of the users that options are chosen on, and their largest number."""
USERS_AT_ONCE = 1024


class Recommender:
    """A model that is fitted on data frames and recommends to users whom it has never seen.

    Args:
        model: name of a class of `gnnrec.models`, such as GraphSAGE, Blend, ALS or Popularity, or a class.
        seed: source of every random number: same frames, options and seed, same model.
        device: where a graph model trains; `auto` takes a GPU where there is one.
        options: of the model's constructor. An option of one of its parts goes by its own name where only one part has
            it (`channels=64` is `encoder={"channels": 64}`), and else behind the part's (`finetune__epochs=20`). And
            what stands around the model, as in a config: `rerank={"method": "mmr"}`, `erase={"attribute": "gender"}`.

    Attributes:
        artifact: the fitted model with its vocabulary, after `fit` or `load`.

    Example:
        rec = Recommender("GraphSAGE", channels=64).fit(ratings, users=users, user="user_id", item="item_id")
        rec.recommend(new_users, k=10, history=clicks)
    """

    def __init__(
        self, model: str | type = "GraphSAGE", *, seed: int = 0, device: DeviceName = "auto", **options: Any
    ) -> None:
        self.model = model
        self.seed = seed
        self.device: DeviceName = device
        self._options = options
        self.artifact: Artifact | None = None
        self._learned: _Learned | None = None
        self._complete()

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments of the constructor, as scikit-learn wants them."""
        return {"model": self.model, "seed": self.seed, "device": self.device, **self._options}

    def set_params(self, **params: Any) -> "Recommender":
        """Changes arguments of the constructor; what was fitted stays until the next `fit`.

        Raises:
            ConfigError: the model has no such option, or the value does not fit.
        """
        own = {name: params.pop(name) for name in ("model", "seed", "device") if name in params}
        changed = Recommender(**dict(self.get_params(), **own, **params))
        self.model, self.seed, self.device, self._options = (
            changed.model,
            changed.seed,
            changed.device,
            changed._options,
        )
        return self

    def __repr__(self) -> str:
        name = self.model if isinstance(self.model, str) else self.model.__name__
        given = {
            key: value
            for key, value in self.get_params().items()
            if (key, value) not in (("seed", 0), ("device", "auto"))
        }
        others = "".join(f", {key}={value!r}" for key, value in given.items() if key != "model")
        return f"{type(self).__name__}({name!r}{others})"

    def fit(
        self,
        interactions: Frame,
        *,
        users: Frame | None = None,
        items: Frame | None = None,
        user: str = "user_id",
        item: str = "item_id",
        value: str | None = None,
        time: str | None = None,
        event: str | None = None,
        events: Mapping[str, float] | None = None,
        target: str | None = None,
        title: str | None = None,
        min_value: float | None = None,
        user_attributes: Attributes | None = None,
        item_attributes: Attributes | None = None,
        relations: Sequence[Mapping[str, Any]] = (),
    ) -> "Recommender":
        """Fits the model; where it has options to choose, first on all but a tenth of the users, and then on all.

        Args:
            interactions: one row for each user and item.
            users: one row for each user; its columns describe users.
            items: one row for each item; its columns describe items.
            user: column of user ids, in `interactions` and `users`.
            item: column of item ids, in `interactions` and `items`.
            value: column of numbers, such as ratings; None where an interaction has none.
            time: column of times; the latest of several interactions of a user with an item counts.
            event: column of the kind of each row, such as view or purchase; None where all are of one kind.
            events: kind -> its weight, below 0 where it counts against the item: `{"view": 1, "purchase": 5}`.
            target: the kind that is predicted; None for the one with the largest weight.
            title: column of `items`, for output only.
            min_value: interactions with a smaller value are left out; None keeps all.
            user_attributes: columns of `users` to use, or column -> options as in a config (`{"age": {"bins": 8}}`,
                `{"tags": {"split": "|"}}`); None takes all. A column without options that holds lists has several
                values, and one of more than 20 distinct numbers is cut into 10 bins.
            item_attributes: as `user_attributes`, of `items`.
            relations: further edges, each as in a config (name, source, target, weight) with `frame` for `path`.

        Returns:
            Itself.

        Raises:
            DataError: a row cannot be read; the message names frame, row and column.
            ConfigError: a column is missing, or an option does not fit.
        """
        frames = {"interactions": as_pandas(interactions)}
        config: dict[str, Any] = {"interactions": {"path": "interactions", "user": user, "item": item}}
        config["interactions"] |= {"value": value, "time": time, "event": event, "target": target}
        config["interactions"]["events"] = None if events is None else dict(events)
        for name, frame, column, wanted in (
            ("users", users, user, user_attributes),
            ("items", items, item, item_attributes),
        ):
            if frame is not None:
                plain, attributes = described(as_pandas(frame), name, {column, title}, wanted)
                frames[name] = plain
                config[name] = {"path": name, "id": column, "attributes": attributes}
        if items is not None and title is not None:
            config["items"]["title"] = title
        if min_value is not None:
            config["positive"] = {"min_value": min_value}
        config["relations"] = []
        for number, relation in enumerate(relations):
            frames[f"relations[{number}]"] = as_pandas(relation["frame"])
            own = {key: one for key, one in relation.items() if key != "frame"}
            config["relations"].append({**own, "path": f"relations[{number}]"})
        dataset = from_frames(frames, **config)
        checked = TableData.model_validate({"source": "table", **config})
        full = self._fit(dataset, checked)
        learned = _Learned(frames, config, full.bounds)
        self.artifact = _with_item_ids(self._fitted(), learned.item_columns)
        self._learned = learned if hasattr(self.artifact.model, "update") else None  # others need the frames no more
        return self

    def _fit(self, dataset: Dataset, config: TableData) -> TrainingData:
        everyone = torch.arange(dataset.num_users)
        full = training_data(dataset, everyone, torch.ones(len(dataset.interactions), dtype=torch.bool))
        cls, options = self._complete()

        def made(best_params: Mapping[str, Any]) -> Any:
            around = self._around(best_params)
            model = around.put(build(cls, {**options, **{k: v for k, v in best_params.items() if k != "rerank"}}))
            if hasattr(model, "placement"):
                model.placement = place(self.device)
            return model

        with threads_for(full.num_items):
            model = made({})
            if getattr(model, "chooses_on_validation", False):
                train, validation = full.hold_out(_validation_rows(full, self.seed))
                model.fit(train, validation, self.seed)
                model = made(model.best_params)
            model.fit(full, None, self.seed)
        self.artifact = Artifact(model, released(model, Vocabulary.of(full, dataset.ids[USER], config)))
        return full

    def recommend(
        self,
        users: Frame | Mapping[str, Any],
        k: int = 10,
        *,
        history: Frame | None = None,
        exclude: Collection[Any] | None = None,
        only: Collection[Any] | None = None,
        at: int | str | datetime | None = None,
    ) -> Frame:
        """The best items for new users, those of their history left out.

        Args:
            users: one row for each user, with the columns that the model was fitted on; ids are optional, and an
                attribute or a column may be missing. Or one user as a mapping.
            k: length of the lists.
            history: known interactions of these users, with the columns of the interactions that were fitted on.
            exclude: ids of items that are in no list.
            only: ids of items that lists are chosen from.
            at: the moment of the request, a number in the data's unit of time or a date; None for now. An interaction
                of after it is refused.

        Returns:
            A frame of the users' kind: user, item, rank (from 1), score, and title where items have one. Ids have the
            types that they came with.

        Raises:
            InputError: the model is not fitted, or scores by known items alone and no user has any.
        """
        fitted = self._fitted()
        vocabulary = fitted.vocabulary
        frame, ids = self._users(users)
        masks = {name: self._mask(given, name) for name, given in (("only", only), ("exclude", exclude))}
        served = serve(fitted, masks["only"], masks["exclude"])
        if not fitted.model.supports_cold_users and history is None and not len(fitted.feedback):
            name = type(fitted.model).__name__
            raise InputError(f"recommend: {name} cannot score users without known items; give history=")
        none = np.empty(0, np.int64)
        row, item, rank, score = [none], [none], [none], [np.empty(0, np.float32)]
        for start, batch in self._batches(frame, ids, history, at):
            lists = best(served, batch, k)
            listed = lists.score > -torch.inf
            if not fitted.model.supports_cold_users:
                listed[torch.bincount(batch.items.row, minlength=len(batch)) == 0] = False
            of, place_ = listed.nonzero(as_tuple=True)
            row.append(of.numpy() + start)
            item.append(lists.item[of, place_].numpy())
            rank.append(place_.numpy() + 1)
            score.append(lists.score[of, place_].numpy())
        chosen = np.concatenate(item)
        columns = {
            self._column(USER): ids[np.concatenate(row)],
            self._column(ITEM): vocabulary.ids[ITEM][chosen],
            "rank": np.concatenate(rank),
            "score": np.concatenate(score),
        }
        if vocabulary.titles:
            columns["title"] = np.array(vocabulary.titles, dtype=object)[chosen]
        return like(users, pd.DataFrame(columns))

    def embed(
        self,
        users: Frame | Mapping[str, Any],
        *,
        history: Frame | None = None,
        at: int | str | datetime | None = None,
    ) -> Frame:
        """The vectors of new users: a frame with a column of ids and a column for each dimension, a row for each user.

        Raises:
            InputError: the model is not fitted, or has no vectors of users.
        """
        model: Any = self._fitted().model
        if not hasattr(model, "embed"):
            raise InputError(f"embed: {type(model).__name__} has no vectors of users; GraphSAGE has")
        return self._of_each(users, history, at, model.embed, lambda width: [f"v{d}" for d in range(width)])

    def score(
        self,
        users: Frame | Mapping[str, Any],
        *,
        history: Frame | None = None,
        at: int | str | datetime | None = None,
    ) -> Frame:
        """The scores of all items: a frame with a column of ids and one for each item, a row for each user.

        Raises:
            InputError: the model is not fitted.
        """
        fitted = self._fitted()
        return self._of_each(users, history, at, fitted.model.score, lambda width: list(fitted.vocabulary.ids[ITEM]))

    def update(
        self,
        interactions: Frame,
        *,
        at: int | str | datetime | None = None,
        steps: int = 0,
        users: Frame | None = None,
        items: Frame | None = None,
    ) -> "Recommender":
        """Records interactions of users: from now on they are among the known items of these users.

        Every model that looks at known items looks at these, and nothing is trained, unless `steps` asks for it. An
        interaction is known once, however often it is given: two are one if they have the same `event_id`, or, without
        such a column, the same user, item, time and value. Items that the model does not know are kept, and count
        nothing until it learns in steps.

        Args:
            interactions: as `history` of `recommend`; ids of users as they are in `users` there.
            at: the moment of the call; None for now. An interaction of after it is refused.
            steps: of training on all interactions recorded since the last ones, with a replay of the frames that the
                model was fitted on, see `GraphSAGE.update`; 0 for none.
            users: with `steps`, users who were in no frame, with the columns of `users` of `fit`.
            items: with `steps`, items that were in no frame.

        Returns:
            Itself.

        Raises:
            DataError: a row cannot be read, or is of after that moment; then nothing of the call is recorded.
            ConfigError: the model does not learn in steps.
            InputError: steps are asked of a model that was loaded.
        """
        fitted, learned = self._fitted(), self._learned
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
            raise InputError(f"update: steps must be a whole number of at least 0, got {steps!r}")
        if not steps and (users is not None or items is not None):
            raise InputError("update: users and items are for training: they need steps")
        if steps and not hasattr(fitted.model, "update"):
            raise ConfigError(f"update: {type(fitted.model).__name__} does not learn in steps; GraphSAGE does")
        if steps and learned is None:
            raise InputError(
                "update: the model was loaded, and the frames that it was fitted on are not there; fit it again, or "
                "use `gnnrec update --steps` on the folder of a run"
            )
        events = self._events(interactions, "interactions", at)
        fresh = fitted.feedback.add(events)
        if learned is not None:
            learned.add(as_pandas(interactions).iloc[fresh.index.to_numpy()])
        if steps and learned is not None:
            return self._learn(learned, steps, {"users": users, "items": items})
        unknown = unknown_items(fresh, fitted.vocabulary)
        if unknown:
            some = ", ".join(map(repr, unknown[:3]))
            warnings.warn(f"interactions: {len(unknown):,} items that the model does not know: {some}", stacklevel=2)
        return self

    def _learn(self, learned: "_Learned", steps: int, more: Mapping[str, Frame | None]) -> "Recommender":
        """Steps of training on what was recorded since the last ones; none where nothing was."""
        fitted = self._fitted()
        rows = learned.fresh()
        if not len(rows):
            return self
        learned = learned.joined(rows, more)
        dataset = from_frames(learned.frames, **learned.config)
        everyone = torch.arange(dataset.num_users)
        every = torch.ones(len(dataset.interactions), dtype=torch.bool)
        full = training_data(dataset, everyone, every, bounds=learned.bounds)
        user = learned.config["interactions"]["user"]
        new = dataset.ids[USER].isin(id_texts("interactions", rows[user]))
        model: Any = fitted.model
        model.update(full, fresh=torch.from_numpy(new), steps=steps, seed=self.seed + len(fitted.feedback))
        config = TableData.model_validate({"source": "table", **learned.config})
        vocabulary = Vocabulary.of(full, dataset.ids[USER], config)
        self.artifact = _with_item_ids(replace(fitted, vocabulary=vocabulary), learned.item_columns)
        self._learned = learned
        return self

    def _events(self, frame: Frame, where: str, at: int | str | datetime | None) -> pd.DataFrame:
        vocabulary = self._fitted().vocabulary
        return events_of(as_pandas(frame), vocabulary, self._column(USER), self._column(ITEM), where, at)

    def save(self, folder: Path | str) -> None:
        """Writes the fitted model, see `gnnrec.serving.artifact.save`; `gnnrec recommend` reads the folder, too.

        Item ids of several types in one column are written as text.
        """
        fitted = self._fitted()
        words = fitted.vocabulary
        if len(set(map(type, words.ids[ITEM]))) > 1:
            words = replace(words, ids={**words.ids, ITEM: words.texts[ITEM]})
        artifact.save(fitted.model, folder, words, index_from=fitted.index_from)
        if len(fitted.feedback) or (Path(folder) / FOLDER).is_dir():
            fitted.feedback.write(Path(folder))

    @classmethod
    def load(cls, folder: Path | str) -> "Recommender":
        """A fitted model from the folder of a run, or from one that `save` wrote; no training data is needed.

        Raises:
            ConfigError: there is no saved model, or it cannot be read.
        """
        found = artifact.load(folder)
        model, around = Around.of(found.model)
        loaded = cls(type(model), **artifact.options_of(model), **around.model_dump(mode="json", exclude_none=True))
        loaded.artifact = found
        return loaded

    def _around(self, best_params: Mapping[str, Any]) -> Around:
        """What stands around the model, checked."""
        given = {name: self._options.get(name) for name in Around.model_fields}
        try:
            return Around.model_validate(given | {k: v for k, v in best_params.items() if k == "rerank"})
        except ValidationError as error:
            raise ConfigError(one_line(error, "", Around)) from None

    def _complete(self) -> tuple[type, dict[str, Any]]:
        """The class of the model, and its options, checked."""
        self._around({})
        cls = resolve(self.model, REGISTRY) if isinstance(self.model, str) else self.model
        nested: dict[str, Any] = {}
        for name, value in self._options.items():
            if name in Around.model_fields:
                continue
            part, option = _part(cls, name)
            if part is None:
                nested[option] = value
            else:
                nested[part] = {**nested.get(part, {}), option: value}
        return cls, complete_options(cls, nested)

    def _fitted(self) -> Artifact:
        if self.artifact is None:
            raise InputError(f"{self!r} is not fitted; call fit(interactions, ...) first, or gnnrec.load(folder)")
        return self.artifact

    def _column(self, node_type: str) -> str:
        names = self._fitted().vocabulary.columns
        return (names.user or names.history_user or "user") if node_type == USER else (names.history_item or "item")

    def _users(self, users: Frame | Mapping[str, Any]) -> tuple[pd.DataFrame, pd.Index]:
        """The users' columns, and their ids: numbers from 0 where there are none."""
        if isinstance(users, Mapping):
            frame = pd.DataFrame({name: [value] for name, value in users.items()})
            frame = frame if len(frame) else pd.DataFrame(index=range(1))
        else:
            frame = as_pandas(users)
        column = self._column(USER)
        if column not in frame:
            return frame.reset_index(drop=True), pd.RangeIndex(len(frame))
        ids = pd.Index(frame[column])
        if ids.hasnans or not ids.is_unique:
            row = int(np.flatnonzero(ids.isna() | ids.duplicated())[0]) + 1
            raise DataError(f"users: row {row}: column {column!r}: the id is missing, or stands in an earlier row")
        return frame.drop(columns=column).reset_index(drop=True), ids

    def _batches(
        self, frame: pd.DataFrame, ids: pd.Index, history: Frame | None, at: int | str | datetime | None
    ) -> Iterator[tuple[int, UserBatch]]:
        """Some users at a time, each batch with the place of its first user."""
        vocabulary = self._fitted().vocabulary
        told = None if history is None else self._events(history, "history", at)
        known = known_events(vocabulary, self._fitted().feedback.sources(vocabulary), told, ids)
        notes = Notes(vocabulary)
        for start in range(0, len(frame), USERS_AT_ONCE):
            part = frame.iloc[start : start + USERS_AT_ONCE]
            of_part = known.part(start, start + len(part))
            yield start, encode_frame(vocabulary, part.reset_index(drop=True), of_part, notes)
        for line in notes.texts():
            warnings.warn(line, stacklevel=4)

    def _of_each(
        self,
        users: Frame | Mapping[str, Any],
        history: Frame | None,
        at: int | str | datetime | None,
        compute: Callable[[UserBatch], torch.Tensor],
        names: Callable[[int], list[Any]],
    ) -> Frame:
        """A row for each user: its id, and what is computed of it."""
        frame, ids = self._users(users)
        with torch.no_grad():
            found = [compute(batch).numpy() for _, batch in self._batches(frame, ids, history, at)]
        values = np.concatenate(found) if found else np.empty((0, 0), np.float32)
        made = pd.DataFrame(values, columns=names(values.shape[1]))
        made.insert(0, self._column(USER), ids)
        return like(users, made)

    def _mask(self, given: Collection[Any] | None, name: str) -> torch.Tensor | None:
        """[I] bool, the items of these ids."""
        if given is None:
            return None
        vocabulary = self._fitted().vocabulary
        found = places(vocabulary.texts[ITEM], id_texts(name, pd.Series(list(given), name="item", dtype=object)))
        if (found < 0).all():
            raise InputError(f"{name}: none of {len(found)} ids is an item that the model knows")
        mask = torch.zeros(vocabulary.num_items, dtype=torch.bool)
        mask[found[found >= 0]] = True
        return mask


class _Learned:
    """What a model was fitted on: frames, their config, bounds of bins; and rows that were recorded since.

    Args:
        frames: as `from_frames` takes them.
        config: of the frames.
        bounds: as `TrainingData` has them.
    """

    def __init__(
        self,
        frames: Mapping[str, pd.DataFrame],
        config: Mapping[str, Any],
        bounds: Mapping[tuple[str, str], tuple[float, ...]],
    ) -> None:
        self.frames = dict(frames)
        self.config = config
        self.bounds = bounds
        self._fresh: list[pd.DataFrame] = []

    @property
    def item_columns(self) -> list["pd.Series"]:
        """The columns of item ids."""
        column = self.config["interactions"]["item"]
        return [self.frames[name][column] for name in ("interactions", "items") if name in self.frames]

    def add(self, rows: pd.DataFrame) -> None:
        """Notes rows of interactions to learn from."""
        if len(rows):
            self._fresh.append(rows)

    def fresh(self) -> pd.DataFrame:
        """The rows that were noted since they were joined."""
        return pd.concat(self._fresh, ignore_index=True) if self._fresh else pd.DataFrame()

    def joined(self, rows: pd.DataFrame, more: Mapping[str, Frame | None]) -> "_Learned":
        """The same with rows behind the interactions, and users and items behind theirs, those of the rows among them.

        Raises:
            ConfigError: there are more users or items, but the model was fitted without a frame of them.
            DataError: they cannot be read.
        """
        own = self.config["interactions"]
        joined = {"interactions": pd.concat([self.frames["interactions"], rows], ignore_index=True)}
        for name, column in (("users", own["user"]), ("items", own["item"])):
            given = more[name]
            if name not in self.frames:
                if given is not None:
                    raise ConfigError(f"update: {name} are given, but the model was fitted without a frame of {name}")
                continue
            parts = [self.frames[name]]
            if given is not None:
                attributes = self.config[name]["attributes"]
                wanted = {one: attributes[one] for one in attributes if one in as_pandas(given)}
                frame = described(as_pandas(given), name, {column}, wanted)[0]
                _check_nodes(name, frame, {**self.config[name], "attributes": wanted})
                parts.append(frame)
            there = {one for part in parts for one in id_texts(name, part[column])}
            bare = rows[column][~pd.Index(id_texts("interactions", rows[column])).isin(list(there))]
            parts.append(pd.DataFrame({column: bare.drop_duplicates()}))
            whole = pd.concat(parts, ignore_index=True)
            joined[name] = whole[~pd.Index(id_texts(name, whole[column])).duplicated(keep="last")]
        return _Learned({**self.frames, **joined}, self.config, self.bounds)


def _check_nodes(name: str, frame: pd.DataFrame, described: Mapping[str, Any]) -> None:
    """Raises DataError where a frame of users or items cannot be read; the message names its row."""
    plain = {key: described[key] for key in ("path", "id", "attributes")}
    nowhere = {"path": "", "user": "", "item": ""}
    data = TableData.model_validate({"source": "table", "interactions": nowhere, name: plain})
    file = data.users if name == "users" else data.items
    assert file is not None
    table.check_nodes(USER if name == "users" else ITEM, file, lambda *_: frame_rows(name, frame), data)


def _with_item_ids(fitted: Artifact, columns: Sequence["pd.Series"]) -> Artifact:
    """The fitted model, whose items have the ids that stood in frames, in their type."""
    words = fitted.vocabulary
    return replace(fitted, vocabulary=replace(words, ids={**words.ids, ITEM: own_ids(words.ids[ITEM], columns)}))


def load(folder: Path | str) -> Recommender:
    """A fitted model from the folder of a run, or from one that `Recommender.save` wrote; see `Recommender.load`."""
    return Recommender.load(folder)


def _part(cls: type, name: str) -> tuple[str | None, str]:
    """The part of a constructor's options that an option belongs to, None for the constructor itself.

    Raises:
        ConfigError: several parts have an option of this name.
    """
    defaults = {key: one.default for key, one in inspect.signature(cls).parameters.items()}
    part, separated, option = name.partition("__")
    if separated:
        return part, option
    if name in defaults:
        return None, name
    having = [key for key, one in defaults.items() if isinstance(one, BaseModel) and name in type(one).model_fields]
    if len(having) > 1:
        shown = " or ".join(f"{key}__{name}" for key in having)
        raise ConfigError(f"{cls.__name__}: {name!r} is an option of {' and of '.join(having)}; write {shown}")
    return (having[0], name) if having else (None, name)


def _validation_rows(train: TrainingData, seed: int) -> torch.Tensor:
    """[B] int64, ascending: a tenth of the users with interactions, at least one and at most `MOST_VALIDATION`."""
    active = train.users.items.row.unique()
    number = min(MOST_VALIDATION, max(1, int(VALIDATION * len(active))))
    order = torch.randperm(len(active), generator=seeds.generator(seed, "validation users"))
    rows: torch.Tensor = active[order[:number]].sort().values
    return rows
