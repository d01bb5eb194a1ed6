from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from gnnrec.models.gnn import GraphRecommender

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError, TrainingError
from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
from gnnrec.models.baselines import Popularity
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.controls import shuffle_attributes
from gnnrec.splits.split import Split
from gnnrec.testing import assert_recommender
from gnnrec.training.pretrain import PretrainConfig, _drawn, _mates, _others, ogb_evaluator
from gnnrec.training.ranking import FinetuneConfig
from gnnrec.training.tracking import Tracker
from gnnrec.views import Edges, UserBatch

GROUPS = 4
SMALL = EncoderConfig(channels=16)


def made_split(shuffled: bool = False, seed: int = 0) -> Split:
    data = synthetic(seed, num_users=240, num_items=40, groups=GROUPS)
    data = shuffle_attributes(data, seed) if shuffled else data
    return make_split(data, UnseenUsers(test=0.2, validation=0.2), seed)


def share_in_group(model: Any, split: Split, k: int = 5) -> float:
    """Share of the validation users' lists that lies in their group; chance is 1 / GROUPS = 0.25."""
    users = split.validation.users
    top = model.score(users).topk(k).indices
    return float((top % GROUPS == (users.index % GROUPS)[:, None]).float().mean())


def ndcg(model: Any, split: Split) -> float:
    config = EvaluateConfig(metrics=["ndcg"], at=[10])
    value = evaluate(model, split.validation, split.train.candidates, config, 0).metrics["ndcg@10"]
    assert value is not None
    return value


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["softmax", "sampled_softmax", "bpr", "bce"])
def test_unseen_users_get_items_of_their_group(loss: Any) -> None:
    split = made_split()
    finetune = FinetuneConfig(loss=loss, epochs=60, batch_users=64, negatives=10, learning_rate=0.02)
    model = GraphRecommender(encoder=SMALL, pretrain=None, finetune=finetune)
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
    finetune = FinetuneConfig(epochs=60, batch_users=64, learning_rate=0.02)
    model = GraphRecommender(encoder=encoder, pretrain=None, finetune=finetune)
    model.fit(split.train, split.validation, 0)
    assert share_in_group(model, split) > 0.7


@pytest.mark.slow
def test_sampled_propagation_learns_as_well() -> None:
    split = made_split()
    finetune = FinetuneConfig(epochs=60, batch_users=64, learning_rate=0.02)
    model = GraphRecommender(encoder=SMALL, pretrain=PretrainConfig(epochs=3), finetune=finetune, num_neighbors=5)
    model.fit(split.train, split.validation, 0)
    assert share_in_group(model, split) > 0.8


@pytest.mark.slow
def test_shuffled_attributes_bring_it_back_to_popularity() -> None:
    differences = []
    for seed in (0, 1, 2):
        split = made_split(shuffled=True, seed=seed)
        finetune = FinetuneConfig(epochs=40, batch_users=64, learning_rate=0.02)
        model = GraphRecommender(encoder=SMALL, pretrain=None, finetune=finetune)
        model.fit(split.train, split.validation, seed)
        # On the test users, with all that was chosen on held-out training users.
        chosen = model.chosen
        final = GraphRecommender(
            encoder=SMALL,
            pretrain=None,
            finetune=finetune.model_copy(update={"epochs": chosen["finetune.epochs"]}),
            shares={int(least): of_stage for least, of_stage in chosen["shares"].items()},
            regularization=chosen["regularization"],
        )
        final.fit(split.full, None, seed)
        popularity = Popularity()
        popularity.fit(split.full, None, seed)
        split.open_test("test")
        config = EvaluateConfig(metrics=["ndcg"], at=[10])
        values = [
            evaluate(m, split.test, split.full.candidates, config, seed).metrics["ndcg@10"] for m in (final, popularity)
        ]
        assert values[0] is not None
        assert values[1] is not None
        differences.append(values[0] - values[1])
        assert share_in_group(model, split) < 0.45  # chance is 0.25
    assert abs(sum(differences) / 3) < 0.03  # attributes that mean something bring 0.3 and more


