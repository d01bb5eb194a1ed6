"""GraphSAGE for rankings and ratings: what it learns, chooses, keeps and refuses, on data with a known answer."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import gnnrec.nn.decoders
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError, TrainingError
from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
from gnnrec.models.baselines import Biases, Popularity, Random
from gnnrec.models.graphsage import WITHOUT_CHOICE, GraphSAGE
from gnnrec.models.saving import load_model, save_model
from gnnrec.models.selection import Fold
from gnnrec.nn.decoder import DecoderConfig
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.nn.regression import RegressionPath
from gnnrec.options.resolve import build, complete_options
from gnnrec.splits import UnseenBoth, UnseenItems, UnseenUsers, make_split
from gnnrec.splits.controls import shuffle_attributes
from gnnrec.splits.folds import selection_folds
from gnnrec.splits.kshot import reveal
from gnnrec.splits.split import Split
from gnnrec.splits.unseen_values import UnseenValues
from gnnrec.testing import assert_recommender
from gnnrec.training.pretrain import PretrainConfig
from gnnrec.training.ranking import RankingConfig
from gnnrec.training.rating import LIKES, RatingConfig
from gnnrec.training.tracking import Tracker
from gnnrec.views import Edges, Features, Relation, TrainingData, UserBatch
from tests.models.baselines.ratings.test_ratings_factorization import made_ratings, strangers

GROUPS = 4
SMALL = EncoderConfig(channels=16, regression=0)
SHALLOW = EncoderConfig(channels=16, layers=2, dropout=0.1)
RATING = RatingConfig(epochs=30, batch_users=16, ema_decay=0.0, unobserved_weight=0.0)
NDCG = EvaluateConfig(metrics=["ndcg"], at=[10])


def made_split(shuffled: bool = False, seed: int = 0) -> Split:
    data = synthetic(seed, num_users=240, num_items=40, groups=GROUPS)
    data = shuffle_attributes(data, seed) if shuffled else data
    return make_split(data, UnseenUsers(test=0.2, validation=0.2), seed)


def small_split(seed: int = 0) -> Split:
    return make_split(synthetic(seed, num_users=80), UnseenUsers(test=0.2, validation=0.2), seed)


def rating_model(**options: Any) -> GraphSAGE:
    """A quick model of ratings; options of the objective are given to it."""
    finetune = RATING.model_copy(update={k: options.pop(k) for k in list(options) if k in RatingConfig.model_fields})
    return GraphSAGE(**{"encoder": SHALLOW, "pretrain": None, "finetune": finetune, **options})


def share_in_group(model: Any, split: Split, k: int = 5) -> float:
    """Share of the validation users' lists that lies in their group; chance is 1 / GROUPS = 0.25."""
    users = split.validation.users
    top = model.score(users).topk(k).indices
    return float((top % GROUPS == (users.index % GROUPS)[:, None]).float().mean())


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["softmax", "sampled_softmax", "bpr", "bce"])
def test_unseen_users_get_items_of_their_group(loss: Any) -> None:
    split = made_split()
    finetune = RankingConfig(loss=loss, epochs=60, batch_users=64, negatives=10, learning_rate=0.02)
    model = GraphSAGE(encoder=SMALL, pretrain=None, finetune=finetune)
    model.fit(split.train, split.validation, 0)
    assert share_in_group(model, split) > 0.8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layer", "options"),
    [
        ("torch_geometric.nn.GATv2Conv", {"heads": 2, "concat": False}),
        ("torch_geometric.nn.GraphConv", {"aggr": "mean"}),
        ("AttributeAttention", {}),
    ],
)
def test_other_layers_work_unchanged(layer: str, options: dict[str, Any]) -> None:
    split = made_split()
    encoder = EncoderConfig(channels=16, layer=layer, layer_options=options)
    finetune = RankingConfig(epochs=60, batch_users=64, learning_rate=0.02)
    model = GraphSAGE(encoder=encoder, pretrain=None, finetune=finetune)
    model.fit(split.train, split.validation, 0)
    assert share_in_group(model, split) > 0.7


@pytest.mark.slow
def test_sampled_propagation_learns_as_well() -> None:
    split = made_split()
    finetune = RankingConfig(epochs=60, batch_users=64, learning_rate=0.02)
    model = GraphSAGE(encoder=SMALL, pretrain=PretrainConfig(epochs=3), finetune=finetune, num_neighbors=5)
    model.fit(split.train, split.validation, 0)
    assert share_in_group(model, split) > 0.8


@pytest.mark.slow
def test_shuffled_attributes_bring_it_back_to_popularity() -> None:
    differences = []
    for seed in (0, 1, 2):
        split = made_split(shuffled=True, seed=seed)
        options = {
            "encoder": SMALL,
            "pretrain": None,
            "finetune": RankingConfig(epochs=40, batch_users=64, learning_rate=0.02),
        }
        model = GraphSAGE(**options)
        model.fit(split.train, split.validation, seed)
        # On the test users, with all that was chosen on held-out training users.
        final, popularity = GraphSAGE(**{**options, **model.best_params}), Popularity()
        final.fit(split.full, None, seed)
        popularity.fit(split.full, None, seed)
        split.open_test("test")
        values = [
            evaluate(m, split.test, split.full.candidates, NDCG, seed).metrics["ndcg@10"] for m in (final, popularity)
        ]
        assert values[0] is not None
        assert values[1] is not None
        differences.append(values[0] - values[1])
        assert share_in_group(model, split) < 0.45  # chance is 0.25
    assert abs(sum(differences) / 3) < 0.03  # attributes that mean something bring 0.3 and more


