import functools
import re
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor, nn
from torch_geometric.nn import GATv2Conv, GraphConv, SAGEConv

from gnnrec.errors import ConfigError
from gnnrec.options.resolve import check_layer_options, resolve
from gnnrec.testing.layer import assert_layer, check_layer

DOCS = Path(__file__).parents[2] / "docs"


class Right(nn.Module):
    """A mean over a target's edges, written out; each planted bug below changes one thing."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.own = nn.Linear(in_channels, out_channels)
        self.neighbours = nn.Linear(in_channels, out_channels)

    def message(self, x_source: Tensor, source: Tensor) -> Tensor:
        return self.neighbours(x_source)[source]

    def total(self, message: Tensor, target: Tensor, size: int) -> Tensor:
        return torch.zeros(size, message.shape[1]).index_add(0, target, message)

    def number(self, source: Tensor, target: Tensor, size: int) -> Tensor:
        return torch.bincount(target, minlength=size).clamp(min=1)[:, None]

    def forward(self, x: tuple[Tensor, Tensor], edge_index: Tensor) -> Tensor:
        x_source, x_target = x
        source, target = edge_index
        total = self.total(self.message(x_source, source), target, len(x_target))
        return self.own(x_target) + total / self.number(source, target, len(x_target))


class SwappedRows(Right):
    def forward(self, x, edge_index):
        return super().forward(x, edge_index.flip(0))


class SwappedRowsThatFit(Right):
    """Swapped rows that raise no error where there are more sources than targets or the other way round."""

    def forward(self, x, edge_index):
        return super().forward(x, torch.stack([edge_index[1] % len(x[0]), edge_index[0] % len(x[1])]))


class ZeroDegree(Right):
    def number(self, source, target, size):
        return torch.bincount(target, minlength=size)[:, None]


class NanGradient(Right):
    """The output is mended, the gradient is not: zero times infinity is not a number."""

    def forward(self, x, edge_index):
        out = super().forward(x, edge_index)
        spread = (out - self.own(x[1])).square().sum(1, keepdim=True).sqrt()  # its gradient at 0 is infinite
        return torch.where(spread > 0, out + spread, out)


class UnsafeExponential(Right):
    def message(self, x_source, source):
        return self.neighbours(x_source).exp()[source]


class FirstTargetIsSpecial(Right):
    def forward(self, x, edge_index):
        out = super().forward(x, edge_index)
        return out + torch.arange(len(out))[:, None] / len(out)


class SourceNumber(Right):
    def message(self, x_source, source):
        return super().message(x_source, source) * (1 + source[:, None] % 2)


class OrderOfEdges(Right):
    def message(self, x_source, source):
        return super().message(x_source, source) * torch.linspace(1, 2, len(source))[:, None]


class UnusedParameter(Right):
    def __init__(self, in_channels, out_channels):
        super().__init__(in_channels, out_channels)
        self.forgotten = nn.Linear(in_channels, out_channels)


class TimesZero(UnusedParameter):
    def forward(self, x, edge_index):
        return super().forward(x, edge_index) + 0 * self.forgotten(x[1])


class DetachedSources(Right):
    def message(self, x_source, source):
        return super().message(x_source.detach(), source)


class LastEdgeWins(Right):
    def total(self, message, target, size):
        total = torch.zeros(size, message.shape[1])
        total[target] = message
        return total


class GlobalMean(Right):
    """Every target depends on all sources."""

    def forward(self, x, edge_index):
        return super().forward(x, edge_index) + 0.01 * self.neighbours(x[0]).mean(0)


class BatchStatistics(Right):
    """Every target depends on all targets, also in eval mode."""

    def forward(self, x, edge_index):
        out = super().forward(x, edge_index)
        return out - out.mean(0)


class SourceDegree(Right):
    """A target's vector depends on who else a source is linked to."""

    def message(self, x_source, source):
        return super().message(x_source, source) / torch.bincount(source)[source][:, None]


class InPlaceSource(Right):
    def forward(self, x, edge_index):
        with torch.no_grad():
            x[0].mul_(0.5)
        return super().forward(x, edge_index)


class InPlaceEdges(Right):
    def forward(self, x, edge_index):
        out = super().forward(x, edge_index)
        edge_index[1] = 0
        return out


