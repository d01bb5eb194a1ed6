"""Kills, at random and at the places that matter; `make kills` has more of them."""

import functools
import itertools
import os
import pkgutil
import random
import signal
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

if find_spec("optuna") is None:
    pytest.skip("optuna is not installed: pip install 'gnnrec[tune]'", allow_module_level=True)

from kills import Scenario, Trial, tried, write_configs

from gnnrec.data import cache
from gnnrec.experiment import results
from gnnrec.training.tracking import Tracker

RUN = Scenario("run", ("run", "../inputs/small.yaml"))
TUNE = Scenario("tune", ("tune", "../inputs/linear.yaml", "--trials", "3"))
REPLAY = Scenario("replay", ("replay", "../inputs/replayed.yaml"))
PATIENCE = 100.0
"""Times as long as unbroken, until a process that kills itself counts as hanging."""
READ = Scenario("read", ("data", "describe", "../inputs/popularity.yaml"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("kills")
    write_configs(folder / "inputs", 100, 20)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cache, "MIN_BYTES", 0)
        yield folder


@pytest.fixture(scope="module")
def unbroken(root: Path) -> Callable[[Scenario], Trial]:
    """Each scenario is run once without a kill."""
    return functools.cache(lambda scenario: Trial(scenario, root))


def killed_in(name: str, mark: Path, monkeypatch: pytest.MonkeyPatch, call: int = 1) -> None:
    """The first process that makes this call of a function, by its number, is killed instead."""
    function, calls = pkgutil.resolve_name(name), itertools.count(1)

    def killed(*args: Any, **options: Any) -> Any:
        if next(calls) == call and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **options)

    monkeypatch.setattr(name, killed)


@pytest.mark.slow
def test_random_kills_change_nothing(root: Path) -> None:
    trial = tried(RUN, root, 2, random.Random(1))
    assert trial.faults == []
    assert trial.kills.total() == 2
    assert trial.rounds == trial.equal > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "name"),
    [
        (RUN, "os.fsync"),  # the first file is written and not yet in its place
        (RUN, "gnnrec.experiment.run._tidy"),  # the result is there, and so are checkpoints, marks and the lock
        (READ, "os.rename"),  # the data cache has all files of an entry, not yet under its name
        (REPLAY, "gnnrec.splits.temporal.in_time_order"),  # nothing is there yet
        (REPLAY, "gnnrec.models.graphsage.GraphSAGE.update"),  # a window was predicted, and not yet learned from
        (REPLAY, "gnnrec.experiment.replay.remove_checkpoints"),  # all is there, and checkpoints
        (TUNE, "os.fsync"),  # in the journal, whose lock is held
        (TUNE, "gnnrec.experiment.study.Study._put_own_first"),  # the search is there, its first options are not
        (TUNE, "optuna.trial.Trial.set_user_attr"),  # a trial was taken, and not yet by anybody
    ],
)
def test_a_kill_between_two_steps_changes_nothing(
    unbroken: Callable[[Scenario], Trial],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scenario: Scenario,
    name: str,
) -> None:
    trial = unbroken(scenario)
    killed_in(name, tmp_path / "killed", monkeypatch)
    assert trial.round([PATIENCE]) == []
    assert (tmp_path / "killed").exists()


@pytest.mark.slow
def test_a_checkpoint_that_is_not_restored_exactly_is_seen(
    unbroken: Callable[[Scenario], Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = unbroken(RUN)
    killed_in("gnnrec.training.tracking.Tracker.save", tmp_path / "killed", monkeypatch, call=4)
    load = Tracker.load

    def nearly(self: Tracker, stage: str) -> Any:
        state = load(self, stage)
        for tensor in () if state is None else state["module"].values():
            tensor += 1e-3
        return state

    monkeypatch.setattr(Tracker, "load", nearly)
    assert "at the end: runs/small/0/history.json differs" in trial.round([PATIENCE])


@pytest.mark.slow
def test_a_file_that_is_not_written_at_once_is_seen(
    unbroken: Callable[[Scenario], Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = unbroken(RUN)

    def in_halves(path: Path, content: bytes) -> None:
        path.write_bytes(content[: len(content) // 2])
        if path.name == results.RESULT:
            os.kill(os.getpid(), signal.SIGKILL)
        path.write_bytes(content)

    monkeypatch.setattr(results, "replace_file", in_halves)
    faults = trial.round([PATIENCE])
    assert "after a kill: runs/small/0/result.json is neither the old nor the new one" in faults