def test_before_any_training_it_is_popularity() -> None:
    split = made_split()
    model = GraphSAGE(encoder=SMALL, pretrain=None, finetune=RankingConfig(epochs=0))
    model.fit(split.train, None, 0)
    popularity = Popularity()
    popularity.fit(split.train, None, 0)
    users = split.validation.users
    assert torch.equal(
        model.score(users).argsort(descending=True, stable=True),
        popularity.score(users).argsort(descending=True, stable=True),
    )


def test_before_any_training_ratings_are_informed_biases() -> None:
    split = small_split()
    model = rating_model(epochs=0, user_shrinkage=3.0, item_shrinkage=5.0, rater_shrinkage=20.0)
    model.fit(split.train, None, 0)
    biases = Biases(informed=True, item_shrinkage=5, user_shrinkage=3, rater_shrinkage=20)
    biases.fit(split.train, None, 0)
    users = split.validation.users
    known = replace(users, items=Edges(torch.tensor([1, 1]), torch.tensor([0, 3]), torch.tensor([1.0, 2.0])))
    for batch in (users, known):
        assert torch.allclose(model.score(batch), biases.score(batch), atol=1e-5)


def test_a_new_user_gets_the_taste_of_its_attribute() -> None:
    train = made_ratings(0)
    model = rating_model(residual_weight=1.0)
    model.fit(train, None, 0)
    score = model.score(strangers())  # taste 0 gives 5 to even items and 1 to odd ones, taste 1 the other way
    assert (score[0, ::2] - score[0, 1::2]).min() > 1
    assert (score[1, 1::2] - score[1, ::2]).min() > 1
    half = {t: Edges(e.row, e.node.sort().values) for t, e in train.users.relations.items()}  # no taste can be told
    model = rating_model(residual_weight=1.0)
    model.fit(replace(train, users=replace(train.users, relations=half)), None, 0)
    assert (model.score(strangers())[0, ::2] - model.score(strangers())[0, 1::2]).abs().mean() < 1


@pytest.mark.slow
@pytest.mark.parametrize("num_neighbors", [None, 5])
def test_it_keeps_the_contract_as_a_ranking(num_neighbors: int | None) -> None:
    options = {
        "encoder": {"channels": 16},
        "pretrain": {"epochs": 2},
        "finetune": {"epochs": 40, "batch_users": 64, "learning_rate": 0.02},
        "num_neighbors": num_neighbors,
        "choose_on": 0,
    }
    assert_recommender(GraphSAGE, options, seed=3)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in gnnrec.nn.decoders.__all__ if name != "Dot"])
def test_it_keeps_the_contract_with_each_decoder(name: str, loaded_in_this_process: None) -> None:
    options = {
        "encoder": {"channels": 16},
        "pretrain": None,
        "finetune": {"epochs": 25, "batch_users": 32, "learning_rate": 0.02, "half_life": 0.5},
        "decoder": {"name": name, "last": 10},
        "choose_on": 0,
    }
    assert_recommender(GraphSAGE, options, seed=3)


@pytest.mark.slow
@pytest.mark.parametrize("finetune", [{}, {"signed_edges": True, "history_dropout": 0.5}, {"predict": "gain"}])
def test_it_keeps_the_contract_for_ratings(finetune: dict[str, Any]) -> None:
    options = {
        "encoder": {"channels": 16, "layers": 2},
        "pretrain": None,
        "finetune": {"objective": "rating", "epochs": 15, "batch_users": 32, "residual_weight": 2.0, **finetune},
        "choose_on": 0,
    }
    assert_recommender(GraphSAGE, options, seed=3)


def test_ensembles_and_medians_keep_the_contract(loaded_in_this_process: None) -> None:
    short = {"encoder": {"channels": 8, "layers": 2}, "members": 2, "choose_on": 0}
    ranking = {"epochs": 2, "batch_users": 64}
    assert_recommender(GraphSAGE, {**short, "pretrain": {"epochs": 1}, "finetune": ranking}, seed=3, learns=False)
    rating = {"objective": "rating", "predict": "median", "epochs": 2, "batch_users": 64}
    assert_recommender(GraphSAGE, {**short, "pretrain": None, "finetune": rating}, seed=3, learns=False)


def test_a_user_owns_no_table() -> None:
    split = made_split()
    model = GraphSAGE(encoder=SMALL, finetune=RankingConfig(epochs=0), pretrain=None)
    model.fit(split.train, None, 0)
    [task] = model.state_dict()["tasks"]
    sizes = {value.shape[0] for value in task["head"].values() if value.dim() > 0}
    assert split.train.num_users not in sizes
    assert "user" not in model.tables
    assert model.tables["item"] == 40


