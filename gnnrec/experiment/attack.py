"""Membership inference against a config's model: can those be told apart whose histories it was fitted on?"""

import io
import json
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gnnrec.audit.training import audit
from gnnrec.errors import ConfigError
from gnnrec.evaluation.membership import AttackQuality, attack_quality, history_statistic, lira
from gnnrec.experiment.config import NamedConfig
from gnnrec.experiment.results import config_checksum
from gnnrec.experiment.run import audited_fit, choosing_users, load_split
from gnnrec.options.resolve import changed_options
from gnnrec.runtime import seeds
from gnnrec.runtime.devices import Placement, place
from gnnrec.runtime.files import claimed, replace_file, writing_to
from gnnrec.runtime.threads import threads_for
from gnnrec.runtime.versions import versions
from gnnrec.splits.split import Split
from gnnrec.training.tracking import Tracker
from gnnrec.views import USER, TrainingData, UserBatch

ATTACK, PER_USER, CHOSEN, IDENTITY = "attack.json", "per_user.parquet", "chosen.json", "attack.id"
FEWEST = 4
"""Shadow models, at least: each is attacked with the help of the others, which must have a user and not have it."""
FEWEST_USERS = 20
"""Users with a history, at least."""


@dataclass(frozen=True)
class Attacked:
    """What an attack found.

    Attributes:
        quality: statistic -> attack -> how well it told members from others. Statistics are `log_probability`, of
            models whose scores are logarithms, and `rank`, of all. Attacks are `threshold`, one threshold of the
            statistic for all users, `lira_offline` and `lira_online`.
        per_user: a row for each user: its number of items, how many users have the rarest of these, the numbers of
            shadow models with and without the user, the mean of the first statistic over both, and the mean score of
            `lira_online` by it over both; missing where there is no such model.
        facts: what else attack.json holds.
    """

    quality: Mapping[str, Mapping[str, AttackQuality]]
    per_user: pd.DataFrame
    facts: Mapping[str, Any]

    @property
    def plain(self) -> dict[str, Any]:
        """The content of attack.json."""
        attacks = {name: {k: asdict(v) for k, v in one.items()} for name, one in self.quality.items()}
        return {**self.facts, "attacks": attacks}


def attack(
    config: NamedConfig, folder: Path, shadows: int = 16, *, report: Callable[[str], object] = lambda line: None
) -> Attacked:
    """Fits shadow models on random halves of the training users, and attacks each with the help of the others.

    The population is `split.train`; validation and test users are in no shadow model. A user is in each shadow model
    with probability one half, by a coin of its own for each pair, so that nothing but the model tells of the coin. The
    attacker knows a user's attributes (friends are known where they are in the same half) and its items, and asks the
    model for the scores of one who has these attributes and no history, over all items of the population.

    Options that are chosen on validation users are chosen once, on the whole population; each shadow model is fitted
    with these to the letter, for as many epochs. A shadow model that is finished is not fitted again when the same call
    is repeated, nor when more of them are asked for.

    Source: Carlini et al., "Membership Inference Attacks From First Principles", IEEE S&P 2022 (LiRA); Yeom,
        Giacomelli, Fredrikson, Jha, "Privacy Risk in Machine Learning", CSF 2018 (threshold). Differs: the loss is that
        of a user's whole history, and the threshold is one of the statistic, the negative loss.

    Args:
        config: of any model.
        folder: of the attack; made if it is not there.
        shadows: number of shadow models, at least 4.
        report: told a line after each shadow model.

    Raises:
        ConfigError: too few shadow models or users, or the folder holds an attack on another config.
    """
    if shadows < FEWEST:
        raise ConfigError(f"--shadows: must be at least {FEWEST}, got {shadows}; 16 tell something, 64 more")
    started, seed = time.perf_counter(), config.config.seed
    placement = place(config.config.trainer.device, config.config.trainer.precision)
    with claimed(folder):
        split = load_split(config)
        audit(split, split.train)
        people = np.flatnonzero(np.bincount(split.train.users.items.row.numpy(), minlength=split.train.num_users))
        if len(people) < FEWEST_USERS:
            raise ConfigError(
                f"{config.name}: {len(people)} training users have a history; an attack needs at least {FEWEST_USERS}"
            )
        there = versions(placement)
        known = (str(there.get(name)) for name in ("gnnrec", "torch", "device"))
        about = config_checksum(config.config.model_dump(mode="json")), split.checksum, split.dataset.checksum, *known
        _same(folder, " ".join(about))
        if not config.model().supports_cold_users:
            warnings.warn(
                f"{config.name}: gives all users without items the same scores; measured is what these give away",
                stacklevel=2,
            )
        with threads_for(split.dataset.num_items):
            chosen = _chosen(config, split, folder, placement)
            parts = []
            for number in range(shadows):
                path = folder / "shadows" / f"{number:03}.parquet"
                if not path.is_file():
                    began = time.perf_counter()
                    _write(path, _shadow(config, split.train, chosen, number, placement))
                    seconds = time.perf_counter() - began
                    report(f"{config.name} seed {seed}: shadow model {number + 1} of {shadows}, {seconds:.1f} s")
                parts.append(pd.read_parquet(path))
        member = np.stack([part["member"].to_numpy() for part in parts])[:, people]
        statistics = {
            name: np.stack([part[name].to_numpy() for part in parts])[:, people]
            for name in parts[0].columns
            if name != "member"
        }
        first = next(iter(statistics.values()))
        found = Attacked(
            {name: _measured(statistic, member, seed) for name, statistic in statistics.items()},
            _per_user(split, people, first, member, lira(first, member)),
            {
                "config": config.config.model_dump(mode="json"),
                "name": config.name,
                "seed": seed,
                "shadows": shadows,
                "users": len(people),
                "users_without_items": split.train.num_users - len(people),
                "chosen": chosen,
                "checksums": {"data": split.dataset.checksum, "split": split.checksum},
                "seconds": round(time.perf_counter() - started, 1),
                "versions": there,
            },
        )
        _write(folder / PER_USER, found.per_user)
        with writing_to(folder):
            replace_file(folder / ATTACK, (json.dumps(found.plain, indent=1) + "\n").encode())
    return found


