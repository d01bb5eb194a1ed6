"""Every recommender of the registry, fitted on made data within a second or two, with its vocabulary."""

from functools import cache
from typing import Any

import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.models import registry
from gnnrec.options.resolve import build, resolve
from gnnrec.serving.vocabulary import Vocabulary
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import UserBatch

GRAPH = {
    "encoder": {"channels": 8, "layers": 2, "regression": 4},
    "pretrain": None,
    "finetune": {"epochs": 2},
    "choose_on": 0,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "GraphSAGE": GRAPH,
    "Blend": {
        "components": {"graphsage": {"class": "GraphSAGE", **GRAPH}, "regression": {"class": "AttributeLinear"}},
        "weights": {0: {"graphsage": 0.7, "regression": 0.3}},
        "choose_on": 0,
    },
    "FederatedGraphSAGE": {"encoder": {"channels": 8}, "federated": {"epochs": 2, "participation": 0.5}},
    "LightFM": {"epochs": 3},
    "SASRec": {"channels": 8, "finetune": {"epochs": 2}},
    "PrivateGraphSAGE": {
        "declared": ["item", "club", "colour"],
        "attributes": ["club", "colour"],
        "channels": 8,
        "gradients": {"steps": 3},
    },
    "IRSpack": {"factors": 8, "regularization": 0.3},
    "ALS": {"factors": 8, "cold": "attribute_map"},
    "BPR": {"factors": 8, "cold": "attribute_map"},
    **{name: {"fit": {"epochs": 2}} for name in ("DropoutNet", "Heater", "CLCRec", "GAR", "ALDI")},
    **{name: {"fit": {"epochs": 2}} for name in ("MeLU", "AGNN", "LightGCN")},
}
NAMES = tuple(registry.__all__)
SPLIT = make_split(synthetic(3, num_users=87, num_items=44), UnseenUsers(test=0.2, validation=0.1, support=2), 3)
TRAIN = SPLIT.full
SPLIT.open_test("a test")


@cache
def fitted(name: str) -> Any:
    """A recommender, fitted with the seed 3."""
    model = build(resolve(name, registry), OPTIONS.get(name, {}))
    model.fit(TRAIN, None, 3)
    return model


def vocabulary() -> Vocabulary:
    return Vocabulary.of(TRAIN, SPLIT.dataset.ids["user"])


def unseen() -> UserBatch:
    """Test users with two known items each, as users who stand in no file."""
    users = SPLIT.test.users
    return UserBatch(torch.full((len(users),), -1), users.items, users.relations)