def test_pretraining_finds_held_out_edges_better_than_chance() -> None:
    split = made_split()
    model = GraphSAGE(
        encoder=SMALL, pretrain=PretrainConfig(epochs=30, learning_rate=0.02), finetune=RankingConfig(epochs=0)
    )
    model.tracker = Tracker()
    model.fit(split.train, split.validation, 0)
    best = max(record["mrr"] for record in model.tracker.history if "mrr" in record)
    # Chance: club and category have 3 rivals, MRR (1 + 1/2 + 1/3 + 1/4) / 4 = 0.52, as have colour and age; an item has
    # 39 rivals, 0.107; a friend 100, 0.051. Mean over interacts, club, colour, age, friend and category: 0.37.
    assert best > 0.45


def test_frozen_attributes_keep_their_vectors_and_items_learn() -> None:
    split = made_split()
    weights = {}
    for epochs in (0, 3):
        finetune = RankingConfig(epochs=epochs, freeze_attributes=True)
        model = GraphSAGE(encoder=SMALL, pretrain=None, finetune=finetune)
        model.fit(split.train, None, 0)  # the same initial weights from the seed
        [task] = model.state_dict()["tasks"]
        weights[epochs] = {t: task["head"][f"encoder.tables.type {t}.weight"] for t in ("club", "item")}
    assert torch.equal(weights[0]["club"], weights[3]["club"])
    assert not torch.equal(weights[0]["item"], weights[3]["item"])


def test_weights_of_another_run_are_taken_by_id(tmp_path: Path) -> None:
    split = made_split()
    first = GraphSAGE(encoder=SMALL, pretrain=None, finetune=RankingConfig(epochs=3))
    first.fit(split.train, None, 0)
    save_model(first, tmp_path / "model")
    # Another platform: items in another order and some of them new.
    other = synthetic(1, num_users=100, num_items=44, groups=GROUPS)
    other = replace(other, ids={**other.ids, "item": other.ids["item"][::-1]})
    other_split = make_split(other, UnseenUsers(test=0.2, validation=0.2), 1)
    second = GraphSAGE(encoder=SMALL, pretrain=None, finetune=RankingConfig(epochs=0), pretrained=tmp_path / "model")
    second.fit(other_split.train, None, 1)
    ours, theirs = (m.state_dict()["tasks"][0]["head"]["encoder.tables.type item.weight"] for m in (second, first))
    assert torch.equal(ours[43 - 7], theirs[7])  # item 7 stands in place 36 of the reversed list
    assert second.loaded["table_rows"] == 40 + 4 + 4 + 4 + len(
        split.train.ids["age"].intersection(other_split.train.ids["age"])
    )
    assert second.loaded["tensors"] > 0


def test_a_pretrained_model_may_be_a_run_a_stage_of_one_or_a_component(tmp_path: Path) -> None:
    """The folder of a run, its model, the weights after link prediction, and a blend: all hold one encoder."""
    from gnnrec.models.blend import Blend

    split = small_split()
    options = {"encoder": {"channels": 8}, "pretrain": {"epochs": 1}, "finetune": {"epochs": 0}}
    model = build(GraphSAGE, options)
    with Tracker(tmp_path / "run") as tracker:
        model.tracker = tracker
        model.fit(split.train, None, 0)
    save_model(model, tmp_path / "run" / "model")
    blend = Blend(components={"popularity": {"class": "Popularity"}, "graph": {"class": "GraphSAGE", **options}})
    blend.fit(split.train, None, 0)
    save_model(blend, tmp_path / "blend")
    wanted = model.state_dict()["tasks"][0]["head"]
    for folder in ("run", "run/model", "run/pretrained", "blend"):
        other = build(GraphSAGE, {**options, "pretrain": None, "pretrained": tmp_path / folder})
        other.fit(split.train, None, 5)
        found = other.state_dict()["tasks"][0]["head"]
        for name in found:
            assert torch.equal(found[name], wanted[name]), (folder, name)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    split = made_split()
    model = GraphSAGE(encoder=SMALL, pretrained=tmp_path / "none")
    with pytest.raises(ConfigError, match=r"none.*model.json: no such file"):
        model.fit(split.train, None, 0)
    first = GraphSAGE(encoder=SMALL, pretrain=None, finetune=RankingConfig(epochs=0))
    first.fit(split.train, None, 0)
    save_model(first, tmp_path / "model")
    wider = GraphSAGE(encoder=EncoderConfig(channels=24), pretrained=tmp_path / "model")
    with pytest.raises(ConfigError, match=r"model.pretrained: .*nothing fits"):
        wider.fit(split.train, None, 0)
    popularity = Popularity()
    popularity.fit(split.train, None, 0)
    save_model(popularity, tmp_path / "popularity")
    with pytest.raises(ConfigError, match=r"model.pretrained: .*holds Popularity; name a run of GraphSAGE"):
        GraphSAGE(encoder=SMALL, pretrained=tmp_path / "popularity").fit(split.train, None, 0)


