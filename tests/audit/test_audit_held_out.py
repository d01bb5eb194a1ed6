"""Each way in which the question can hold the answer is planted, and must be caught; clean splits pass."""

from dataclasses import replace

import pytest
import torch

from gnnrec.audit.held_out import audit_held_out
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import AuditError
from gnnrec.experiment.run import fit_and_evaluate
from gnnrec.models.baselines import Popularity
from gnnrec.splits import UnseenBoth, UnseenItems, UnseenUsers, WarmInteractions, make_split
from gnnrec.splits.parts import TEST, VALIDATION
from gnnrec.splits.split import Split
from gnnrec.views import ITEM, USER, Edges, Relation, TestSet

FRIEND = (USER, "friend", USER)
KINDS = {
    "unseen_users": UnseenUsers(test=0.2, validation=0.1),
    "support": UnseenUsers(test=0.2, validation=0.2, support=2),
    "unseen_items": UnseenItems(test=0.2, validation=0.2),
    "unseen_both": UnseenBoth(test=0.2, validation=0.2, support=2),
    "interactions": WarmInteractions(test=0.2, validation=0.1),
}


def opened(config, data=None):
    split = make_split(synthetic(seed=3) if data is None else data, config, seed=0)
    split.open_test("to audit it")
    return split


@pytest.fixture(params=["test", "validation"])
def asked(request):
    """A split with supports, its held-out users, what was trained on, and the part."""
    split = opened(KINDS["support"])
    if request.param == "test":
        return split, split.test, split.full, TEST
    return split, split.validation, split.train, VALIDATION


def with_users(held_out, **changes):
    return replace(held_out, users=replace(held_out.users, **changes))


def add(edges, row, node):
    weight = None if edges.weight is None else torch.cat([edges.weight, edges.weight[:1]])
    return Edges(torch.cat([edges.row, torch.tensor([row])]), torch.cat([edges.node, torch.tensor([node])]), weight)


def caught(message, split, held_out, train, part):
    with pytest.raises(AuditError, match=message):
        audit_held_out(split, held_out, train, part)


@pytest.mark.parametrize("kind", KINDS)
def test_clean_splits_pass(kind):
    split = opened(KINDS[kind])
    for held_out, train, part in ((split.test, split.full, TEST), (split.validation, split.train, VALIDATION)):
        record = audit_held_out(split, held_out, train, part)
        assert record["asked_users"] == len(held_out.users)
        assert record["asked_interactions"] == len(held_out.ground_truth) == int((split.edge_part == part).sum())
        assert record["shown_interactions"] == len(held_out.users.items)


def test_a_target_in_the_support(asked):
    split, held_out, train, part = asked
    leaked = add(held_out.users.items, int(held_out.ground_truth.row[0]), int(held_out.ground_truth.node[0]))
    caught(
        "1 interactions are in the support and in the ground truth, e.g. user",
        split,
        with_users(held_out, items=leaked),
        train,
        part,
    )


def test_an_item_in_the_support_that_is_no_choice_of_this_user(asked):
    split, held_out, train, part = asked
    raw = split.dataset.interactions
    own = raw.item[raw.user == held_out.users.index[0]]
    item = next(i for i in range(split.dataset.num_items) if i not in own)
    leaked = with_users(held_out, items=add(held_out.users.items, 0, item))
    caught("but not of this part's support", split, leaked, train, part)


def test_a_support_that_the_protocol_does_not_allow():
    split = opened(KINDS["unseen_users"])
    target = split.test.ground_truth
    shown = torch.arange(len(target)) < 5
    leaked = TestSet(replace(split.test.users, items=target.take(shown)), target.take(~shown))
    caught("5 interactions are in the support, but not of this part's support", split, leaked, split.full, TEST)


def test_targets_hidden_from_the_lists(asked):
    split, held_out, train, part = asked
    caught("are masked and in the ground truth", split, replace(held_out, masked=held_out.ground_truth), train, part)


def test_a_question_about_a_training_interaction(asked):
    split, held_out, train, part = asked
    support = held_out.users.items
    leaked = TestSet(replace(held_out.users, items=support.take(torch.empty(0, dtype=torch.int64))), support)
    caught("are in the ground truth, but not held out", split, leaked, train, part)


def test_a_training_user_who_is_asked_about(asked):
    split, held_out, train, part = asked
    index = held_out.users.index.clone()
    index[0] = train.users.index[0]
    caught("1 users are in the test set, but not of this part", split, with_users(held_out, index=index), train, part)


