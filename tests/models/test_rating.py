"""The rating model: its parts by hand, what training hides, choices, exact resume, unseen users of a known taste."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gnnrec.models.rating import GraphRatingRecommender
from scipy.optimize import nnls

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.graph.build import build_graph
from gnnrec.models.baselines import Biases
from gnnrec.models.rating_effects import fit_biases, item_values, ratings_of, residual_directions
from gnnrec.nn.encoder import Encoder, EncoderConfig
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.testing.recommender import assert_recommender
from gnnrec.training.pretrain import PretrainConfig
from gnnrec.training.rating import DISLIKES, LIKES, RatingFinetuneConfig, by_opinion, with_opinions
from gnnrec.training.tracking import Tracker
from gnnrec.views import Edges, reverse
from tests.models.baselines.ratings.test_ratings_factorization import made_ratings, strangers

SMALL = EncoderConfig(channels=16, layers=2, dropout=0.1)
QUICK = RatingFinetuneConfig(epochs=30, batch_users=16, ema_decay=0.0, quiet=0.0)
NO_EFFECTS = {"encoder": 1.0, "effects": 0.0}


def made_split(seed: int = 0):
    return make_split(synthetic(seed, num_users=80), UnseenUsers(test=0.2, validation=0.2), seed)


@pytest.mark.parametrize("shares", [NO_EFFECTS, {"encoder": 0.0, "effects": 1.0}], ids=["encoder", "effects"])
def test_a_stranger_gets_the_taste_of_its_attribute(shares) -> None:
    train = made_ratings(0)
    options = {"effect_shrinkage": 1.0, "shares": shares}
    model = GraphRatingRecommender(encoder=SMALL, finetune=QUICK, **options)
    model.fit(train, None, 0)
    score = model.score(strangers())  # taste 0 gives 5 to even items and 1 to odd ones, taste 1 the other way
    assert (score[0, ::2] - score[0, 1::2]).min() > 1
    assert (score[1, 1::2] - score[1, ::2]).min() > 1
    half = {t: Edges(e.row, e.node.sort().values) for t, e in train.users.relations.items()}  # says nothing of taste
    shuffled = replace(train, users=replace(train.users, relations=half))
    model = GraphRatingRecommender(encoder=SMALL, finetune=QUICK, **options)
    model.fit(shuffled, None, 0)
    assert (model.score(strangers())[0, ::2] - model.score(strangers())[0, 1::2]).abs().mean() < 1


def test_before_any_training_it_is_informed_biases() -> None:
    split = made_split()
    model = GraphRatingRecommender(encoder=SMALL, finetune=RatingFinetuneConfig(epochs=0), shares=NO_EFFECTS)
    model.fit(split.train, None, 0)
    biases = Biases(informed=True, item_shrinkage=5, user_shrinkage=3, rater_shrinkage=20)
    biases.fit(split.train, None, 0)
    users = split.validation.users
    known = replace(users, items=Edges(torch.tensor([1, 1]), torch.tensor([0, 3]), torch.tensor([1.0, 2.0])))
    for asked in (users, known):
        assert torch.allclose(model.score(asked), biases.score(asked), atol=1e-5)


def test_who_rates_an_item_counts() -> None:
    # Users 0 and 1 have biases +1 and -1 (mean 0). Item 0 is rated by user 1 alone: -1 / (1 + 1) = -.5; item 1 by both.
    from gnnrec.models.rating_effects import FittedBiases, Ratings

    ratings = Ratings(np.array([0, 1, 1]), np.array([1, 0, 1]), np.array([4.0, 2.0, 2.0]), (2, 2))
    biases = FittedBiases(3.0, np.array([1.0, -1.0]), np.array([0.2, -0.3]), np.array([True, True]))
    assert item_values(ratings, biases, 1.0) == pytest.approx([2.7, 2.7])
    assert item_values(ratings, biases, None) == pytest.approx([3.2, 2.7])


def test_directions_are_those_of_the_residuals() -> None:
    ratings = ratings_of(made_ratings(0))
    start = residual_directions(ratings, fit_biases(ratings, 3, 5).residual(ratings), 4, seed=0)
    assert start.shape == (20, 4)
    assert float((start**2).mean()) == pytest.approx(1, abs=1e-4)
    first = start[:, 0]  # even items against odd ones
    assert (first[::2] > 0).all() or (first[::2] < 0).all()
    assert np.sign(first[1]) == -np.sign(first[0])


def test_the_graph_parted_by_opinion_holds_the_same_edges() -> None:
    train = made_split().train
    graph = build_graph(train)
    liked = torch.arange(len(train.users.items)) % 3 == 0
    parted = by_opinion(graph, liked)
    both = torch.cat([parted[LIKES].edge_index, parted[DISLIKES].edge_index], dim=1)
    whole = graph["user", "interacts", "item"].edge_index
    assert sorted(both.t().tolist()) == sorted(whole.t().tolist())
    assert torch.equal(parted[reverse(LIKES)].edge_index, parted[LIKES].edge_index.flip(0))
    assert ("user", "interacts", "item") not in parted.edge_types
    users = with_opinions(train.users, liked)
    assert len(users.items) == 0
    assert torch.equal(users.relations[LIKES].node, train.users.items.node[liked])


def test_choices_are_made_on_held_out_users_and_followed_to_the_letter() -> None:
    split = made_split()
    finetune = QUICK.model_copy(update={"epochs": 6})
    model = GraphRatingRecommender(encoder=SMALL, pretrain=PretrainConfig(epochs=2), finetune=finetune, choose_on=40)
    model.fit(split.train, split.validation, 0)
    assert set(model.chosen) == {"pretrain.epochs", "finetune.epochs", "shares"}
    assert model.chosen["finetune.epochs"] <= 6
    assert all(share >= 0 for share in model.chosen["shares"].values())
    final = GraphRatingRecommender(
        encoder=SMALL,
        pretrain=PretrainConfig(epochs=model.chosen["pretrain.epochs"]),
        finetune=finetune.model_copy(update={"epochs": model.chosen["finetune.epochs"]}),
        shares=model.chosen["shares"],
    )
    final.fit(split.full, None, 0)
    assert final.chosen == {}


def test_shares_are_the_least_squares_ones_within_users() -> None:
    split = made_split(2)
    model = GraphRatingRecommender(encoder=SMALL, finetune=QUICK, choose_on=0)
    model.fit(split.train, split.validation, 0)
    users, target, member = split.validation.users, split.validation.ground_truth, model._members[0]
    parts = [member.encoded(users).double(), member.effects(users), member.base(users)]
    rows: list[list[float]] = []
    for user in range(len(users)):
        items = target.node[target.row == user]
        values = [part[user, items].numpy() for part in parts]
        left = target.weight[target.row == user].numpy() - values.pop()
        rows += zip(*(column - column.mean() for column in (*values, left)), strict=True)
    table = np.array(rows)
    wanted, _ = nnls(table[:, :2], table[:, 2])
    assert wanted[0] > 0
    assert list(model.chosen["shares"].values()) == pytest.approx(wanted.tolist(), abs=1e-3)


def test_asked_users_neither_show_ratings_nor_speak(monkeypatch) -> None:
    seen = []
    forward = Encoder.forward

    def spy(self, blocks, nodes=None, outputs=("user", "item")):
        if self.training:
            seen.append(blocks[0])
        return forward(self, blocks, nodes, outputs)

    monkeypatch.setattr(Encoder, "forward", spy)
    train = made_split().train
    model = GraphRatingRecommender(
        encoder=SMALL, finetune=QUICK.model_copy(update={"epochs": 1, "batch_users": 1000}), opinions=True
    )
    model.fit(train, None, 0)
    assert len(seen) == 1
    for edge_type, edges in seen[0].adjacency.items():
        if edge_type[0] == "user" or edge_type in (reverse(LIKES), reverse(DISLIKES)):
            assert edges.visible().shape[1] == 0, edge_type


@pytest.mark.parametrize(("most", "steps"), [(40, 8), (3, 3)])  # 120 users, 16 or 40 of them in a step
def test_an_epoch_takes_a_bounded_number_of_steps(monkeypatch, most, steps) -> None:
    taken = []
    forward = Encoder.forward

    def noted(encoder, *arguments, **more):
        taken.append(encoder.training)
        return forward(encoder, *arguments, **more)

    monkeypatch.setattr(Encoder, "forward", noted)
    monkeypatch.setattr("gnnrec.training.rating.MOST_STEPS", most)
    split = make_split(synthetic(0, num_users=150), UnseenUsers(test=0.1, validation=0.1), 0)
    assert split.train.num_users == 120
    finetune = RatingFinetuneConfig(epochs=2, batch_users=16)
    GraphRatingRecommender(encoder=SMALL, pretrain=None, finetune=finetune, shares=NO_EFFECTS).fit(split.train, None, 0)
    assert sum(taken) == 2 * steps


def test_resume_is_exact(tmp_path: Path, monkeypatch) -> None:
    split = made_split()

    def fit(folder: Path | None) -> torch.Tensor:
        model = GraphRatingRecommender(encoder=SMALL, finetune=QUICK.model_copy(update={"epochs": 4}))
        with Tracker(folder) as tracker:
            model.tracker = tracker
            model.fit(split.train, None, 0)
        return model.score(split.validation.users)

    whole = fit(None)

    class StopError(Exception):
        pass

    def stop(self, stage, epoch, *rest) -> None:
        if epoch == 3:
            raise StopError

    monkeypatch.setattr(Tracker, "due", lambda self: self.folder is not None)
    with monkeypatch.context() as patched:
        patched.setattr(Tracker, "epoch", stop)
        with pytest.raises(StopError):
            fit(tmp_path)
    assert torch.equal(fit(tmp_path), whole)


def test_a_saved_model_says_the_same() -> None:
    split = made_split()
    finetune, shares = QUICK.model_copy(update={"epochs": 3}), {"encoder": 1.0, "effects": 0.2}
    model = GraphRatingRecommender(encoder=SMALL, finetune=finetune, members=2, shares=shares)
    model.fit(split.train, None, 0)
    other = GraphRatingRecommender(encoder=SMALL, finetune=QUICK, members=2)
    other.load_state_dict(split.train, model.state_dict())
    assert torch.equal(model.score(split.validation.users), other.score(split.validation.users))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shares": {"encoder": 1.0}}, "shares: give a number of at least 0 for each of encoder, effects"),
        ({"shares": {"encoder": -1.0, "effects": 0.0}}, "shares"),
        ({"user_shrinkage": -1.0}, "user_shrinkage must be at least 0"),
        ({"rater_shrinkage": -1.0}, "rater_shrinkage must be at least 0"),
        ({"effect_shrinkage": 0.0}, "effect_shrinkage must be above 0"),
        ({"members": 0}, "members at least 1"),
        ({"encoder": EncoderConfig(layer="NoSuchLayer")}, "encoder.layer"),
    ],
)
def test_options_out_of_range_are_refused(options, message) -> None:
    with pytest.raises((ValueError, ConfigError), match=message):
        GraphRatingRecommender(**options)


def test_data_without_values_is_refused() -> None:
    train = made_split().train
    bare = replace(train, users=replace(train.users, items=Edges(train.users.items.row, train.users.items.node)))
    with pytest.raises(ConfigError, match="interactions with values"):
        GraphRatingRecommender().fit(bare, None, 0)


@pytest.mark.slow
def test_it_keeps_the_contract() -> None:
    options = {
        "encoder": {"channels": 16},
        "finetune": {"epochs": 15, "batch_users": 32},
        "effect_shrinkage": 5.0,
        "shares": {"encoder": 1.0, "effects": 2.0},
        "choose_on": 0,
    }
    assert_recommender(GraphRatingRecommender, options)


def test_pretraining_asks_for_opinions_that_carry_no_message() -> None:
    split = make_split(synthetic(0), UnseenUsers(test=0.2, validation=0.2), 0)
    model = GraphRatingRecommender(
        encoder=SMALL,
        pretrain=PretrainConfig(epochs=2),
        finetune=QUICK.model_copy(update={"epochs": 1}),
        opinions=False,
        choose_on=1,
    )
    model.fit(split.train, split.validation, 0)
    assert LIKES in model._members[0].edges
    assert LIKES not in model._members[0].block.adjacency
    assert set(model.chosen) >= {"pretrain.epochs", "finetune.epochs"}