def test_a_step_that_is_far_too_large_stops_with_a_clear_message() -> None:
    split = made_split()
    finetune = RankingConfig(epochs=50, learning_rate=1e18)
    model = GraphSAGE(encoder=EncoderConfig(channels=16, norm="none"), pretrain=None, finetune=finetune)
    with pytest.raises(TrainingError, match=r"finetune: the loss is .* in epoch .*learning_rate"):
        model.fit(split.train, None, 0)


def test_the_first_items_tell_the_group_where_nothing_else_does() -> None:
    data = synthetic(0, num_users=240, num_items=40, groups=GROUPS)
    data = replace(data, relations=tuple(r for r in data.relations if r.source == "item"), numeric=())
    data = replace(data, ids={t: ids for t, ids in data.ids.items() if t in ("user", "item", "category")})
    split = make_split(data, UnseenUsers(test=0.2, validation=0.2), 0)
    model = GraphSAGE(
        encoder=SMALL, pretrain=None, finetune=RankingConfig(epochs=60, batch_users=64, learning_rate=0.02)
    )
    model.fit(split.train, None, 0)
    row, item = torch.arange(2).repeat_interleave(3), torch.tensor([1, 5, 9, 2, 6, 10])  # groups 1, 1, 1 and 2, 2, 2
    top = model.score(UserBatch(torch.tensor([-1, -1]), Edges(row, item, torch.full((6,), 4.0)), {})).topk(5).indices
    assert (top[0] % GROUPS == 1).float().mean() > 0.7
    assert (top[1] % GROUPS == 2).float().mean() > 0.7


def test_a_handful_of_users_is_enough_to_pretrain() -> None:
    split = make_split(
        synthetic(0, num_users=10, num_items=4, choices=2, friends=1), UnseenUsers(test=0.2, validation=0.2), 0
    )
    model = GraphSAGE(encoder=SMALL, pretrain=PretrainConfig(epochs=2), finetune=RankingConfig(epochs=2))
    model.fit(split.train, split.validation, 0)
    assert model.score(split.validation.users).isfinite().all()


def test_scores_are_inner_products_of_a_query_and_the_items() -> None:
    split = small_split()
    model = GraphSAGE(encoder=SHALLOW, pretrain=None, finetune=RankingConfig(epochs=2), members=2)
    model.fit(split.train, None, 0)
    users, items = split.validation.users, model.item_vectors()
    assert items is not None
    torch.testing.assert_close(model.query(users) @ items.t(), model.score(users), rtol=1e-5, atol=1e-4)
    assert rating_model().item_vectors() is None
    split = make_split(synthetic(4), UnseenUsers(test=0.2, validation=0.2, support=3), 4)
    for name in ("MLP", "PairWise"):
        decoder = DecoderConfig(name=name)
        model = GraphSAGE(encoder=SHALLOW, pretrain=None, finetune=RankingConfig(epochs=2), decoder=decoder)
        model.fit(split.train, None, 0)
        users, items = split.validation.users, model.item_vectors()
        assert (items is None) == (name == "PairWise")
        if items is not None:
            torch.testing.assert_close(model.query(users) @ items.t(), model.score(users), rtol=1e-5, atol=1e-4)


def test_ensemble_members_are_averaged_and_differ() -> None:
    split = small_split()
    model = GraphSAGE(encoder=SHALLOW, pretrain=None, finetune=RankingConfig(epochs=3, batch_users=32), members=2)
    model.fit(split.full, None, 0)
    users, state = split.validation.users, model.state_dict()
    parts = []
    for task in state["tasks"]:
        member = GraphSAGE(encoder=SHALLOW, pretrain=None, finetune=RankingConfig(epochs=3, batch_users=32))
        member.load_state_dict({**state, "tasks": [task]})
        parts.append(member.score(users))
    assert not torch.allclose(parts[0], parts[1], atol=1e-3)
    assert torch.allclose(model.score(users), (parts[0] + parts[1]) / 2)


@pytest.mark.parametrize("options", [{"pretrain": PretrainConfig(epochs=2)}, {"pretrain": None}])
def test_rankings_are_chosen_on_held_out_users_and_followed_to_the_letter(options: dict[str, Any]) -> None:
    split = small_split()
    options = {"encoder": SHALLOW, "finetune": RankingConfig(epochs=6, batch_users=32), "choose_on": 40, **options}
    model = GraphSAGE(**options)
    model.fit(split.train, split.validation, 0)
    assert set(model.best_params) == {"finetune", "encoder"} | ({"pretrain"} if options["pretrain"] else set())
    shares = model.best_params["encoder"].regression_shares
    assert model.best_params["encoder"] == SHALLOW.model_copy(update={"regression": 128, "regression_shares": shares})
    assert len(shares) == 7
    assert model.best_params["finetune"].epochs <= 6
    assert model.best_params["finetune"] == options["finetune"].model_copy(
        update={"epochs": model.best_params["finetune"].epochs}
    )
    final = GraphSAGE(**{**options, **model.best_params})
    final.fit(split.full, None, 0)
    assert final.best_params == {}