class LosesWeights(Right):
    def __init__(self, in_channels, out_channels):
        super().__init__(in_channels, out_channels)
        self.scale = torch.randn(out_channels)  # neither a parameter nor a buffer

    def forward(self, x, edge_index):
        return super().forward(x, edge_index) * self.scale


class DropoutAlways(Right):
    def message(self, x_source, source):
        return nn.functional.dropout(super().message(x_source, source), 0.1)


class OneRowPerSource(Right):
    def forward(self, x, edge_index):
        return super().forward((x[0], x[0]), edge_index)


class DoublePrecision(Right):
    def forward(self, x, edge_index):
        return super().forward(x, edge_index).double()


class DeafTarget(Right):
    """Nothing arrives: no error, no NaN, and nothing is learned."""

    def total(self, message, target, size):
        return 0 * super().total(message, target, size)


class LearnsNothing(Right):
    """Keeps every clause but the last: messages arrive, too faint to tell groups apart."""

    def forward(self, x, edge_index):
        out = super().forward(x, edge_index)
        return self.own(x[1]) + 1e-4 * (out - self.own(x[1]))


class MaximumNeedsEdges(Right):
    def forward(self, x, edge_index):
        self.message(x[0], edge_index[0]).max()  # raises where there is none
        return super().forward(x, edge_index)


class MadeFromOneNumber(Right):
    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels)


class ZeroVector(Right):
    def forward(self, x, edge_index):
        return super().forward((x[0], x[1] / x[1].norm(dim=1, keepdim=True)), edge_index)


class InPlaceInEvaluation(Right):
    def forward(self, x, edge_index):
        return super().forward(x, edge_index) if self.training else super().forward((x[0].mul_(0.5), x[1]), edge_index)


class StartsShut(Right):
    """Right: a gate that opens while training."""

    def __init__(self, in_channels, out_channels):
        super().__init__(in_channels, out_channels)
        self.gate = nn.Parameter(torch.zeros(1))

    def message(self, x_source, source):
        return self.gate * super().message(x_source, source)


class OftenDead(Right):
    """Right: a weight behind a ReLU, without a gradient for every other draw."""

    def __init__(self, in_channels, out_channels):
        super().__init__(in_channels, out_channels)
        self.extra = nn.Parameter(torch.randn(1))

    def message(self, x_source, source):
        return (1 + self.extra.relu()) * super().message(x_source, source)


PLANTED = [
    (SwappedRows, "direction", "row 0"),
    (SwappedRowsThatFit, "direction", "row 0 of edge_index is the source"),
    (ZeroDegree, "finite", "target 4 where a target has no edge"),
    (ZeroDegree, "no edges", "division"),
    (ZeroVector, "finite", "every target vector is zero"),
    (NanGradient, "finite", "gradient"),
    (UnsafeExponential, "finite", "a hundred times larger"),
    (FirstTargetIsSpecial, "renaming of nodes", "numbered otherwise"),
    (SourceNumber, "renaming of nodes", "numbered otherwise"),
    (OrderOfEdges, "order of edges", "another order"),
    (UnusedParameter, "gradients", "forgotten.bias, forgotten.weight"),
    (TimesZero, "gradients", "forgotten.bias, forgotten.weight"),
    (DetachedSources, "gradients", "x_source"),
    (LastEdgeWins, "every edge counts", "no influence on target"),
    (GlobalMean, "locality", "sources that do not reach it"),
    (BatchStatistics, "locality", "the vectors of"),
    (SourceDegree, "locality", "the edges of other targets"),
    (InPlaceSource, "inputs untouched", "x_source"),
    (InPlaceInEvaluation, "inputs untouched", "x_source"),
    (InPlaceEdges, "inputs untouched", "edge_index"),
    (LosesWeights, "save and load", "nn.Parameter"),
    (DropoutAlways, "deterministic", "eval mode"),
    (OneRowPerSource, "sizes", "must be [5, 4]"),
    (DoublePrecision, "sizes", "torch.float64"),
    (DeafTarget, "direction", "brings nothing"),
    (DeafTarget, "learns unseen users", "right group"),
    (LearnsNothing, "learns unseen users", "right group"),
    (MaximumNeedsEdges, "no edges", "RuntimeError"),
    (MadeFromOneNumber, "call", "takes 2 positional arguments but 3 were given"),
]


outcome = functools.cache(check_layer)


@pytest.mark.parametrize(("layer_class", "name", "word"), PLANTED)
def test_a_planted_bug_is_caught_by_the_check_meant_for_it(layer_class, name: str, word: str):
    check = next(check for check in outcome(layer_class) if check.name == name)
    assert not check.passed
    assert word in check.message
    assert "\n" not in check.message


