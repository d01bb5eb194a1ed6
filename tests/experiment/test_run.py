import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from synthetic_table import GROUPS, write_shop
from waiting import wait_for

from gnnrec.errors import AuditError, ConfigError, InputError
from gnnrec.experiment import run as run_module
from gnnrec.experiment.config import NamedConfig, read_config
from gnnrec.experiment.results import read_result
from gnnrec.experiment.run import UNFINISHED, load_split, run
from gnnrec.runtime.files import LOCK, claimed
from gnnrec.serving.artifact import load
from gnnrec.serving.lists import recommend_to, serve
from gnnrec.training import tracking
from gnnrec.training.tracking import Tracker

QUICK = ["model.finetune.epochs=8", "model.pretrain.epochs=2", "model.choose_on=60"]  # two folds of 30 users


class StoppedError(Exception):
    """Stands for a kill."""


def test_a_made_up_shop_runs_end_to_end_from_its_config_alone(tmp_path: Path) -> None:
    config = read_config(write_shop(tmp_path))
    done = run(config, tmp_path / "runs" / "shop" / "0")
    result = read_result(tmp_path / "runs" / "shop" / "0")
    assert result == done.result
    # Ten items of a user's group of thirty: a list that ignores the user hits with a third of its places.
    assert result.metrics["precision@5"] > 1.3 * popularity_precision(tmp_path)  # type: ignore[operator]
    assert set(result.checksums) == {"data", "split", "config", "evaluation", "model"}
    assert set(result.seconds) == {"load", "fit", "evaluate"}
    assert result.peak_rss_mb > 0
    assert result.users + result.users_without_target == 30  # a fifth of 150
    per_user = pd.read_parquet(tmp_path / "runs" / "shop" / "0" / "per_user.parquet")
    assert per_user["user"].str.startswith("u-").all()
    assert per_user["ndcg@10"].mean() == pytest.approx(result.metrics["ndcg@10"], abs=1e-6)

    served = serve(load(tmp_path / "runs" / "shop" / "0"))
    rows, warnings = recommend_to(served, {"interests": ["chess", "wine"], "has": {"cooking": 3}, "age": 30}, [], 5)
    assert not warnings
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
    assert sum(int(row["item"].removeprefix("sku/")) % GROUPS == 1 for row in rows) >= 4  # group 1 plays chess
    assert rows[0]["title"].startswith("Thing ")
    best = rows[0]["item"]
    rows, warnings = recommend_to(served, {"interests": "golf", "friend": ["u-001", "nobody"]}, [best, "sku/99"], 5)
    assert best not in [row["item"] for row in rows]
    assert len(warnings) == 3  # golf, nobody, sku/99


def popularity_precision(folder: Path) -> float:
    text = (folder / "shop.yaml").read_text()
    model = "model: {class: Popularity}\nevaluate: {metrics: [precision], at: [5]}\n"
    (folder / "popularity.yaml").write_text(text[: text.index("model:")] + model)
    value = run(read_config(folder / "popularity.yaml")).result.metrics["precision@5"]
    assert value is not None
    return value


def measured_popularity(folder: Path, evaluate: str) -> NamedConfig:
    text, path = write_shop(folder).read_text(), folder / "popularity.yaml"
    path.write_text(f"{text[: text.index('model:')]}model: {{class: Popularity}}\nevaluate: {{{evaluate}}}\n")
    return read_config(path)


def test_metrics_of_popularity_attributes_and_groups_are_in_a_result(tmp_path: Path) -> None:
    measured = "metrics: [novelty, intra_list_diversity, ndcg_gap], at: [5], group_by: age"
    metrics = run(measured_popularity(tmp_path, measured)).result.metrics
    assert list(metrics) == ["novelty@5", "intra_list_diversity@5", "ndcg_gap@5"]
    assert None not in metrics.values()


def test_a_group_that_is_no_attribute_stops_a_run_before_the_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gnnrec.experiment.run.audited_fit", lambda *_: pytest.fail("fitted"))
    with pytest.raises(ConfigError, match=r"'aeg', which is no attribute of users\. Did you mean 'age'\?"):
        run(measured_popularity(tmp_path, "metrics: [ndcg_gap], group_by: aeg"))


def test_same_config_and_seed_same_numbers_bit_for_bit(tmp_path: Path) -> None:
    config = read_config(write_shop(tmp_path), QUICK)
    first, second = run(config, tmp_path / "a" / "shop" / "0"), run(config, tmp_path / "b" / "shop" / "0")
    assert first.result.metrics == second.result.metrics
    assert first.result.checksums == second.result.checksums
    pd.testing.assert_frame_equal(first.per_user, second.per_user, check_exact=True)
    other = run(config.with_seed(1), tmp_path / "a" / "shop" / "1")
    assert other.result.metrics != first.result.metrics


