"""Replay: what comes after a moment, event by event in the order of time, each predicted before it is recorded."""

import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gnnrec.audit.moment import audit_before, audit_shown
from gnnrec.data.dataset import Dataset
from gnnrec.errors import ConfigError
from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
from gnnrec.experiment.config import NamedConfig, Policy
from gnnrec.experiment.results import config_checksum
from gnnrec.experiment.run import audited_fit, choosing_users, load_split
from gnnrec.graph.histories import Histories
from gnnrec.runtime import seeds
from gnnrec.runtime.devices import Placement, place
from gnnrec.runtime.files import claimed, replace_file, writing_to
from gnnrec.runtime.threads import threads_for
from gnnrec.splits.split import Split, training_data, users_of
from gnnrec.splits.temporal import first_seen, in_time_order
from gnnrec.training.tracking import Tracker, remove_checkpoints
from gnnrec.views import ITEM, USER, Edges, TestSet, TrainingData

SEEN = ((0, 0, "first"), (1, 1, "second"), (2, 4, "3rd to 5th"), (5, 9, "6th to 10th"), (10, 10**9, "later"))
"""Ranges of the number of events before one, and what they are called."""
ROW = ("policy", "window", "user", "seen", "newcomer")
"""Columns of a row besides its metrics."""
QUERIES = 2048
"""Events that are asked for at once."""
DRAWS = 1000
"""Of users, for intervals."""


