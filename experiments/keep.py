"""Finished runs of a protocol -> one small result file: every number of its table and figures, traced to its runs."""

import json
import os
from pathlib import Path
from typing import Any

from experiments.canary import planted
from experiments.comparisons import Rows, comparisons, is_control
from experiments.explain import explain
from experiments.groups import gains_by_group
from experiments.protocols import Protocol
from gnnrec.audit.test_access import read_test_accesses
from gnnrec.errors import ConfigError
from gnnrec.experiment.config import read_config
from gnnrec.experiment.paired import rows_of
from gnnrec.experiment.results import CONFIG, find_runs, read_run
from gnnrec.experiment.run import load_split

HISTORY = "history.json"
EXPLAINED = "graphsage"


def keep(protocol: Protocol, runs: Path, results: Path) -> dict[str, Any]:
    """Writes the result file of a protocol.

    Args:
        protocol: which one.
        runs: folder of its runs, `<runs>/<config>/<seed>/`.
        results: file to write.

    Returns:
        What was written.

    Raises:
        ConfigError: there is no finished run, the rows have no seed in common, or a planted leak was not caught.
    """
    rows = _complete(rows_of([read_run(folder) for folder in find_runs([runs])]), protocol, runs)
    content = {
        "protocol": protocol.name,
        "title": protocol.title,
        "openings": _test_accesses(runs),
        "canaries": _canaries(rows, runs),
        "columns": comparisons(rows, protocol),
        "groups": gains_by_group(rows, protocol),
        "curves": _curves(rows),
        "paths": _paths(rows, protocol),
        "runs": [_traced(run.result.model_dump()) for group in rows.values() for run in group],
    }
    write_json(results, content)
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file whole or not at all; a line for each key and each run, so that changes are easy to see."""
    parts = [
        f'"{key}": '
        + (
            "[\n" + ",\n".join(json.dumps(v, sort_keys=True) for v in value) + "\n]"
            if isinstance(value, list)
            else json.dumps(value, sort_keys=True)
        )
        for key, value in content.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text("{\n" + ",\n".join(parts) + "\n}\n")
    os.replace(partial, path)


def _complete(rows: Rows, protocol: Protocol, runs: Path) -> dict[str, list[Any]]:
    """The rows cut to the seeds that all of them have, so that they can be paired."""
    seeds = set.intersection(*({run.result.seed for run in group} for group in rows.values()))
    if not seeds:
        have = {name: [run.result.seed for run in group] for name, group in rows.items()}
        raise ConfigError(f"{runs}: the models have no seed in common: {have}; run {protocol.name} to the end")
    return {name: [run for run in group if run.result.seed in seeds] for name, group in rows.items()}


def _traced(run: dict[str, Any]) -> dict[str, Any]:
    """A result without the folder that its config's paths start from."""
    return {**run, "config": {key: value for key, value in run["config"].items() if key != "base"}}


def _test_accesses(runs: Path) -> dict[str, Any]:
    """How often test parts were evaluated, and over how many different splits and configs."""
    accesses = read_test_accesses([runs])
    return {
        "times": len(accesses),
        "splits": len({access.split_checksum for access in accesses}),
        "configs": len({(access.config, access.config_checksum) for access in accesses}),
        "first": str(accesses[0].time) if accesses else None,
        "last": str(accesses[-1].time) if accesses else None,
    }


def _canaries(rows: Rows, runs: Path) -> dict[str, bool]:
    """Plants leaks into the split of the first row's first run."""
    group = next(group for group in rows.values() if not is_control(group[0].result))
    assert group[0].folder is not None
    caught = planted(load_split(read_config(group[0].folder / CONFIG)))
    missed = [name for name, was_caught in caught.items() if not was_caught]
    if missed:
        raise ConfigError(f"{runs}: the audit did not catch a planted leak: {', '.join(missed)}; no table is written")
    return caught


def _curves(rows: Rows) -> dict[str, Any]:
    """Model -> stage -> what was measured -> [epoch, value] pairs, of each trained model's first run."""
    curves: dict[str, Any] = {}
    for name, group in rows.items():
        path = (group[0].folder or Path()) / HISTORY
        for record in json.loads(path.read_text()) if path.is_file() else []:
            stage = curves.setdefault(name, {}).setdefault(record["stage"], {})
            for key in record.keys() - {"stage", "epoch"}:
                stage.setdefault(key, []).append([record["epoch"], round(record[key], 5)])
    return curves


def _paths(rows: Rows, protocol: Protocol) -> dict[str, Any]:
    """The ways to what the first run of `graphsage` recommends to the protocol's invented user."""
    group = rows.get(EXPLAINED)
    if not protocol.profile or group is None or group[0].folder is None:
        return {}
    return explain(group[0].folder, protocol.profile)
