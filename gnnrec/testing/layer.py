"""Conformance checks of a graph layer: one named check for each clause of the contract."""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnnrec.errors import ConfigError
from gnnrec.options.resolve import check_layer_options, layer_options
from gnnrec.runtime import seeds

_IN, _OUT = 6, 4
_DRAWS = 5
"""Random weights and inputs that each check tries. What must not happen may happen in none of them; what must happen,
for example that a gradient arrives, has to happen in one: a single draw may fall on the dead side of a ReLU."""

# Seven sources and five targets. Source 6 and target 4 have no edge; the edges of a target do not stand together.
_EDGES = torch.tensor([[1, 3, 0, 5, 0, 2, 4, 1], [3, 2, 1, 3, 0, 1, 2, 1]])
_SOURCES, _TARGETS = 7, 5


@dataclass(frozen=True)
class Check:
    """The outcome of one check.

    Attributes:
        name: which clause of the contract.
        passed: whether it holds.
        message: what went wrong, in one line; empty where it holds.
    """

    name: str
    passed: bool
    message: str = ""


def check_layer(layer_class: type[nn.Module], options: Mapping[str, Any] | None = None, seed: int = 0) -> list[Check]:
    """Runs every check on a layer; takes a second or two.

    Args:
        layer_class: called as `layer_class(in_channels, out_channels, **options)`; its instances as
            `layer((x_source, x_target), edge_index) -> [T, out_channels]`.
        options: further arguments of the constructor.
        seed: source of the random weights and inputs.

    Returns:
        One `Check` for each clause. A layer that cannot even be made has only the first one, `call`.

    Raises:
        ConfigError: the layer has no such option.
    """
    complete = layer_options(layer_class, options or {})
    checks = []
    with torch.random.fork_rng(devices=[]):
        try:
            check_layer_options(layer_class, complete)
            layer_class(_IN, _OUT, **complete)
            checks.append(Check("call", True))
        except Exception as error:
            checks.append(Check("call", False, _line(error)))
            if not _can_be_made(layer_class, complete):
                return checks
        for name, check in _CHECKS.items():
            try:
                message = check(lambda width_in, width_out: layer_class(width_in, width_out, **complete), seed)
            except Exception as error:  # a layer that raises does not keep the clause
                message = _line(error)
            checks.append(Check(name, not message, message))
    return checks


def assert_layer(layer_class: type[nn.Module], options: Mapping[str, Any] | None = None, seed: int = 0) -> None:
    """For a test: runs `check_layer` and raises AssertionError with one line for each check that failed."""
    failed = [f"{check.name}: {check.message}" for check in check_layer(layer_class, options, seed) if not check.passed]
    if failed:
        raise AssertionError("\n".join([f"{layer_class.__name__} does not keep the contract of a layer", *failed]))


Make = Callable[[int, int], nn.Module]


@dataclass(frozen=True)
class _Trial:
    """A layer with random weights, in eval mode, and random inputs for it."""

    layer: nn.Module
    x_source: Tensor
    x_target: Tensor
    generator: torch.Generator

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator)

    def order(self, length: int) -> Tensor:
        return torch.randperm(length, generator=self.generator)

    def __call__(
        self, x_source: Tensor | None = None, x_target: Tensor | None = None, edge_index: Tensor = _EDGES
    ) -> Tensor:
        """The layer's output without gradients; copies go in, so that no check sees another one's changes."""
        source = self.x_source if x_source is None else x_source
        target = self.x_target if x_target is None else x_target
        with torch.no_grad():
            out: Tensor = self.layer((source.clone(), target.clone()), edge_index.clone())
        return out


def _trials(make: Make, seed: int) -> Iterator[_Trial]:
    for draw in range(_DRAWS):
        generator = seeds.generator(seed, f"check_layer/{draw}")
        torch.manual_seed(seeds.integer(seed, f"check_layer/weights/{draw}"))
        layer = make(_IN, _OUT).eval()
        with torch.no_grad():
            for parameter in layer.parameters():  # a weight that starts at zero hides what comes before it
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        source, target = (torch.randn(rows, _IN, generator=generator) for rows in (_SOURCES, _TARGETS))
        yield _Trial(layer, source, target, generator)


def _sizes(make: Make, seed: int) -> str:
    for trial in _trials(make, seed):
        for source, target, edges in (
            (trial.x_source, trial.x_target, _EDGES),
            (trial.x_target, trial.x_source, _EDGES.flip(0)),
        ):
            out = trial(source, target, edges)
            if out.shape != (len(target), _OUT) or out.dtype != torch.float32:
                return (
                    f"gives {list(out.shape)} {out.dtype} for {len(source)} sources and {len(target)} targets, "
                    f"must be [{len(target)}, {_OUT}] torch.float32"
                )
    return ""