def test_before_any_training_it_is_popularity() -> None:
    split = made_split()
    model = GraphRecommender(encoder=SMALL, pretrain=None, finetune=FinetuneConfig(epochs=0))
    model.fit(split.train, None, 0)
    popularity = Popularity()
    popularity.fit(split.train, None, 0)
    users = split.validation.users
    assert torch.equal(
        model.score(users).argsort(descending=True, stable=True),
        popularity.score(users).argsort(descending=True, stable=True),
    )


@pytest.mark.slow
def test_keeps_the_contract_of_a_recommender() -> None:
    options = {
        "encoder": {"channels": 16},
        "pretrain": {"epochs": 2},
        "finetune": {"epochs": 60, "batch_users": 64, "learning_rate": 0.02},
    }
    assert_recommender(GraphRecommender, options)


def test_a_user_owns_no_table() -> None:
    split = made_split()
    model = GraphRecommender(encoder=SMALL)
    model.build(split.train, 0)
    sizes = {parameter.shape[0] for parameter in model._members[0].ranker.parameters() if parameter.dim() > 0}
    assert split.train.num_users not in sizes
    assert "user" not in model.tables
    assert model.tables["item"] == 40


def test_pretraining_finds_held_out_edges_better_than_chance() -> None:
    split = made_split()
    tracker = Tracker()
    model = GraphRecommender(
        encoder=SMALL, pretrain=PretrainConfig(epochs=30, learning_rate=0.02), finetune=FinetuneConfig(epochs=0)
    )
    model.tracker = tracker
    model.fit(split.train, split.validation, 0)
    best = max(record["mrr"] for record in tracker.history if "mrr" in record)
    # Chance: club and category have 3 rivals, MRR (1 + 1/2 + 1/3 + 1/4) / 4 = 0.52, as have colour and age; an item has
    # 39 rivals, 0.107; a friend 100, 0.051. Mean over interacts, club, colour, age, friend and category: 0.37.
    assert best > 0.45


def test_ogb_evaluator_by_hand() -> None:
    # True scores 2 and 0 among drawn (1, 3) and (1, 3): ranks 2 and 3. MRR (1/2 + 1/3) / 2.
    result = ogb_evaluator()(torch.tensor([2.0, 0.0]), torch.tensor([[1.0, 3.0], [1.0, 3.0]]))
    assert result["mrr"] == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert result["hits@10"] == 1.0


def test_drawn_targets_are_never_the_true_one() -> None:
    reached = torch.tensor([2, 5, 7])
    target = torch.tensor([2, 5, 7]).repeat(50)
    drawn = _drawn(target, reached, 4, torch.Generator().manual_seed(0))
    assert (drawn != target[:, None]).all()
    assert drawn.unique().tolist() == [2, 5, 7]
    assert _others(torch.tensor([5, 7]), reached, 100, torch.Generator()).tolist() == [[2, 7], [2, 5]]


def test_mates_are_the_other_direction() -> None:
    edges = torch.tensor([[0, 1, 2, 0, 3], [1, 0, 0, 2, 0]])  # 3 -> 0 has no reverse
    assert _mates(edges).tolist() == [1, 0, 3, 2, 4]


def test_frozen_attributes_keep_their_vectors_and_items_learn() -> None:
    split = made_split()
    finetune = FinetuneConfig(epochs=3, freeze_attributes=True)
    model = GraphRecommender(encoder=SMALL, pretrain=None, finetune=finetune)
    model.build(split.train, 0)
    before = {t: model._members[0].ranker.encoder.table(t).weight.detach().clone() for t in model.tables}
    model.fit(split.train, None, 0)  # builds the same weights again from the seed
    after = {t: model._members[0].ranker.encoder.table(t).weight for t in model.tables}
    assert torch.equal(before["club"], after["club"])
    assert not torch.equal(before["item"], after["item"])