def test_ratings_are_chosen_on_held_out_users_and_followed_to_the_letter() -> None:
    split = small_split()
    options = {"encoder": SHALLOW, "pretrain": PretrainConfig(epochs=2), "choose_on": 40}
    model = rating_model(**options, epochs=6, predict="median")
    model.fit(split.train, split.validation, 0)
    assert set(model.best_params) == {"finetune", "pretrain"}
    finetune = model.best_params["finetune"]
    assert finetune.epochs <= 6
    assert finetune.residual_weight >= 0
    assert list(finetune.cut_points) == sorted(finetune.cut_points)
    final = GraphSAGE(**{"encoder": SHALLOW, "choose_on": 40, **model.best_params})
    final.fit(split.full, None, 0)
    assert final.best_params == {}


@pytest.mark.parametrize("objective", ["ranking", "rating"])
def test_the_model_of_a_choice_and_of_its_first_fold_are_one(objective: str) -> None:
    split = small_split()

    def make() -> GraphSAGE:
        if objective == "rating":
            return rating_model(epochs=8, choose_on=0)
        return GraphSAGE(encoder=SHALLOW, pretrain=None, finetune=RankingConfig(epochs=4), choose_on=0)

    model, other = make(), make()
    model.fit(split.train, split.validation, 0)
    [fold] = other.fit_folds([Fold(split.train, split.validation, split.validation)], 0)
    users = split.validation.users
    assert other.best_params == model.best_params == fold.best_params
    assert torch.equal(fold.score(users), model.score(users))


def test_after_a_choice_ratings_are_predicted_with_the_weight_that_was_chosen(tmp_path: Path) -> None:
    split = small_split(2)
    model = rating_model(choose_on=0)
    model.fit(split.train, split.validation, 0)
    chosen = model.best_params["finetune"].residual_weight
    assert chosen > 0
    assert abs(chosen - WITHOUT_CHOICE) > 0.05
    state, users = model.state_dict(), split.validation.users
    scores = {}
    for weight in (chosen, WITHOUT_CHOICE):
        other = rating_model(choose_on=0, residual_weight=weight)
        other.load_state_dict({**state, "residual_weight": weight})
        scores[weight] = other.score(users)
    assert torch.equal(model.score(users), scores[chosen])
    assert not torch.allclose(model.score(users), scores[WITHOUT_CHOICE], atol=1e-3)


def test_every_held_out_user_counts_the_same_whichever_fold_it_is_in() -> None:
    """The measure of early stopping is the mean NDCG@10 of all held-out users, as `evaluate` computes it."""
    split, encoder = small_split(), SHALLOW.model_copy(update={"regression": 0})
    model = GraphSAGE(encoder=encoder, pretrain=None, finetune=RankingConfig(epochs=2, evaluate_every=1), choose_on=30)
    model.tracker = Tracker()
    folds = [Fold(train, test, test) for train, test in selection_folds(split.train, split.validation, 30, 0)]
    assert len({len(fold.test.users) for fold in folds}) == 1
    assert len(folds) > 1
    fitted = model.fit_folds(folds, 0)
    values = [
        evaluate(one, fold.test, fold.train.candidates, NDCG, 0).per_user["ndcg@10"]
        for one, fold in zip(fitted, folds, strict=True)
    ]
    # The models are in their best state; where that is not the untrained one, its value is in the history.
    best = max(record["ndcg@10"] for record in model.tracker.history)
    assert model.best_params["finetune"].epochs > 0
    assert best == pytest.approx(np.concatenate(values).mean(), abs=1e-6)


@pytest.mark.parametrize(("objective", "name"), [("ranking", "Dot"), ("ranking", "Transformer"), ("rating", "Dot")])
def test_resume_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objective: str, name: str) -> None:
    split = small_split()

    def fit(folder: Path | None) -> torch.Tensor:
        finetune = RankingConfig(epochs=4) if objective == "ranking" else RATING.model_copy(update={"epochs": 4})
        model = GraphSAGE(encoder=SHALLOW, pretrain=None, finetune=finetune, decoder=DecoderConfig(name=name))
        with Tracker(folder) as tracker:
            model.tracker = tracker
            model.fit(split.train, None, 0)
        return model.score(split.validation.users)

    whole = fit(None)

    class StopError(Exception):
        pass

    def stop(self: Tracker, stage: str, epoch: int, *rest: Any) -> None:
        if epoch == 3:
            raise StopError

    monkeypatch.setattr(Tracker, "due", lambda self: self.folder is not None)
    with monkeypatch.context() as patched:
        patched.setattr(Tracker, "epoch", stop)
        with pytest.raises(StopError):
            fit(tmp_path)
    assert torch.equal(fit(tmp_path), whole)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"members": 0}, "members at least 1"),
        ({"choose_on": -1}, "choose_on must be at least 0"),
        ({"encoder": EncoderConfig(layer="NoSuchLayer")}, "encoder.layer: 'NoSuchLayer' is not in"),
        ({"finetune": RatingConfig(), "num_neighbors": 3}, "num_neighbors: must be left out for ratings, got 3"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, ConfigError), match=message):
        GraphSAGE(**options)