def test_a_user_who_was_trained_on(asked):
    split, held_out, train, part = asked
    index = train.users.index.clone()
    index[0] = held_out.users.index[0]
    leaky = replace(train, users=replace(train.users, index=index))
    caught("are in the test set and in training", split, held_out, leaky, part)


def test_a_user_twice(asked):
    split, held_out, train, part = asked
    index = held_out.users.index.clone()
    index[0] = index[1]
    caught("in the test set twice", split, with_users(held_out, index=index), train, part)


def test_a_friend_outside_training_who_carries_a_history(asked):
    split, held_out, train, part = asked
    edges = held_out.users.relations[FRIEND]
    leaked = dict(held_out.users.relations) | {FRIEND: add(edges, 0, train.num_users)}
    caught(
        "an edge of 'friend' to a user who is not in training",
        split,
        with_users(held_out, relations=leaked),
        train,
        part,
    )


def test_friends_numbered_as_in_the_data_set(asked):
    # As a builder would do that forgot to renumber.
    split, held_out, train, part = asked
    edges = held_out.users.relations[FRIEND]
    node = train.users.index[edges.node].clamp(max=train.num_users - 1)
    leaked = dict(held_out.users.relations) | {FRIEND: Edges(edges.row, node, edges.weight)}
    caught("of 'friend' that is not theirs", split, with_users(held_out, relations=leaked), train, part)


@pytest.mark.parametrize("name", ["club", "age"])
def test_an_attribute_of_someone_else(asked, name):
    split, held_out, train, part = asked
    edge_type = (USER, name, name)
    edges = held_out.users.relations[edge_type]
    leaked = dict(held_out.users.relations) | {edge_type: Edges(edges.row, edges.node.roll(1), edges.weight)}
    caught(f"of '{name}' that is not theirs", split, with_users(held_out, relations=leaked), train, part)


def test_bins_of_other_bounds(asked):
    split, held_out, train, part = asked
    numeric = split.dataset.numeric[0]
    bounds = {(USER, "age"): (float(numeric.number.max()),)}
    caught("of 'age' that is not theirs", split, held_out, replace(train, bounds=bounds), part)


def test_a_relation_that_is_the_interactions_under_another_name():
    data = synthetic(seed=3)
    raw = data.interactions
    played = Relation(USER, "played", ITEM, torch.stack([raw.user, raw.item]))
    split = opened(KINDS["unseen_users"], replace(data, relations=(*data.relations, played)))
    caught("relation 'played' .* holds 100% of the ground truth", split, split.test, split.full, TEST)


def test_a_wish_list_that_seldom_comes_true_passes():
    data = synthetic(seed=3)
    raw = data.interactions
    wished = Relation(USER, "wished", ITEM, torch.stack([raw.user, (raw.item + 1) % data.num_items]))
    split = opened(KINDS["unseen_users"], replace(data, relations=(*data.relations, wished)))
    assert audit_held_out(split, split.test, split.full, TEST)["asked_users"] == 12


def test_a_relation_that_is_not_in_the_data(asked):
    split, held_out, train, part = asked
    edge_type = (USER, "guessed", "guess")
    leaked = dict(held_out.users.relations) | {edge_type: held_out.users.relations[(USER, "club", "club")]}
    caught("not in the data", split, with_users(held_out, relations=leaked), train, part)


@pytest.mark.parametrize("part", [TEST, VALIDATION])
def test_a_run_whose_split_shows_the_answer_stops(monkeypatch, part):
    honest = Split._held_out

    def leaky(self, asked_part, train):
        held_out = honest(self, asked_part, train)
        return with_users(held_out, items=held_out.ground_truth) if asked_part == part else held_out

    split = make_split(synthetic(seed=3), UnseenUsers(test=0.2, validation=0.2), seed=0)
    assert fit_and_evaluate(split, ChoosesNothing).result.audit["asked"]["asked_users"] == 12
    monkeypatch.setattr(Split, "_held_out", leaky)
    fresh = make_split(synthetic(seed=3), UnseenUsers(test=0.2, validation=0.2), seed=0)
    with pytest.raises(AuditError, match="are in the support and in the ground truth"):
        fit_and_evaluate(fresh, ChoosesNothing)


class ChoosesNothing(Popularity):
    chooses_on_validation = True
