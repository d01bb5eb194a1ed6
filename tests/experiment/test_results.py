"""Writing, reading and finding runs; a kill at any point must leave no run that looks finished."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from gnnrec.errors import ConfigError
from gnnrec.experiment.results import (
    LATER,
    Result,
    config_checksum,
    find_runs,
    finished_result,
    read_result,
    read_run,
    write_result,
)

PER_USER = pd.DataFrame({"user": ["a", "b"], "ndcg@10": [0.1, 0.30000000000000004]})


def result(value=0.2, **changes):
    config = {"seed": 0, "data": {"source": "ml-100k"}, "expected": {"ndcg@10": {"mean": 0.2, "within": 0.01}}}
    return Result(
        **{
            "name": "popularity",
            "seed": 0,
            "metrics": {"ndcg@10": value, "coverage@10": None},
            "users": 2,
            "users_without_target": 1,
            "checksums": {"data": "d", "split": "s", "config": config_checksum(config)},
            "seconds": {"load": 0.1, "fit": 0.2, "evaluate": 0.3},
            "peak_rss_mb": 100.5,
            "versions": {"gnnrec": "0.1.0"},
            "chosen": {"finetune.epochs": 37},
            "audit": {"training_users": 3, "checks": ["users"]},
            "config": config,
        }
        | changes
    )


def test_what_is_written_is_read(tmp_path):
    write_result(tmp_path / "popularity" / "0", result(0.1 + 0.2), PER_USER)
    run = read_run(tmp_path / "popularity" / "0")
    assert run.result == result(0.1 + 0.2)  # bit for bit
    pd.testing.assert_frame_equal(run.per_user, PER_USER)
    names = {path.name for path in (tmp_path / "popularity" / "0").iterdir()}
    assert names == {"config.yaml", "per_user.parquet", "result.json"}


def test_the_file_has_the_fields_that_others_read(tmp_path):
    write_result(tmp_path, result(), PER_USER)
    content = json.loads((tmp_path / "result.json").read_text())
    assert content["metrics"] == {"ndcg@10": 0.2, "coverage@10": None}
    assert set(content) >= {
        "config", "seed", "metrics", "users", "users_without_target", "checksums", "seconds", "peak_rss_mb", "versions"
    }  # fmt: skip


def test_the_config_is_written_back(tmp_path):
    write_result(tmp_path, result(), PER_USER)
    assert OmegaConf.to_container(OmegaConf.load(tmp_path / "config.yaml")) == result().config


def test_checksum_of_a_config():
    config = {"seed": 0, "model": {"class": "Popularity", "x": [1, 2]}}
    same = {"model": {"x": [1, 2], "class": "Popularity"}, "seed": 0, "expected": {"a": 1}, "tracking": {"wandb": True}}
    assert config_checksum(config) == config_checksum(same)
    others = [config | {"seed": 1}, config | {"model": {"class": "Popularity", "x": [2, 1]}}, {"seed": 0}]
    assert len({config_checksum(c) for c in (config, *others)}) == 4


@pytest.mark.parametrize("keys", LATER, ids=".".join)
def test_a_key_that_came_later_counts_only_where_it_changes_something(keys):
    def holding(last):
        for key in reversed(keys[:-1]):
            last = {"any" if key == "*" else key: {"beside": 1} | last}
        return {"seed": 3} | last

    without, unchanged, other = (holding(last) for last in ({}, {keys[-1]: LATER[keys]}, {keys[-1]: "another"}))
    assert config_checksum(without) == config_checksum(unchanged) != config_checksum(other)


class Killed(BaseException):
    """Nothing in the package catches it, so the files stay as a kill would leave them."""


@pytest.mark.parametrize(
    ("owner", "step", "times"),
    # Three files, each opened, synced and replaced; after each replacement the folder is synced.
    [(Path, "unlink", 1), (Path, "open", 3), (os, "fsync", 6), (Path, "replace", 3)],
)
@pytest.mark.parametrize("count", range(7))
@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
def test_a_kill_leaves_a_whole_run_or_none(tmp_path, monkeypatch, owner, step, times, count, again):
    if again:
        write_result(tmp_path, result(0.1), PER_USER)
    original, done = getattr(owner, step), []

    def dying(*arguments, **options):
        if len(done) == count:
            raise Killed
        done.append(step)
        return original(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, dying)
        try:
            write_result(tmp_path, result(0.9), PER_USER.assign(user=["x", "y"]))
            assert count >= times
        except Killed:
            assert count < times
    checksum = result().checksums["config"]
    found = finished_result(tmp_path, checksum)
    if count >= times:
        assert found is not None
    if found is not None:  # then its values per user are its own
        users = read_run(tmp_path).per_user["user"].tolist()
        assert (found.metrics["ndcg@10"], users) in [(0.1, ["a", "b"]), (0.9, ["x", "y"])]
        assert again or found.metrics["ndcg@10"] == 0.9
    write_result(tmp_path, result(0.5), PER_USER)
    assert finished_result(tmp_path, checksum).metrics["ndcg@10"] == 0.5


def test_no_such_run(tmp_path):
    with pytest.raises(ConfigError, match="no such run folder"):
        read_result(tmp_path / "nowhere")


def test_an_unfinished_run(tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 0")
    assert finished_result(tmp_path, "any") is None
    with pytest.raises(ConfigError, match="not finished"):
        read_result(tmp_path)
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "result.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"holds runs and is none itself; name one of them, for example .*/3$"):
        read_result(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "Invalid JSON"),
        ("[]", "Input should be"),
        ('{"seed": 0}', "name: Field required"),
        ('{"seed": "x"', "Invalid JSON"),
    ],
)
def test_a_broken_result(tmp_path, content, message):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(ConfigError, match=f"result.json: cannot be read: .*{message}") as error:
        read_result(tmp_path)
    assert "\n" not in str(error.value)


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "result.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_result(tmp_path)


@pytest.mark.parametrize("content", [None, b"PAR1 but no table"])
def test_values_per_user_missing_or_broken(tmp_path, content):
    write_result(tmp_path, result(), PER_USER)
    (tmp_path / "per_user.parquet").unlink()
    if content is not None:
        (tmp_path / "per_user.parquet").write_bytes(content)
    with pytest.raises(ConfigError, match=r"per_user.parquet: cannot be read"):
        read_run(tmp_path)


def test_a_folder_of_another_config(tmp_path):
    write_result(tmp_path, result(), PER_USER)
    assert finished_result(tmp_path, result().checksums["config"]) == result()
    with pytest.raises(ConfigError, match="finished run of another config"):
        finished_result(tmp_path, config_checksum({"seed": 1}))


def test_runs_are_found_from_every_level(tmp_path):
    folders = [tmp_path / name / seed for name in ("als", "random") for seed in ("0", "2", "10")]
    for folder in folders:
        write_result(folder, result(name=folder.parent.name, seed=int(folder.name)), PER_USER)
    (tmp_path / "random" / "3").mkdir()  # unfinished
    assert find_runs([tmp_path]) == folders
    assert find_runs([tmp_path / "random"]) == folders[3:]
    assert find_runs([folders[4], tmp_path / "random", folders[0]]) == [folders[4], folders[3], folders[5], folders[0]]
    with pytest.raises(ConfigError, match="no such folder"):
        find_runs([tmp_path / "knn"])
    with pytest.raises(ConfigError, match="no finished run in it"):
        find_runs([tmp_path / "random" / "3"])
