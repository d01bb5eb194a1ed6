"""Jobs on a cluster of two nodes on this machine: each comes back once, also where workers and a node are killed."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cluster_jobs import breaks, complains, dies, holds, twice
from command_line import refused
from synthetic_table import write_shop

from gnnrec.errors import ConfigError, InputError
from gnnrec.experiment.config import read_config
from gnnrec.experiment.results import read_run
from gnnrec.experiment.run import run
from gnnrec.runtime.cluster import TRIES, connected

ray = pytest.importorskip("ray")
MEMORY = 200 * 2**20


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster whose two nodes have one core each."""
    from ray.cluster_utils import Cluster

    made = Cluster()
    soon = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
    made.add_node(num_cpus=1, object_store_memory=MEMORY, include_dashboard=False, _system_config=soon)
    made.add_node(num_cpus=1, object_store_memory=MEMORY)
    yield made
    made.shutdown()


def names(count: int) -> list[str]:
    return [f"job {number}" for number in range(count)]


def test_both_nodes_work_with_one_thread_each(cluster: Any, tmp_path: Path) -> None:
    with connected(cluster.address) as there:
        assert there.cores == 2
        jobs = [(number, tmp_path) for number in range(8)]
        found = dict(there.finished(twice, jobs, names(8), pytest.fail))
    assert found == {number: (2 * number, "1") for number in range(8)}


def test_a_job_whose_worker_is_killed_is_begun_again_and_named(cluster: Any, tmp_path: Path) -> None:
    told: list[str] = []
    with connected(cluster.address) as there:
        jobs = [(0, tmp_path, 0), (1, tmp_path, 1), (2, tmp_path, 9)]
        found = dict(there.finished(dies, jobs, names(3), told.append))
    assert (found[0], found[1], type(found[2])) == (0, 1, InputError)
    assert str(found[2]).startswith(f"job 2: its worker died {TRIES} times")
    again = [f"job 1: begun again, 2 of {TRIES}", *(f"job 2: begun again, {n} of {TRIES}" for n in range(2, TRIES + 1))]
    assert sorted(re.sub(r"its worker died \(\w+\); ", "", line) for line in told) == again


def test_what_a_person_can_mend_ends_one_job_and_what_not_all(cluster: Any) -> None:
    with connected(cluster.address) as there:
        found = dict(there.finished(complains, [(0,), (1,), (2,)], names(3), pytest.fail))
        assert (found[0], found[2]) == (0, 2)
        assert str(found[1]) == "the second one: mend it"
        with pytest.raises(ZeroDivisionError):
            list(there.finished(breaks, [(0,), (1,)], names(2), pytest.fail))


def test_a_node_that_is_killed_loses_its_jobs_to_the_others(cluster: Any, tmp_path: Path) -> None:
    third = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    told: list[str] = []
    with connected(cluster.address) as there:
        assert there.cores == 3
        jobs = [(number, tmp_path, number < 3) for number in range(6)]
        found = {}
        for number, result in there.finished(holds, jobs, names(6), told.append):
            if not found:  # the first short one is done: each node has a long one, or had
                cluster.remove_node(third, allow_graceful=False)
                (tmp_path / "go").write_text("")
            found[number] = result
    assert found == {number: number for number in range(6)}
    assert all("begun again" in line for line in told)


def test_no_cluster_at_an_address_is_one_line() -> None:
    match = r"--ray 127.0.0.1:1: there is no cluster .*say local"
    with pytest.raises(InputError, match=match) as raised, connected("127.0.0.1:1"):
        pytest.fail("there is one")
    assert "\n" not in str(raised.value)


def test_runs_on_a_cluster_are_those_of_this_process(cluster: Any, tmp_path: Path, gnnrec: Any) -> None:
    """One that cannot be made says why, and the other is made; the same command then reads it."""
    path, out = write_shop(tmp_path), tmp_path / "there"
    (tmp_path / "other.yaml").write_text(path.read_text().replace("path: ratings.csv", "path: lost.csv"))
    small = ["model.pretrain=null", "model.finetune.epochs=2"]
    command = ("run", path, tmp_path / "other.yaml", *small, "--seeds", "2", "--out", out, "--ray", cluster.address)
    answer = gnnrec(*command)
    assert answer.code == 2
    assert "lost.csv" in answer.err
    run(read_config(path, small).with_seed(2), tmp_path / "here")
    far, near = read_run(out / "shop" / "2"), read_run(tmp_path / "here")
    assert far.result.metrics == near.result.metrics
    assert far.result.checksums == near.result.checksums
    made = (out / "shop" / "2" / "result.json").stat().st_mtime_ns
    (again,) = json.loads(gnnrec(*command, "--json").out)
    assert again["metrics"] == far.result.metrics
    assert (out / "shop" / "2" / "result.json").stat().st_mtime_ns == made


