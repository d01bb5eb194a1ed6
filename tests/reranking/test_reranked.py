"""A recommender whose lists are in another order: its scores, the choice of the strength, runs and saved models."""

import json
from dataclasses import replace

import every_model
import pytest
import torch
from every_model import SPLIT, TRAIN, fitted, vocabulary
from pydantic import ValidationError
from synthetic_table import write_shop

from gnnrec.errors import ConfigError
from gnnrec.evaluation.ranking import top
from gnnrec.experiment.config import read_config
from gnnrec.experiment.run import run
from gnnrec.models.baselines.linear import AttributeLinear
from gnnrec.models.baselines.private_popularity import PrivatePopularity
from gnnrec.models.baselines.ratings.biases import Biases
from gnnrec.models.baselines.segment import SegmentPopularity
from gnnrec.models.federated_graphsage import FederatedGraphSAGE
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.models.held_out import HeldOutNDCG
from gnnrec.models.private_graphsage import PrivateGraphSAGE
from gnnrec.models.saving import load_model, save_model
from gnnrec.options.resolve import build
from gnnrec.reranking import DPP, MMR, Calibrated, Fair, LessPopular, PlackettLuce
from gnnrec.reranking.around import Around
from gnnrec.reranking.kind import GRID
from gnnrec.reranking.reranked import Reranked
from gnnrec.serving.artifact import load
from gnnrec.serving.explain import explain
from gnnrec.serving.lists import Served, best, recommend_to, serve
from gnnrec.testing import assert_recommender

EVERY = (MMR, DPP, Calibrated, Fair, LessPopular, PlackettLuce)


def reranked(way, model=None, **options):
    made = Reranked(SegmentPopularity() if model is None else model, way(pool=20, places=8, **options))
    made.fit(TRAIN, None, 5)
    return made


def lists(score, users, length=12):
    eligible = TRAIN.candidates & ~torch.zeros_like(score, dtype=torch.bool)
    eligible[users.unranked.row, users.unranked.node] = False
    return top(score, eligible, users.index, length, seed=9)


@pytest.mark.parametrize("way", EVERY)
def test_the_first_places_are_chosen_anew_and_the_rest_follows(way):
    model, users = reranked(way, AttributeLinear(), strength=0.5), SPLIT.test.users
    before, after = model.model.score(users), model.score(users)
    old, new = lists(before, users, 20), lists(after, users, 20)
    assert old.tolist() != new.tolist()
    extra = 8 if way is Fair else 0  # the best protected items are in the pool besides
    for first, second in zip(old.tolist(), new.tolist(), strict=True):
        moved = set(first) ^ set(second)
        assert len(moved) <= 2 * extra
        rest = [item for item in first if item not in second[:8]]
        assert second[8:] == rest[:12]
    outside = torch.ones_like(after, dtype=torch.bool).scatter(1, torch.cat([old, new], 1), False)
    assert after[outside].equal(before[outside])


def test_without_strength_nothing_changes():
    model, users = reranked(MMR, strength=0), SPLIT.test.users
    assert model.score(users).equal(model.model.score(users))


def test_equal_scores_are_told_apart_so_that_the_order_holds():
    # Nothing is known of these users: the model gives popularity, with ties among the items.
    model, users = reranked(LessPopular, strength=0.9), SPLIT.test.users.without_events()
    score = model.score(users)
    score[users.unranked.row, users.unranked.node] = -torch.inf
    best = score.topk(8, dim=1).values
    assert (best[:, :-1] > best[:, 1:]).all()


def test_fair_lists_have_enough_of_the_long_tail():
    model, users = reranked(Fair, strength=0.7), SPLIT.test.users
    tail = model.items.protected
    assert 0 < int(tail.sum()) < len(tail)
    shown = tail[lists(model.score(users), users, 8)].sum(1)
    assert int(shown.min()) >= 3  # a fair draw of 8 with .7 has 3 or more in 99 of 100 cases
    assert shown.float().mean() > tail[lists(model.model.score(users), users, 8)].sum(1).float().mean()


def test_calibrated_takes_what_the_model_expects_or_what_was_chosen():
    users = SPLIT.test.users
    graph, linear = reranked(Calibrated, fitted("GraphSAGE")), reranked(Calibrated, AttributeLinear())
    score = graph.model.score(users)
    every = TRAIN.candidates & torch.ones_like(score, dtype=torch.bool)
    item, relevance = torch.arange(3).repeat(len(users), 1), torch.tensor([1.0, 0.5, 0.0]).repeat(len(users), 1)
    taste = graph._taste(users, score, every, item, relevance).toarray()
    chance = score.double().masked_fill(~TRAIN.candidates, -torch.inf).softmax(1).numpy()
    expected = chance @ graph.items.values.toarray()
    assert taste == pytest.approx(expected / expected.sum(1, keepdims=True))
    known = linear._taste(users, score, every, item, relevance).toarray()
    first = users.items.node[users.items.row == 0].numpy()
    wanted = linear.items.values.toarray()[first].sum(0)
    assert known[0] == pytest.approx(wanted / wanted.sum())


