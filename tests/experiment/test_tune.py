import json
import multiprocessing
import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from synthetic_table import write_shop
from waiting import wait_for

from gnnrec import cli
from gnnrec.errors import ConfigError
from gnnrec.experiment import tune as tune_module
from gnnrec.experiment.config import NamedConfig, TuningConfig, read_config
from gnnrec.experiment.study import Record, Study
from gnnrec.experiment.tune import Tuned, tune
from gnnrec.options.search_space import Uniform
from gnnrec.splits.split import SealedError, Split

MODEL = """
import signal
import time
from pathlib import Path
import torch
from gnnrec.errors import TrainingError
from gnnrec.options.search_space import Uniform

HERE = Path(__file__).parent

class {name}:
    supports_cold_users = True
    predicts_ratings = False
    search_space = {{"noise": Uniform(0, 1)}}

    def __init__(self, *, noise: float = 0.9, fails_above: float = 2.0, hangs_at: int = 0, takes: float = 0.0) -> None:
        self.noise, self.fails_above, self.hangs_at, self.takes = noise, fails_above, hangs_at, takes
        self.best_params = {{}}

    def fit(self, train, validation, seed):
        assert validation is None  # nothing is chosen
        with (HERE / "fits").open("a") as file:
            file.write(f"{{self.noise}}\\n")
        if len((HERE / "fits").read_text().splitlines()) == self.hangs_at:
            (HERE / "hangs").touch()
            signal.pause()
        time.sleep(self.takes)
        if self.noise > self.fails_above:
            raise TrainingError(f"noise {{self.noise}} is too much")
        share = train.popularity / train.popularity.max()
        self._score = (1 - self.noise) * share + self.noise * torch.rand(len(share), generator=torch.Generator())

    def score(self, users):
        return self._score.repeat(len(users), 1)
"""


class Place:
    """A folder with a shop, and a model of popularity and noise: the less noise, the better, as far as luck goes."""

    def __init__(self, folder: Path, module: str) -> None:
        self.folder, self.module = folder, module
        path = write_shop(folder, users=80)
        (folder / f"{module}.py").write_text(MODEL.format(name="Noisy"))
        self.head = path.read_text().split("model:")[0]

    def config(self, options: str = "", metrics: str = "ndcg", model: str = "", overrides: tuple[str, ...] = ()) -> Any:
        model = model or f"{{class: {self.module}.Noisy{options}}}"
        path = self.folder / "noisy.yaml"
        evaluate = f"evaluate: {{metrics: [{metrics}], at: [5]}}\n"
        path.write_text(f"# A row of a table.\n{self.head.strip()}\nmodel: {model}\n{evaluate}")
        return read_config(path, overrides)

    @property
    def fits(self) -> int:
        """How many fits there have been."""
        return len((self.folder / "fits").read_text().splitlines())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Place:
    if find_spec("optuna") is None:
        pytest.skip("optuna is not installed: pip install 'gnnrec[tune]'")
    monkeypatch.syspath_prepend(tmp_path)
    return Place(tmp_path, f"model_{abs(hash(request.node.nodeid))}")


def log_of(tuned: Tuned) -> dict[str, Any]:
    assert tuned.file is not None
    log: dict[str, Any] = json.loads(tuned.file.with_suffix(".json").read_text())
    return log


def search(config: NamedConfig, out: Path, trials: int = 6, **options: Any) -> Tuned:
    return tune(config, out, budget=TuningConfig(trials=trials, minutes=9), **options)


def tried(tuned: Tuned) -> list[Any]:
    """What was tried and found, without what changes from run to run."""
    return [(t["options"], t["value"], t["own"], t["error"]) for t in log_of(tuned)["trials"]]


def start(config: NamedConfig, out: Path, trials: int) -> Any:
    process = multiprocessing.get_context("fork").Process(target=search, args=(config, out, trials), daemon=True)
    process.start()
    return process


