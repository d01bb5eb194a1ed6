"""What is behind an item: scores that are sums over edges come apart into these edges."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from every_model import NAMES, fitted, vocabulary
from torch import Tensor

from gnnrec.serving import lists
from gnnrec.serving.artifact import Artifact
from gnnrec.serving.explain import explain, with_reasons
from gnnrec.serving.lists import Served, recommend_to, serve
from gnnrec.serving.profile import encode
from gnnrec.views import UserBatch

PROFILE = {"club": "club 2", "colour": ["red", "blue"], "age": 40, "friend": "user 3"}


class Sum:
    """Item i gets i for club 2, 10 for the colour red, -5 for blue, and 1 for each known item."""

    supports_cold_users, predicts_ratings = True, False

    def score(self, users: UserBatch) -> Tensor:
        score = torch.zeros(len(users), 44)
        club, colour = (users.relations["user", name, name] for name in ("club", "colour"))
        score.index_add_(0, club.row, torch.arange(44.0) * (club.node == 2)[:, None])
        score.index_add_(0, colour.row, torch.tensor([-5.0, 0, 10, 0])[colour.node, None].expand(-1, 44))
        return score.index_add_(0, users.items.row, torch.ones(len(users.items), 44))


def of_sum() -> Served:
    model: Any = Sum()
    return serve(Artifact(model, replace(vocabulary(), candidates=torch.ones(44, dtype=torch.bool))))


@pytest.mark.parametrize("scores", [44, 100, 2**23])
def test_a_sum_over_edges_comes_apart(monkeypatch: pytest.MonkeyPatch, scores: int) -> None:
    monkeypatch.setattr(lists, "SCORES", scores)  # so few at once
    served = of_sum()
    user, _ = encode(served.vocabulary, PROFILE, ["item 7"])
    ((first, last),) = explain(served, user, torch.tensor([[3, 43]])).told()
    red = {"relation": "colour", "value": "red", "weight": 10.0}
    known = {"relation": "history", "value": "item 7", "weight": 1.0}
    assert first == [red, {"relation": "club", "value": "club 2", "weight": 3.0}, known]
    assert last == [{"relation": "club", "value": "club 2", "weight": 43.0}, red, known]
    assert explain(served, user, torch.tensor([[43]]), most=1).told() == [[last[:1]]]


def test_rows_keep_what_they_have() -> None:
    served = of_sum()
    rows, _ = recommend_to(served, PROFILE, ["item 7"], 2)
    found = with_reasons(served, PROFILE, ["item 7"], rows)
    assert [{key: value for key, value in row.items() if key != "why"} for row in found] == rows
    assert [row["why"][0]["weight"] for row in found] == [43.0, 42.0]
    nothing = with_reasons(served, {}, [], recommend_to(served, {}, [], 2)[0])
    assert [row["why"] for row in nothing] == [[], []]


@pytest.mark.parametrize("name", NAMES)
def test_every_model_can_be_asked(name: str) -> None:
    """The first reason is what leaving that edge out does to the score of one user alone."""
    served = serve(Artifact(fitted(name), vocabulary()))
    rows, _ = recommend_to(served, PROFILE, ["item 4", "item 9"], 5)
    user, _ = encode(served.vocabulary, PROFILE, ["item 4", "item 9"])
    for row in with_reasons(served, PROFILE, ["item 4", "item 9"], rows):
        for reason in row["why"]:
            profile = {**PROFILE, "colour": list(PROFILE["colour"])}
            items = [item for item in ("item 4", "item 9") if item != reason["value"]]
            if reason["relation"] == "colour":
                profile["colour"] = [colour for colour in PROFILE["colour"] if colour != reason["value"]]
            elif reason["relation"] != "history":
                del profile[reason["relation"]]
            without, _ = encode(served.vocabulary, profile, items)
            place = served.vocabulary.ids["item"].get_loc(row["item"])
            with torch.no_grad():
                less = float(served.model.score(user)[0, place] - served.model.score(without)[0, place])
            assert reason["weight"] == pytest.approx(less, rel=1e-3, abs=1e-4)