@dataclass(frozen=True)
class Stream:
    """The events of a data set in the order of time, those after a moment in windows.

    Attributes:
        dataset: the data.
        seen_first: [U] int64, the time of each user's first event; the largest number for one without any.
        histories: all events, user after user, in the order of time.
        time: [E] int64, times of the events as they stand in `histories`.
        user: [E] int64, their users.
        ends: [W + 1] int64, the moment, and the ends of the windows; an end belongs to the next window.
        bounds: of numeric attributes, as training before the moment has them.
    """

    dataset: Dataset
    seen_first: Tensor
    histories: Histories
    time: Tensor
    user: Tensor
    ends: tuple[int, ...]
    bounds: Mapping[tuple[str, str], tuple[float, ...]]

    @staticmethod
    def of(split: Split, windows: int) -> "Stream":
        """Cuts what comes after the moment of a split by time.

        Raises:
            ConfigError: the split is not one by time.
        """
        if split.moments is None or split.dataset.interactions.time is None:
            raise ConfigError("split: replay needs a split by time; write split: {kind: temporal}")
        own = split.dataset.interactions
        edges = Edges(own.user, own.item, time=in_time_order(split.dataset).long())  # no two at one place
        histories = Histories.of(edges, split.dataset.num_users)
        when = split.dataset.interactions.time[histories.edge]
        first = first_seen(split.dataset, USER)
        after = when[when >= split.moments[1]].sort().values
        cuts = [int(after[len(after) * window // windows]) for window in range(1, windows)]
        ends = sorted({split.moments[1], *cuts, int(after[-1]) + 1})
        return Stream(split.dataset, first, histories, when, own.user[histories.edge], tuple(ends), split.full.bounds)

    def training(self, end: int) -> TrainingData:
        """All that may be learned from before a time."""
        own = self.dataset.interactions
        assert own.time is not None
        users = (self.seen_first < end).nonzero().flatten()
        items = first_seen(self.dataset, ITEM) < end
        order = in_time_order(self.dataset)
        train = training_data(self.dataset, users, own.time < end, items, order, self.bounds, end)
        audit_before(self.dataset, train, end)
        return train

    def fresh(self, train: TrainingData, start: int, end: int) -> Tensor:
        """[U] bool, the training users with an event in a window."""
        inside = self.user[(self.time >= start) & (self.time < end)]
        return torch.isin(train.users.index, inside)

    def window(self, number: int) -> Tensor:
        """[B] int64, the events of a window as they stand in `histories`."""
        start, end = self.ends[number : number + 2]
        return ((self.time >= start) & (self.time < end)).nonzero().flatten()

    def queries(self, events: Tensor, train: TrainingData, *, shown: bool) -> TestSet:
        """A query for each of B events: its user with all earlier events, asked for the event's item.

        Args:
            events: [B] int64.
            train: what the model was fitted on; friends are rows of it.
            shown: whether the model knows the earlier events; they are in no list in any case.
        """
        distinct, copy_of = self.user[events].unique(return_inverse=True)
        users = users_of(self.dataset, train, distinct).copies(copy_of)
        count = self.histories.place[events]  # ties are broken by the event, which stands for a user's index
        row = torch.arange(len(events)).repeat_interleave(count)
        at = torch.arange(len(row)) - (count.cumsum(0) - count)[row] + self.histories.pointer[self.user[events]][row]
        value = self.dataset.interactions.value
        weight = None if value is None else value[self.histories.edge]
        moment = self.dataset.interactions.time
        assert moment is not None
        users = users.before(moment[self.histories.edge[events]]) if shown else users.without_events()
        before = Edges(row, self.histories.item[at], None if weight is None else weight[at], at)
        truth = Edges(torch.arange(len(events)), self.histories.item[events])
        nothing = before.take(torch.empty(0, dtype=torch.int64))
        asked = replace(users, index=events, items=before if shown else nothing)
        test = TestSet(asked, truth, None if shown else before, next_item=True)
        audit_shown(self.dataset, self.user[events].numpy(), test)
        return test


@dataclass(frozen=True)
class Replayed:
    """What a replay found.

    Attributes:
        events: a row for each policy and event: policy, window, user, seen (earlier events of the user), newcomer
            (whether the user came after the moment), and the metrics; missing where the model cannot score the user.
        seconds: policy -> `update` and `score`, seconds for 1,000 events.
        summary: policy -> group of events -> metric -> mean and both ends of its 95 % interval over drawn users.
    """

    events: pd.DataFrame
    seconds: dict[str, dict[str, float]]
    summary: dict[str, dict[str, dict[str, tuple[float, float, float]]]]

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics."""
        return [str(name) for name in self.events if name not in ROW]


def replay(
    config: NamedConfig, folder: Path, *, progress: bool = False, advance: Callable[[str], object] = lambda what: None
) -> Replayed:
    """Fits on all before the moment, then predicts each event after it and records it.

    Options are chosen once, on validation users before the moment. A window that is finished is not asked for again
    when the same call is repeated; a policy's changes are made again, in the same order and with the same numbers.

    Args:
        config: with a split by time.
        folder: of the replay; made if it is not there.
        progress: whether to show progress bars of training.
        advance: called with a line about each window, once it is done.

    Raises:
        ConfigError: the split is not one by time, or the folder holds a replay of another config.
    """
    plain = config.config.model_dump(mode="json")
    identity = config_checksum({**plain, "replayed": plain["replay"]})
    placement = place(config.config.trainer.device, config.config.trainer.precision)
    with claimed(folder):
        split = load_split(config)
        stream = Stream.of(split, config.config.replay.windows)
        _same(folder, identity + split.checksum)
        policies = [p for p in config.config.replay.policies if p != "steps" or hasattr(config.model(), "update")]
        windows = len(stream.ends) - 1
        with threads_for(split.dataset.num_items):
            if any(_finished(folder, policy) < windows - 1 for policy in policies):
                with Tracker(folder, progress=progress, config=plain, name=config.name) as tracker:
                    tracker.identity = identity + split.checksum
                    model, train = _fitted(config, split, tracker, placement)
                for policy in sorted(policies, key=lambda one: one == "steps"):  # it changes the model
                    _replay(config, stream, policy, model, train, folder, placement, advance)
        found = collect(folder, policies, windows)
        with writing_to(folder):
            content = io.BytesIO()
            found.events.to_parquet(content, index=False)
            replace_file(folder / "events.parquet", content.getvalue())
            told = {"config": plain, "seconds": found.seconds, "summary": found.summary, "data": split.checksum}
            replace_file(folder / "replay.json", (json.dumps(told, indent=1) + "\n").encode())
            remove_checkpoints(folder)
    return found


def _fitted(config: NamedConfig, split: Split, tracker: Tracker, placement: Placement) -> tuple[Any, TrainingData]:
    """The model of before the moment, its options chosen on validation users, and what it was fitted on."""
    seed, model = config.config.seed, config.model()
    if getattr(model, "chooses_on_validation", False):
        tracker.prefix = "choose/"
        users = choosing_users(split, config.config.evaluate)
        audited_fit(model, split, split.train, users, tracker, seed, placement)
    tracker.prefix = "final/"
    final = config.model(model.best_params)
    audited_fit(final, split, split.full, None, tracker, seed, placement)
    final.best_params = model.best_params
    return final, split.full


def _replay(
    config: NamedConfig,
    stream: Stream,
    policy: Policy,
    model: Any,
    train: TrainingData,
    folder: Path,
    placement: Placement,
    advance: Callable[[str], object],
) -> None:
    """Predicts each event of each window, and changes the model as the policy says."""
    asked, settings, seed = config.config.evaluate, config.config.replay, config.config.seed
    last, best_params = _finished(folder, policy), model.best_params
    for window in range(len(stream.ends) - 1):
        if window > last:
            part, score_seconds = _asked(stream, policy, window, model, train, asked, seed)
        start, end = stream.ends[window : window + 2]
        seconds = 0.0
        changes = window + 2 < len(stream.ends) and policy in ("steps", "retrain")
        if changes and policy == "steps":
            began = time.perf_counter()
            train = stream.training(end)
            fresh = stream.fresh(train, start, end)
            how = {"steps": settings.steps, "learning_rate": settings.learning_rate}
            model.update(train, fresh=fresh, seed=seeds.integer(seed, f"window {window}"), **how)
            seconds = time.perf_counter() - began
        elif changes and (window + 1) % settings.retrain_every == 0 and window + 1 > last - settings.retrain_every:
            began = time.perf_counter()
            train = stream.training(end)
            model = config.model(best_params)
            if hasattr(model, "placement"):
                model.placement = placement
            model.fit(train, None, seed)
            seconds = time.perf_counter() - began
        if window > last:
            _write(folder, policy, window, part, {"score": score_seconds, "update": seconds})
            advance(f"{config.name} {policy}: window {window + 1} of {len(stream.ends) - 1}")


def _asked(
    stream: Stream,
    policy: Policy,
    window: int,
    model: Any,
    train: TrainingData,
    asked: EvaluateConfig,
    seed: int,
) -> tuple[pd.DataFrame, float]:
    """The rows of one window, and the seconds that it took to score them."""
    events = stream.window(window)
    measured = EvaluateConfig(metrics=asked.metrics, at=asked.at, batch_size=asked.batch_size)
    frame = pd.DataFrame(
        {
            "policy": policy,
            "window": window,
            "user": stream.dataset.ids[USER][stream.user[events].numpy()],
            "seen": stream.histories.place[events].numpy(),
            "newcomer": (stream.seen_first[stream.user[events]] >= stream.ends[0]).numpy(),
        }
    )
    values = {name: np.full(len(events), np.nan) for name in measured.plain_names}
    began = time.perf_counter()
    for part in torch.arange(len(events)).split(QUERIES):
        test = stream.queries(events[part], train, shown=policy != "frozen")
        if not model.supports_cold_users:
            known = torch.bincount(test.users.items.row, minlength=len(part)) > 0
            part, test = part[known], test.take(known.nonzero().flatten())
        if len(part):
            per_user = evaluate(model, test, train.candidates, measured, seed, train).per_user
            for name in set(values) & set(per_user):
                values[name][part.numpy()] = per_user[name].to_numpy()
    return frame.assign(**values), time.perf_counter() - began


def _same(folder: Path, identity: str) -> None:
    mark = folder / "replay.id"
    if mark.is_file() and mark.read_text() != identity:
        raise ConfigError(f"{folder}: holds a replay of another config, or of other data; choose another --out")
    with writing_to(folder):
        replace_file(mark, identity.encode())


def _part(folder: Path, policy: str, window: int) -> Path:
    return folder / "parts" / f"{policy}-{window}.parquet"


def _finished(folder: Path, policy: str) -> int:
    """The last of the windows, from the first one on, that are finished; -1 for none."""
    window = 0
    while _part(folder, policy, window).with_suffix(".json").is_file():
        window += 1
    return window - 1


def _write(folder: Path, policy: str, window: int, frame: pd.DataFrame, seconds: Mapping[str, float]) -> None:
    content, path = io.BytesIO(), _part(folder, policy, window)
    frame.to_parquet(content, index=False)
    with writing_to(folder):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content.getvalue())
        replace_file(path.with_suffix(".json"), json.dumps({"seconds": seconds, "events": len(frame)}).encode())


def collect(folder: Path, policies: Sequence[str], windows: int) -> Replayed:
    """The finished windows of some policies, together."""
    frames: list[pd.DataFrame] = []
    seconds: dict[str, dict[str, float]] = {}
    for policy in policies:
        paths = [_part(folder, policy, window) for window in range(windows)]
        frames += [pd.read_parquet(path) for path in paths]
        told = [json.loads(path.with_suffix(".json").read_text()) for path in paths]
        number = sum(one["events"] for one in told)
        total = {name: sum(one["seconds"][name] for one in told) for name in ("score", "update")}
        seconds[policy] = {name: 1000 * value / number for name, value in total.items()}
    events = pd.concat(frames, ignore_index=True)
    summary = {str(policy): _summary(part) for policy, part in events.groupby("policy", sort=False)}
    return Replayed(events, seconds, summary)


def _summary(events: pd.DataFrame) -> dict[str, dict[str, tuple[float, float, float]]]:
    metrics = [str(name) for name in events if name not in ROW]
    new = events[events["newcomer"]]
    groups = {name: new[new["seen"].between(low, high)] for low, high, name in SEEN}
    groups |= {"newcomers": new, "old users": events[~events["newcomer"]]}
    return {
        group: {name: mean_of_users(part["user"], part[name]) for name in metrics if part[name].notna().any()}
        for group, part in groups.items()
        if len(part)
    }


def mean_of_users(user: "pd.Series", value: "pd.Series") -> tuple[float, float, float]:
    """The mean over events, and the ends of its 95 % interval: users are drawn with all of their events.

    Source: Efron, Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.
    """
    known = value.notna()
    code, _ = pd.factorize(user[known])
    total, count = np.bincount(code, weights=value[known]), np.bincount(code)
    drawn = np.random.default_rng(0).integers(len(total), size=(DRAWS, len(total)))
    means = total[drawn].sum(1) / count[drawn].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(total.sum() / count.sum()), float(low), float(high)


def draw(found: Replayed, folder: Path) -> None:
    """Draws the quality of newcomers against their earlier events, and over time: `seen` and `time`, PDF and PNG."""
    from gnnrec.experiment.plots import curves, save

    metric = found.metrics[0]
    new = found.events[found.events["newcomer"] & found.events[metric].notna()]
    lows = [low for low, _, _ in SEEN]
    starts = np.array(lows)[np.digitize(new["seen"], lows) - 1]
    for name, column, label in (("seen", "starts", "events of the user so far, from"), ("time", "window", "window")):
        lines: dict[str, dict[float, tuple[float, float, float]]] = {}
        for policy, rows in new.assign(starts=starts).groupby("policy", sort=False):
            parts = rows.groupby(column)
            lines[str(policy)] = {float(str(x)): mean_of_users(part["user"], part[metric]) for x, part in parts}
        if lines:
            with writing_to(folder):
                save(curves(lines, label, metric), folder, name)