@pytest.mark.parametrize("stopped_at", [1, 4, 9, 12, 15])
def test_killed_and_resumed_gives_the_same_numbers_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped_at: int
) -> None:
    monkeypatch.setattr(tracking, "CHECKPOINT_SECONDS", 0.0)
    config = read_config(write_shop(tmp_path), QUICK)
    whole = run(config, tmp_path / "whole" / "shop" / "0")
    folder = tmp_path / "broken" / "shop" / "0"
    report, reported = Tracker.epoch, iter(range(1, 1000))

    def epoch(self: Tracker, *args: Any) -> None:
        report(self, *args)
        if next(reported) == stopped_at:
            raise StoppedError

    monkeypatch.setattr(Tracker, "epoch", epoch)
    with pytest.raises(StoppedError):
        run(config, folder)
    monkeypatch.setattr(Tracker, "epoch", report)
    with pytest.raises(ConfigError, match="not finished"):
        read_result(folder)
    resumed = run(config, folder)
    assert resumed.result.metrics == whole.result.metrics
    assert resumed.result.chosen == whole.result.chosen
    history = [json.loads((f / "history.json").read_text()) for f in (folder, tmp_path / "whole" / "shop" / "0")]
    assert history[0] == history[1]
    assert not list(folder.glob("checkpoint*"))


@pytest.mark.slow
def test_a_real_kill_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    path = write_shop(tmp_path)
    command = [
        sys.executable,
        "-c",
        "import gnnrec.training.tracking as t; t.CHECKPOINT_SECONDS = 0.0\nfrom gnnrec.cli import main; main()",
    ]
    arguments = [
        "run",
        str(path),
        "model.finetune.epochs=400",
        "model.finetune.patience=400",
        "--out",
        str(tmp_path / "runs"),
    ]
    process = subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder = tmp_path / "runs" / "shop" / "0"
    wait_for((folder / "checkpoint-choose-finetune.pt").is_file, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / "result.json").exists()
    with pytest.raises(ConfigError, match="not finished"):
        load(folder)


def test_a_finished_run_is_read_and_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = read_config(write_shop(tmp_path), QUICK)
    first = run(config, tmp_path / "runs" / "shop" / "0")
    monkeypatch.setattr("gnnrec.experiment.run._experiment", lambda *_: pytest.fail("ran again"))
    again = run(config, tmp_path / "runs" / "shop" / "0")
    assert again.result == first.result


def test_the_folder_of_another_config_is_refused(tmp_path: Path) -> None:
    path = write_shop(tmp_path)
    run(read_config(path, QUICK), tmp_path / "runs" / "shop" / "0")
    with pytest.raises(ConfigError, match=r"holds a finished run of another config.*choose another --out"):
        run(read_config(path, [*QUICK, "model.encoder.channels=8"]), tmp_path / "runs" / "shop" / "0")


def test_checkpoints_of_another_config_are_left_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_shop(tmp_path)
    folder = tmp_path / "runs" / "shop" / "0"

    def stop(self: Tracker, stage: str, *_: Any) -> None:
        if stage == "finetune":
            raise StoppedError

    monkeypatch.setattr(Tracker, "epoch", stop)
    with pytest.raises(StoppedError):
        run(read_config(path, QUICK), folder)
    monkeypatch.undo()
    assert list(folder.glob("checkpoint*"))
    other = read_config(path, [*QUICK, "model.encoder.channels=8"])
    with pytest.warns(UserWarning, match="config or its data have changed.*starts anew"):
        resumed = run(other, folder)
    assert resumed.result.metrics == run(other).result.metrics


def popularity(folder: Path) -> NamedConfig:
    return measured_popularity(folder, "metrics: [ndcg], at: [10]")


def test_a_finished_run_of_files_that_have_changed_is_refused(tmp_path: Path) -> None:
    config, folder = popularity(tmp_path), tmp_path / "runs" / "popularity" / "0"
    run(config, folder)
    ratings = pd.read_csv(tmp_path / "ratings.csv", dtype=str)
    ratings.iloc[:-5].to_csv(tmp_path / "ratings.csv", index=False)
    with pytest.raises(ConfigError, match="the data has changed since this run; choose another --out"):
        run(config, folder)


def test_a_folder_that_another_process_works_in_is_refused(tmp_path: Path) -> None:
    config, folder = popularity(tmp_path), tmp_path / "runs" / "popularity" / "0"
    with claimed(folder), pytest.raises(ConfigError, match="another process is at work in this folder"):
        run(config, folder)
    assert run(config, folder).result == run(config, folder).result
    assert not (folder / LOCK).exists()


