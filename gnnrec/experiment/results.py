"""A run's folder: config.yaml, per_user.parquet and, last, result.json, which marks the run as finished."""

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict, ValidationError

from gnnrec.errors import ConfigError
from gnnrec.runtime.files import replace_file

CONFIG, PER_USER, RESULT = "config.yaml", "per_user.parquet", "result.json"
NOT_OF_THE_RUN = ("expected", "tracking", "tuning", "serve", "replay", "base")
"""Keys of a config that do not change what a run computes."""
LATER: Mapping[tuple[str, ...], Any] = {
    ("trainer", "devices"): 1,
    ("split", "labelled"): None,
    ("trainer", "device"): "auto",
    ("trainer", "precision"): 32,
    ("model", "finetune", "graph_users"): 16_384,
    ("model", "finetune", "most_steps"): 20,
    ("model", "finetune", "target"): "rest",
    ("model", "finetune", "half_life"): None,
    ("model", "finetune", "queries"): 1024,
    ("model", "item_attributes"): False,
    ("model", "components", "*", "item_attributes"): False,
    ("model", "encoder", "linear"): 0,
    ("model", "encoder", "linear_reads"): "histories",
    ("model", "encoder", "regression"): 0,
    ("model", "components", "*", "encoder", "regression"): 0,
    ("model", "encoder", "regression_shares"): None,
    ("model", "components", "*", "encoder", "regression_shares"): None,
    ("model", "components", "*", "encoder", "linear_reads"): "histories",
    ("model", "finetune", "shown"): "few",
    ("model", "components", "*", "finetune", "shown"): "few",
    ("model", "components", "*", "encoder", "linear"): 0,
    ("model", "finetune", "new_items"): 0.0,
    ("model", "components", "*", "finetune", "new_items"): 0.0,
    ("model", "decoder"): {"name": "Dot", "options": {}, "last": 50},
    ("model", "components", "*", "finetune", "target"): "rest",
    ("model", "components", "*", "finetune", "half_life"): None,
    ("model", "components", "*", "finetune", "queries"): 1024,
    ("model", "components", "*", "decoder"): {"name": "Dot", "options": {}, "last": 50},
    ("model", "pretrain", "task"): "links",
    ("model", "finetune", "choose_by"): "ndcg",
    ("model", "finetune", "standard_errors"): 0.0,
    ("model", "keep"): ["attributes", "items", "layers"],
    ("model", "freeze"): [],
    ("model", "match"): {"attributes": {}, "items": "title"},
    ("model", "zero_shot"): False,
    ("model", "components", "*", "pretrain", "task"): "links",
    ("model", "components", "*", "finetune", "choose_by"): "ndcg",
    ("model", "components", "*", "finetune", "balance"): None,
    ("model", "components", "*", "finetune", "balance_power"): 1.0,
    ("model", "finetune", "balance"): None,
    ("model", "finetune", "balance_power"): 1.0,
    ("model", "components", "*", "finetune", "standard_errors"): 0.0,
    ("model", "components", "*", "keep"): ["attributes", "items", "layers"],
    ("model", "components", "*", "freeze"): [],
    ("model", "components", "*", "match"): {"attributes": {}, "items": "title"},
    ("model", "components", "*", "zero_shot"): False,
    ("model", "events"): None,
    ("model", "components", "*", "events"): None,
    ("model", "predict"): "mean",
    ("model", "cut_points"): "choose",
    ("data", "positive", "below"): None,
    ("data", "values"): {},
    ("split", "unseen_values"): None,
    ("data", "interactions", "event"): None,
    ("data", "interactions", "events"): None,
    ("data", "interactions", "target"): None,
    ("data", "features"): {},
    **{
        ("data", nodes, "attributes", "*", key): None
        for nodes in ("users", "items")
        for key in ("text", "image", "vector", "number")
    },
    ("evaluate", "group_by"): None,
    ("evaluate", "group_items_by"): None,
    ("rerank",): None,
    ("erase",): None,
    ("split", "among"): "held_out",
    ("split", "encoding"): "utf-8",
    ("split", "reveal"): "random",
    ("split", "target"): "rest",
}
"""Keys that came after results had been committed, `*` for any -> the value with which a run computes what it did."""


class Result(BaseModel):
    """What a finished run found, and what it takes to trace it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """Name of the config; one row of a table."""
    seed: int
    """The run's seed."""
    metrics: dict[str, float | None]
    """Metric -> mean over users; None where the model cannot score them."""
    users: int
    """Users that the metrics are over."""
    users_without_target: int
    """Users left out, because nothing that could be found is relevant to them."""
    checksums: dict[str, str]
    """SHA-256 of `data`, `split`, `config`, and `model`: of its artifact.json, which has those of its other files."""
    seconds: dict[str, float]
    """Wall-clock time of `load`, `fit` and `evaluate`."""
    peak_rss_mb: float
    """Most memory that the process held, in MiB."""
    versions: dict[str, str]
    """Versions of gnnrec, Python and the libraries that numbers depend on."""
    chosen: dict[str, Any] = {}
    """Options chosen on the validation users, dotted keys as in the config."""
    audit: dict[str, Any] = {}
    """What was checked before the fit."""
    guarantee: dict[str, Any] = {}
    """What the model guarantees of its training users' privacy, see `gnnrec.privacy`; empty for nothing. It holds for
    the model, not for this file: the metrics of test users and the counts in `audit` are exact."""
    skipped_rows: int = 0
    """Rows of the data files left out because they could not be read and the config allowed it."""
    skipped_values: int = 0
    """Values of attributes left out for that reason, while their rows stayed."""
    config: dict[str, Any]
    """The complete config."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        result: its numbers.
        per_user: one row per evaluated user: `user` (its id) and a column per metric.
        folder: where it was read from; None for one that was never written.
        model: the fitted model, where the run was made in this process without files; else None, see `gnnrec.load`.
    """

    result: Result
    per_user: pd.DataFrame
    folder: Path | None = None
    model: Any = field(default=None, repr=False, compare=False)