@pytest.mark.parametrize(
    ("finetune", "message"),
    [
        ({"objective": "rnking"}, "finetune.objective: unknown value 'rnking'. Did you mean 'ranking'"),
        ({"objective": "rating", "loss": "squred"}, "finetune.loss: unknown value 'squred'. Did you mean 'squared'"),
        ({"objective": "rating", "user_shrinkage": -1.0}, "finetune.*user_shrinkage"),
        ({"objective": "rating", "rater_shrinkage": -1.0}, "finetune.*rater_shrinkage"),
        ({"objective": "rating", "batch_user": 3}, "finetune.*batch_user'.*Did you mean 'batch_users'"),
        ({"user_shrinkage": 3.0}, "finetune.*user_shrinkage"),  # of ratings, and rankings are the default
        ({"objective": "rating", "cut_points": [2.0]}, "cut_points must ascend, and are for `predict: median` alone"),
    ],
)
def test_options_of_the_objective_that_do_not_fit_are_one_line(finetune: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        build(GraphSAGE, {"finetune": finetune})
    assert "\n" not in str(error.value)


def test_data_without_values_is_refused() -> None:
    def bare(train: TrainingData) -> TrainingData:
        items = train.users.items
        return replace(train, users=replace(train.users, items=Edges(items.row, items.node)))

    with pytest.raises(ConfigError, match="interactions with values"):
        rating_model().fit(bare(small_split().train), None, 0)


def test_pretraining_asks_for_signed_edges_that_carry_no_message() -> None:
    split = made_split()
    model = rating_model(pretrain=PretrainConfig(epochs=2), epochs=1, signed_edges=False, choose_on=1)
    model.fit(split.train, split.validation, 0)
    [task] = model._tasks
    assert LIKES in task.edges
    assert LIKES not in task.block.adjacency
    assert set(model.best_params) == {"pretrain", "finetune"}


def test_neighbours_of_a_relation_that_is_not_there_are_refused() -> None:
    split = small_split(3)
    model = GraphSAGE(encoder=SMALL, pretrain=None, num_neighbors={"rev_club": 3, "clubs": 2})
    with pytest.raises(ConfigError, match="'clubs' is no relation of the graph; there are age, category, club, "):
        model.build(split.train, 3)
    with pytest.raises(ConfigError, match="'clubs' is no relation"):
        model.fit(split.train, split.validation, 3)
    GraphSAGE(encoder=SMALL, pretrain=None, num_neighbors={"rev_club": 3}).build(split.train, 3)


def unseen_items(features: bool, seed: int = 2) -> Split:
    """Groups of users and items; what describes an item, if anything, is a noisy picture of its group."""
    data = synthetic(seed, num_users=240, num_items=120, groups=GROUPS, choices=12, skew=0.2)
    kept = tuple(r for r in data.relations if r.name != "category")
    data = replace(data, relations=kept, ids={t: ids for t, ids in data.ids.items() if t != "category"})
    if features:
        generator = torch.Generator().manual_seed(seed)
        picture = torch.randn(GROUPS, 8, generator=generator)[torch.arange(120) % GROUPS]
        noisy = picture + 0.3 * torch.randn(120, 8, generator=generator)
        data = replace(data, features=(Features("item", "picture", noisy, torch.ones(120, dtype=torch.bool)),))
    split = make_split(data, UnseenItems(test=0.2, validation=0.2), seed)
    split.open_test("a test")
    return split


NEW = RankingConfig(epochs=12, batch_users=32, learning_rate=0.002, new_items=0.5, shown="any", history_dropout=0.2)
WITH_LINEAR = EncoderConfig(channels=16, layers=1, linear=16)


@pytest.mark.parametrize("features", [True, False])
def test_items_that_nobody_has_chosen_are_told_apart_by_what_describes_them(features: bool, tmp_path: Path) -> None:
    split = unseen_items(features)
    model = GraphSAGE(encoder=WITH_LINEAR, pretrain=None, finetune=NEW)
    model.fit(split.train, split.validation, seed=3)
    candidates = split.validation.candidates(split.train)
    found = evaluate(model, split.validation, candidates, NDCG, 3).metrics["ndcg@10"]
    drawn = Random()
    drawn.fit(split.train, None, 3)
    chance = evaluate(drawn, split.validation, candidates, NDCG, 3).metrics["ndcg@10"]
    assert found is not None
    assert chance is not None
    assert (found > chance + 0.1) == features
    assert abs(found - chance) < 0.08 or features
    users = split.validation.users
    scores = model.score(users)
    save_model(model, tmp_path / "m")
    torch.testing.assert_close(load_model(tmp_path / "m").score(users), scores)
    vectors = model.item_vectors()
    assert vectors is not None
    torch.testing.assert_close(model.query(users) @ vectors.T, scores, rtol=1e-4, atol=1e-4)
    new, known = scores[:, ~split.train.candidates], scores[:, split.train.candidates]
    if features:
        assert float(new.max()) > float(known.min())  # new items are among the others, not behind all of them


def test_new_items_come_last_unless_training_scores_all_as_new() -> None:
    split = unseen_items(True)
    for encoder in (SHALLOW, WITH_LINEAR):
        model = GraphSAGE(encoder=encoder, pretrain=None, finetune=RankingConfig(epochs=1))
        model.fit(split.train, None, seed=3)
        scores = model.score(split.validation.users)
        assert float(scores[:, ~split.train.candidates].max()) < float(scores[:, split.train.candidates].min()) - 1000


def test_a_linear_path_keeps_the_contract(loaded_in_this_process: None) -> None:
    options = {
        "encoder": {"channels": 16, "linear": 16},
        "pretrain": None,
        "finetune": {"epochs": 15, "batch_users": 64, "learning_rate": 0.02, "new_items": 0.5},
    }
    assert_recommender(GraphSAGE, options)


def test_a_regression_path_keeps_the_contract(loaded_in_this_process: None) -> None:
    options = {
        "encoder": {"channels": 16, "regression": 16},
        "pretrain": None,
        "finetune": {"epochs": 10, "batch_users": 64, "learning_rate": 0.02},
    }
    assert_recommender(GraphSAGE, options, seed=3)


def test_a_linear_path_is_not_updated() -> None:
    split = unseen_items(True)
    model = GraphSAGE(encoder=WITH_LINEAR, finetune=RankingConfig(epochs=1))
    model.fit(split.train, None, seed=3)
    with pytest.raises(ConfigError, match="a model with a linear path"):
        model.update(split.full, fresh=torch.ones(split.full.num_users, dtype=torch.bool))


def test_a_regression_is_solved_again_with_what_is_new() -> None:
    split = made_split()
    model = GraphSAGE(encoder=EncoderConfig(channels=16, layers=1, regression=16), finetune=RankingConfig(epochs=2))
    model.fit(split.train, None, seed=3)
    model._tasks[0].shares[:] = 0.75
    before, old = model.score(split.validation.users), model._tasks[0].regression
    nobody = torch.zeros(split.train.num_users, dtype=torch.bool)
    model.update(split.train, fresh=nobody, seed=3)
    torch.testing.assert_close(model.score(split.validation.users), before)
    model.update(split.full, fresh=torch.ones(split.full.num_users, dtype=torch.bool), seed=3)
    again = RegressionPath.of(model._tasks[0].train, 16, 3)
    assert torch.equal(again.items, model._tasks[0].regression.items)
    assert not torch.equal(again.items, old.items)
    assert model._tasks[0].shares.tolist() == [0.75] * 7


@pytest.mark.parametrize(
    ("options", "width"),
    [
        ({}, 128),
        ({"encoder": {"regression": 0}}, 0),
        ({"encoder": {"regression": 16}}, 16),
        ({"encoder": {"linear": 8}}, 0),
        ({"finetune": {"objective": "rating"}}, 0),
        ({"finetune": {"loss": "bpr"}}, 0),
        ({"finetune": {"target": "next"}}, 0),
        ({"finetune": {"half_life": 0.5}}, 0),
        ({"decoder": {"name": "MLP"}}, 0),
        ({"finetune": {"epochs": 0}, "zero_shot": True, "pretrained": "encoder"}, 0),
    ],
    ids=str,
)
def test_the_width_of_a_regression_follows_from_what_is_asked(options: dict[str, Any], width: int) -> None:
    complete = complete_options(GraphSAGE, options)
    assert complete["encoder"]["regression"] == width
    assert build(GraphSAGE, options).options["encoder"]["regression"] == width
    assert build(GraphSAGE, complete).options == build(GraphSAGE, options).options


def test_before_any_training_a_linear_path_is_its_closed_forms() -> None:
    """Popularity, and inner products of users and items that know the groups already."""
    split = make_split(synthetic(4, num_users=240, num_items=40), UnseenUsers(test=0.2, validation=0.2, support=3), 4)
    model = GraphSAGE(encoder=WITH_LINEAR, pretrain=None, finetune=RankingConfig(epochs=0))
    model.fit(split.train, None, seed=3)
    plain = GraphSAGE(encoder=SMALL, pretrain=None, finetune=RankingConfig(epochs=0))
    plain.fit(split.train, None, seed=3)
    regression = GraphSAGE(
        encoder=EncoderConfig(channels=16, layers=1, regression=16), pretrain=None, finetune=RankingConfig(epochs=0)
    )
    regression.fit(split.train, None, seed=3)
    assert share_in_group(model, split) > 0.6
    assert share_in_group(regression, split) > 0.8
    assert share_in_group(plain, split) < 0.4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": WITH_LINEAR, "finetune": RATING}, "encoder.linear: must be 0 unless items are ranked"),
        ({"encoder": WITH_LINEAR, "decoder": DecoderConfig(name="MLP")}, "encoder.linear: must be 0"),
        ({"encoder": WITH_LINEAR, "finetune": RankingConfig(loss="bpr")}, "encoder.linear: must be 0"),
        ({"encoder": EncoderConfig(regression=8, linear=8)}, "encoder.linear and encoder.regression: set one of them"),
        ({"encoder": EncoderConfig(regression=8), "finetune": RATING}, "encoder.regression: must be 0 unless items"),
        ({"encoder": EncoderConfig(regression=8), "finetune": NEW}, "finetune.new_items: needs a linear path"),
        ({"finetune": NEW}, "finetune.new_items: needs a linear path; set encoder.linear"),
    ],
)
def test_where_there_is_no_linear_path(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GraphSAGE(**options)
    with pytest.raises(ValueError, match="loss must be softmax"):
        RankingConfig(loss="bpr", new_items=0.1)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_where_all_items_are_scored_as_new_their_descriptions_alone_tell_them_apart(share: float) -> None:
    split = unseen_items(True)
    picture = torch.eye(GROUPS)[torch.arange(120) % GROUPS]
    features = (Features("item", "picture", picture, torch.ones(120, dtype=torch.bool)),)
    train = replace(split.train, features=features)
    model = GraphSAGE(
        encoder=WITH_LINEAR, pretrain=None, finetune=NEW.model_copy(update={"new_items": share, "epochs": 2})
    )
    model.fit(train, None, seed=3)
    scores = model.score(split.validation.users)
    alike = (scores - scores[:, torch.arange(120) % GROUPS]).abs().max()  # each and the first item of its group
    assert (float(alike) < 1e-4) == (share == 1)


def words_of_clubs(seed: int, *, known: bool, words: bool) -> Split:
    """Twenty-four clubs of four groups, whose words tell the group; held-out users are in clubs of their own."""
    data = synthetic(seed, num_users=480, choices=12)
    club = torch.arange(480) % 24  # a user's group is its number modulo 4, and so is that of its club
    kept = [r for r in data.relations if r.name not in ("club", "friend")]
    relations = (Relation("user", "club", "club", torch.stack([torch.arange(480), club])), *kept)
    generator = torch.Generator().manual_seed(seed)
    spoken = torch.eye(GROUPS, 8)[torch.arange(24) % GROUPS] + 0.1 * torch.randn(24, 8, generator=generator)
    values = (Features("club", "club", spoken, torch.ones(24, dtype=torch.bool)),) if words else ()
    ids = {**data.ids, "club": pd.Index([f"club {number}" for number in range(24)])}
    hidden = UnseenValues(attribute="club", share=0.3, known=known)
    config = UnseenUsers(test=0.3, validation=0.3, unseen_values=hidden)
    return make_split(replace(data, ids=ids, relations=relations, values=values), config, seed)


def test_a_value_that_training_never_saw_loses_at_most_half_of_what_it_says_where_its_words_tell() -> None:
    def ndcg(model: GraphSAGE | Popularity, *, known: bool, words: bool) -> float:
        split = words_of_clubs(4, known=known, words=words)
        model.fit(split.train, split.validation, seed=3)
        test = split.validation.take(members)
        found = evaluate(model, test, test.candidates(split.train), NDCG, 3).metrics["ndcg@10"]
        assert found is not None
        return found

    def encoder() -> GraphSAGE:
        finetune = RankingConfig(epochs=12, batch_users=32, learning_rate=0.02)
        return GraphSAGE(encoder=SHALLOW, pretrain=None, finetune=finetune)

    club = ("user", "club", "club")
    members = words_of_clubs(4, known=True, words=False).validation.users.relations[club].row.unique()
    nothing, seen = ndcg(Popularity(), known=True, words=False), ndcg(encoder(), known=True, words=False)
    by_words = ndcg(encoder(), known=False, words=True)
    assert seen > nothing + 0.1
    assert by_words - nothing > 0.5 * (seen - nothing)
    assert not len(words_of_clubs(4, known=False, words=False).validation.users.relations[club])


def test_a_newcomer_and_new_items_are_told_apart_by_what_describes_both(tmp_path: Path) -> None:
    data = synthetic(5, num_users=240, num_items=120, choices=14, skew=0.2)
    split = make_split(data, UnseenBoth(test=0.2, validation=0.2, support=3), 5)
    scores = {}
    for reads in ("histories", "all"):
        encoder = EncoderConfig(channels=16, layers=1, linear=16, linear_reads=reads)
        model = GraphSAGE(encoder=encoder, pretrain=None, finetune=NEW.model_copy(update={"epochs": 0}))
        model.fit(split.train, split.validation, seed=3)
        asked = reveal(split.validation, 0)
        found = evaluate(model, asked, asked.candidates(split.train), NDCG, 3).metrics["ndcg@10"]
        assert found is not None
        scores[reads] = found
    assert scores["all"] > scores["histories"] + 0.15
    users = split.validation.users
    save_model(model, tmp_path / "m")
    torch.testing.assert_close(load_model(tmp_path / "m").score(users), model.score(users))
    vectors = model.item_vectors()
    assert vectors is not None
    torch.testing.assert_close(model.query(users) @ vectors.T, model.score(users), rtol=1e-4, atol=1e-4)
    trained = GraphSAGE(encoder=encoder, pretrain=None, finetune=NEW.model_copy(update={"epochs": 1}))
    trained.fit(split.train, None, seed=3)
    assert not torch.allclose(trained.score(users), model.score(users))


def test_a_linear_path_reads_values_whose_words_are_known_too() -> None:
    split = words_of_clubs(4, known=False, words=True)
    encoder = EncoderConfig(channels=16, layers=1, linear=16, linear_reads="all")
    model = GraphSAGE(encoder=encoder, pretrain=None, finetune=RankingConfig(epochs=1))
    model.fit(split.train, split.validation, seed=3)
    assert torch.isfinite(model.score(split.validation.users)).all()
