"""A recommender that does not see an attribute, and whose vectors do not tell it."""

import every_model as made
import pytest
import torch
from synthetic_table import write_shop

from gnnrec.errors import ConfigError
from gnnrec.experiment.config import read_config
from gnnrec.experiment.run import run
from gnnrec.models.baselines.popularity import Popularity
from gnnrec.models.baselines.ratings.biases import Biases
from gnnrec.models.erased import EraseConfig, Erased
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.models.saving import load_model, save_model
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.options.resolve import build
from gnnrec.testing import assert_recommender
from gnnrec.training.ranking import RankingConfig
from gnnrec.views import UserBatch

COLOUR = ("user", "colour", "colour")


def graph():
    return build(GraphSAGE, made.GRAPH)


@pytest.fixture(scope="module")
def erased():
    model = Erased(graph(), EraseConfig(attribute="colour"))
    model.build(made.TRAIN, 3)
    model.fit(made.TRAIN, None, 3)
    return model


def without(users, edge_type=COLOUR):
    edges = users.relations[edge_type]
    nothing = edges.take(torch.empty(0, dtype=torch.int64))
    return UserBatch(users.index, users.items, {**users.relations, edge_type: nothing})


def test_the_attribute_of_a_user_changes_nothing(erased):
    users = made.SPLIT.test.users
    assert len(users.relations[COLOUR]) > 5
    assert erased.score(users).equal(erased.score(without(users)))
    assert not erased.score(users).equal(erased.score(without(users, ("user", "club", "club"))))


def test_vectors_of_training_users_are_uncorrelated_with_it(erased):
    users = made.TRAIN.users
    edges = users.relations[COLOUR]
    bare = users.copies(edges.row)
    vectors, groups = erased.query(bare), edges.node
    before = erased.model.query(without(bare))
    apart, apart_before = (
        max(float((x[groups == g].mean(0) - x.mean(0)).abs().max()) for g in groups.unique()) for x in (vectors, before)
    )
    assert apart < 1e-3 < apart_before


def test_scores_are_inner_products_and_embed_gives_what_is_scored(erased):
    users = made.SPLIT.test.users
    assert erased.score(users) == pytest.approx(erased.query(users) @ erased.item_vectors().T, abs=1e-5)
    assert erased.embed(users).equal(erased.query(users))
    assert set(erased.erasures) <= {0, 1, 2, 5, 10, 20, 50}
    assert 0 in erased.erasures


def test_strength_0_hides_the_attribute_and_changes_nothing_else(erased):
    users = made.SPLIT.test.users
    hidden = Erased(graph(), EraseConfig(attribute="colour", strength=0))
    hidden.fit(made.TRAIN, None, 3)
    assert hidden.score(users) == pytest.approx(hidden.model.score(without(users)), abs=1e-4)
    assert not torch.allclose(hidden.score(users), erased.score(users), atol=1e-3)


def test_saved_and_loaded_to_the_same_scores(erased, tmp_path):
    save_model(erased, tmp_path)
    users = made.SPLIT.test.users
    assert load_model(tmp_path).score(users).equal(erased.score(users))


class WithoutColour(Erased):
    """A graph model that does not see the colour."""

    def __init__(
        self,
        *,
        encoder: EncoderConfig = EncoderConfig(channels=8, regression=4),  # noqa: B008  (frozen)
        finetune: RankingConfig = RankingConfig(epochs=6),  # noqa: B008
    ) -> None:
        super().__init__(GraphSAGE(encoder=encoder, finetune=finetune, choose_on=0), EraseConfig(attribute="colour"))


def test_it_keeps_the_contract_of_a_recommender():
    assert_recommender(WithoutColour, {}, seed=3, learns=False)  # colours tell the groups of that check


def test_what_does_not_fit_is_refused():
    for model in (Popularity(), Biases()):
        with pytest.raises(ConfigError, match=r"erase: needs scores that are inner products, and those of"):
            Erased(model, EraseConfig(attribute="colour"))
    with pytest.raises(ConfigError, match=r"'color' is no attribute of users\. Did you mean 'colour'"):
        Erased(graph(), EraseConfig(attribute="color")).fit(made.TRAIN, None, 3)


def test_a_run_hides_it_and_a_probe_tells_less(tmp_path):
    path = write_shop(tmp_path, users=400)
    model = "model={class: GraphSAGE, encoder: {channels: 8}, finetune: {epochs: 6, learning_rate: 0.02}, choose_on: 0}"
    measured = "evaluate={metrics: [ndcg, ndcg_gap, probe_auc], at: [5], group_by: gender}"
    plain = run(read_config(path, [model, measured]), tmp_path / "runs" / "plain" / "0")
    hidden = run(read_config(path, [model, measured, "erase={attribute: gender}"]), tmp_path / "runs" / "erased" / "0")
    assert plain.result.metrics["probe_auc"] > 0.9
    assert hidden.result.metrics["probe_auc"] < 0.75  # 80 test users, and gender says nothing here
    assert hidden.result.config["erase"] == {"attribute": "gender", "strength": 1.0}
    with pytest.raises(ConfigError, match="probe_auc reads users' vectors, and Popularity has none"):
        run(read_config(path, ["model={class: Popularity}", measured]), None)
    with pytest.raises(ConfigError, match="probe_auc stands behind what counts; put another metric first"):
        read_config(path, ["evaluate={metrics: [probe_auc, ndcg], group_by: gender}"])