class Oracle:
    """Knows what validation users will choose, and scores the other items at random."""

    supports_cold_users, predicts_ratings = True, False

    def __init__(self):
        self.best_params = {}

    def fit(self, train, validation, seed):
        truth, index = SPLIT.validation.ground_truth, SPLIT.validation.users.index
        random = torch.Generator().manual_seed(seed)
        self.table = torch.rand(SPLIT.dataset.num_users, train.num_items, generator=random)
        self.table[index[truth.row], truth.node] += 0.6

    def score(self, users):
        return self.table[users.index]


def test_the_strength_is_the_largest_before_too_much_is_lost():
    users, found = SPLIT.validation.users, []
    for most_lost in (0.0, 0.05, 0.1, 0.3):
        made = Reranked(Oracle(), PlackettLuce(pool=30, places=10, most_lost=most_lost))
        assert made.chooses_on_validation
        made.fit(SPLIT.train, SPLIT.validation, 5)
        measure = HeldOutNDCG(SPLIT.validation, SPLIT.train.candidates, 5)
        least, expected = (1 - most_lost) * measure(made.model.score(users)).mean(), 0.0
        for strength in GRID:
            other = Reranked(made.model, PlackettLuce(pool=30, places=10, strength=strength))
            other.candidates, other.items = made.candidates, made.items
            if measure(other.score(users)).mean() < least:
                break
            expected = strength
        assert made.strength == expected
        assert made.best_params["rerank"]["strength"] == expected
        found.append(expected)
    assert found == sorted(found)
    assert found[0] < found[2] < found[3]


def test_calibrated_of_a_user_who_has_chosen_nothing_weighs_the_best_items():
    linear, users = reranked(Calibrated, AttributeLinear()), SPLIT.test.users
    nobody = users.copies(torch.arange(len(users)))
    item, relevance = torch.tensor([[4, 7, -1]]).repeat(len(users), 1), torch.tensor([[1.0, 0.5, 0.0]])
    taste = linear._taste(nobody, None, None, item, relevance.repeat(len(users), 1)).toarray()
    wanted = linear.items.values.toarray()[4] + 0.5 * linear.items.values.toarray()[7]
    assert taste[3] == pytest.approx(wanted / wanted.sum())


def test_lists_of_other_items_are_put_in_order_among_these():
    model, users = reranked(Fair, AttributeLinear(), strength=0.7), SPLIT.test.users
    some = TRAIN.candidates & (torch.arange(len(TRAIN.candidates)) % 2 == 0)
    score = model.score_among(users, some).masked_fill(~some, -torch.inf)
    tail = model.items.protected
    for row, user in enumerate(torch.arange(len(users))):
        known = users.unranked.node[users.unranked.row == user]
        score[row, known] = -torch.inf
    shown = tail[score.topk(8, dim=1).indices].sum(1)
    assert int(shown.min()) >= min(3, int((tail & some).sum()) - 2)
    served = Served(model, vocabulary(), some)
    assert best(served, users, 8).item.tolist() == score.topk(8, dim=1).indices.tolist()


@pytest.mark.parametrize("way", EVERY)
def test_saved_and_loaded_to_the_same_lists(way, tmp_path):
    model, users = reranked(way, strength=0.3), SPLIT.test.users
    save_model(model, tmp_path)
    assert load_model(tmp_path).score(users).equal(model.score(users))


def test_what_a_guarantee_or_clients_do_not_allow_is_refused():
    around = Around.model_validate({"rerank": {"method": "less_popular"}})
    with pytest.raises(ConfigError, match="rerank: reads the training users once more, which the guarantee of Private"):
        around.put(PrivatePopularity(declared=("item",)))
    erase = Around.model_validate({"erase": {"attribute": "colour"}})
    with pytest.raises(ConfigError, match="erase: reads the training users once more"):
        erase.put(PrivateGraphSAGE(declared=("item",)))
    with pytest.raises(ConfigError, match="erase: reads all training users in one place, and those of Federated"):
        erase.put(FederatedGraphSAGE())
    assert Around.of(around.put(SegmentPopularity()))[1].rerank.method == "less_popular"


def test_typos_are_told_before_anything_is_fitted():
    class Never(AttributeLinear):
        def fit(self, train, validation, seed):
            raise AssertionError("fitted")

    for how in (Fair(protected={"categroy": "a"}), MMR(by="model")):
        with pytest.raises(ConfigError, match=r"categroy|no vectors"):
            Reranked(Never(), how).fit(TRAIN, None, 5)
    with pytest.raises(ConfigError, match="needs attributes of items"):
        Reranked(Never(), MMR()).fit(replace(TRAIN, relations=()), None, 5)
    with pytest.raises(ValidationError, match="name at least one value of an attribute"):
        Fair(protected={})