def test_a_search_starts_at_the_configs_options_and_writes_a_config_that_gives_the_best_value(place: Place) -> None:
    config = place.config()
    lines: list[str] = []
    tuned = search(config, place.folder / "tuned", report=lines.append)
    log = log_of(tuned)
    assert [t["number"] for t in log["trials"]] == list(range(6))
    assert [t["own"] for t in log["trials"]] == [True] + 5 * [False]
    assert log["trials"][0]["options"] == {"noise": 0.9}
    assert tuned.best is not None
    assert tuned.best.value == max(t["value"] for t in log["trials"]) > log["trials"][0]["value"]
    assert log["best"] == tuned.best.number
    assert log["seconds"] == pytest.approx(sum(t["seconds"] for t in log["trials"]), abs=1e-6)
    assert set(log["checksums"]) == {"data", "split", "config"}
    assert len(lines) == 6

    assert tuned.file is not None
    text = tuned.file.read_text()
    assert text.startswith("# A row of a table.\n# Tuned on the validation users of seed 0: ndcg@5 ")
    assert log["study"] in text
    written = read_config(tuned.file)
    assert written.config.model == {**config.config.model, **tuned.best.options}
    assert written.config.split == config.config.split
    again = search(written, place.folder / "again", trials=1)
    assert again.own is not None
    assert again.own.value == tuned.best.value
    assert again.file is not None
    assert again.file.read_text().count("# Tuned on ") == 1


def test_the_written_config_says_what_the_file_said_and_no_more(place: Place) -> None:
    config = place.config(overrides=("seed=3", "expected={'ndcg@5': {mean: 0.5, within: 0.1}}"))
    tuned = search(config, place.folder / "tuned", trials=2)
    assert tuned.file is not None
    lines = [line for line in tuned.file.read_text().splitlines() if not line.startswith(("#", " "))]
    assert [line.partition(":")[0] for line in lines] == ["seed", "data", "split", "model", "evaluate", "base"]
    assert "seed: 3" in lines
    assert "split: {kind: unseen_users, test: 0.2, validation: 0.2}" in lines
    long = {"encoder": {"layer": "L" * 60, "options": {"aggr": "mean"}}, "rates": ["x" * 130]}
    text = tune_module._yaml("model", {"class": "C" * 40, **long, "none": None})
    assert yaml.safe_load(text) == {"model": {"class": "C" * 40, **long, "none": None}}
    assert text.splitlines()[:3] == [
        "model:",
        f"  class: {'C' * 40}",
        f"  encoder: {{layer: {'L' * 60}, options: {{aggr: mean}}}}",
    ]


def test_the_written_config_extends_none_and_runs_from_its_own_folder(place: Place) -> None:
    place.config()
    text = (place.folder / "noisy.yaml").read_text()
    (place.folder / "_base.yaml").write_text(text.partition("model:")[0] + "evaluate: {metrics: [ndcg], at: [5]}\n")
    path = place.folder / "rows" / "noisy.yaml"
    path.parent.mkdir()
    modeline = "# yaml-language-server: $schema=../schema.json\n"
    path.write_text(f"{modeline}# A row.\nextends: ../_base.yaml\nmodel: {{class: {place.module}.Noisy}}\n")
    config = read_config(path)
    tuned = search(config, place.folder / "out" / "tuned", trials=2)
    assert tuned.file is not None
    (place.folder / "_base.yaml").unlink()
    head = [line.partition(" on ")[0] for line in tuned.file.read_text().splitlines() if line.startswith("#")]
    assert head[:2] == ["# A row.", "# Tuned"]
    written = read_config(tuned.file)
    assert "extends" not in written.own
    assert written.folder == config.folder
    assert written.config.data == config.config.data
    assert search(written, place.folder / "again", trials=1).own is not None


def test_a_search_whose_budget_is_spent_is_not_made_again_and_a_larger_one_goes_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = place.config()
    first = search(config, place.folder / "tuned")
    before = tried(first)
    with monkeypatch.context() as patched:
        patched.setattr(tune_module, "load_split", lambda _: pytest.fail("read the data again"))
        again = search(config, place.folder / "tuned")
    assert again == first
    assert place.fits == 6
    more = search(config, place.folder / "tuned", trials=8)
    assert tried(more)[:6] == before
    assert place.fits == 8
    assert tried(more) == tried(search(config, place.folder / "at once", trials=8))


