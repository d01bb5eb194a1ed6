"""GraphSAGE that starts from a pretrained encoder: what freezes, what is learned without users, what is kept."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gnnrec.data.dataset import Dataset
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
from gnnrec.experiment.pretrain import everything
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.models.held_out import HeldOutNDCG
from gnnrec.models.saving import load_model, save_model
from gnnrec.models.selection import Fold
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.kshot import reveal_each
from gnnrec.splits.split import Split
from gnnrec.testing import assert_recommender
from gnnrec.training.loop import _better
from gnnrec.training.ranking import RankingConfig
from gnnrec.training.tracking import Tracker
from gnnrec.views import Edges, TestSet, UserBatch

SHAPE = EncoderConfig(channels=16, layers=2, dropout=0.1)
NDCG = EvaluateConfig(metrics=["ndcg"], at=[10])


def shop(seed: int, num_users: int) -> Dataset:
    """Users choose the items of their group: with so much loyalty a club tells nearly all."""
    return synthetic(seed, num_users=num_users, num_items=40, loyalty=0.95)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pretrained on a shop of 300 users."""
    model = GraphSAGE(encoder=SHAPE, pretrain=None, finetune=RankingConfig(epochs=20, learning_rate=0.02))
    model.fit(everything(shop(3, 300)), None, 3)
    folder = tmp_path_factory.mktemp("encoder")
    save_model(model.carried(), folder)
    return folder


def few(seed: int = 4) -> Split:
    """A shop of the same kind, of which a dozen users train."""
    return make_split(shop(seed, 120), UnseenUsers(test=0.5, validation=0.1, train_share=0.2), seed)


def model(encoder: Path | None, epochs: int = 0, **options: Any) -> GraphSAGE:
    finetune = RankingConfig(epochs=epochs, learning_rate=0.02, standard_errors=1)
    return GraphSAGE(encoder=SHAPE, pretrain=None, finetune=finetune, pretrained=encoder, **options)


def ndcg(fitted: GraphSAGE, split: Split) -> float:
    split.open_test("a test")
    found = evaluate(fitted, split.test, split.full.candidates, NDCG, 0, split.full).metrics["ndcg@10"]
    assert found is not None
    return found


def test_a_dozen_users_are_served_as_by_many(encoder: Path) -> None:
    """The known answer: who chooses what hangs on the club, which the other shop's users have taught."""
    split, scratch, pretrained = few(), model(None, 20), model(encoder)
    scratch.fit(split.full, None, 4)
    pretrained.fit(split.full, None, 4)
    assert ndcg(pretrained, split) > ndcg(scratch, split) + 0.05


def test_zero_shot_reads_no_interaction(encoder: Path) -> None:
    """Other choices of the same users, the same scores; and better than popularity, which has seen these choices."""
    split = few()
    first = model(encoder, zero_shot=True)
    first.fit(split.full, None, 4)
    users = split.full.users
    shifted = replace(users, items=replace(users.items, node=(users.items.node + 7) % 40))
    second = model(encoder, zero_shot=True)
    second.fit(replace(split.full, users=shifted), None, 4)
    assert torch.equal(first.score(split.validation.users), second.score(split.validation.users))
    learned = model(encoder)
    learned.fit(replace(split.full, users=shifted), None, 4)
    assert not torch.equal(first.score(split.validation.users), learned.score(split.validation.users))
    assert first.build(split.full, 4) is None  # no graph to audit: there is no interaction in it


def test_what_is_frozen_stays_and_the_rest_moves(encoder: Path) -> None:
    def weights(freeze: tuple[str, ...], epochs: int) -> dict[str, torch.Tensor]:
        fitted = model(encoder, epochs, freeze=freeze)  # type: ignore[arg-type]
        fitted.fit(few().full, None, 4)
        state: dict[str, torch.Tensor] = fitted.state_dict()["tasks"][0]["head"]
        return state

    start = weights((), 0)
    everything_frozen = weights(("attributes", "items", "layers"), 2)
    moved = {name for name in start if not torch.equal(start[name], everything_frozen[name])}
    assert moved == {"bias", "logit_scale"}
    moved = {name for name, value in weights(("layers",), 2).items() if not torch.equal(start[name], value)}
    assert not any("steps" in name or "norms" in name for name in moved)
    assert any("type club" in name for name in moved)
    assert any("steps" in name for name, value in weights((), 2).items() if not torch.equal(start[name], value))


