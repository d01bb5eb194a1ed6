"""A kill of one of two workers of a search: what is finished stays, and the other worker goes on."""

import json
import os
import signal
from importlib.util import find_spec
from pathlib import Path

import pytest
from test_tune import Place, search, start
from waiting import wait_for


@pytest.mark.slow
@pytest.mark.skipif(find_spec("optuna") is None, reason="optuna is not installed: pip install 'gnnrec[tune]'")
def test_a_kill_of_one_of_two_workers_loses_no_finished_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    place = Place(tmp_path, "model_of_two_workers")
    config = place.config(", hangs_at: 3, takes: 0.2")
    out = tmp_path / "tuned"
    first = start(config, out, 8)
    wait_for((tmp_path / "hangs").exists, first)  # two trials are finished, the third one hangs
    second = start(config, out, 8)
    wait_for(lambda: place.fits >= 5, second)
    os.kill(first.pid, signal.SIGKILL)  # while the second one is in a trial
    first.join()
    second.join()
    assert second.exitcode == 0
    tried = place.fits
    resumed = search(config, out, 8)
    assert resumed.trials == 8
    assert place.fits == 9  # the lost one once more, by whoever came first, and no other one
    assert tried in (8, 9)
    trials = json.loads((out / "noisy.json").read_text())["trials"]
    assert [t["number"] for t in trials] == [0, 1, 3, 4, 5, 6, 7, 8]  # number 2 is the one that was killed
    assert all(t["value"] is not None for t in trials)
    assert len({t["options"]["noise"] for t in trials}) == 8  # the lost one's place was drawn for once more, no other
