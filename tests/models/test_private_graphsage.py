"""A private model: what it learns, six ways around the noise, and what it refuses."""

import json
import math
from dataclasses import replace

import pandas as pd
import pytest
import torch
from synthetic_table import write_shop

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.experiment.config import read_config
from gnnrec.experiment.run import run
from gnnrec.models.private_graphsage import PrivateGraphSAGE
from gnnrec.models.saving import load_model
from gnnrec.options.resolve import build
from gnnrec.privacy.accountant import Release, spent
from gnnrec.serving.artifact import load, save
from gnnrec.serving.vocabulary import Vocabulary
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.testing import assert_recommender
from gnnrec.training.private import GradientConfig
from gnnrec.views import ITEM, Edges, Features, TrainingData

OPTIONS = {"declared": ["item", "club", "colour"], "attributes": ["club", "colour"], "gradients": {"steps": 2}}
EVERY_PART = {"steps": 2, "sample_rate": 0.5, "parts": ["values", "histories", "items", "popularity"]}


def split_of(seed, users=80):
    return make_split(synthetic(seed, num_users=users, num_items=24), UnseenUsers(test=0.2, validation=0.2), seed)


def fitted(train, validation=None, seed=3, **options):
    model = build(PrivateGraphSAGE, {**OPTIONS, **options})
    model.fit(train, validation, seed)
    return model


def test_it_keeps_the_contract_of_a_recommender():
    options = {**OPTIONS, "epsilon": None, "gradients": {"steps": 3, "sample_rate": 0.5}}
    assert_recommender(PrivateGraphSAGE, options, seed=3)


def test_known_items_count_once_the_layer_of_histories_is_trained():
    split = split_of(3)
    without = split.validation.users
    some = replace(without, items=Edges(torch.tensor([0, 0]), torch.tensor([1, 4])))
    start = fitted(split.train, epsilon=None, gradients=None)
    assert torch.equal(start.score(some), start.score(without))
    trained = fitted(split.train, epsilon=None, gradients={"steps": 20, "sample_rate": 0.5})
    assert not torch.equal(trained.score(some)[0], trained.score(without)[0])
    assert torch.equal(trained.score(some)[1:], trained.score(without)[1:])


def test_the_guarantee_is_what_the_accountant_says_of_all_releases():
    model = fitted(split_of(3).train, delta=1e-5, gradients=EVERY_PART)
    given = model.guarantee
    releases = [Release(**one) for one in given["releases"].values()]
    assert [(one.sample_rate, one.steps) for one in releases] == [(1.0, 1), (0.5, 2)]
    assert given["epsilon"] == round(spent(tuple(releases), 1e-5), 4) <= 4.0
    assert given["delta"] == 1e-5
    assert fitted(split_of(3).train, epsilon=None).guarantee["epsilon"] is None


def test_noise_of_the_system_gives_another_model_each_time():
    train = split_of(3).train
    sources = ("seed", "seed", "system", "system")
    models = [fitted(train, epsilon=2.0, gradients=None, noise=source) for source in sources]
    scores = [model.score(train.users) for model in models]
    assert torch.equal(scores[0], scores[1])
    assert not torch.equal(scores[2], scores[3])


# Six ways of leaking around the noise.


class NotCounted(TrainingData):
    """Training data whose exact counts cannot be had."""

    popularity = property(lambda self: pytest.fail("exact popularity was read"))
    reachable = property(lambda self: pytest.fail("the nodes that training users reach were read"))
    usable = property(lambda self: pytest.fail("the nodes that training users reach were read"))


def test_leak_1_exact_popularity_and_candidates_are_not_read(tmp_path):
    """Neither by the model nor by what is saved with it, where every declared item may be recommended."""
    split = split_of(3)
    vocabulary = Vocabulary.of(split.train, split.dataset.ids["user"])
    fields = {name: getattr(split.train, name) for name in TrainingData.__dataclass_fields__}
    train = NotCounted(**{**fields, "candidates": None})
    model = fitted(train, epsilon=None, gradients=EVERY_PART)
    one_item = torch.zeros(train.num_items, dtype=torch.bool)
    saved = []
    other = replace(vocabulary, candidates=one_item, popularity=one_item.long())
    for name, changed in (("a", vocabulary), ("b", other)):
        save(model, tmp_path / name, replace(changed, mean_value=len(saved), last_time=7 + len(saved)))
        files = sorted((tmp_path / name).iterdir())
        saved.append([file.read_bytes() for file in files])
    assert saved[0] == saved[1]
    known = load(tmp_path / "a").vocabulary
    assert known.candidates.all()
    assert (known.popularity, known.mean_value, known.last_time) == (None, None, None)
    assert set(known.ids) == {ITEM, "club", "colour", "category"}
    assert not known.bounds


def test_leak_2_vectors_start_from_noisy_sums_alone(monkeypatch):
    """Under a million times the noise of a user, two sets of users who share nothing start from the same weights."""
    exact = [fitted(split_of(seed).train, epsilon=None, gradients=None) for seed in (3, 4)]
    monkeypatch.setattr(PrivateGraphSAGE, "releases", lambda model: {"moments": Release(1e6)})
    drowned = [fitted(split_of(seed).train, epsilon=None, gradients=None) for seed in (3, 4)]
    for name in exact[0].state_dict()["weights"]:
        (one, other), (a, b) = ([m.state_dict()["weights"][name] for m in pair] for pair in (drowned, exact))
        if "steps" not in name:  # layers begin at 1 and 0, whatever the data
            assert (a - b).norm() > 0.05 * a.norm(), name
        assert (one - other).norm() <= 0.001 * one.norm(), name