def _measured(statistic: np.ndarray, member: np.ndarray, seed: int) -> dict[str, AttackQuality]:
    scores = {
        "threshold": statistic,
        "lira_offline": lira(statistic, member, online=False),
        "lira_online": lira(statistic, member),
    }
    return {name: attack_quality(score, member, seed=seed) for name, score in scores.items()}


def _chosen(config: NamedConfig, split: Split, folder: Path, placement: Placement) -> dict[str, Any]:
    """Dotted option -> what was chosen on the validation users, by a model of the whole population; kept in a file."""
    path = folder / CHOSEN
    if path.is_file():
        kept: dict[str, Any] = json.loads(path.read_text())
        return kept
    model, chosen = config.model(), {}
    if getattr(model, "chooses_on_validation", False):
        users = choosing_users(split, config.config.evaluate)
        audited_fit(model, split, split.train, users, Tracker(), config.config.seed, placement)
        chosen = changed_options(config.options, model.best_params)
    with writing_to(folder):
        replace_file(path, json.dumps(chosen).encode())
    return chosen


def _shadow(
    config: NamedConfig, train: TrainingData, chosen: Mapping[str, Any], number: int, placement: Placement
) -> pd.DataFrame:
    """Fits one shadow model; of each user of the population, whether it was in, and each statistic."""
    seed = config.config.seed
    member = torch.rand(train.num_users, generator=seeds.generator(seed, f"attack {number}")) < 0.5
    part, _ = train.hold_out((~member).nonzero().flatten())
    model = config.model(chosen)
    if hasattr(model, "placement"):
        model.placement = placement
    model.fit(part, None, seeds.integer(seed, f"shadow model {number}") % 2**32)
    users = known_by_attributes(train, part, member)
    values: dict[str, list[Tensor]] = {"log_probability": [], "rank": []}
    if not getattr(model, "log_scores", False):
        del values["log_probability"]
    for rows in torch.arange(len(users)).split(config.config.evaluate.batch_size):
        scores, history = model.score(users.take(rows)), train.users.take(rows).items
        for name, found in values.items():
            log_scores = name == "log_probability"
            found.append(history_statistic(scores, train.candidates, history, log_scores=log_scores))
    columns = {name: torch.cat(found).numpy() for name, found in values.items()}
    return pd.DataFrame({"member": member.numpy(), **columns})


def known_by_attributes(train: TrainingData, part: TrainingData, kept: Tensor) -> UserBatch:
    """All users of `train` as new users to a model that was fitted on some of them: no items, no events.

    Args:
        train: the population.
        part: `train` without the users who are not kept.
        kept: [U] bool.

    Returns:
        Queries with the edges that `part` knows the other end of: members and others are asked for alike.
    """
    place = kept.cumsum(0) - 1
    users, relations = train.users.without_events(), {}
    for edge_type, edges in users.relations.items():
        if edge_type[2] == USER:
            edges = replace(edges.take(kept[edges.node]), node=place[edges.node[kept[edges.node]]])
        relations[edge_type] = edges.take(part.usable[edge_type[2]][edges.node])
    nothing = users.items.take(torch.empty(0, dtype=torch.int64))
    return replace(users, items=nothing, relations=relations)


def _per_user(
    split: Split, people: np.ndarray, statistic: np.ndarray, member: np.ndarray, score: np.ndarray
) -> pd.DataFrame:
    edges, popularity = split.train.users.items, split.train.popularity.numpy()
    items = np.bincount(edges.row.numpy(), minlength=split.train.num_users)
    rarest = np.full(split.train.num_users, np.inf)
    np.minimum.at(rarest, edges.row.numpy(), popularity[edges.node.numpy()])

    def mean(values: np.ndarray, among: np.ndarray) -> np.ndarray:
        there = among & ~np.isnan(values)
        count = there.sum(0)
        total = np.where(there, values, 0.0).sum(0)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    return pd.DataFrame(
        {
            "user": split.dataset.ids[USER][split.train.users.index.numpy()[people]],
            "items": items[people],
            "rarest": rarest[people].astype(np.int64),
            "models_with": member.sum(0),
            "models_without": (~member).sum(0),
            "statistic_with": mean(statistic, member),
            "statistic_without": mean(statistic, ~member),
            "lira_with": mean(score, member),
            "lira_without": mean(score, ~member),
        }
    )


def _same(folder: Path, identity: str) -> None:
    mark = folder / IDENTITY
    if mark.is_file() and mark.read_text() != identity:
        raise ConfigError(
            f"{folder}: holds an attack on another config or on other data, or of another version; choose another --out"
        )
    with writing_to(folder):
        replace_file(mark, identity.encode())


def _write(path: Path, frame: pd.DataFrame) -> None:
    content = io.BytesIO()
    frame.to_parquet(content, index=False)
    with writing_to(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content.getvalue())
