"""Devices: a model's tensors keep together, the numbers are those of the CPU, and a step moves nothing back."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.models.blend import Blend
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.models.saving import load_model, save_model
from gnnrec.nn import losses
from gnnrec.nn.decoder import DecoderConfig
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.runtime.devices import CPU, Placement, available, place
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.unseen_values import UnseenValues
from gnnrec.training import ranking
from gnnrec.training.loop import LoopConfig, train
from gnnrec.training.pretrain import PretrainConfig
from gnnrec.training.ranking import RankingConfig
from gnnrec.training.rating import RatingConfig
from gnnrec.training.tracking import Tracker
from gnnrec.views import Features, TestSet, TrainingData
from tests.models.baselines.ratings.test_ratings_factorization import made_ratings
from tests.stand_in_device import DEVICE, OnDevice, StandInDevice

SEED = 3
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU of NVIDIA here")


def model_of(case: str, **options: Any) -> GraphSAGE:
    """A quick model; the case names a loss, a layer, or a way to train."""
    layer: dict[str, Any] = {}
    finetune: Any = RankingConfig(epochs=3, batch_users=16, negatives=7)
    if case in ("sampled_softmax", "bpr", "bce"):
        finetune = finetune.model_copy(update={"loss": case})
    elif case == "neighbours drawn":
        options["num_neighbors"] = 3
    elif case == "subgraphs":
        finetune = finetune.model_copy(update={"graph_users": 20})
    elif case.startswith("next"):
        name = case.rpartition(" ")[2]
        options["decoder"] = DecoderConfig(name=name, last=6, options={} if name == "Dot" else DROPS_NOTHING[name])
        finetune = finetune.model_copy(update={"target": "next", "half_life": 0.3, "queries": 9})
    elif case == "linear path":
        layer = {"linear": 8, "linear_reads": "all"}
        finetune = finetune.model_copy(update={"new_items": 0.5})
    elif case.startswith("rating"):
        finetune = RatingConfig(epochs=3, batch_users=16, signed_edges="signed" in case, history_dropout=0.6)
    elif case not in ("softmax", "words of values"):
        layer = {"layer": case}
    encoder = EncoderConfig(channels=8, layers=2, **layer)
    return GraphSAGE(encoder=encoder, pretrain=PretrainConfig(epochs=2), finetune=finetune, **options)


def data_of(case: str) -> tuple[TrainingData, TestSet]:
    """Training users, and others."""
    if case.startswith("rating"):
        return made_ratings(SEED).hold_out(torch.arange(0, 60, 3))
    if case == "words of values":
        data = synthetic(SEED, num_users=70)
        spoken = torch.randn(4, 3, generator=torch.Generator().manual_seed(SEED))
        own = Features("club", "club", spoken, torch.ones(4, dtype=torch.bool))
        hidden = UnseenValues(attribute="club", share=0.3)
        config = UnseenUsers(test=0.2, validation=0.2, unseen_values=hidden)
        split = make_split(replace(data, values=(own,)), config, SEED)
        return split.train, split.validation
    support = 3 if case.startswith("next") else 0
    split = make_split(synthetic(SEED, num_users=70), UnseenUsers(test=0.2, validation=0.2, support=support), SEED)
    return split.train, split.validation


def on_stand_in(model: Any) -> Any:
    model.placement = Placement(DEVICE)
    return model


DROPS_NOTHING: dict[str, dict[str, Any]] = {
    "Linear": {},
    "PairWise": {},
    "MLP": {"dropout": 0},
    "Transformer": {"dropout": 0},
}
CASES = (
    *(f"next, {name}" for name in ("Dot", *DROPS_NOTHING)),
    *("softmax", "sampled_softmax", "bpr", "bce", "neighbours drawn", "subgraphs", "rating", "rating, signed"),
    *("linear path", "torch_geometric.nn.GraphConv", "torch_geometric.nn.GATv2Conv", "AttributeAttention"),
)


@pytest.mark.parametrize("case", CASES)
def test_training_and_scores_are_those_of_the_cpu_and_no_step_moves_anything_back(case: str) -> None:
    train_on, others = data_of(case)
    plain = model_of(case)
    plain.fit(train_on, None, SEED)
    with StandInDevice() as device:
        model = on_stand_in(model_of(case))
        model.fit(train_on, None, SEED)
        assert device.to_host == []
        assert all(isinstance(p, OnDevice) for p in model._tasks[0].head.parameters())
        scores, vectors = model.score(others.users), model.embed(others.users)
    assert type(scores) is Tensor
    assert type(vectors) is Tensor
    close = functools.partial(torch.allclose, atol=1e-3)
    same: Any = close if case.endswith("Transformer") else torch.equal  # on a CPU attention is one operation
    assert same(scores, plain.score(others.users))
    assert same(vectors, plain.embed(others.users))
    assert plain.score(others.users).unique().numel() > 10


@pytest.mark.parametrize("case", ["softmax", "rating"])
def test_epochs_are_chosen_as_on_the_cpu(case: str) -> None:
    train_on, others = data_of(case)
    plain = model_of(case)
    plain.fit(train_on, others, SEED)
    with StandInDevice():
        model = on_stand_in(model_of(case))
        model.fit(train_on, others, SEED)
        scores = model.score(others.users)
    assert model.best_params == plain.best_params
    assert torch.equal(scores, plain.score(others.users))


def test_values_without_users_get_their_vectors_on_a_device_too() -> None:
    train_on, others = data_of("words of values")
    theirs, known = (one.relations["user", "club", "club"].node for one in (others.users, train_on.users))
    assert len(theirs)
    assert not torch.isin(theirs, known).any()
    plain = model_of("words of values")
    plain.fit(train_on, None, SEED)
    with StandInDevice():
        model = on_stand_in(model_of("words of values"))
        model.fit(train_on, None, SEED)
        scores = model.score(others.users)
    assert torch.equal(scores, plain.score(others.users))


def test_lists_come_from_vectors_on_the_cpu() -> None:
    train_on, others = data_of("softmax")
    with StandInDevice():
        model = on_stand_in(model_of("softmax"))
        model.fit(train_on, None, SEED)
        vectors, query = model.item_vectors(), model.query(others.users)
        scores = model.score(others.users)
    assert vectors is not None
    assert (query @ vectors.t() - scores).abs().max() < 1e-4


@pytest.mark.parametrize("task", ["values", "histories", "views"])
def test_pretext_tasks_are_those_of_the_cpu(task: str) -> None:
    train_on, others = data_of("softmax")

    def made() -> GraphSAGE:
        config = PretrainConfig(task=task, epochs=2)  # type: ignore[arg-type]
        encoder = EncoderConfig(channels=8, layers=2)
        return GraphSAGE(encoder=encoder, pretrain=config, finetune=RankingConfig(epochs=1))

    plain = made()
    plain.fit(train_on, others, SEED)
    with StandInDevice():
        model = on_stand_in(made())
        model.fit(train_on, others, SEED)
        scores = model.score(others.users)
    assert torch.allclose(scores, plain.score(others.users), atol=1e-5)


def test_a_pretrained_encoder_is_taken_up_and_carried_on_a_device(tmp_path: Path) -> None:
    train_on, others = data_of("softmax")
    with StandInDevice():
        source = on_stand_in(model_of("softmax"))
        source.fit(train_on, None, SEED)
        save_model(source.carried(), tmp_path)
    finetune = RankingConfig(epochs=3, batch_users=16, choose_by="likelihood", standard_errors=1)

    def made() -> GraphSAGE:
        return GraphSAGE(
            encoder=EncoderConfig(channels=8, layers=2), pretrain=None, finetune=finetune, pretrained=tmp_path
        )

    plain = made()
    plain.fit(train_on, others, SEED)
    with StandInDevice():
        model = on_stand_in(made())
        model.fit(train_on, others, SEED)
        assert all(isinstance(one.message, OnDevice) for one in model._tasks[0].head.encoder.memory.values())
        scores = model.score(others.users).log_softmax(1)
    # What is added to all items alike is nothing to the loss: its gradient is noise, which AdamW makes a step of.
    assert torch.allclose(scores, plain.score(others.users).log_softmax(1), atol=1e-4)


def test_a_blend_hands_its_device_on() -> None:
    train_on, others = data_of("softmax")
    options: dict[str, Any] = {"encoder": {"channels": 8}, "pretrain": None, "finetune": {"epochs": 2}}
    components = {"graphsage": {"class": "GraphSAGE", **options}, "popularity": {"class": "Popularity"}}
    weights = {0: {"graphsage": 0.5, "popularity": 0.5}}
    plain = Blend(components=components, weights=weights)
    plain.fit(train_on, None, SEED)
    with StandInDevice():
        blend = on_stand_in(Blend(components=components, weights=weights))
        blend.fit(train_on, None, SEED)
        assert isinstance(blend.models["graphsage"]._tasks[0].head.bias, OnDevice)
        scores = blend.score(others.users)
    assert torch.equal(scores, plain.score(others.users))


def test_what_was_trained_on_a_device_is_loaded_on_the_cpu(tmp_path: Path) -> None:
    train_on, others = data_of("softmax")
    with StandInDevice():
        model = on_stand_in(model_of("softmax"))
        model.fit(train_on, None, SEED)
        scores = model.score(others.users)
        save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.placement == CPU
    assert torch.equal(loaded.score(others.users), scores)


@contextmanager
def planted(monkeypatch: pytest.MonkeyPatch, fault: str) -> Iterator[None]:
    """A step with a tensor in the wrong place."""
    with monkeypatch.context() as patch:
        if fault == "a tensor of the default device":
            shown = ranking.shown_counts
            patch.setattr(ranking, "shown_counts", lambda *args: torch.zeros(len(shown(*args)), dtype=torch.int64))
        elif fault == "moved to the CPU":
            softmax = losses.softmax
            patch.setattr(losses, "softmax", lambda score, row, *rest: softmax(score.cpu(), row, *rest))
        elif fault == "moved to the CPU with all that it meets":
            softmax = losses.softmax
            patch.setattr(losses, "softmax", lambda score, row, item, *_: softmax(score.cpu(), row.cpu(), item.cpu()))
        else:
            patch.setattr(ranking, "random_places", lambda row, generator: torch.from_numpy(row.numpy()))
        yield


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("a tensor of the default device", "expected all tensors on one device"),
        ("moved to the CPU", "expected all tensors on one device"),
        ("moved to the CPU with all that it meets", None),
        ("through numpy", "numpy"),
    ],
)
def test_a_planted_fault_is_found(monkeypatch: pytest.MonkeyPatch, fault: str, says: str | None) -> None:
    train_on, _ = data_of("softmax")
    with planted(monkeypatch, fault), StandInDevice() as device:
        model = on_stand_in(model_of("softmax"))
        if says is None:
            model.fit(train_on, None, SEED)
            assert len(device.to_host) > 0
        else:
            with pytest.raises((RuntimeError, TypeError), match=says):
                model.fit(train_on, None, SEED)


def test_the_stand_in_computes_and_refuses() -> None:
    with StandInDevice() as device:
        x = torch.tensor([1.0, -2.0]).to(DEVICE).requires_grad_()
        (3 * x.relu()).sum().backward()
        assert x.grad is not None
        assert x.grad.cpu().tolist() == [3.0, 0.0]
        assert (x + torch.tensor(1.0)).detach().cpu().tolist() == [2.0, -1.0]
        assert device.to_host == [(2,), (2,)]
        with pytest.raises(RuntimeError, match="one device"):
            x + torch.ones(2)
        with pytest.raises(RuntimeError, match="one device"):
            torch.ones(3)[torch.tensor([0, 2]).to(DEVICE)]


def test_bfloat16_changes_the_products_of_a_step_and_nothing_else() -> None:
    train_on, others = data_of("softmax")
    found = {}
    for precision in (32, "bf16"):
        model = model_of("softmax")
        model.placement = place("cpu", precision)  # type: ignore[arg-type]
        model.fit(train_on, None, SEED)
        found[precision] = model.score(others.users)
        assert {p.dtype for p in model._tasks[0].head.parameters()} == {torch.float32}
    assert found["bf16"].dtype == torch.float32
    difference = (found[32] - found["bf16"]).abs()
    assert 1e-4 < difference.max() < 0.3 * found[32].std()


def test_auto_takes_the_best_device_there_is() -> None:
    assert place("cpu") == CPU
    assert place("auto").device.type == available()[-1]
    assert available()[0] == "cpu"


def test_a_device_that_is_not_there_is_refused() -> None:
    missing = next(name for name in ("mps", "cuda") if name not in available())
    with pytest.raises(ConfigError, match=f"trainer.device: torch finds no {missing} on this machine; it has cpu"):
        place(missing)


@needs_gpu
@pytest.mark.parametrize("case", CASES)
def test_a_gpu_comes_to_what_the_cpu_comes_to(case: str) -> None:
    train_on, others = data_of(case)
    on = {name: model_of(case) for name in ("cpu", "cuda")}
    for name, model in on.items():
        model.encoder = model.encoder.model_copy(update={"dropout": 0.0})
        model.placement = place(name)  # type: ignore[arg-type]
        model.fit(train_on, None, SEED)
    expected = on["cpu"].score(others.users)
    assert (on["cuda"].score(others.users) - expected).abs().max() < 0.02 * expected.std()


@needs_gpu
@pytest.mark.parametrize(
    "case", [*(case for case in CASES if "Att" not in case and "GAT" not in case), "words of values"]
)
def test_a_gpu_repeats_its_numbers_bit_for_bit(case: str) -> None:
    train_on, others = data_of(case)
    scores = []
    for _ in range(2):
        model = model_of(case)
        model.placement = place("cuda")
        model.fit(train_on, None, SEED)
        scores.append(model.score(others.users))
    assert scores[0].equal(scores[1])


class _KilledError(Exception):
    """Ends a training stage, as a kill does."""


@needs_gpu
def test_on_a_gpu_the_same_seed_gives_the_same_numbers_and_a_broken_stage_goes_on(tmp_path: Path) -> None:
    def weights(folder: Path | None, stop: bool = False) -> Tensor:
        placement = place("cuda")
        torch.manual_seed(SEED)
        module = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
        module.to(placement.device)
        tracker = Tracker(folder)
        epochs = 0

        def epoch(generator: torch.Generator) -> Iterator[Tensor]:
            nonlocal epochs
            epochs += 1
            if stop and epochs == 3:
                raise _KilledError
            yield module(torch.rand(16, 8, generator=generator).to(placement.device)).square().mean()

        tracker.due = lambda: True  # type: ignore[method-assign]
        train(module, epoch, None, LoopConfig(epochs=6), "stage", SEED, tracker, placement)
        return torch.cat([p.detach().flatten() for p in module.parameters()]).cpu()

    unbroken = weights(None)
    assert torch.equal(weights(None), unbroken)
    with pytest.raises(_KilledError):
        weights(tmp_path, stop=True)
    assert torch.equal(weights(tmp_path), unbroken)
