"""Each decoder that is shipped keeps the contract, and a decoder with one thing wrong fails the check that names it."""

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import gnnrec.nn.decoders
from gnnrec.errors import ConfigError
from gnnrec.testing import assert_decoder, check_decoder

HERE = sys.modules[__name__]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", gnnrec.nn.decoders.__all__)
def test_shipped_decoders_keep_the_contract(name: str, seed: int) -> None:
    assert_decoder(name, seed=seed)


def test_the_example_of_the_docs_keeps_it_and_is_what_the_page_shows() -> None:
    assert_decoder("docs.examples.my_decoder.Recurrent", seed=3)
    text = (Path(__file__).parents[2] / "docs" / "add_a_decoder.md").read_text()
    source = (Path(__file__).parents[2] / "docs" / "examples" / "my_decoder.py").read_text()
    shown = text.split("```python\n")[1].split("```")[0]
    assert all(line.strip() in source for line in shown.splitlines() if not line.strip().startswith("return"))


class Right(nn.Module):
    """The user's vector plus the sum of the items so far; each planted bug below changes one thing."""

    reads_history = True

    def __init__(self, channels: int, last: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, user: Tensor, items: Tensor, place: Tensor) -> Tensor:
        so_far = nn.functional.pad(items, (0, 0, 1, 0)).cumsum(1)
        return user[:, None] + self.scale * so_far


class Wide(Right):
    def forward(self, user, items, place):
        return super().forward(user, items, place)[:, :-1]


class Foresees(Right):
    def forward(self, user, items, place):
        return super().forward(user, items, place) + items.sum(1, keepdim=True)


class CountsThePadding(Right):
    def forward(self, user, items, place):
        return super().forward(user, items, place) / (1 + items.shape[1])


class Mixes(Right):
    def forward(self, user, items, place):
        return super().forward(user - user.mean(0), items, place)


class Draws(Right):
    def forward(self, user, items, place):
        return super().forward(user, items, place) + torch.rand(())


class Deaf(Right):
    def forward(self, user, items, place):
        return super().forward(0 * user, items, place)


class Blind(Right):
    def forward(self, user, items, place):
        return super().forward(user, 0 * items, place)


class Detached(Right):
    def forward(self, user, items, place):
        return super().forward(user, items.detach(), place)


@pytest.mark.parametrize(
    ("bug", "clauses"),
    [
        (Right, set()),
        (Wide, {"shape", "causal"}),
        (Foresees, {"causal"}),
        (CountsThePadding, {"causal"}),
        (Mixes, {"each user alone"}),
        (Draws, {"causal", "each user alone", "same twice"}),
        (Deaf, {"reads the user", "gradients"}),
        (Blind, {"reads_history", "gradients"}),
        (Detached, {"gradients"}),
    ],
)
def test_planted_bugs_are_found(bug: type, clauses: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HERE, "Planted", bug, raising=False)
    checks = check_decoder(f"{__name__}.Planted", seed=3)
    found = {check.name for check in checks if not check.passed}
    assert clauses <= found if bug is Wide else found == clauses, checks


def test_a_name_or_an_option_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"decoder\.name: .*Lineal"):
        check_decoder("Lineal")
    with pytest.raises(ConfigError, match="Linear has no option 'memori'; there are memory"):
        check_decoder("Linear", {"memori": 3})
    with pytest.raises(ConfigError, match="memory must be at least 1, got 0"):
        check_decoder("MLP", {"memory": 0})
    with pytest.raises(ConfigError, match="heads must divide channels, got 3 and 8"):
        check_decoder("Transformer", {"heads": 3})
    with pytest.raises(ConfigError, match=r"torch\.nn\.ReLU is no decoder"):
        check_decoder("torch.nn.ReLU")