@pytest.mark.parametrize("attributes", [None, ["age", "club"]])
def test_leak_3_bins_that_were_fitted_on_users_are_refused(attributes):
    data = synthetic(3, num_users=80, num_items=24)
    data = replace(data, relations=tuple(r for r in data.relations if r.name != "friend"))
    split = make_split(data, UnseenUsers(test=0.2, validation=0.2), 3)
    with pytest.raises(ConfigError, match=r"attributes: the bounds of 'age' are quantiles .* give `bounds`") as raised:
        fitted(split.train, attributes=attributes, declared=["item", "club", "colour", "age"])
    assert "\n" not in str(raised.value)
    given = replace(data, numeric=tuple(replace(a, bins=None, bounds=(30.0, 50.0)) for a in data.numeric))
    split = make_split(given, UnseenUsers(test=0.2, validation=0.2), 3)
    fitted(split.train, attributes=None, declared=["item", "club", "colour", "age"])


@pytest.mark.parametrize("missing", ["item", "club"])
def test_leak_4_values_that_only_users_tell_are_refused(missing):
    declared = [name for name in OPTIONS["declared"] if name != missing]
    with pytest.raises(ConfigError, match=f"declared: must name '{missing}', got .* one user alone"):
        fitted(split_of(3).train, declared=declared)


def test_leak_4_a_value_that_one_user_has_is_no_more_there_than_one_that_nobody_has():
    """Tables have a row for each declared value, and what is saved says that all of them were seen."""
    split = split_of(3)
    rare = replace(split.train, ids={**split.train.ids, "club": split.train.ids["club"].append(pd.Index(["new"]))})
    weights = fitted(rare).state_dict()["weights"]
    assert len(weights["encoder.tables.type club.weight"]) == len(rare.ids["club"])
    vocabulary = Vocabulary.of(rare, split.dataset.ids["user"])
    assert not vocabulary.seen["club"].all()
    assert vocabulary.public(OPTIONS["declared"]).seen["club"].all()


def test_leak_5_nothing_is_chosen_on_validation_users():
    split = split_of(3)
    model, alone = fitted(split.train, split.validation), fitted(split.train)
    assert model.best_params == {}
    assert torch.equal(model.score(split.train.users), alone.score(split.train.users))
    assert not getattr(model, "chooses_on_validation", False)
    assert not hasattr(model, "search_space")


def test_leak_6_a_run_leaves_neither_checkpoints_nor_anything_of_a_user(tmp_path):
    path = write_shop(tmp_path)
    changes = {
        "model": {
            "class": "PrivateGraphSAGE",
            "epsilon": 4.0,
            "declared": ["item", "gender", "interests"],
            "attributes": ["gender", "interests"],
            "gradients": EVERY_PART,
        }
    }
    text = path.read_text()
    head, tail = text.index("model:"), text.index("evaluate:")
    path.write_text(text[:head] + "model: " + json.dumps(changes["model"]) + "\n" + text[tail:])
    done = run(read_config(path), tmp_path / "out" / "shop" / "0")
    there = {str(file.relative_to(done.folder)) for file in done.folder.rglob("*") if file.is_file()}
    own = {name for name in there if not name.startswith("model/")}
    assert own == {"config.yaml", "per_user.parquet", "result.json", "card.md", "history.json"} & own
    assert done.result.guarantee["epsilon"] <= 4.0
    card = (done.folder / "card.md").read_text()
    assert f"epsilon = {done.result.guarantee['epsilon']:g}, delta = 1e-06" in card
    artifact = load(done.folder)
    assert artifact.holds == ()
    users = 150
    model = load_model(done.folder / "model")
    assert set(model.state_dict()) == {"values", "weights", "guarantee"}
    for name, weight in model.state_dict()["weights"].items():
        assert users not in weight.shape, name
        assert max(weight.shape) <= 30, name
    words = "".join(file.read_text(errors="replace") for file in (done.folder / "model").glob("*.json"))
    assert "u-0" not in words


# What else is outside of the guarantee.


def test_links_between_users_are_refused():
    with pytest.raises(ConfigError, match="'friend' links users to users") as raised:
        fitted(split_of(3).train, attributes=None)
    assert "\n" not in str(raised.value)


def test_what_describes_users_by_numbers_is_refused():
    train = split_of(3).train
    words = Features("user", "says", torch.ones(len(train.users), 2), torch.ones(len(train.users), dtype=torch.bool))
    with pytest.raises(ConfigError, match="'says' describes users by numbers"):
        fitted(replace(train, users=replace(train.users, features=(words,))), attributes=["club", "says"])


def test_an_unknown_attribute_is_refused():
    with pytest.raises(ConfigError, match="'clubs' is no attribute of the users; there are"):
        fitted(split_of(3).train, attributes=["clubs"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delta": 0.0}, "delta and moments_share must lie between 0 and 1"),
        ({"epsilon": 0.0}, "epsilon"),
        ({"history_clip": 0.5}, "history_clip must be at least 1"),
        ({"gradients": {"sample_rate": 1.5}}, "sample_rate"),
    ],
)
def test_options_out_of_range_are_refused_before_data_is_read(options, message):
    with pytest.raises(ConfigError, match=message):
        build(PrivateGraphSAGE, options)


def test_more_noise_is_asked_for_where_part_of_the_budget_goes_elsewhere():
    """With a share of .9, the moments have 1 / sqrt(.9) times the noise that they would have alone."""
    alone = PrivateGraphSAGE(delta=1e-5, gradients=None).releases()["moments"].noise_multiplier
    both = PrivateGraphSAGE(delta=1e-5, gradients=GradientConfig.model_validate(EVERY_PART)).releases()
    assert both["moments"].noise_multiplier == pytest.approx(alone / math.sqrt(0.9))
    assert both["gradients"].noise_multiplier > alone / math.sqrt(0.1) * 0.5  # of half of the users each time
