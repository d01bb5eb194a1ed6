"""Choices on held-out users: one for all cuts, and none that the users do not bear out."""

import pytest
import torch
from gnnrec.models.choosing import choose_paths, measured
from gnnrec.models.copying import Scored
from gnnrec.models.denoising import PENALTIES, DenoisingRegression, path_name
from gnnrec.models.gnn import GraphRecommender
from gnnrec.models.member import Member, Part

from gnnrec.data.synthetic import synthetic
from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.controls import shuffle_attributes
from gnnrec.splits.split import Split
from gnnrec.training.ranking import FinetuneConfig
from gnnrec.views import TestSet, TrainingData

SMALL = EncoderConfig(channels=8, layers=2)


def made_split(shuffled: bool = False) -> Split:
    data = synthetic(0, num_users=160, num_items=40)
    return make_split(shuffle_attributes(data, 0) if shuffled else data, UnseenUsers(test=0.2, validation=0.2), 0)


def cuts(split: Split) -> list[tuple[TrainingData, TestSet]]:
    return [(split.train, split.validation), split.train.hold_out(torch.arange(20))]


def untrained(parts: list[tuple[TrainingData, TestSet]]) -> list[Member]:
    layer = GraphRecommender(encoder=SMALL).layer_class
    return [Member(Part.of(train, 8, 0), SMALL, layer, ("user", "item"), 0) for train, _ in parts]


def test_every_held_out_user_counts_the_same_whichever_cut_it_is_in() -> None:
    parts = cuts(made_split())
    members, held_out = untrained(parts), [asked for _, asked in parts]
    config, total, users = EvaluateConfig(metrics=["ndcg"], at=[10]), 0.0, 0
    together = measured(members, held_out, 0)["ndcg@10"]

    class Alone:
        supports_cold_users, predicts_ratings = True, False

        def __init__(self, member: Member) -> None:
            self.score = lambda users: member.score(users, {})

    for member, (train, asked) in zip(members, parts, strict=True):
        of_cut = evaluate(Alone(member), asked, train.candidates, config, 0)  # type: ignore[arg-type]
        total, users = total + of_cut.per_user["ndcg@10"].sum(), users + of_cut.users
    assert users == sum(len(asked.users) for asked in held_out)
    assert together == pytest.approx(total / users)


def test_paths_get_a_share_where_they_help_and_none_where_nothing_is_to_be_known() -> None:
    chosen = {}
    for shuffled in (False, True):
        parts = cuts(made_split(shuffled))
        members = untrained(parts)
        for member in members:
            member.precompute()
        chosen[shuffled] = choose_paths(members, [asked for _, asked in parts], "choose", 0)
    assert list(chosen[False]["shares"]) == [0]
    assert sum(chosen[False]["shares"][0].values()) >= 0.5
    assert sum(chosen[True]["shares"][0].values()) <= 0.1


def test_with_known_items_the_penalty_that_is_best_by_itself_is_mixed() -> None:
    data = synthetic(0, num_users=160, num_items=40)
    split = make_split(data, UnseenUsers(test=0.2, validation=0.3, support=2), 0)
    [member] = untrained([(split.train, split.validation)])
    member.precompute()
    shares = choose_paths([member], [split.validation], "choose", 0)["shares"]
    assert list(shares) == [2]
    config = EvaluateConfig(metrics=["ndcg"], at=[10])
    users = split.validation.users
    value = {}
    for penalty in PENALTIES:
        alone = Scored(users, DenoisingRegression(split.train, 2, penalty)(users))
        value[path_name(penalty)] = evaluate(alone, split.validation, split.train.candidates, config, 0).metrics[
            "ndcg@10"
        ]
    assert [path for path in shares[2] if path.startswith("denoising")] == [max(value, key=lambda path: value[path])]


def test_members_are_averaged_and_differ() -> None:
    split = made_split()
    finetune = FinetuneConfig(epochs=3, batch_users=32)
    model = GraphRecommender(encoder=SMALL, pretrain=None, finetune=finetune, shares={}, members=2)
    model.fit(split.full, None, 0)
    users = split.validation.users
    one, two = (member.score(users, {}) for member in model._members)
    assert not torch.allclose(one, two, atol=1e-3)
    assert torch.allclose(model.score(users), (one + two) / 2)
    again = GraphRecommender(encoder=SMALL, pretrain=None, finetune=finetune, shares={}, members=2)
    again.load_state_dict(split.full, model.state_dict())
    assert torch.equal(again.score(users), model.score(users))