class Diverse(Reranked):
    """Items unlike each other, of a linear model."""

    def __init__(self, *, strength: float = 0.4) -> None:
        super().__init__(AttributeLinear(), MMR(strength=strength, pool=20))


def test_it_keeps_the_contract_of_a_recommender():
    assert_recommender(Diverse, {}, seed=3)


def test_what_is_not_there_is_told():
    with pytest.raises(ConfigError, match="rerank: Biases predicts ratings, and no list is put into order"):
        Reranked(Biases(), MMR())
    with pytest.raises(ConfigError, match="SegmentPopularity has no vectors of items; set it to attributes"):
        reranked(MMR, by="model")
    with pytest.raises(ConfigError, match=r"'categroy' is no attribute of items\. Did you mean 'category'"):
        reranked(Fair, protected={"categroy": "a"})
    with pytest.raises(ConfigError, match=r"rerank.protected: category: no item has the value 'nothing'.* for example"):
        reranked(Fair, protected={"category": "nothing"})
    with pytest.raises(AttributeError):
        _ = reranked(MMR).item_vectors  # so that no index gives lists in the old order


def test_reasons_are_those_of_the_scores_and_not_of_the_places():
    users = SPLIT.test.users
    model = reranked(MMR, fitted("GraphSAGE"), strength=0.5)
    asked = users, torch.arange(5).repeat(len(users), 1)
    words = vocabulary()
    plain, moved = (explain(Served(one, words, TRAIN.candidates), *asked) for one in (model.model, model))
    assert plain.weight.equal(moved.weight)
    assert plain.edge.equal(moved.edge)


def test_new_items_can_be_listed_after_an_update():
    fresh = torch.zeros(TRAIN.num_users, dtype=torch.bool)
    graph = build(GraphSAGE, every_model.OPTIONS["GraphSAGE"])
    model = reranked(LessPopular, graph, strength=0.9)
    model.candidates = torch.zeros_like(TRAIN.candidates)  # as if nobody had chosen anything before
    model.update(TRAIN, fresh=fresh)
    assert model.candidates.equal(TRAIN.candidates)
    assert not hasattr(reranked(LessPopular), "update")


CHANGED = ["model={class: SegmentPopularity}", "evaluate={metrics: [ndcg, coverage], at: [5]}"]
RERANK = "rerank={method: plackett_luce, pool: 20, places: 5, most_lost: 0.3}"


def test_a_run_tells_its_strength_and_its_lists_are_those_that_are_served(tmp_path):
    path, folder = write_shop(tmp_path), tmp_path / "runs" / "toy" / "0"
    found = run(read_config(path, [*CHANGED, RERANK]), folder)
    strength = found.result.chosen["rerank.strength"]
    assert strength > 0
    assert found.result.config["rerank"]["strength"] == "choose"
    artifact = load(folder)
    header = json.loads((folder / "model" / "artifact.json").read_text())
    assert header["options"] == {
        "class": "SegmentPopularity",
        "rerank": {**found.result.config["rerank"], "strength": strength},
    }
    rows, _ = recommend_to(serve(artifact), {"gender": "F"}, number=5)
    plain, _ = recommend_to(serve(replace(artifact, model=artifact.model.model)), {"gender": "F"}, number=5)
    assert [row["item"] for row in rows] != [row["item"] for row in plain]
    without = run(read_config(path, CHANGED), tmp_path / "runs" / "plain" / "0")
    assert found.result.metrics["coverage@5"] > without.result.metrics["coverage@5"]
    # With the strength that was found, and nothing to choose, the lists are the same.
    again = run(read_config(path, [*CHANGED, RERANK, f"rerank.strength={strength}"]), tmp_path / "runs" / "fixed" / "0")
    assert again.result.chosen == {}
    assert again.result.metrics == found.result.metrics


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("rerank={method: mrm}", "rerank.method: unknown value 'mrm'. Did you mean 'mmr'"),
        ("rerank={method: mmr, strenght: 0.1}", "rerank.*unknown key 'strenght'.* Did you mean 'strength'"),
        ("rerank={method: mmr, strength: 2}", r"rerank.*strength.*2"),
        (
            "evaluate={metrics: [auc]}",
            "rerank: puts lists into another order, and auc is measured over the one item of each user",
        ),
    ],
)
def test_a_config_that_does_not_fit_is_one_line(tmp_path, changed, message):
    with pytest.raises(ConfigError, match=message) as error:
        read_config(write_shop(tmp_path), [*CHANGED, RERANK, changed])
    assert "\n" not in str(error.value)
