"""The conformance checks find planted bugs, each by its name, and pass what keeps the contract."""

import random
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from gnnrec.errors import ConfigError
from gnnrec.runtime import seeds
from gnnrec.testing.recommender import assert_recommender, check_recommender
from gnnrec.views import TestSet, TrainingData, UserBatch

CLUB = ("user", "club", "club")
FRIEND = ("user", "friend", "user")


class Honest:
    """Counts what the training users of each club chose; `noise` is drawn from the seed."""

    supports_cold_users = True
    predicts_ratings = False

    def __init__(self, *, noise: float = 0.0) -> None:
        self.noise = noise
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        club_of = torch.zeros(train.num_users, len(train.ids["club"]))
        club = train.users.relations[CLUB]
        club_of[club.row, club.node] = 1
        self.popularity = train.popularity / train.num_users
        self.counts = club_of.T @ train.users.history(train.num_items).float()  # [A, I]
        self.counts += self.noise * torch.rand(self.counts.shape, generator=seeds.generator(seed, "noise"))

    def club(self, users: UserBatch) -> Tensor:
        out = torch.zeros(len(users), len(self.counts))
        out[users.relations[CLUB].row, users.relations[CLUB].node] = 1
        return out

    def score(self, users: UserBatch) -> Tensor:
        return self.club(users) @ self.counts + self.popularity


class BatchNormalised(Honest):
    def score(self, users: UserBatch) -> Tensor:
        scores = super().score(users)
        return scores - scores.mean(0, keepdim=True)


class RowsSwapped(Honest):
    def score(self, users: UserBatch) -> Tensor:
        return super().score(users)[torch.arange(len(users)).roll(1)]


class PlaceInBatch(Honest):
    def score(self, users: UserBatch) -> Tensor:
        return super().score(users) + torch.arange(len(users)).float()[:, None]


class GlobalTorch(Honest):
    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        super().fit(train, validation, seed)
        self.counts = self.counts + torch.rand(self.counts.shape)


class GlobalNumpy(Honest):
    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        super().fit(train, validation, seed)
        self.counts = self.counts + torch.from_numpy(np.random.rand(*self.counts.shape)).float()


class GlobalPython(Honest):
    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        super().fit(train, validation, seed)
        self.counts = self.counts + random.random() * torch.eye(*self.counts.shape)


class GlobalSeeded(Honest):
    """The same twice, but whoever draws from the global generator afterwards gets other numbers."""

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        super().fit(train, validation, seed)
        torch.manual_seed(seed)
        self.counts = self.counts + torch.rand(self.counts.shape)


class DrawsWhenScoring(Honest):
    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        super().fit(train, validation, seed)
        self.generator = seeds.generator(seed, "score")

    def score(self, users: UserBatch) -> Tensor:
        scores = super().score(users)
        return scores + torch.rand(scores.shape, generator=self.generator)


class ChangesUsers(Honest):
    def score(self, users: UserBatch) -> Tensor:
        scores = super().score(users)
        users.relations[CLUB].node.zero_()
        return scores


class ChangesPopularity(Honest):
    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        super().fit(train, validation, seed)
        train.popularity.div_(train.popularity.max())


class ChangesValidation(Honest):
    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        super().fit(train, validation, seed)
        if validation is not None:
            validation.ground_truth.node.zero_()


class MeanOfNothing(Honest):
    def score(self, users: UserBatch) -> Tensor:
        club = self.club(users)
        return club @ self.counts / club.sum(1, keepdim=True)


class NeedsAttributes(Honest):
    def score(self, users: UserBatch) -> Tensor:
        club = users.relations[CLUB]
        return self.counts[club.node[club.row.argsort()]]


class MeanOfRatings(Honest):
    """Wrong for a user whose only value is 1: a division by its distance from 1."""

    def score(self, users: UserBatch) -> Tensor:
        weight = users.items.weight
        if weight is not None and len(weight):
            return super().score(users) / (weight.min() - 1)
        return super().score(users)


