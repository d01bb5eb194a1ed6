"""GraphSAGE of users whom words and vectors describe."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import described_users as made
import numpy as np
import pytest
import torch

from gnnrec.audit.training import audit
from gnnrec.errors import ConfigError
from gnnrec.experiment.export_graph import graph_of, newcomers_of
from gnnrec.graph.adjacency import Adjacency
from gnnrec.graph.block import Block
from gnnrec.models.baselines.factorization.als import ALS
from gnnrec.models.baselines.lightfm import LightFM
from gnnrec.models.baselines.linear import AttributeLinear
from gnnrec.models.baselines.neighbourhood import AttributeKNN
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.models.held_out import HeldOutNDCG
from gnnrec.models.saving import load_model, save_model
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.nn.propagation import vectors
from gnnrec.splits.parts import TEST
from gnnrec.splits.split import Split
from gnnrec.training.pretrain import PretrainConfig
from gnnrec.training.pretrained import Carried, Pretrained
from gnnrec.training.ranking import RankingConfig
from gnnrec.views import ITEM, USER

BOTH = {"says": made.LETTERS, "taste": {"vector": "taste"}}
LAYERS = EncoderConfig(channels=16, layers=2, regression=0)


def model(epochs: int = 12, **options: Any) -> GraphSAGE:
    finetune = RankingConfig(epochs=epochs, batch_users=64)
    return GraphSAGE(**{"encoder": LAYERS, "finetune": finetune, **options})


def fitted(split: Split, **options: Any) -> GraphSAGE:
    one = model(**options)
    one.fit(split.train, None, 3)
    return one


def ndcg(one: Any, split: Split) -> float:
    return float(HeldOutNDCG(split.validation, split.train.candidates, 1)(one.score(split.validation.users)).mean())


def test_unseen_users_are_told_apart_by_their_words_and_vectors() -> None:
    for attributes in ({"says": made.LETTERS}, {"taste": {"vector": "taste"}}):
        split = made.split(11, attributes)
        described, split_of_nobody = fitted(split), made.split(11, {})
        assert ndcg(described, split) > ndcg(fitted(split_of_nobody), split_of_nobody) + 0.3


@pytest.mark.parametrize(
    "baseline",
    [AttributeLinear(), AttributeKNN(), ALS(factors=8, cold="attribute_map"), LightFM(factors=8, epochs=20)],
    ids=lambda one: type(one).__name__,
)
def test_baselines_read_them_too(baseline: Any) -> None:
    split = made.split(11, BOTH)
    baseline.fit(split.train, None, 3)
    nobody = made.split(11, {})
    popular = ndcg(fitted(nobody), nobody)
    assert ndcg(baseline, split) > popular + 0.2


def test_the_regression_beside_the_layers_reads_them() -> None:
    split = made.split(12, BOTH)
    encoder = EncoderConfig(channels=16, layers=2, regression=8, regression_shares=(1.0,) * 7)
    alone = fitted(split, epochs=0, encoder=encoder)
    nobody = made.split(12, {})
    assert ndcg(alone, split) > ndcg(fitted(nobody), nobody) + 0.2


def test_attached_users_have_the_vectors_of_the_whole_graph() -> None:
    """Asked as strangers, training users without a history have the vectors that the graph gives them without one."""
    split = made.split(5, BOTH)
    one = fitted(split, epochs=2)
    task = one._tasks[0]
    users = split.train.users
    bare = replace(users, items=users.items.take(torch.empty(0, dtype=torch.int64)))
    encoder = task.head.encoder.eval()
    block = task.block
    hidden = without_edges_to_users(block)
    with torch.no_grad():
        states = encoder.states(block)
        x = {USER: states[0][USER]}
        for depth, known in enumerate(states):
            x = encoder.step(depth, known, x, hidden, [t for t in encoder.plan((USER,))[depth] if t[2] == USER])
    torch.testing.assert_close(task.embed(bare).cpu(), x[USER], atol=1e-5, rtol=1e-5)


def without_edges_to_users(block: Block) -> Block:
    """The block with no edge into users: their own vectors alone go on."""
    none = torch.empty(2, 0, dtype=torch.int64)
    empty = {t: Adjacency(none, a.num_sources, a.num_targets) for t, a in block.adjacency.items() if t[2] == USER}
    return Block({**block.adjacency, **empty}, block.num_targets)


def test_sampled_steps_give_the_numbers_of_the_whole_graph() -> None:
    split = made.split(5, BOTH)
    task = fitted(split, epochs=1)._tasks[0]
    wanted = {USER: torch.tensor([5, 2, 5]), ITEM: torch.tensor([0, 7])}
    encoder = task.head.encoder.eval()
    with torch.no_grad():
        whole, some = (vectors(encoder, task.block, wanted, sampled=sampled) for sampled in (False, True))
    for node_type in wanted:
        torch.testing.assert_close(whole[node_type], some[node_type], atol=1e-5, rtol=1e-5)
    assert ndcg(fitted(split, num_neighbors=4), split) > 0.7


def test_one_seed_one_model_saved_and_loaded(tmp_path: Path) -> None:
    split = made.split(9, BOTH)
    one, again = (fitted(split, pretrain=PretrainConfig(epochs=2)) for _ in range(2))
    users = split.validation.users
    assert torch.equal(one.score(users), again.score(users))
    save_model(one, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert torch.equal(loaded.score(users), one.score(users))
    assert torch.equal(loaded.embed(users), one.embed(users))
    alone = torch.cat([one.score(users.take(row)) for row in torch.arange(len(users)).split(1)])
    torch.testing.assert_close(one.score(users), alone, atol=1e-4, rtol=1e-4)
    audit(split, split.train, one.tables)


def test_a_user_without_any_feature_has_finite_scores() -> None:
    split = made.split(9, BOTH)
    users = split.validation.users
    scores = fitted(split).score(replace(users, features=()))
    assert scores.isfinite().all()
    assert torch.equal(scores, scores[:1].expand_as(scores))


def test_what_another_platform_learned_of_words_is_carried() -> None:
    """With the layers go the maps of features of one name; those of another encoder are refused, missing ones told."""
    first, second = made.split(21, BOTH, 300), made.split(22, BOTH, 40)
    theirs: Pretrained = fitted(first)._tasks[0].carried()
    assert [kind[0] for kind in theirs.user_features] == ["says", "taste"]

    def carried(to: Pretrained, split: Split) -> GraphSAGE:
        one = model(epochs=0)
        one._carried = Carried(to, ("attributes", "items", "layers"), {}, "id", Path("encoder"))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "names alone are compared")
            one.build(split.train, 3)
        return one

    own, their_map = (
        carried(theirs, second)._tasks[0].head.encoder.inputs,
        theirs.weights["inputs.maps.feature says.weight"],
    )
    assert torch.equal(own.maps["feature says"].weight, their_map)
    with pytest.warns(UserWarning, match="users are not described by 'says' here"):
        carried(theirs, made.split(22, {"taste": {"vector": "taste"}}, 40))
    other = replace(theirs, user_features=(("says", "use", 512), *theirs.user_features[1:]))
    with pytest.raises(ConfigError, match="feature 'says' of users has 512 numbers of use there, 26 of"):
        carried(other, second)


def test_exported_graphs_hold_them() -> None:
    split = made.split(7, BOTH)
    graph = graph_of(split.full)
    assert graph[USER].x.shape == (split.full.num_users, 30)
    assert graph[USER].x_known.dtype == torch.bool
    split.open_test("a test")
    newcomers = newcomers_of(split, split.test, TEST)["newcomer"]
    np.testing.assert_array_equal(newcomers.x[:, :26], split.test.users.features[0].vector)