def config_checksum(config: Mapping[str, Any]) -> str:
    """SHA-256 of what a config makes a run compute: the order of keys, and what is not of the run, do not count.

    Nor do keys that came later, where they have the value that changes nothing.

    Example:
        >>> config_checksum({"a": 1, "b": [2], "expected": {}}) == config_checksum({"b": [2], "a": 1})
        True
    """
    kept = {key: value for key, value in config.items() if key not in NOT_OF_THE_RUN}
    for keys, unchanged in LATER.items():
        kept = _without(kept, keys, unchanged)
    return hashlib.sha256(json.dumps(kept, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _without(config: Mapping[str, Any], keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The config without the key at the end of a path, where it has this value; a mapping left empty goes too."""
    first, *rest = keys
    kept = dict(config)
    if rest:
        for key in kept.keys() if first == "*" else kept.keys() & {first}:
            if isinstance(kept[key], Mapping):
                kept[key] = _without(kept[key], tuple(rest), value)
        kept = {key: one for key, one in kept.items() if one != {} or config[key] == {}}
    elif first in kept and kept[first] == value:
        del kept[first]
    return kept


def write_result(folder: Path, result: Result, per_user: pd.DataFrame) -> None:
    """Writes a run's folder so that no kill, at any point, leaves something that looks like a finished run.

    Each file is written beside its place, brought to the disk and renamed; an older result.json goes first, the new one
    comes last.

    Args:
        folder: OUT/<config name>/<seed>; made if it is not there.
        result: the numbers.
        per_user: a column `user` (ids) and one for each metric that has a value per user.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULT).unlink(missing_ok=True)
    table = io.BytesIO()
    per_user.to_parquet(table, index=False)
    replace_file(folder / CONFIG, OmegaConf.to_yaml(OmegaConf.create(result.config)).encode())
    replace_file(folder / PER_USER, table.getvalue())
    replace_file(folder / RESULT, (result.model_dump_json(indent=2) + "\n").encode())


def read_result(folder: Path) -> Result:
    """The result of a finished run.

    Raises:
        ConfigError: there is no such folder, the run is not finished, or result.json cannot be read.
    """
    path = folder / RESULT
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such run folder; `gnnrec run CONFIG` writes one per config and seed")
    if not path.is_file():
        below = next(iter(sorted(folder.glob(f"**/{RESULT}"))), None)
        if below is not None:
            raise ConfigError(f"{folder}: holds runs and is none itself; name one of them, for example {below.parent}")
        raise ConfigError(f"{folder}: this run is not finished (no {RESULT}); run its config again to finish it")
    try:
        return Result.model_validate_json(path.read_text())
    except (ValidationError, UnicodeDecodeError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        where = "".join(f"{key}: " for key in first["loc"])
        raise ConfigError(f"{path}: cannot be read: {where}{first['msg']}; delete the file and run again") from error


def finished_result(folder: Path, checksum: str) -> Result | None:
    """The result that a folder already holds; None where the run is still to be made or finished.

    Args:
        folder: of the run.
        checksum: of the config that is to be run.

    Raises:
        ConfigError: the folder holds a run of another config.
    """
    if not (folder / RESULT).is_file():
        return None
    result = read_result(folder)
    if result.checksums.get("config") != checksum:
        raise ConfigError(
            f"{folder}: holds a finished run of another config (checksum {result.checksums.get('config', '')[:12]}, "
            f"this one {checksum[:12]}); choose another --out, or delete the folder"
        )
    return result


def read_run(folder: Path) -> Run:
    """A finished run with its values per user.

    Raises:
        ConfigError: as `read_result`; or the values per user are missing or broken.
    """
    result = read_result(folder)
    try:
        return Run(result, pd.read_parquet(folder / PER_USER), folder)
    except (OSError, ValueError) as error:  # pyarrow's errors are of these kinds
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{folder / PER_USER}: cannot be read: {reason}; delete the folder and run again") from error


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """The folders of all finished runs under the paths, each once.

    Args:
        paths: each a run's folder, the folder of a config's runs, or the folder of several configs.

    Returns:
        In the order of the paths; under one path by config name, then by seed.

    Raises:
        ConfigError: there is no finished run under one of the paths.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if not path.is_dir():
            raise ConfigError(f"{path}: no such folder; give a run's folder, a config's, or the --out of `gnnrec run`")
        runs = [file.parent for depth in ("", "*/", "*/*/") for file in path.glob(depth + RESULT)]
        if not runs:
            raise ConfigError(f"{path}: no finished run in it (no {RESULT}); run a config with --out {path} first")
        found |= dict.fromkeys(sorted(runs, key=lambda run: (str(run.parent), _number(run.name), run.name)))
    return list(found)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else -1