class LastEdgeWins(Honest):
    def score(self, users: UserBatch) -> Tensor:
        friend = torch.zeros(len(users))
        friend[users.relations[FRIEND].row] = users.relations[FRIEND].node.float()
        return super().score(users) + friend[:, None]


class IndexAsFeature(Honest):
    def score(self, users: UserBatch) -> Tensor:
        return super().score(users) + users.index[:, None].float()


class Doubles(Honest):
    def score(self, users: UserBatch) -> Tensor:
        return super().score(users).double()


class CandidatesOnly(Honest):
    def score(self, users: UserBatch) -> Tensor:
        return super().score(users)[:, :-1]


class Ignores(Honest):
    def score(self, users: UserBatch) -> Tensor:
        return self.popularity.repeat(len(users), 1)


class OrderOfTraining(Honest):
    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        super().fit(train, validation, seed)
        self.counts = self.counts + train.users.history(train.num_items)[:1]


class FriendsByRow(Honest):
    """Legitimate: friends are rows of the training users, and renaming moves both."""

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        super().fit(train, validation, seed)
        self.history = train.users.history(train.num_items).float()

    def score(self, users: UserBatch) -> Tensor:
        friend = users.relations[FRIEND]
        return super().score(users).index_add(0, friend.row, self.history[friend.node])


class ChoosesUnknownOption(Honest):
    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        super().fit(train, validation, seed)
        self.best_params = {"epochs": 3} if validation is not None else {}


class DrawsAgainWhenLoaded(Honest):
    """Keeps what it counted, and draws the noise on top of it again when it is loaded: with the seed 0."""

    options: ClassVar[dict[str, Any]] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        super().fit(train, validation, seed)
        self.counted = self.counts
        self.counts = self.counted + self.drawn(seed)

    def drawn(self, seed: int) -> Tensor:
        return torch.rand(self.counted.shape, generator=seeds.generator(seed, "noise"))

    def state_dict(self) -> dict[str, Any]:
        return {"counted": self.counted, "popularity": self.popularity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.popularity, self.counted = state["popularity"], state["counted"]
        self.counts = self.counted + self.drawn(0)


class KeepsAGenerator(Honest):
    """A generator is nothing that can be saved."""

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        super().fit(train, validation, seed)
        self.generator = seeds.generator(seed, "unused")


class CountsInTheModule(Honest):
    """What it was fitted on is kept outside the model, where a process that loads the model does not find it."""

    kept: ClassVar[list[Tensor]] = []

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        super().fit(train, validation, seed)
        self.kept[:] = [self.counts]
        del self.counts

    def club(self, users: UserBatch) -> Tensor:
        self.counts = self.kept[0]
        return super().club(users)

    def state_dict(self) -> dict[str, Any]:
        return {"popularity": self.popularity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.popularity = state["popularity"]

    options: ClassVar[dict[str, Any]] = {}


class NeedsValidation(Honest):
    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        assert validation is not None
        super().fit(train, validation, seed)


class NoPredictsValues:
    supports_cold_users = True

    def __init__(self) -> None:
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None: ...

    def score(self, users: UserBatch) -> Tensor:
        return torch.zeros(len(users), 40)


def failed(model: type, draws: bool = False) -> set[str]:
    return {check.name for check in check_recommender(model, draws=draws) if not check.passed}


@pytest.mark.parametrize("model", [Honest, FriendsByRow])
def test_a_model_that_keeps_the_contract_passes_every_check(model: type) -> None:
    checks = check_recommender(model, draws=False)
    assert [check for check in checks if not check.passed] == []
    assert len({check.name for check in checks}) == len(checks) == 16


def test_drawing_from_the_seed_is_allowed(loaded_in_this_process: None) -> None:
    assert_recommender(Honest, {"noise": 5.0})


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (BatchNormalised, {"batch independence"}),
        (RowsSwapped, {"batch independence", "learns unseen users"}),
        (PlaceInBatch, {"batch independence"}),
        (GlobalTorch, {"same seed", "global generators", "renamed training users"}),
        (GlobalNumpy, {"same seed", "global generators", "renamed training users"}),
        (GlobalPython, {"same seed", "global generators", "renamed training users"}),
        (GlobalSeeded, {"global generators"}),
        (
            DrawsWhenScoring,
            {
                "same scores when asked again",
                "batch independence",
                "order of edges",
                "index is no feature",
                "same seed",
                "renamed training users",
                "saved and loaded",  # a generator is no array
            },
        ),
        (ChangesUsers, {"inputs unchanged"}),
        (ChangesPopularity, {"inputs unchanged"}),
        (ChangesValidation, {"inputs unchanged"}),
        (MeanOfNothing, {"user without edges", "user with items only", "saved and loaded"}),
        (NeedsAttributes, {"user without edges", "user with items only"}),
        (MeanOfRatings, {"user with items only", "scores"}),
        (LastEdgeWins, {"order of edges", "renamed training users"}),
        (IndexAsFeature, {"index is no feature"}),
        (Doubles, {"scores", "user without edges", "user with items only"}),
        (CandidatesOnly, {"scores", "user without edges", "user with items only", "learns unseen users"}),
        (Ignores, {"learns unseen users"}),
        (OrderOfTraining, {"renamed training users"}),
        (ChoosesUnknownOption, {"best parameters"}),
        (NeedsValidation, {"fit"}),
        (KeepsAGenerator, {"saved and loaded"}),
        (NoPredictsValues, {"members"}),
    ],
)
def test_a_planted_bug_fails_its_check_and_no_other(model: type, names: set[str], loaded_in_this_process: None) -> None:
    assert failed(model) == names


