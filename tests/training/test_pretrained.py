"""What is carried of a pretrained encoder, how it is taken up: hand-worked numbers, slow second ways, refusals."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from scipy.stats import nbinom
from torch_geometric.nn import SAGEConv

from gnnrec.data.match import match
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.graph.adjacency import Adjacency
from gnnrec.models.ranking_task import RankingTask
from gnnrec.nn.encoder import EncoderConfig, Memory
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.training.pretrained import (
    MILLION,
    PARTS,
    PRIOR,
    SHAPES,
    Carried,
    ExpectedPopularity,
    Pretrained,
    Prior,
    describe,
    nodes_of,
    prior_of,
    take_memory,
)
from gnnrec.training.ranking import RankingConfig
from gnnrec.views import INTERACTS, Features, TrainingData

SHAPE = EncoderConfig(channels=8, layers=2)
CLUB = ("user", "club", "club")


def train_of(seed: int, num_users: int = 60, **options: int) -> TrainingData:
    return make_split(synthetic(seed, num_users=num_users, **options), UnseenUsers(test=0.2, validation=0.1), seed).full


def task_of(train: TrainingData, carried: Carried | None = None, shape: EncoderConfig = SHAPE) -> RankingTask:
    return RankingTask(
        train, RankingConfig(), shape, SAGEConv, pretrained=False, seed=3, weights_seed=3, carried=carried
    )


def pretrained(seed: int = 3) -> tuple[Pretrained, RankingTask]:
    task = task_of(train_of(seed))
    task.head.logit_scale.data.fill_(0.7)
    task.head.bias.data += torch.linspace(-0.5, 0.5, len(task.head.bias))
    return task.carried(), task


def carry(found: Pretrained, keep: tuple[str, ...] = PARTS, items: str = "title") -> Carried:
    return Carried(found, keep, {}, items, Path("encoder"))  # type: ignore[arg-type]


def test_memory_is_a_mean_over_users_here_and_elsewhere() -> None:
    """Two users here say 2 and 4, three elsewhere say 9 on average: (2 + 4 + 3 * 9) / 5 = 6.6; nobody here: 9."""
    adjacency = Adjacency(torch.tensor([[0, 1], [0, 0]]), 2, 2)
    x, weight = torch.tensor([[2.0], [4.0]]), torch.tensor([[10.0]])
    memory = Memory(torch.tensor([[9.0], [9.0]]), torch.tensor([3.0, 3.0]))
    joined = memory.joined(adjacency.mean(x) @ weight.t(), adjacency.degree(), weight)
    assert joined.tolist() == [[pytest.approx(66)], [pytest.approx(90)]]
    alone = Memory(torch.tensor([[9.0], [9.0]]), torch.zeros(2))
    assert alone.joined(adjacency.mean(x), adjacency.degree(), torch.eye(1)).tolist() == [[3.0], [0.0]]


def test_the_same_platform_without_users_keeps_the_vectors_of_items() -> None:
    """With memory in the place of all users, an item has the vector that it had with them."""
    found, task = pretrained()
    task.precompute()
    nobody = replace(task.train.users, items=task.train.users.items.take(torch.empty(0, dtype=torch.int64)))
    nobody = replace(nobody, relations={})  # the others' messages would be heard beside the memory
    empty = replace(task.train, users=nobody)
    taken = task_of(
        replace(empty, users=replace(nobody, relations=task.train.users.relations)),
        carry(found),
        SHAPE.model_copy(update={"init": "random"}),
    )
    own = {t: m.message for (_, t), m in taken.head.encoder.memory.items()}
    theirs = task.block.adjacency[INTERACTS].mean(task.head.encoder.states(task.block)[1]["user"])
    assert torch.allclose(own[INTERACTS], theirs)
    taken.precompute()
    seen = task.train.popularity > 0
    assert torch.allclose(taken._attached.items[seen], task._attached.items[seen], atol=1e-5)


def test_expected_popularity_by_hand() -> None:
    """Shares .5, .3, .2 and counts 8, 1, 1 with shape 1: 5 * 9 / 6, 3 * 2 / 4, 2 * 2 / 3, out of a million."""
    expected = ExpectedPopularity(torch.tensor([0.5, 0.3, 0.2]).double(), torch.ones(3).double())
    raw = torch.tensor([7.5, 1.5, 4 / 3])
    assert torch.allclose(expected(torch.tensor([8.0, 1.0, 1.0])), MILLION * raw / raw.sum())
    assert torch.allclose(expected(torch.zeros(3)), MILLION * torch.tensor([0.5, 0.3, 0.2]))
    moved = expected.of(torch.tensor([2, -1, 0]))
    assert moved.share.tolist() == pytest.approx(np.array([0.2, 1 / 3, 0.5]) / (0.7 + 1 / 3))


def test_the_shape_is_the_likeliest_of_a_negative_binomial() -> None:
    """A gamma variable times a mean, then Poisson, is negative binomial: scipy's likelihood picks the same shape."""
    random = np.random.default_rng(5)
    share = random.dirichlet(np.ones(200))
    count = random.poisson(2000 * share * random.gamma(2.0, 0.5, 200))
    same = torch.ones(200, dtype=torch.bool)
    prior = Prior(same, same, {"log_share": torch.from_numpy(np.log(share)).float()})
    found = ExpectedPopularity.fitted(torch.from_numpy(count).float(), prior)
    mean = found.share.numpy() * count.sum()
    value = [nbinom.logpmf(count, shape, shape / (shape + mean)).sum() for shape in SHAPES]
    assert found.shape.unique().tolist() == [SHAPES[int(np.argmax(value))]]
    assert 1 <= float(found.shape[0]) <= 4  # drawn with 2