def test_rows_that_were_left_out_are_warned_of(tmp_path: Path) -> None:
    config = popularity(tmp_path)
    ratings = pd.read_csv(tmp_path / "ratings.csv", dtype=str)
    ratings.loc[[1, 2], "rating"] = "bad"
    ratings.to_csv(tmp_path / "ratings.csv", index=False)
    skipping = config.config.data.model_copy(update={"on_bad_row": "skip"})
    config = replace(config, config=config.config.model_copy(update={"data": skipping}))
    with pytest.warns(
        UserWarning,
        match=r"popularity: left out, .* 2 rows, for example .* line 3, column 'rating': 'bad'",
    ):
        run(config)


def test_the_audit_runs_before_every_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = read_config(write_shop(tmp_path), QUICK)

    def refuse(*_: Any, **__: Any) -> None:
        raise AuditError("audit: planted")

    monkeypatch.setattr("gnnrec.experiment.run.audit", refuse)
    monkeypatch.setattr("gnnrec.models.graphsage.GraphSAGE.fit", lambda *_: pytest.fail("fitted"))
    with pytest.raises(AuditError, match="planted"):
        run(config, tmp_path / "runs" / "shop" / "0")


def test_attributes_that_are_all_missing_are_warned_of_and_the_model_still_runs(tmp_path: Path) -> None:
    path = write_shop(tmp_path)
    users = pd.read_csv(tmp_path / "users.csv")
    users[["gender", "age", "interests"]] = None
    users.to_csv(tmp_path / "users.csv", index=False)
    with pytest.warns(UserWarning, match="gender"):
        result = run(read_config(path, [*QUICK, "data.relations=[]"])).result
    assert result.metrics["ndcg@10"] is not None
    with pytest.warns(UserWarning, match="no training user has any attribute or friend"):
        load_split(read_config(path, ["data.relations=[]"]))


def test_weights_and_biases_offline_writes_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("WANDB_MODE", "WANDB_DIR", "WANDB_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    tracked = ["tracking.wandb={project: shop, mode: offline}", *QUICK]
    folder = tmp_path / "runs" / "shop" / "0"
    result = run(read_config(write_shop(tmp_path), tracked), folder).result
    files = list((folder / "wandb").glob("offline-run-*/*.wandb"))
    assert len(files) == 1
    for _ in range(100):  # wandb's own process writes the file, a moment after the run
        content = files[0].read_bytes()
        if b"ndcg@10" in content:
            break
        time.sleep(0.2)
    assert b"choose/finetune/loss" in content
    assert b"ndcg@10" in content
    assert result.metrics == run(read_config(tmp_path / "shop.yaml", QUICK)).result.metrics


def test_weights_and_biases_that_cannot_start_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")

    def refuse(**_: Any) -> None:
        raise wandb.errors.UsageError("No API key configured.")

    monkeypatch.setattr(wandb, "init", refuse)
    config = read_config(write_shop(tmp_path), ["tracking.wandb={project: shop, mode: online}", *QUICK])
    with pytest.raises(
        ConfigError, match=r"Biases: No API key configured; run `wandb login`, or set tracking.wandb.mode"
    ):
        run(config, tmp_path / "runs" / "shop" / "0")


def broken_off(config: NamedConfig, folder: Path, monkeypatch: pytest.MonkeyPatch, stage: str = "finetune") -> Path:
    """Stops a run in the first epoch of a stage; its checkpoint of the pretraining."""

    def stop(self: Tracker, at: str, *_: Any) -> None:
        if at == stage:
            raise StoppedError

    with monkeypatch.context() as patched:
        patched.setattr(Tracker, "epoch", stop)
        with pytest.raises(StoppedError):
            run(config, folder)
    return folder / "checkpoint-choose-pretrain.pt"


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign", "of another version"])
def test_a_damaged_checkpoint_is_warned_of_and_its_stage_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    config, folder = read_config(write_shop(tmp_path), QUICK), tmp_path / "runs" / "shop" / "0"
    checkpoint = broken_off(config, folder, monkeypatch)
    content = checkpoint.read_bytes()
    if damage == "of another version":
        torch.save({"epoch": 3}, checkpoint)
    else:
        checkpoint.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "foreign": b"not torch's"}[damage])
    with pytest.warns(UserWarning, match=r"checkpoint-choose-pretrain\.pt: is damaged and not used .*starts anew"):
        resumed = run(config, folder)
    assert resumed.result.metrics == run(config).result.metrics


