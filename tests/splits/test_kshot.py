"""The same question with more and more of the support shown."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
from gnnrec.experiment.config import check_config
from gnnrec.experiment.run import choosing_users, fit_and_evaluate
from gnnrec.models.baselines import NeighbourPopularity, Popularity
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.kshot import reveal, reveal_each, reveal_ground_truth
from gnnrec.views import Edges, TestSet, UserBatch

DATA = synthetic(0, num_users=120)
SHOTS = (0, 1, 2, 3)
SPLIT = make_split(DATA, UnseenUsers(test=0.3, validation=0.2, support=SHOTS[-1]), 0)
SPLIT.open_test("tests")
NDCG = EvaluateConfig(metrics=["ndcg"], at=[3])


def rows_and_nodes(edges: Edges) -> set[tuple[int, int]]:
    return set(zip(edges.row.tolist(), edges.node.tolist(), strict=True))


class LikesItsHistory:
    """Item i + 1 for everyone who has shown item i; knows nothing of others."""

    supports_cold_users = False
    predicts_ratings = False

    def __init__(self):
        self.best_params = {}
        self.asked = []

    def fit(self, train, validation, seed):
        self.num_items = train.num_items

    def score(self, users):
        self.asked.append(len(users.items))
        return users.history(self.num_items).roll(1, dims=1).float()


def by_hand() -> TestSet:
    # User 7 reveals items 3, 1, 0 in this order and is asked for 4; user 9 reveals 2, 0, 4 and is asked for 1.
    items = Edges(torch.tensor([0, 1, 1, 0, 1, 0]), torch.tensor([3, 2, 0, 1, 4, 0]), torch.arange(6).float())
    return TestSet(UserBatch(torch.tensor([7, 9]), items, {}), Edges(torch.tensor([0, 1]), torch.tensor([4, 1])))


def test_the_first_items_are_shown_and_the_others_hidden() -> None:
    case = by_hand()
    for shots, shown, hidden in (
        (0, set(), {(0, 3), (0, 1), (0, 0), (1, 2), (1, 0), (1, 4)}),
        (2, {(0, 3), (0, 1), (1, 2), (1, 0)}, {(0, 0), (1, 4)}),
        (9, {(0, 3), (0, 1), (0, 0), (1, 2), (1, 0), (1, 4)}, set()),
    ):
        cut = reveal(case, shots)
        assert rows_and_nodes(cut.users.items) == shown
        assert cut.masked is not None
        assert rows_and_nodes(cut.masked) == hidden
        assert cut.ground_truth is case.ground_truth
        assert cut.users.index.equal(case.users.index)
    assert reveal(case, 1).users.items.weight.tolist() == [0.0, 1.0]
    assert rows_and_nodes(reveal(reveal(case, 2), 1).masked) == rows_and_nodes(reveal(case, 1).masked)


@pytest.mark.parametrize("shots", SHOTS)
def test_what_is_revealed_is_the_support_of_a_split_with_that_support(shots: int) -> None:
    other = make_split(DATA, UnseenUsers(test=0.3, validation=0.2, support=shots), 0)
    other.open_test("tests")
    for full, part in ((SPLIT.test, other.test), (SPLIT.validation, other.validation)):
        assert rows_and_nodes(reveal(full, shots).users.items) == rows_and_nodes(part.users.items)
        assert rows_and_nodes(full.ground_truth) <= rows_and_nodes(part.ground_truth)


def test_the_order_of_revealing_is_not_that_of_the_items() -> None:
    items = SPLIT.test.users.items
    first = [items.node[items.row == row].tolist() for row in range(len(SPLIT.test.users))]
    assert any(nodes != sorted(nodes) for nodes in first)


def test_users_without_a_target_beyond_the_largest_support_are_left_out_for_all_shots_and_counted() -> None:
    degree = np.bincount(DATA.interactions.user, minlength=DATA.num_users)
    too_few = int((degree[SPLIT.test.users.index] <= SHOTS[-1]).sum())
    config = NDCG.model_copy(update={"shots": SHOTS})
    model = Popularity()
    model.fit(SPLIT.full, None, 0)
    found = evaluate(model, SPLIT.test, torch.ones(DATA.num_items, dtype=torch.bool), config, 0)
    assert found.users_without_target == too_few
    assert found.users + too_few == len(SPLIT.test.users)


def test_each_number_of_shots_is_measured_as_if_it_were_alone() -> None:
    config = EvaluateConfig(metrics=["ndcg", "mrr", "coverage"], at=[3], shots=SHOTS, batch_size=7)
    alone = EvaluateConfig(metrics=["ndcg", "mrr", "coverage"], at=[3])

    class WithHistory(LikesItsHistory):
        supports_cold_users = True

    model = WithHistory()
    model.fit(SPLIT.full, None, 0)
    together = evaluate(model, SPLIT.test, SPLIT.full.candidates, config, 0)
    assert tuple(together.metrics) == config.names
    for k in SHOTS:
        one = evaluate(model, reveal(SPLIT.test, k), SPLIT.full.candidates, alone, 0)
        assert one.per_user["user"].equals(together.per_user["user"])
        for name in alone.names:
            assert together.metrics[f"k{k}/{name}"] == one.metrics[name]
            if not name.startswith("coverage"):
                assert together.per_user[f"k{k}/{name}"].equals(one.per_user[name])
    assert len({together.metrics[f"k{k}/ndcg@3"] for k in SHOTS}) == len(SHOTS)


def test_what_knows_nothing_of_the_support_scores_the_same_at_each_number_of_shots() -> None:
    config = EvaluateConfig(metrics=["ndcg"], at=[10], shots=SHOTS)
    run = fit_and_evaluate(SPLIT, Popularity, evaluate=config)
    assert len(set(run.result.metrics.values())) == 1


def test_hidden_items_stand_in_no_list() -> None:
    # Everyone's order is 3, 1, 0, 4, 2. User 7 has the support 3, 1, 0: 4 comes first, shown or not. User 9 has the
    # support 2, 0, 4: 3 comes first, its target 1 second, NDCG 1 / log2(3).
    class Fixed(Popularity):
        def score(self, users):
            return torch.tensor([3.0, 4.0, 1.0, 5.0, 2.0]).repeat(len(users), 1)

    everything = torch.ones(5, dtype=torch.bool)
    config = EvaluateConfig(metrics=["ndcg", "mrr"], at=[2], shots=(0, 1, 3))
    found = evaluate(Fixed(), by_hand(), everything, config, 0)
    for k in (0, 1, 3):
        assert found.per_user[f"k{k}/ndcg@2"].tolist() == pytest.approx([1, 1 / np.log2(3)])
        assert found.per_user[f"k{k}/mrr"].tolist() == [1, 0.5]


def test_what_is_hidden_is_part_of_the_question() -> None:
    everything = torch.ones(5, dtype=torch.bool)
    config = EvaluateConfig(metrics=["ndcg"], at=[2])
    model = LikesItsHistory()
    model.num_items = 5
    hidden = reveal(by_hand(), 2)
    shown = TestSet(hidden.users, hidden.ground_truth)
    checksums = {evaluate(model, case, everything, config, 0).checksum for case in (hidden, shown, by_hand())}
    assert len(checksums) == 3


def test_a_model_that_needs_items_gets_a_dash_at_no_shots_and_is_not_asked() -> None:
    model = LikesItsHistory()
    model.num_items = 5
    config = EvaluateConfig(metrics=["ndcg"], at=[2], shots=(0, 1, 3))
    found = evaluate(model, by_hand(), torch.ones(5, dtype=torch.bool), config, 0)
    assert found.metrics["k0/ndcg@2"] is None
    assert list(found.per_user) == ["user", "k1/ndcg@2", "k3/ndcg@2"]
    assert found.users == 2
    assert model.asked == [2, 6]
    assert config.objective(found.metrics) == pytest.approx(
        (found.metrics["k1/ndcg@2"] + found.metrics["k3/ndcg@2"]) / 2
    )
    nothing = evaluate(model, by_hand(), torch.ones(5, dtype=torch.bool), config.model_copy(update={"shots": (0,)}), 0)
    assert nothing.users == 0
    assert config.model_copy(update={"shots": (0,)}).objective(nothing.metrics) is None


def test_a_mean_over_the_copies_is_a_mean_over_the_shots() -> None:
    shots = (1, 3)
    config = EvaluateConfig(metrics=["ndcg"], at=[3], shots=shots)

    class Untied(LikesItsHistory):
        def score(self, users):  # the history counts, and later items win, so that no tie hangs on who is asked
            return super().score(users) + torch.arange(self.num_items) / 1000

    model = Untied()
    model.fit(SPLIT.train, None, 0)
    each = evaluate(model, SPLIT.validation, SPLIT.train.candidates, config, 0)
    copies = reveal_each(SPLIT.validation, shots, DATA.num_users)
    assert len(copies.users.index.unique()) == len(copies.users) == 2 * len(SPLIT.validation.users)
    assert not torch.isin(copies.users.index, SPLIT.train.users.index).any()
    stacked = evaluate(model, copies, SPLIT.train.candidates, NDCG, 0)
    assert stacked.users == 2 * each.users
    assert stacked.metrics["ndcg@3"] == pytest.approx(config.objective(each.metrics), abs=1e-12)
    assert stacked.metrics["ndcg@3"] != pytest.approx(each.metrics["k3/ndcg@3"], abs=1e-3)


def test_copies_keep_the_other_edges_of_their_users() -> None:
    copies = reveal_each(SPLIT.validation, (0, 2), DATA.num_users)
    size = len(SPLIT.validation.users)
    model = NeighbourPopularity()
    model.fit(SPLIT.train, None, 0)
    scores = model.score(copies.users)
    assert scores[:size].equal(scores[size:])
    assert scores[:size].equal(model.score(SPLIT.validation.users))


def test_models_choose_on_every_number_of_shots() -> None:
    seen = []

    class Choosing(Popularity):
        chooses_on_validation = True

        def fit(self, train, validation, seed):
            super().fit(train, validation, seed)
            if validation is not None:
                seen.append((len(validation.users), len(validation.users.items)))

    fit_and_evaluate(SPLIT, Choosing, evaluate=NDCG.model_copy(update={"shots": SHOTS}))
    sizes = [len(reveal(SPLIT.validation, k).users.items) for k in SHOTS]
    assert seen == [(len(SHOTS) * len(SPLIT.validation.users), sum(sizes))]
    assert choosing_users(SPLIT, NDCG) is SPLIT.validation


def test_shots_and_support_must_agree() -> None:
    def config(shots: list[int], support: int) -> dict:
        return {
            "data": {"source": "ml-100k"},
            "split": {"kind": "unseen_users", "test": 0.2, "support": support},
            "model": {"class": "Popularity"},
            "evaluate": {"metrics": ["ndcg"], "at": [10], "shots": shots},
        }

    check_config(config([0, 1, 5], 5), "a.yaml", "a", Path())
    with pytest.raises(ConfigError, match=r"^a.yaml: evaluate.shots: the last number must be .* got 5 and"):
        check_config(config([0, 1, 5], 10), "a.yaml", "a", Path())
    with pytest.raises(ConfigError, match=r"a.yaml: evaluate: shots must ascend, got \[5, 1\]"):
        check_config(config([5, 1], 1), "a.yaml", "a", Path())


COLD = make_split(DATA, UnseenUsers(test=0.3, validation=0.2), 0).validation


def revealed(shots: tuple[int, ...], seed: int = 0) -> dict[int, dict[int, tuple[set[int], set[int]]]]:
    """Number of shots -> user -> its known items, and the items of its ground truth."""
    test = reveal_ground_truth(COLD, shots, seed)
    offset = int(COLD.users.index.max()) + 1
    found: dict[int, dict[int, tuple[set[int], set[int]]]] = {k: {} for k in shots}
    for row, index in enumerate(test.users.index.tolist()):
        known = set(test.users.items.node[test.users.items.row == row].tolist())
        found[shots[index // offset - 1]][index % offset] = (
            known,
            set(test.ground_truth.node[test.ground_truth.row == row].tolist()),
        )
    return found


def own_items() -> dict[int, set[int]]:
    return {
        index: set(COLD.ground_truth.node[COLD.ground_truth.row == row].tolist())
        for row, index in enumerate(COLD.users.index.tolist())
    }


def test_so_many_items_of_the_ground_truth_are_revealed_and_the_rest_is_asked_for() -> None:
    own = own_items()
    for k, users in revealed((1, 2, 5)).items():
        assert set(users) == {user for user, items in own.items() if len(items) > k}  # one at least is left to find
        for user, (known, target) in users.items():
            assert len(known) == k
            assert known | target == own[user]
            assert not known & target


def test_what_more_shots_reveal_holds_what_fewer_do() -> None:
    one, two, five = revealed((1, 2, 5)).values()
    assert 0 < len(five) < len(one)
    assert all(one[user][0] < two[user][0] for user in two)
    assert all(two[user][0] < five[user][0] for user in five)


def test_which_items_are_revealed_is_drawn_by_the_seed_and_not_by_the_order_of_shots() -> None:
    first, again, other = revealed((1, 2)), revealed((2, 1)), revealed((1, 2), seed=1)
    assert first[1] == again[1]
    assert first[2] == again[2]
    assert first[1] != other[1]
    drawn = {min(known) for user, (known, _) in first[1].items()}
    assert len(drawn) > 3  # not the first item of everyone


def test_no_two_copies_are_taken_for_one_user_and_each_keeps_its_relations_and_values() -> None:
    test = reveal_ground_truth(COLD, (1, 2, 5), 0)
    index = torch.cat([COLD.users.index, test.users.index])
    assert len(index.unique()) == len(index)
    assert len(test.users.items) == sum(k * len(users) for k, users in revealed((1, 2, 5)).items())
    offset = int(COLD.users.index.max()) + 1
    asked = COLD.ground_truth
    value = {
        (int(COLD.users.index[row]), int(node)): float(weight)
        for row, node, weight in zip(asked.row, asked.node, asked.weight, strict=True)
    }
    for edges in (test.users.items, test.ground_truth):
        for row, node, weight in zip(edges.row, edges.node, edges.weight, strict=True):
            assert float(weight) == value[int(test.users.index[row]) % offset, int(node)]
    assert test.users.relations.keys() == COLD.users.relations.keys()
    for edge_type, edges in test.users.relations.items():
        of_user = COLD.users.relations[edge_type]
        for row, one in enumerate(test.users.index.tolist()):
            mine = of_user.row == int((COLD.users.index == one % offset).nonzero())
            assert edges.node[edges.row == row].tolist() == of_user.node[mine].tolist()


def test_users_with_too_few_items_are_left_out_and_so_are_all_of_them() -> None:
    # User 3 has three items, user 8 one.
    target = Edges(torch.tensor([0, 1, 0, 0]), torch.tensor([4, 2, 6, 1]))
    none = torch.empty(0, dtype=torch.int64)
    test = TestSet(UserBatch(torch.tensor([3, 8]), Edges(none, none), {}), target)
    found = reveal_ground_truth(test, (1, 2, 3), 0)
    assert found.users.index.tolist() == [3 + 9, 3 + 18]
    assert found.users.items.row.tolist() == [0, 1, 1]
    assert found.ground_truth.row.tolist() == [0, 0, 1]
    nobody = reveal_ground_truth(test, (5,), 0)
    assert len(nobody.users) == len(nobody.ground_truth) == len(nobody.users.items) == 0


class LikesHighNumbers(LikesItsHistory):
    supports_cold_users = True

    def score(self, users):
        return torch.arange(5.0).expand(len(users), 5)


def test_the_next_item_is_what_follows_the_shown_ones() -> None:
    case = replace(by_hand(), next_item=True)
    for shots, target, shown in (
        (0, [3, 2], []),
        (1, [1, 0], [3, 2]),
        (2, [0, 4], [3, 2, 0, 1]),
        (3, [4, 1], [*range(6)]),
    ):
        cut = reveal(case, shots)
        assert cut.masked is None
        assert rows_and_nodes(cut.ground_truth) == {(0, target[0]), (1, target[1])}
        assert len(cut.users.items) == len(shown)
    stacked = reveal_each(case, (0, 2), num_users=10)
    assert rows_and_nodes(stacked.ground_truth) == {(0, 3), (1, 2), (2, 0), (3, 4)}
    assert stacked.next_item
    assert case.take(torch.tensor([1])).next_item


def test_a_next_item_that_is_not_ranked_is_a_miss_and_its_user_counts() -> None:
    """Ranked are 4, 3, 2, 1, 0: 3 and 2 are in places 2 and 3; after them, 1 is in place 3 and 0 in none."""
    config = EvaluateConfig(metrics=["ndcg", "mrr"], at=[3], shots=(0, 1, 3))
    case = replace(by_hand(), next_item=True)
    found = evaluate(LikesHighNumbers(), case, torch.ones(5, dtype=torch.bool), config, 1)
    second = 1 / np.log2(3)
    assert found.per_user["k0/ndcg@3"].tolist() == pytest.approx([second, 0.5])
    assert found.per_user["k1/ndcg@3"].tolist() == pytest.approx([0.5, 0])
    assert found.per_user["k3/ndcg@3"].tolist() == pytest.approx([1, second])  # 3, 1, 0 are left out of the first list
    assert found.per_user["k1/mrr"].tolist() == pytest.approx([1 / 3, 1 / 4])
    without = evaluate(LikesHighNumbers(), case, torch.tensor([True, True, True, False, True]), config, 1)
    assert without.users == 2
    assert without.per_user["k0/ndcg@3"].tolist() == pytest.approx([0, second])
    assert without.per_user["k0/mrr"].tolist() == pytest.approx([1 / 5, 1 / 2])  # behind all four
    assert without.checksum != found.checksum