def test_a_search_on_a_cluster_keeps_its_budget(cluster: Any, tmp_path: Path, gnnrec: Any) -> None:
    path = write_shop(tmp_path)
    model = "model={class: SegmentPopularity}"
    answer = gnnrec(
        *("tune", path, model, "--trials", "5", "--out", tmp_path / "tuned", "--ray", cluster.address, "--json")
    )
    assert answer.code == 0
    (row,) = json.loads(answer.out)
    assert row["trials"] == 5
    assert len(json.loads((tmp_path / "tuned" / "shop.json").read_text())["trials"]) == 5
    assert read_config(tmp_path / "tuned" / "shop.yaml").config.model["class"] == "SegmentPopularity"


def test_a_folder_of_users_is_dealt_out_and_goes_on(cluster: Any, tmp_path: Path, gnnrec: Any) -> None:
    path = write_shop(tmp_path)
    folder = tmp_path / "runs" / "shop" / "0"
    run(read_config(path, ["model.pretrain=null", "model.finetune.epochs=1"]), folder)
    users = pd.read_csv(tmp_path / "users.csv").assign(user_id=lambda frame: "n" + frame["user_id"])
    (tmp_path / "new").mkdir()
    for part in range(3):
        users[part::3].to_csv(tmp_path / "new" / f"part-{part}.csv", index=False)
    users.to_csv(tmp_path / "all.csv", index=False)
    whole, to = tmp_path / "all.parquet", tmp_path / "lists"
    assert gnnrec("recommend", folder, "--users", tmp_path / "all.csv", "--out", whole).code == 0
    assert gnnrec("recommend", folder, "--users", tmp_path / "new", "--out", to, "--ray", cluster.address).code == 0
    parts = pd.concat([pd.read_parquet(to / f"part-{part}.parquet") for part in range(3)])
    order = ["user", "rank"]
    found, expected = (frame.sort_values(order).reset_index(drop=True) for frame in (parts, pd.read_parquet(whole)))
    assert len(found) == len(expected) > 0
    pd.testing.assert_frame_equal(found, expected)
    (to / "part-1.parquet").unlink()
    made = {path.name: path.stat().st_mtime_ns for path in to.iterdir()}
    answer = gnnrec("recommend", folder, "--users", tmp_path / "new", "--out", to)  # one after the other
    assert answer.code == 0
    assert "2 of 3 files are there already" in answer.err
    assert {name: (to / name).stat().st_mtime_ns for name in made} == made
    assert set(pd.read_parquet(to / "part-1.parquet")["user"]) == set(users["user_id"][1::3])


def test_vectors_of_a_folder_and_what_is_no_folder(tmp_path: Path, gnnrec: Any) -> None:
    path = write_shop(tmp_path)
    folder = tmp_path / "runs" / "shop" / "0"
    run(read_config(path, ["model.pretrain=null", "model.finetune.epochs=1"]), folder)
    users = pd.read_csv(tmp_path / "users.csv")
    (tmp_path / "new").mkdir()
    for part in range(2):
        users[part::2].to_csv(tmp_path / "new" / f"part-{part}.csv", index=False)
    assert gnnrec("embed", folder, "--users", tmp_path / "users.csv", "--out", tmp_path / "all.parquet").code == 0
    assert gnnrec("embed", folder, "--users", tmp_path / "new", "--out", tmp_path / "vectors").code == 0
    parts = pd.concat([pd.read_parquet(tmp_path / "vectors" / f"part-{part}.parquet") for part in range(2)])
    found, expected = (one.set_index("user")["vector"] for one in (parts, pd.read_parquet(tmp_path / "all.parquet")))
    assert set(found.index) == set(expected.index)
    assert all(abs(found[user] - expected[user]).max() < 1e-5 for user in expected.index)
    one = ("embed", folder, "--users", tmp_path / "users.csv", "--out", tmp_path / "v.parquet", "--ray", "local")
    refused(gnnrec(*one), "--ray: deals out the files of a folder", "users.csv is none")
    new = ("embed", folder, "--users", tmp_path / "new")
    refused(gnnrec(*new, "--out", tmp_path / "v.parquet"), "of a folder of users a folder is written")
    refused(
        gnnrec(*new, "--out", tmp_path / "v", "--history", tmp_path / "ratings.csv"), "--history", "must be a folder"
    )
    (tmp_path / "empty").mkdir()
    refused(
        gnnrec("embed", folder, "--users", tmp_path / "empty", "--out", tmp_path / "v"), "empty is a folder without"
    )


def test_without_ray_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'gnnrec\[ray\]'"), connected("local"):
        pytest.fail("it is there")