def _no_edges(make: Make, seed: int) -> str:
    for trial in _trials(make, seed):
        out = trial(edge_index=_EDGES[:, :0])
        if out.shape != (_TARGETS, _OUT):
            return f"gives {list(out.shape)} where no target has an edge, must be [{_TARGETS}, {_OUT}]"
        if not out.isfinite().all():
            return "gives NaN or infinity where no target has an edge; is there a division by their number?"
        if not torch.allclose(out[:4], trial()[:4], atol=1e-5, rtol=1e-5):
            continue
        return "gives the same with edges as without"
    return ""


def _finite(make: Make, seed: int) -> str:
    for trial in _trials(make, seed):
        for what, scale_source, scale_target in (
            ("a target has no edge", 1.0, 1.0),
            ("every target vector is zero, as those of users are", 1.0, 0.0),
            ("inputs are a hundred times larger", 100.0, 100.0),
        ):
            source = (scale_source * trial.x_source).requires_grad_()
            target = scale_target * trial.x_target
            trial.layer.zero_grad()
            out = trial.layer((source, target), _EDGES.clone())
            if not out.isfinite().all():
                rows = (~out.isfinite()).any(1).nonzero().flatten().tolist()
                return f"gives NaN or infinity for target {rows[0]} where {what}"
            out.square().sum().backward()
            gradients = {"x_source": source.grad, **{n: p.grad for n, p in trial.layer.named_parameters()}}
            for name, gradient in gradients.items():
                if gradient is not None and not gradient.isfinite().all():
                    return f"the gradient of {name} is NaN or infinite where {what}"
    return ""


def _order_of_edges(make: Make, seed: int) -> str:
    for trial in _trials(make, seed):
        change = _change(trial(), trial(edge_index=_EDGES[:, trial.order(_EDGES.shape[1])]))
        if change.max() > 0:
            return f"target {int(change.argmax())} changes by {change.max():.2g} when the edges come in another order"
    return ""


def _renaming(make: Make, seed: int) -> str:
    for trial in _trials(make, seed):
        new_source, new_target = trial.order(_SOURCES), trial.order(_TARGETS)  # the new place of each node
        source, target = torch.empty_like(trial.x_source), torch.empty_like(trial.x_target)
        source[new_source], target[new_target] = trial.x_source, trial.x_target
        renamed = trial(source, target, torch.stack([new_source[_EDGES[0]], new_target[_EDGES[1]]]))
        change = _change(trial(), renamed[new_target])
        if change.max() > 0:
            return (
                f"target {int(change.argmax())} changes by {change.max():.2g} when sources and targets are numbered "
                "otherwise; does the layer look at the index of a node?"
            )
    return ""


def _locality(make: Make, seed: int) -> str:
    for trial in _trials(make, seed):
        before = trial()
        for target in range(_TARGETS):
            mine = _EDGES[1] == target
            strangers = torch.ones(_SOURCES, dtype=torch.bool)
            strangers[_EDGES[0, mine]] = False
            others = torch.arange(_TARGETS) != target
            source, neighbour = trial.x_source.clone(), trial.x_target.clone()
            source[strangers] = 3 * trial.normal(int(strangers.sum()), _IN)
            neighbour[others] = 3 * trial.normal(_TARGETS - 1, _IN)
            for what, after in (
                ("the vectors of sources that do not reach it", trial(x_source=source)),
                ("the vectors of other targets", trial(x_target=neighbour)),
                ("the edges of other targets", trial(edge_index=_EDGES[:, mine])),
            ):
                change = _change(before, after)[target]
                if change > 0:
                    return f"target {target} changes by {change:.2g} with {what}"
    return ""


def _direction(make: Make, seed: int) -> str:
    edge = torch.tensor([[0], [1]])  # as many sources as targets, so that swapped rows raise no error
    arrived = False
    for trial in _trials(make, seed):
        source = trial.x_source[:_TARGETS]
        moved = source + 3 * trial.normal(*source.shape)
        change = _change(trial(source, edge_index=edge), trial(moved, edge_index=edge))
        if change[0] > 0:
            return "an edge from source 0 to target 1 changes target 0; row 0 of edge_index is the source"
        arrived |= bool(change[1] > 0)
    return "" if arrived else "an edge from source 0 to target 1 brings nothing to target 1; row 0 is the source"


def _every_edge(make: Make, seed: int) -> str:
    silent = set(range(_EDGES.shape[1]))
    for trial in _trials(make, seed):
        before = trial()
        for edge in sorted(silent):
            source, target = _EDGES[:, edge].tolist()
            moved = trial.x_source.clone()
            moved[source] = 3 * trial.normal(_IN)
            if _change(before, trial(x_source=moved))[target] > 0:
                silent.discard(edge)
    if not silent:
        return ""
    source, target = _EDGES[:, min(silent)].tolist()
    degree = int((_EDGES[1] == target).sum())
    return (
        f"source {source} has no influence on target {target}, which has {degree} edges; does only one of them count?"
    )


