"""Sums over processes, work that is dealt out, and what several processes make of the whole program."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from synthetic_table import write_shop
from torch import nn
from two_processes import command_in_two, ended, in_two
from waiting import wait_for

from gnnrec.errors import ConfigError, InputError
from gnnrec.experiment.config import read_config
from gnnrec.experiment.results import RESULT, read_run
from gnnrec.experiment.run import run
from gnnrec.runtime import distributed
from gnnrec.training import tracking

SMALL = (
    "model.encoder.dropout=0",  # of which each process would draw its own
    "model.encoder.regression=0",  # whose shares are a choice that may hang on last bits
    "model.pretrain={epochs: 2, evaluate_every: 1}",
    "model.finetune={epochs: 8, learning_rate: 0.02, batch_users: 32}",
    "model.choose_on=0",
)


def test_one_process_has_all_by_itself() -> None:
    x = torch.ones(2, requires_grad=True)
    assert distributed.total(x) is x
    assert (distributed.rank(), distributed.count()) == (0, 1)
    assert distributed.dealt([3, 1, 2], str) == ["3", "1", "2"]
    assert distributed.from_first(lambda: 7) == 7
    generator = torch.Generator()
    assert distributed.own_generator(generator) is generator
    distributed.start(1)


def test_sums_and_their_gradients_by_hand(tmp_path: Path) -> None:
    def work() -> Any:
        rank = distributed.rank()
        x = torch.tensor([1.0, 10.0]) * (rank + 1)
        x.requires_grad_()
        total = distributed.total(x)
        (total * (rank + 1)).sum().backward()  # the first process takes the sum once, the second twice
        weight, bias = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(()))
        weight.grad = torch.tensor([1.0, 2.0]) * 10**rank
        distributed.sum_gradients([weight, bias])
        return total.detach(), x.grad, weight.grad, bias.grad

    for total, of_x, of_weight, of_bias in in_two(tmp_path, work):
        assert total.tolist() == [3.0, 30.0]
        assert of_x.tolist() == [3.0, 3.0]
        assert of_weight.tolist() == [11.0, 22.0]
        assert of_bias is None


def test_work_is_dealt_out_and_the_first_one_says_what_holds(tmp_path: Path) -> None:
    def work() -> Any:
        rank = distributed.rank()
        module = nn.Linear(1, 1)
        nn.init.constant_(module.weight, rank + 5.0)
        distributed.take_from_first(module)
        generator = torch.Generator().manual_seed(0)
        own = distributed.own_generator(generator)

        def broken() -> None:
            raise InputError("mend it")

        try:
            distributed.from_first(broken)
        except InputError as error:
            said = str(error)
        return {
            "dealt": distributed.dealt(range(5), lambda item: (item, rank)),
            "few": distributed.dealt([0], lambda item: (item, rank)),
            "first": distributed.from_first(lambda: rank),
            "weight": module.weight.item(),
            "said": said,
            "own": float(torch.rand((), generator=own)),
            "shared": float(torch.rand((), generator=generator)),
        }

    first, second = in_two(tmp_path, work)
    assert first["dealt"] == second["dealt"] == [(0, 0), (1, 1), (2, 0), (3, 1), (4, 0)]
    assert first["few"] == second["few"] == [(0, 0)]
    assert first["first"] == second["first"] == 0
    assert first["weight"] == second["weight"] == 5.0
    assert first["said"] == second["said"] == "mend it"
    assert first["own"] != second["own"]
    assert first["shared"] == second["shared"]


def test_what_cannot_be_is_refused_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = write_shop(tmp_path)
    with pytest.raises(ConfigError, match=r"has 2, but this program runs in 1 process; .*torchrun --nproc-per-node 2"):
        run(read_config(shop, ["trainer.devices=2"]))
    with pytest.raises(ConfigError, match=r"Popularity is trained by one process"):
        read_config(shop, ["trainer.devices=2", "model={class: Popularity}"])
    for model in ("{class: Blend}", "{class: GraphSAGE, finetune: {objective: rating}}"):
        with pytest.raises(
            ConfigError, match=r"is trained by one process; only GraphSAGE that ranks by several, got 2"
        ):
            read_config(shop, ["trainer.devices=2", f"model={model}"])
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"has 1, but this program runs in 2 processes; .*trainer\.devices=2"):
        distributed.start(1)


def history(folder: Path) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads((folder / "history.json").read_text())
    return records


def assert_alike(first: Path, second: Path) -> None:
    """The same curves and numbers, but for rounding."""
    assert len(history(first)) == len(history(second))
    for one, other in zip(history(first), history(second), strict=True):
        assert one.keys() == other.keys()
        assert (one["stage"], one["epoch"]) == (other["stage"], other["epoch"])
        # AdamW steps as far by a gradient that is all rounding: 2e-4 was measured
        assert other["loss"] == pytest.approx(one["loss"], rel=5e-4)
        # Ranks: a tie that rounding broke moves one of few edges or users.
        assert other.get("mrr") == pytest.approx(one.get("mrr"), abs=0.005)
        assert other.get("ndcg@10") == pytest.approx(one.get("ndcg@10"), abs=0.003)
    one, other = read_run(first), read_run(second)
    assert one.result.metrics == pytest.approx(other.result.metrics, abs=0.003)
    assert one.result.chosen.keys() == other.result.chosen.keys()


@pytest.mark.slow
def test_two_processes_give_the_curve_of_one(tmp_path: Path) -> None:
    pytest.importorskip("lightning_fabric")
    shop = write_shop(tmp_path, users=120)
    run(read_config(shop, SMALL), tmp_path / "one" / "shop" / "0")
    command = ["run", shop, "trainer.devices=2", *SMALL, "--out", tmp_path / "two"]
    assert [ended(process) for process in command_in_two(command, tmp_path)] == [0, 0]
    folder = tmp_path / "two" / "shop" / "0"
    assert_alike(tmp_path / "one" / "shop" / "0", folder)
    assert read_run(folder).result.versions["processes"] == "2"
    assert len((tmp_path / "two" / "test_access.jsonl").read_text().splitlines()) == 1
    assert "shop seed 0" in (tmp_path / "0.out").read_text()
    assert (tmp_path / "1.out").read_text() == ""
    again = command_in_two(command, tmp_path)  # read, not run again
    assert [ended(process) for process in again] == [0, 0]
    assert len((tmp_path / "two" / "test_access.jsonl").read_text().splitlines()) == 1


@pytest.mark.slow
def test_every_process_says_why_it_fails(tmp_path: Path) -> None:
    command = command_in_two(["run", tmp_path / "none.yaml"], tmp_path)
    assert [ended(process) for process in command] == [2, 2]
    assert (tmp_path / "0.out").read_text().startswith("error: ")
    assert (tmp_path / "1.out").read_text().startswith("process 1: error: ")


@pytest.mark.slow
def test_a_process_killed_in_a_run_loses_no_finished_run_and_the_broken_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lightning_fabric")
    monkeypatch.setattr(tracking, "CHECKPOINT_SECONDS", 0.0)
    shop = write_shop(tmp_path, users=80)
    changed = ("model.encoder.dropout=0.3", "model.encoder.regression=8", "model.pretrain=null")
    options = ["trainer.devices=2", *SMALL, *changed]

    def command(out: str) -> list[Any]:
        return ["run", shop, *options, "--seeds", "0,1", "--out", tmp_path / out]

    assert [ended(process) for process in command_in_two(command("whole"), tmp_path)] == [0, 0]
    first, second = command_in_two(command("broken"), tmp_path)
    seeds = [tmp_path / "broken" / "shop" / str(seed) for seed in (0, 1)]
    wait_for((seeds[1] / "checkpoint-choose-finetune.pt").exists, first)
    os.kill(second.pid, signal.SIGKILL)
    second.join()
    first.join(30)  # torchrun ends the others
    first.kill()
    first.join()
    assert (seeds[0] / RESULT).exists()
    assert not (seeds[1] / RESULT).exists()
    finished = (seeds[0] / RESULT).read_bytes()
    assert [ended(process) for process in command_in_two(command("broken"), tmp_path)] == [0, 0]
    assert (seeds[0] / RESULT).read_bytes() == finished
    for seed in (0, 1):
        whole, resumed = tmp_path / "whole" / "shop" / str(seed), tmp_path / "broken" / "shop" / str(seed)
        assert history(whole) == history(resumed)
        assert read_run(whole).result.metrics == read_run(resumed).result.metrics