def test_it_is_saved_and_takes_in_new_interactions(encoder: Path, tmp_path: Path) -> None:
    """Saved, it needs no encoder; an update keeps memory and popularity of the other shop."""
    split = few()
    fitted = model(encoder)
    fitted.fit(split.train, None, 4)
    save_model(fitted, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    users = split.validation.users
    assert torch.equal(fitted.score(users), loaded.score(users))
    anew = model(encoder)
    anew.fit(split.full, None, 4)
    for one in (fitted, loaded):
        one.pretrained = tmp_path / "gone"
        one.update(split.full, fresh=torch.ones(split.full.num_users, dtype=torch.bool))
        task = one._tasks[0]
        assert task.head.encoder.memory
        assert task.expected is not None
        correlation = torch.corrcoef(torch.stack([one.score(users).flatten(), anew.score(users).flatten()]))[0, 1]
        assert correlation > 0.95


def test_it_keeps_the_contract(encoder: Path) -> None:
    own = model(encoder, 2)
    assert_recommender(GraphSAGE, {**own.options, "finetune": {"epochs": 2}})


def test_drawn_neighbours_are_refused(encoder: Path) -> None:
    sampled = model(encoder, 1, num_neighbors=3)
    with pytest.raises(ConfigError, match="edges are not drawn with a pretrained encoder"):
        sampled.fit(few().full, None, 4)


def test_a_gain_counts_beyond_its_standard_error() -> None:
    """Gains of 1, 2 and 3: mean 2, standard deviation 1, standard error .577."""
    best = torch.tensor([0.0, 0.0, 0.0]).double()
    gain = torch.tensor([1.0, 2.0, 3.0]).double()
    assert _better(gain, best, 3.4)
    assert not _better(gain, best, 3.5)
    assert not _better(gain[:1], best[:1], 0.1)  # of one user nobody knows how sure it is
    assert not _better(best, gain, 1.0)
    assert _better(0.2, 0.1, 0.0)
    assert not _better(0.1, 0.1, 0.0)


def test_one_user_after_several_choices_is_one_observation() -> None:
    """The held-out users stand there once for each number of shots, and their mean is one value."""
    split = make_split(shop(5, 60), UnseenUsers(test=0.2, validation=0.2, support=3), 5)
    test = reveal_each(split.validation, (0, 1, 3), 60)
    fitted = model(None, 4)
    fitted.fit(split.train, test, 5)
    measured = next(iter(type(fitted._tasks[0]).measure(fitted._tasks, [Fold(split.train, test, test)], 5)().values()))
    assert isinstance(measured, torch.Tensor)
    assert len(measured) == len(split.validation.users)
    fitted._tasks[0].config = fitted.finetune.model_copy(update={"standard_errors": 0.0})
    every = next(iter(type(fitted._tasks[0]).measure(fitted._tasks, [Fold(split.train, test, test)], 5)().values()))
    assert every == pytest.approx(float(measured.mean()), abs=1e-6)


def test_likelihood_of_what_is_to_be_found_by_hand() -> None:
    """Item 2 is known and in no softmax: of items 0, 1, 3 with weights 1, 2, 5, items 0 and 3 are to be found."""
    index, none = torch.tensor([0]), torch.empty(0, dtype=torch.int64)
    users = UserBatch(index, Edges(torch.tensor([0]), torch.tensor([2])), {})
    test = TestSet(users, Edges(torch.tensor([0, 0]), torch.tensor([0, 3])))
    measure = HeldOutNDCG(test, torch.ones(4, dtype=torch.bool), 0)
    found = measure.likelihood(torch.tensor([[1.0, 2.0, 9.0, 5.0]]).log())
    assert found.tolist() == [pytest.approx((math.log(1 / 8) + math.log(5 / 8)) / 2)]
    assert measure.likelihood(torch.zeros(1, 4)).tolist() == [pytest.approx(math.log(1 / 3))]
    nobody = TestSet(users, Edges(none, none))
    assert HeldOutNDCG(nobody, torch.ones(4, dtype=torch.bool), 0).likelihood(torch.zeros(1, 4)).tolist() == []


def test_epochs_are_chosen_by_likelihood() -> None:
    split = make_split(shop(5, 120), UnseenUsers(test=0.2, validation=0.2), 5)
    finetune = RankingConfig(epochs=12, learning_rate=0.02, choose_by="likelihood")
    fitted, tracker = GraphSAGE(encoder=SHAPE, pretrain=None, finetune=finetune, choose_on=0), Tracker()
    fitted.tracker = tracker
    fitted.fit(split.train, split.validation, 5)
    looks = {r["epoch"]: r["log-likelihood"] for r in tracker.history if "log-likelihood" in r}
    assert len(looks) == 6
    assert fitted.best_params["finetune"].epochs == max(looks, key=lambda epoch: looks[epoch])