def _gradients(make: Make, seed: int) -> str:
    missing: set[str] | None = None
    for trial in _trials(make, seed):
        source = trial.x_source.clone().requires_grad_()
        out = trial.layer((source, trial.x_target), _EDGES.clone())
        (out * trial.normal(_TARGETS, _OUT)).sum().backward()
        gradients = {"x_source (its table would never be trained)": source.grad}
        gradients |= {name: p.grad for name, p in trial.layer.named_parameters() if p.requires_grad}
        without = {name for name, gradient in gradients.items() if gradient is None or not gradient.any()}
        missing = without if missing is None else missing & without
    names = sorted(missing or ())
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"no gradient reaches {', '.join(names[:4])}{more}" if names else ""


def _inputs(make: Make, seed: int) -> str:
    for trial in _trials(make, seed):
        for training in (False, True):
            inputs = {"x_source": trial.x_source, "x_target": trial.x_target, "edge_index": _EDGES}
            copies = {name: value.clone() for name, value in inputs.items()}
            with torch.no_grad():
                trial.layer.train(training)((copies["x_source"], copies["x_target"]), copies["edge_index"])
            for name, value in inputs.items():
                if not torch.equal(value, copies[name]):
                    return f"changes {name} in place; other relations read it too"
    return ""


def _saved(make: Make, seed: int) -> str:
    trial, other, *_ = _trials(make, seed)
    file = io.BytesIO()
    torch.save(trial.layer.state_dict(), file)
    file.seek(0)
    other.layer.load_state_dict(torch.load(file, weights_only=True))
    with torch.no_grad():
        loaded = other.layer((trial.x_source.clone(), trial.x_target.clone()), _EDGES.clone())
    same = torch.equal(trial(), loaded)
    return "" if same else "gives something else after its weights are saved and loaded; is a weight no nn.Parameter?"


def _deterministic(make: Make, seed: int) -> str:
    same = all(torch.equal(trial(), trial()) for trial in _trials(make, seed))
    return "" if same else "two calls in eval mode differ; random numbers belong to training mode"


def _learns(make: Make, seed: int) -> str:
    """Four groups of users, told apart by three noisy attribute edges each; half of the users are never trained on."""
    groups, values, users, width = 4, 24, 400, 16
    generator = seeds.generator(seed, "check_layer/learns")
    torch.manual_seed(seeds.integer(seed, "check_layer/learns/weights"))
    group = torch.randint(groups, (users,), generator=generator)
    own = torch.randint(values // groups, (users, 3), generator=generator) * groups + group[:, None]
    noise = torch.randint(values, (users, 3), generator=generator)
    value = torch.where(torch.rand(users, 3, generator=generator) < 0.85, own, noise)  # value v belongs to group v % 4
    pairs = torch.stack([value.flatten(), torch.arange(users).repeat_interleave(3)]).unique(dim=1)
    known = pairs[:, pairs[1] < users // 2]

    table = nn.Parameter(torch.randn(values, width))
    first, back, second, head = (make(width, width), make(width, width), make(width, width), nn.Linear(width, groups))
    model = nn.ModuleList([first, back, second, head])
    optimizer = torch.optim.Adam([table, *model.parameters()], lr=0.01)

    def logits(edges: Tensor, num_users: int) -> Tensor:
        user = first((table, torch.zeros(num_users, width)), edges).relu()
        seen = first((table, torch.zeros(users // 2, width)), known).relu()
        attribute = back((seen, table), known.flip(0)).relu()  # only training users reach attributes
        out: Tensor = head(second((attribute, user), edges).relu())
        return out

    model.train()
    for _ in range(80):
        optimizer.zero_grad()
        functional.cross_entropy(logits(known, users // 2), group[: users // 2]).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        right = (logits(pairs, users).argmax(1) == group)[users // 2 :].float().mean().item()
    return (
        "" if right > 0.7 else f"puts {right:.0%} of unseen users into the right group of four, where 70% is expected"
    )


def _change(before: Tensor, after: Tensor) -> Tensor:
    """[T] largest change of each target's vector, 0 where it is within 1e-5 (relative to large numbers)."""
    change = (before - after).abs()
    return change.masked_fill(change <= 1e-5 * before.abs().clamp(min=1), 0).amax(1)


def _can_be_made(layer_class: type[nn.Module], options: Mapping[str, Any]) -> bool:
    try:
        return isinstance(layer_class(_IN, _OUT, **options), nn.Module)
    except Exception:
        return False


def _line(error: Exception) -> str:
    text = str(error) if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


_CHECKS: dict[str, Callable[[Make, int], str]] = {
    "sizes": _sizes,
    "no edges": _no_edges,
    "finite": _finite,
    "order of edges": _order_of_edges,
    "renaming of nodes": _renaming,
    "locality": _locality,
    "direction": _direction,
    "every edge counts": _every_edge,
    "gradients": _gradients,
    "inputs untouched": _inputs,
    "save and load": _saved,
    "deterministic": _deterministic,
    "learns unseen users": _learns,
}
