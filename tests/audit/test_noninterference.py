"""No model changes with what held-out users choose; a model with a leak by any side way does, and is caught."""

import pytest
import torch

from gnnrec.audit.noninterference import audit_noninterference, other_interactions
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import AuditError
from gnnrec.models import registry as models
from gnnrec.models.baselines import Popularity
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.nn.init import decompose
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.parts import TRAIN
from gnnrec.training.private import GradientConfig
from gnnrec.training.ranking import RankingConfig
from gnnrec.training.rating import RatingConfig

SMALL = {"encoder": EncoderConfig(channels=8), "pretrain": None, "finetune": RankingConfig(epochs=2, loss="bpr")}


@pytest.fixture(scope="module")
def split():
    return make_split(synthetic(seed=3, num_users=80), UnseenUsers(test=0.2, validation=0.2), seed=0)


def everyone(world):
    """[I] float32, popularity among all users, held-out ones included."""
    return torch.bincount(world.dataset.interactions.item, minlength=world.dataset.num_items).float()


GRAPH = {"encoder": EncoderConfig(channels=8), "pretrain": None, "finetune": RankingConfig(epochs=2)}
PRIVATE = {"epsilon": None, "declared": ("item", "club"), "attributes": ("club",), "gradients": GradientConfig(steps=2)}
WITH_OPTIONS = ("Blend", "GraphSAGE", "PrivateGraphSAGE")
EXAMPLES = [(name, {}) for name in models.__all__ if name not in WITH_OPTIONS] + [
    ("GraphSAGE", GRAPH),
    ("PrivateGraphSAGE", PRIVATE),
    ("GraphSAGE", {**GRAPH, "finetune": RatingConfig(epochs=2, signed_edges=True)}),
    (
        "Blend",
        {
            "components": {
                "graphsage": {
                    "class": "GraphSAGE",
                    "encoder": {"channels": 8},
                    "pretrain": None,
                    "finetune": {"epochs": 2},
                },
                "regression": {"class": "AttributeLinear", "svd_rank": 8},
                "denoising": {"class": "DenoisingRegression"},
            },
            "weights": {0: {"graphsage": 0.4, "regression": 0.3, "denoising": 0.3}},
        },
    ),
]


def test_every_model_is_among_the_examples():
    assert {name for name, _ in EXAMPLES} == set(models.__all__)


@pytest.mark.parametrize(("name", "options"), EXAMPLES, ids=lambda value: value if isinstance(value, str) else "")
def test_no_model_changes_with_held_out_choices(split, name, options):
    cls = getattr(models, name)
    assert audit_noninterference(lambda world: cls(**options), split, seed=1)["compared_scores"] > 0


def test_the_other_world_differs_in_held_out_choices_alone(split):
    world = other_interactions(split)
    one, other = split.dataset.interactions.item, world.dataset.interactions.item
    assert torch.equal(one == other, split.edge_part == TRAIN)
    assert torch.equal(split.train.users.items.node, world.train.users.items.node)
    assert not torch.equal(split.validation.ground_truth.node, world.validation.ground_truth.node)


class CountsEveryone(Popularity):
    def __init__(self, world):
        super().__init__()
        self.world = world

    def score(self, users):
        return everyone(self.world).expand(len(users), -1)


class DrawsNegativesByEveryone(GraphSAGE):
    """The popularity that negatives are drawn by counts held-out users."""

    def __init__(self, world):
        super().__init__(**SMALL)
        self.world = world

    def fit(self, train, validation, seed):
        train.__dict__["popularity"] = everyone(self.world)
        super().fit(train, validation, seed)


class StartsFromEveryone(Popularity):
    """Item vectors from a spectrum of validation users too, where training users alone are allowed."""

    def __init__(self, world):
        super().__init__()
        item = decompose(world.full, rank=4, seed=0).item
        self.likeness = torch.from_numpy(item @ item.T).float()  # free of the signs of a decomposition

    def score(self, users):
        return super().score(users) + self.likeness.sum(0)


class PeeksAtTargets(Popularity):
    """Remembers what a held-out user will be asked for; training users are scored honestly."""

    def __init__(self, world):
        super().__init__()
        self.target = world.validation.ground_truth
        self.index = world.validation.users.index

    def score(self, users):
        score = super().score(users).clone()
        mine = torch.isin(self.index[self.target.row], users.index)
        row = (users.index[:, None] == self.index[self.target.row[mine]]).int().argmax(0)
        score[row, self.target.node[mine]] += 1
        return score


@pytest.mark.parametrize(
    ("leak", "whom"),
    [
        (CountsEveryone, "training"),
        (DrawsNegativesByEveryone, "training"),
        (StartsFromEveryone, "training"),
        (PeeksAtTargets, "held-out"),
    ],
)
def test_a_leak_by_a_side_way_is_caught(split, leak, whom):
    fresh = make_split(split.dataset, UnseenUsers(test=0.2, validation=0.2), seed=0)
    with pytest.raises(AuditError, match=f"{whom} users change with the interactions of held-out users"):
        audit_noninterference(leak, fresh, seed=1)