@pytest.mark.parametrize(
    ("layer_class", "name"),
    [
        (SourceDegree, "locality"),
        (SourceNumber, "renaming of nodes"),
        (OrderOfEdges, "order of edges"),
        (UnusedParameter, "gradients"),
        (LosesWeights, "save and load"),
        (LearnsNothing, "learns unseen users"),
    ],
)
def test_no_other_check_gives_a_false_alarm(layer_class, name: str):
    failed = {check.name for check in outcome(layer_class) if not check.passed}
    assert failed - {"learns unseen users"} <= {name, "locality"}
    assert name in failed


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("layer_class", "options"),
    [
        (Right, {}),
        (StartsShut, {}),
        (OftenDead, {}),
        (SAGEConv, {}),
        (SAGEConv, {"aggr": "max"}),
        (SAGEConv, {"normalize": True}),
        (GATv2Conv, {}),
        (GATv2Conv, {"heads": 2, "concat": False, "dropout": 0.3}),
        (GraphConv, {"aggr": "mean"}),
        (GraphConv, {}),
    ],
)
def test_right_layers_pass(layer_class, options: dict[str, object], seed: int):
    assert_layer(layer_class, options, seed)


def test_heads_that_are_joined_do_not_fit():
    with pytest.raises(AssertionError, match=r"(?s)call: GATv2Conv gives \[2, 8\].*concat: false.*sizes: "):
        assert_layer(GATv2Conv, {"heads": 2})


def test_an_unknown_option_is_an_error():
    with pytest.raises(ConfigError, match=r"SAGEConv has no option 'agr'. Did you mean 'aggr'"):
        check_layer(SAGEConv, {"agr": "mean"})


def test_names_are_unique_and_nothing_runs_when_the_layer_cannot_be_made():
    names = [check.name for check in check_layer(Right)]
    assert len(set(names)) == len(names) == 14
    assert [check.name for check in check_layer(MadeFromOneNumber)] == ["call"]


def test_the_global_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    first = check_layer(SAGEConv)
    assert torch.equal(before, torch.random.get_rng_state())
    torch.rand(1)
    assert check_layer(SAGEConv) == first


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> type[nn.Module]:
    """The layer of the document, found as from inside its folder."""
    monkeypatch.syspath_prepend(DOCS / "examples")
    return resolve("my_layer.DegreePowerConv", "gnnrec.nn.conv")


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_the_worked_example_passes(example: type[nn.Module], power: float):
    assert_layer(example, {"power": power})


def test_the_worked_example_lies_between_sum_and_mean(example: type[nn.Module]):
    layer = example(1, 1, power=0.5)
    with torch.no_grad():
        for parameter, value in zip(layer.parameters(), (0.0, 0.0, 1.0), strict=True):
            parameter.fill_(value)
    x = torch.tensor([[1.0], [2.0], [4.0], [5.0]]), torch.zeros(2, 1)
    out = layer(x, torch.tensor([[0, 1, 2, 3], [0, 0, 0, 0]]))
    torch.testing.assert_close(out, torch.tensor([[6.0], [0.0]]))  # 12 / sqrt(4)


def test_the_document_shows_the_example_and_its_config_works(example: type[nn.Module], monkeypatch: pytest.MonkeyPatch):
    text = (DOCS / "add_a_layer.md").read_text()
    blocks = re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL)
    source = (DOCS / "examples" / "my_layer.py").read_text()
    assert source[source.index("class ") :] in [body for kind, body in blocks if kind == "python"]
    encoder = yaml.safe_load(next(body for kind, body in blocks if kind == "yaml"))["model"]["encoder"]
    assert resolve(encoder["layer"], "gnnrec.nn.conv") is example
    assert check_layer_options(example, encoder["layer_options"]) == {"power": 0.5}
    command = re.search(r"gnnrec check-layer (\S+)", text).group(1)
    monkeypatch.syspath_prepend(DOCS.parent)
    assert resolve(command, "gnnrec.nn.conv").__name__ == example.__name__


def test_the_document_lists_every_check():
    listed = re.findall(r"^\| (.+?) \|", (DOCS / "add_a_layer.md").read_text(), re.MULTILINE)
    assert listed[1:] == [check.name for check in check_layer(Right)]
