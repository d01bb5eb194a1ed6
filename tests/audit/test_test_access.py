import json
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from synthetic_table import write_shop

from gnnrec.audit.test_access import TestAccess, accesses_per_split, read_test_accesses, record_test_access
from gnnrec.errors import ConfigError
from gnnrec.experiment import run as run_module
from gnnrec.experiment.config import read_config
from gnnrec.experiment.run import run
from gnnrec.splits.split import Split


def access_to(config: str, split: str, day: int) -> TestAccess:
    return TestAccess(
        time=f"2025-01-{day:02d}T12:00:00Z",  # type: ignore[arg-type]
        config=config,
        seed=0,
        split_checksum=split,
        config_checksum="c",
        why="said so",
    )


def popularity(folder: Path) -> Path:
    path = write_shop(folder, users=40)
    path.write_text(path.read_text().split("model:")[0] + "model: {class: Popularity}\n")
    return path


def test_accesses_of_several_folders_in_order_of_time_and_counted_by_split(tmp_path: Path) -> None:
    for name, accesses in {
        "a": [access_to("a/x", "1", 3), access_to("a/y", "2", 1)],
        "b": [access_to("b/x", "1", 2)],
    }.items():
        (tmp_path / name).mkdir()
        for access in accesses:
            record_test_access(tmp_path / name, access)
    expected = ["a/y", "b/x", "a/x"]
    assert [o.config for o in read_test_accesses([tmp_path])] == expected
    assert [o.config for o in read_test_accesses([tmp_path / "b", tmp_path / "a", tmp_path])] == expected  # each once
    assert accesses_per_split(read_test_accesses([tmp_path])) == {"1": 2, "2": 1}


def test_nothing_opened_and_what_cannot_be_read(tmp_path: Path) -> None:
    assert read_test_accesses([tmp_path]) == []
    with pytest.raises(ConfigError, match="no such folder"):
        read_test_accesses([tmp_path / "none"])
    record_test_access(tmp_path, access_to("a/x", "1", 1))
    with (tmp_path / "test_access.jsonl").open("a") as file:
        file.write('{"time": 3\n')
    with pytest.raises(ConfigError, match=r"test_access\.jsonl: line 2"):
        read_test_accesses([tmp_path])


def test_a_log_under_its_former_name_is_read_too(tmp_path: Path) -> None:
    record_test_access(tmp_path, access_to("a/x", "1", 2))
    (tmp_path / "test_access.jsonl").rename(tmp_path / "openings.jsonl")
    record_test_access(tmp_path, access_to("a/x", "1", 1))
    assert [a.time.day for a in read_test_accesses([tmp_path])] == [1, 2]


def test_a_run_records_its_test_access_once_and_a_finished_one_opens_nothing(tmp_path: Path) -> None:
    config = read_config(popularity(tmp_path))
    result = run(config, tmp_path / "runs" / "shop" / "0").result
    run(config, tmp_path / "runs" / "shop" / "0")
    (access,) = read_test_accesses([tmp_path / "runs"])
    assert access.config == f"{tmp_path.name}/shop"
    assert access.split_checksum == result.checksums["split"]
    assert access.config_checksum == result.checksums["config"]
    assert access.time.tzinfo == UTC
    run(config.with_seed(1), tmp_path / "runs" / "shop" / "1")
    assert [o.seed for o in read_test_accesses([tmp_path / "runs"])] == [0, 1]
    lines = (tmp_path / "runs" / "test_access.jsonl").read_text().splitlines()
    assert all(set(json.loads(line)) == set(TestAccess.model_fields) for line in lines)


def test_the_line_is_there_before_the_seal_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is killed while it evaluates has seen the test part, and that is on record."""

    def stop(self: Split, why: str) -> None:
        assert len(read_test_accesses([tmp_path / "runs"])) == 1
        raise KeyboardInterrupt

    monkeypatch.setattr(Split, "open_test", stop)
    with pytest.raises(KeyboardInterrupt):
        run(read_config(popularity(tmp_path)), tmp_path / "runs" / "shop" / "0")


def test_a_failed_fit_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "audited_fit", stop)
    with pytest.raises(KeyboardInterrupt):
        run(read_config(popularity(tmp_path)), tmp_path / "runs" / "shop" / "0")
    assert read_test_accesses([tmp_path / "runs"]) == []