def test_weights_of_another_run_are_taken_by_id(tmp_path: Path) -> None:
    split = made_split()
    first = GraphRecommender(encoder=SMALL, pretrain=None, finetune=FinetuneConfig(epochs=3))
    first.fit(split.train, None, 0)
    Tracker.write(tmp_path / "model.pt", first.state_dict())
    # Another platform: items in another order and some of them new.
    other = synthetic(1, num_users=100, num_items=44, groups=GROUPS)
    ids = {**other.ids, "item": other.ids["item"][::-1]}
    object.__setattr__(other, "ids", ids)
    other_split = make_split(other, UnseenUsers(test=0.2, validation=0.2), 1)
    second = GraphRecommender(
        encoder=SMALL, pretrain=None, finetune=FinetuneConfig(epochs=0), pretrained=tmp_path / "model.pt"
    )
    second.fit(other_split.train, None, 1)
    ours, theirs = (m._members[0].ranker.encoder.table("item").weight for m in (second, first))
    assert torch.equal(ours[43 - 7], theirs[7])  # item 7 stands in place 36 of the reversed list
    assert second.loaded["table_rows"] == 40 + 4 + 4 + 4 + len(
        split.train.ids["age"].intersection(other_split.train.ids["age"])
    )
    assert second.loaded["tensors"] > 0


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    split = made_split()
    model = GraphRecommender(encoder=SMALL, pretrained=tmp_path / "none.pt")
    with pytest.raises(ConfigError, match=r"model.pretrained: .*none.pt: no such file"):
        model.fit(split.train, None, 0)
    first = GraphRecommender(encoder=SMALL, pretrain=None, finetune=FinetuneConfig(epochs=0))
    first.fit(split.train, None, 0)
    Tracker.write(tmp_path / "model.pt", first.state_dict())
    wider = GraphRecommender(encoder=EncoderConfig(channels=24), pretrained=tmp_path / "model.pt")
    with pytest.raises(ConfigError, match="nothing fits"):
        wider.fit(split.train, None, 0)


def test_a_step_that_is_far_too_large_stops_with_a_clear_message() -> None:
    split = made_split()
    finetune = FinetuneConfig(epochs=50, learning_rate=1e18)
    model = GraphRecommender(encoder=EncoderConfig(channels=16, norm="none"), pretrain=None, finetune=finetune)
    with pytest.raises(TrainingError, match=r"finetune: the loss is .* in epoch .*learning_rate"):
        model.fit(split.train, None, 0)


def test_the_first_items_tell_the_group_where_nothing_else_does() -> None:
    data = synthetic(0, num_users=240, num_items=40, groups=GROUPS)
    data = replace(data, relations=tuple(r for r in data.relations if r.source == "item"), numeric=())
    data = replace(data, ids={t: ids for t, ids in data.ids.items() if t in ("user", "item", "category")})
    split = make_split(data, UnseenUsers(test=0.2, validation=0.2), 0)
    finetune = FinetuneConfig(epochs=60, batch_users=64, learning_rate=0.02)
    model = GraphRecommender(encoder=SMALL, pretrain=None, finetune=finetune)
    model.fit(split.train, None, 0)
    row, item = torch.arange(2).repeat_interleave(3), torch.tensor([1, 5, 9, 2, 6, 10])  # groups 1, 1, 1 and 2, 2, 2
    top = model.score(UserBatch(torch.tensor([-1, -1]), Edges(row, item, torch.full((6,), 4.0)), {})).topk(5).indices
    assert (top[0] % GROUPS == 1).float().mean() > 0.7
    assert (top[1] % GROUPS == 2).float().mean() > 0.7


def test_a_handful_of_users_is_enough_to_pretrain() -> None:
    split = make_split(
        synthetic(0, num_users=10, num_items=4, choices=2, friends=1), UnseenUsers(test=0.2, validation=0.2), 0
    )
    model = GraphRecommender(encoder=SMALL, pretrain=PretrainConfig(epochs=2), finetune=FinetuneConfig(epochs=2))
    model.fit(split.train, split.validation, 0)
    assert model.score(split.validation.users).isfinite().all()