def test_what_is_only_described_is_scaled_to_what_it_has_here() -> None:
    """Two items match (shares .8 and .1), one is described (.1), but has half of the interactions."""
    known, same = torch.ones(3, dtype=torch.bool), torch.tensor([True, True, False])
    prior = Prior(known, same, {"log_share": torch.tensor([0.8, 0.1, 0.1]).log()})
    found = ExpectedPopularity.fitted(torch.tensor([8.0, 2.0, 10.0]), prior)
    assert found.share.tolist() == pytest.approx([0.5 * 8 / 9, 0.5 / 9, 0.5], abs=1e-6)


def test_prior_against_a_loop() -> None:
    """Near values: the mean of the nearest that somebody has there, with the weights of the match."""
    found, _ = pretrained()
    own = train_of(4, num_users=70)
    own = replace(own, ids={**own.ids, "club": own.ids["club"].str.replace("club", "klub")})
    one = match(nodes_of(own), found.nodes)
    prior = prior_of(own, "club", found, one)
    vectors, how = found.known["club"]["vector"], one.types["club"]
    for place in range(len(own.ids["club"])):
        total = sum(
            (w * vectors[n] for w, n in zip(how.weight[place].tolist(), how.near[place].tolist(), strict=True)),
            torch.zeros(8),
        )
        assert torch.allclose(prior.value["vector"][place], total, atol=1e-6)
    assert prior.known.tolist() == how.known.tolist()


def test_items_that_do_not_match_start_from_their_description() -> None:
    """Titles are taken away: category and feature predict vector, share and bias; a second way by least squares."""

    def with_feature(train: TrainingData) -> TrainingData:
        random = torch.Generator().manual_seed(1)
        vector = torch.randn(train.num_items, 5, generator=random)
        return replace(train, features=(Features("item", "size", vector, torch.ones(len(vector), dtype=torch.bool)),))

    task = task_of(with_feature(train_of(3)))
    found = task.carried()
    own = with_feature(replace(train_of(4), titles=()))
    one = match(nodes_of(own), found.nodes)
    assert not one.types["item"].known.any()
    prior = prior_of(own, "item", found, one)
    assert prior.known.all()
    assert not prior.same.any()
    rows = describe(own, found.columns, found.features, one)
    assert rows.shape[1] == len(found.nodes.ids["category"]) + 5
    assert torch.allclose(rows[:, :4], torch.nn.functional.one_hot(torch.arange(40) % 4).float())
    predicted = (rows - found.center[0]) @ found.to_item + found.center[1]
    assert torch.allclose(prior.value["vector"], predicted[:, :8])
    assert torch.allclose(prior.value["log_share"], predicted[:, -2], atol=1e-6)
    assert not describe(replace(own, features=()), found.columns, found.features, one)[:, 4:].any()


def test_features_of_another_encoder_are_refused_and_missing_ones_told() -> None:
    def with_feature(train: TrainingData, width: int, encoder: str) -> TrainingData:
        known = torch.ones(train.num_items, dtype=torch.bool)
        return replace(
            train, features=(Features("item", "title", torch.ones(len(known), width), known, (), (encoder, {})),)
        )

    found = task_of(with_feature(train_of(3), 5, "use")).carried()
    for width, encoder in ((4, "use"), (5, "my.Encoder")):
        with pytest.raises(
            ConfigError, match=f"5 numbers of use there, {width} of {encoder} here; use the same encoder"
        ):
            task_of(with_feature(train_of(4), width, encoder), carry(found))
    with pytest.warns(UserWarning, match="items are not described by 'title' here; name it in data.features"):
        task_of(train_of(4), carry(found))
    task_of(with_feature(train_of(4), 5, "use"), carry(found))


def test_layers_values_and_popularity_are_taken_and_reported() -> None:
    found, _ = pretrained()
    own = train_of(4, num_users=70)
    random = SHAPE.model_copy(update={"init": "random"})
    taken = task_of(own, carry(found), random)
    head = taken.head
    for name, weight in found.weights.items():
        assert torch.equal(head.encoder.state_dict()[name], weight), name
    assert float(head.logit_scale.detach()) == pytest.approx(0.7)
    assert torch.equal(head.encoder.table("club").weight, found.known["club"]["vector"])
    assert taken.taken is not None
    report = taken.taken.report
    assert report["club"] == {"same": 4, "near": 0, "described": 0, "of": 4}
    assert report["layers"]["same"] == report["layers"]["of"] == len(found.weights)
    assert taken.expected is not None
    start = taken.expected(own.popularity)
    share = (start + 0.1) / (start + 0.1).sum()
    gain = PRIOR / (own.popularity + PRIOR) * found.known["item"]["bias"]
    assert torch.allclose(head.bias, share.log() - share.log().mean() + gain, atol=1e-5)