def test_a_model_that_draws_again_when_it_is_loaded_is_found_by_any_seed_but_its_own() -> None:
    messages = {
        seed: next(
            c.message for c in check_recommender(DrawsAgainWhenLoaded, seed=seed) if c.name == "saved and loaded"
        )
        for seed in (0, 3)
    }
    assert messages[0] == ""
    assert messages[3].startswith("saved and loaded in a fresh process, ")
    assert "keep what was fitted, not what it can be drawn from again" in messages[3]


def test_what_is_kept_outside_the_model_is_missed_in_a_fresh_process(request: pytest.FixtureRequest) -> None:
    assert failed(CountsInTheModule) == {"saved and loaded"}
    request.getfixturevalue("loaded_in_this_process")
    assert failed(CountsInTheModule) == set()


def test_a_model_that_treats_all_users_alike_may_say_so(loaded_in_this_process: None) -> None:
    assert_recommender(Ignores, learns=False, draws=False)


def test_messages_stand_in_one_error_with_a_line_each(loaded_in_this_process: None) -> None:
    with pytest.raises(AssertionError) as error:
        assert_recommender(MeanOfNothing)
    first, *lines = str(error.value).splitlines()
    assert first == "MeanOfNothing does not keep the contract of a recommender"
    assert "user without edges: 40 of 40 scores are not finite" in lines


def test_the_check_of_learning_says_what_chance_is(loaded_in_this_process: None) -> None:
    message = next(c.message for c in check_recommender(Ignores) if c.name == "learns unseen users")
    assert "chance is 0.25" in message


def test_an_unknown_option_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'noise'"):
        check_recommender(Honest, {"nois": 1.0})


def test_global_generators_are_left_as_they_were(loaded_in_this_process: None) -> None:
    torch.manual_seed(7), np.random.seed(7), random.seed(7)
    wanted = (torch.rand(1).item(), np.random.rand(), random.random())
    torch.manual_seed(7), np.random.seed(7), random.seed(7)
    check_recommender(GlobalTorch)
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == wanted