def test_another_seed_another_search_and_the_same_seed_the_same(place: Place) -> None:
    config = place.config()
    first, same, other = (
        search(config, place.folder / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert tried(first) == tried(same)
    assert tried(first)[0] == tried(other)[0]  # the config's own options
    assert {o["noise"] for o, *_ in tried(first)[1:]}.isdisjoint(o["noise"] for o, *_ in tried(other)[1:])


def test_minutes_end_a_search_but_not_before_the_first_trial(place: Place) -> None:
    tuned = tune(place.config(", takes: 0.2"), place.folder / "t", budget=TuningConfig(trials=50, minutes=0.3 / 60))
    assert tuned.trials == 2  # 0.2 s are below 0.3 s, 0.4 s are not
    assert tuned.best is not None


def test_the_budget_stands_in_the_config(place: Place) -> None:
    assert tune(place.config(overrides=("tuning={trials: 3, minutes: 1}",)), place.folder / "tuned").trials == 3


def test_what_is_chosen_by_is_the_budgets_metric(place: Place) -> None:
    config = place.config(metrics="precision, ndcg")
    by_first = search(config, place.folder / "first")
    tuned = tune(config, place.folder / "other", budget=TuningConfig(trials=6, minutes=9, metric="ndcg@5"))
    assert (by_first.metric, tuned.metric) == ("precision@5", "ndcg@5")
    assert log_of(by_first)["study"] != log_of(tuned)["study"]
    values = [t["value"] for t in log_of(by_first)["trials"]]
    assert values[0] != log_of(tuned)["trials"][0]["value"]  # the same options, measured by another metric
    with pytest.raises(ConfigError, match="noisy: 'mrr' is not measured"):
        tune(config, place.folder / "none", budget=TuningConfig(metric="mrr"))


def test_the_test_part_stays_sealed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = []

    def fit(model: Any, split: Split, train: Any, *rest: Any) -> Any:
        with pytest.raises(SealedError, match="sealed"):
            _ = split.test
        assert train is split.train
        fitted.append(model)
        return audited_fit(model, split, train, *rest)

    audited_fit = tune_module.audited_fit
    monkeypatch.setattr(tune_module, "audited_fit", fit)
    monkeypatch.setattr(Split, "open_test", lambda *_: pytest.fail("opened"))
    search(place.config(), place.folder / "tuned", trials=3)
    assert len(fitted) == 3
    assert not list(place.folder.rglob("test_access.jsonl"))


def test_failed_trials_are_kept_and_the_search_goes_on(place: Place) -> None:
    tuned = search(place.config(", noise: 0.1, fails_above: 0.4"), place.folder / "tuned", trials=8)
    trials = log_of(tuned)["trials"]
    failed = [t for t in trials if t["value"] is None]
    assert 0 < len(failed) < 8
    assert all(t["error"] == f"noise {t['options']['noise']} is too much" for t in failed)
    assert all(t["error"] is None for t in trials if t not in failed)
    assert tuned.trials == 8


def test_when_every_trial_fails_one_line_says_so(place: Place) -> None:
    with pytest.raises(ConfigError, match=r"noisy: all 3 trials failed; the first one: noise 0.9 is too much\."):
        search(place.config(", fails_above: -1"), place.folder / "tuned", trials=3)
    assert not (place.folder / "tuned" / "noisy.yaml").exists()


def test_errors_are_minimised_and_models_without_a_space_get_one_trial(place: Place) -> None:
    tuned = search(place.config(metrics="rmse", model="{class: ItemMean, shrinkage: 90}"), place.folder / "means")
    values = [t["value"] for t in log_of(tuned)["trials"]]
    assert tuned.best is not None
    assert tuned.best.value == min(values) < max(values)
    assert search(place.config(model="{class: Popularity}"), place.folder / "one").trials == 1


def test_own_options_outside_the_space_are_the_first_trial_all_the_same(place: Place) -> None:
    tuned = search(place.config(", noise: -0.5"), place.folder / "tuned", trials=3)
    assert tried(tuned)[0][0] == {"noise": -0.5}


def test_what_a_model_chose_is_logged_and_left_open_in_the_config(place: Place) -> None:
    model = "{class: LightFM, epochs: 30, patience: 3, factors: 8, learning_rate: 0.1}"
    tuned = search(place.config(model=model), place.folder / "tuned", trials=2)
    assert all(1 <= t["chosen"]["epochs"] < 30 for t in log_of(tuned)["trials"])  # an epoch of 30 would not be listed
    assert tuned.file is not None
    assert read_config(tuned.file).config.model["epochs"] == 30


def test_trials_on_other_data_are_not_mixed(place: Place) -> None:
    config = place.config()
    search(config, place.folder / "tuned", trials=2)
    ratings = place.folder / "ratings.csv"
    ratings.write_text("\n".join(ratings.read_text().splitlines()[:-5]) + "\n")
    with pytest.raises(ConfigError, match=r"trials on another data .* choose another --storage"):
        search(config, place.folder / "tuned", trials=3)


def test_storages_that_cannot_be_used_and_the_configs_own_folder_are_refused(place: Place) -> None:
    with pytest.raises(ConfigError, match="--storage nosuch://db: cannot be used"):
        search(place.config(), place.folder / "tuned", storage="nosuch://db")
    with pytest.raises(ConfigError, match="would overwrite the config"):
        search(place.config(), place.folder)


def test_two_processes_share_a_search(place: Place) -> None:
    config = place.config(", takes: 0.1")
    out = place.folder / "tuned"
    workers = [start(config, out, 9) for _ in range(2)]
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    trials = json.loads((out / "noisy.json").read_text())["trials"]
    assert len(trials) == place.fits == 9
    assert sum(t["own"] for t in trials) == 1
    assert len({t["options"]["noise"] for t in trials}) == 9  # nobody drew what another drew


def test_of_two_workers_who_ask_for_the_last_trial_at_once_one_gets_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = {"noise": Uniform(0, 1)}
    first, second = (
        Study(
            "s",
            place.folder / "journal",
            space=space,
            own={"noise": 0.5},
            budget=TuningConfig(trials=1),
            lower_is_better=False,
            seed=0,
        )
        for _ in range(2)
    )
    proposal = first.ask()
    assert proposal is not None
    counted = second._counted
    looks: list[list[int]] = [[]]  # the second looked before the first had asked
    monkeypatch.setattr(second, "_counted", lambda: looks.pop() if looks else counted())
    assert second.ask() is None
    assert not looks
    assert first.running == 1  # the second let go of what it had taken
    first.tell(proposal, Record({"noise": 0.5}, 0.25, 1.0, {}, own=True))
    assert [record.value for record in second.finished()] == [0.25]
    assert first.ask() is None


@pytest.mark.parametrize("stopped_at", [1, 3])
def test_a_worker_killed_in_a_trial_loses_that_trial_only(place: Place, stopped_at: int) -> None:
    config = place.config(f", hangs_at: {stopped_at}")
    out = place.folder / "tuned"
    worker = start(config, out, 6)
    wait_for((place.folder / "hangs").exists, worker)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    assert not (out / "noisy.yaml").exists()
    resumed = search(config, out)
    assert place.fits == 7  # the lost one once more
    assert resumed.trials == 6
    assert tried(resumed) == tried(search(config, place.folder / "whole"))


def test_an_interrupted_trial_is_given_back(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    config = place.config()

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(tune_module, "_attempt", stop)
        with pytest.raises(KeyboardInterrupt):
            search(config, place.folder / "tuned")
    resumed = search(config, place.folder / "tuned")
    assert resumed.trials == 6
    assert tried(resumed)[0][0] == {"noise": 0.9}
    assert tried(resumed) == tried(search(config, place.folder / "whole"))


def call(monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> int:
    monkeypatch.setattr(sys, "argv", ["gnnrec", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_command(place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    place.config()
    monkeypatch.chdir(place.folder)
    assert call(monkeypatch, "tune", "noisy.yaml", "--trials", 2, "--out", "tuned", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["trials"] == 2
    assert Path(row["file"]) == Path("tuned/noisy.yaml")
    assert call(monkeypatch, "tune", "noisy.yaml", "--trials", 2, "--out", "tuned") == 0
    assert "noisy" in capsys.readouterr().out
    for wrong, said in (("--minutes=0", "--minutes"), ("model.fails_above=-1", "all 2 trials failed")):
        assert call(monkeypatch, "tune", "noisy.yaml", "--trials", 2, "--out", "other", wrong) == 2
        error = capsys.readouterr().err
        assert said in error
        assert "Traceback" not in error


def test_without_optuna_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"pip install 'gnnrec\[tune\]'"):
        search(read_config(write_shop(tmp_path)), tmp_path / "tuned")