def test_parts_that_are_not_kept_start_afresh() -> None:
    found, _ = pretrained()
    own, random = train_of(4), SHAPE.model_copy(update={"init": "random"})
    fresh = task_of(own, None, random).head
    values = task_of(own, carry(found, ("attributes",)), random).head
    assert torch.equal(values.encoder.table("club").weight, found.known["club"]["vector"])
    for one, other in ((values.encoder.table("item").weight, fresh.encoder.table("item").weight),):
        assert torch.equal(one, other)
    assert torch.equal(values.bias, fresh.bias)
    assert not values.encoder.memory
    items = task_of(own, carry(found, ("items",)), random).head
    assert torch.equal(items.encoder.table("club").weight, fresh.encoder.table("club").weight)
    assert torch.equal(items.encoder.table("item").weight, found.known["item"]["vector"])
    assert float(items.logit_scale.detach()) == 0


def test_a_start_of_its_own_counts_by_users() -> None:
    """The truncated SVD, turned to where the pretrained vectors are, and these: as many users, as much weight."""
    found, _ = pretrained()
    own = train_of(4, num_users=300)
    start = task_of(own).head.encoder.table("item").weight.detach()
    prior, count = found.known["item"]["vector"], own.popularity
    root = count.sqrt()[:, None].numpy()
    rotation, _ = orthogonal_procrustes(root * start.numpy(), root * prior.numpy())
    scale = np.linalg.norm(root * prior.numpy()) / np.linalg.norm(root * start.numpy())
    turned = start @ torch.from_numpy(rotation * scale).float()
    weight = (count / (count + PRIOR))[:, None]
    table = task_of(own, carry(found)).head.encoder.table("item").weight
    assert torch.allclose(table, (1 - weight) * prior + weight * turned, atol=1e-4)
    assert 0.1 < float(weight.max()) < 0.9


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"channels": 16}, "has encoder.channels 8, this model 16; set it to the same$"),
        ({"layers": 3}, "has encoder.layers 2, this model 3; set it to the same, or leave layers out of model.keep"),
        ({"norm": "none"}, "has encoder.norm layer, this model none"),
    ],
)
def test_another_shape_is_refused(shape: dict[str, object], message: str) -> None:
    found, _ = pretrained()
    with pytest.raises(ConfigError, match=message):
        task_of(train_of(4), carry(found), SHAPE.model_copy(update=shape))


def test_layers_that_meet_unknown_items_start_silent() -> None:
    """Relations match and no item does: the scores start at popularity, as those of a model from scratch."""
    found, _ = pretrained()
    own = replace(train_of(4), titles=(), relations=())
    own = replace(own, ids={t: ids for t, ids in own.ids.items() if t != "category"})
    taken = task_of(own, carry(found))
    assert taken.taken is not None
    assert taken.taken.report["layers"]["same"] > 0
    assert taken.taken.report["item"]["described"] == 0
    assert float(taken.head.logit_scale.detach()) == 0
    taken.precompute()
    scores = taken.score(own.users)
    assert torch.allclose(scores, (taken.head.bias + taken.head.no_interactions).detach().expand_as(scores))


def test_nothing_in_common_is_refused() -> None:
    found, _ = pretrained()
    own = train_of(4)
    own = replace(
        own,
        users=replace(own.users, relations={}),
        relations=(),
        ids={"item": own.ids["item"]},
        titles=(),
    )
    with pytest.raises(ConfigError, match="encoder: nothing of it is found"):
        task_of(own, carry(found, ("items", "attributes")))


def test_no_vector_or_id_of_a_user_is_carried() -> None:
    found, task = pretrained()
    assert "user" not in found.nodes.ids
    assert "user" not in found.known
    assert not any(
        "user " in name for known in found.known.values() for name in known if not name.startswith("message")
    )
    sizes = {len(one) for known in found.known.values() for one in known.values()}
    assert task.train.num_users not in sizes


def test_memory_follows_ids() -> None:
    found, _ = pretrained()
    old = task_of(train_of(4), carry(found))
    new = task_of(train_of(5))
    ids = {t: list(i) for t, i in new.train.ids.items()}
    turned = {**ids, "item": ids["item"][::-1]}
    take_memory(new.head.encoder, turned, old.head.encoder, {t: list(i) for t, i in old.train.ids.items()})
    mine, before = new.head.encoder.memory[1, INTERACTS], old.head.encoder.memory[1, INTERACTS]
    assert torch.equal(mine.message, before.message.flip(0))
    assert (1, CLUB) not in new.head.encoder.memory or len(new.head.encoder.memory[1, CLUB].users) == 4