def test_a_checkpoint_holds_the_checksums_of_config_and_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, folder = read_config(write_shop(tmp_path), QUICK), tmp_path / "runs" / "shop" / "0"
    checkpoint = broken_off(config, folder, monkeypatch)
    identity = torch.load(checkpoint, weights_only=True)["identity"]
    split = load_split(config)
    assert {split.checksum, split.dataset.checksum} < set(identity.split())
    other = read_config(tmp_path / "shop.yaml", [*QUICK, "seed=1"])
    elsewhere = broken_off(other, tmp_path / "runs" / "shop" / "1", monkeypatch)
    checkpoint.write_bytes(elsewhere.read_bytes())  # that of another seed, in this one's place
    with pytest.warns(UserWarning, match="have changed since this run was broken off; the stage starts anew"):
        resumed = run(config, folder)
    assert resumed.result.metrics == run(config).result.metrics


def test_an_unfinished_run_of_another_config_of_that_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one = read_config(write_shop(tmp_path / "a"), QUICK)
    other = read_config(write_shop(tmp_path / "b"), [*QUICK, "model.encoder.channels=8"])
    folder = tmp_path / "runs" / "shop" / "0"
    broken_off(one, folder, monkeypatch)
    with pytest.raises(ConfigError, match=r"runs/shop/0: holds an unfinished run of another config of that name"):
        run(other, folder)
    assert list(folder.glob("checkpoint-*"))
    (folder / UNFINISHED).write_text("")  # a full disk left it empty
    with pytest.warns(UserWarning, match="starts anew"):
        run(other, folder)


def test_a_lock_that_its_holder_is_about_to_remove_is_not_taken(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "shop" / "0"
    open_lock = Path.open

    def open_and_lose(self: Path, *arguments: Any, **options: Any) -> Any:
        file = open_lock(self, *arguments, **options)
        self.unlink()
        return file

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "open", open_and_lose)
        with pytest.raises(ConfigError, match="another process is at work"), claimed(folder):
            pytest.fail("taken")


def test_a_changed_class_of_ones_own_is_no_finished_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    code = "from helper_of_a_test import Popularity\n\n\nclass Mine(Popularity):\n    pass\n"
    helper = "from gnnrec.models.baselines.popularity import Popularity\n"
    (tmp_path / "mine_of_a_test.py").write_text(code)
    (tmp_path / "helper_of_a_test.py").write_text(helper)
    popularity(tmp_path)
    path = tmp_path / "popularity.yaml"
    path.write_text(path.read_text().replace("class: Popularity", "class: mine_of_a_test.Mine"))
    config, folder = read_config(path), tmp_path / "runs" / "popularity" / "0"
    first = run(config, folder).result
    assert "files" in first.checksums
    assert run(config, folder).result == first
    for name, written in {"mine": code, "helper": helper}.items():
        file = tmp_path / f"{name}_of_a_test.py"
        file.write_text(written + "\n\nCHANGED = True\n")
        with pytest.raises(ConfigError, match=r"the code of a class of one's own, has changed since this run"):
            run(config, folder)
        file.write_text(written)
        assert run(config, folder).result == first


def test_a_folder_that_cannot_be_written_is_found_out_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = popularity(tmp_path)
    monkeypatch.setattr("gnnrec.experiment.run._experiment", lambda *_: pytest.fail("trained"))
    (tmp_path / "runs").write_text("a file in the folder's place")
    with pytest.raises(InputError, match=r"runs/popularity/0: cannot be written \(Not a directory\)"):
        run(config, tmp_path / "runs" / "popularity" / "0")
    assert (tmp_path / "runs").read_text() == "a file in the folder's place"
    full = tmp_path / "full" / "popularity" / "0"
    full.mkdir(parents=True)
    (full / LOCK).symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\); mend that"):
        run(config, full)


def test_a_disk_that_fills_up_leaves_nothing_that_looks_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, folder = popularity(tmp_path), tmp_path / "runs" / "popularity" / "0"

    def fill(file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("gnnrec.runtime.files.os.fsync", fill)
        with pytest.raises(InputError, match=r"runs/popularity/0: cannot be written \(No space left on device\)"):
            run(config, folder)
    assert [path.name for path in folder.iterdir() if path.is_file()] == [LOCK]
    assert run(config, folder).result.metrics == run(config).result.metrics


def test_a_folder_that_vanishes_while_it_is_worked_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, folder = popularity(tmp_path), tmp_path / "runs" / "popularity" / "0"

    def fit_and_lose(*arguments: Any) -> Any:
        shutil.rmtree(folder.parent)
        return experiment(*arguments)

    with monkeypatch.context() as patched:
        experiment = run_module._experiment
        patched.setattr(run_module, "_experiment", fit_and_lose)
        made = run(config, folder)
    assert read_result(folder) == made.result
    assert run(config, folder).result == made.result
