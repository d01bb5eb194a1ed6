"""Conformance checks of a decoder: one named check for each clause of the contract."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gnnrec.nn.decoder import DecoderConfig
from gnnrec.runtime import seeds
from gnnrec.testing.layer import Check

_CHANNELS, _LAST = 8, 6
_USERS, _ITEMS = 5, 4
_DRAWS = 3
"""Random weights and inputs that each check tries; what must happen has to happen in one of them."""
_TOLERANCE = 1e-5


def check_decoder(name: str, options: Mapping[str, Any] | None = None, seed: int = 0) -> list[Check]:
    """Runs every check on a decoder; takes less than a second.

    Args:
        name: a dotted name, or the bare name of one of `gnnrec.nn.decoders`, as `model.decoder.name`.
        options: of its constructor, besides `channels` and `last`.
        seed: source of the random weights and inputs.

    Returns:
        One `Check` for each clause of `gnnrec.nn.decoder.Decoder`.

    Raises:
        ConfigError: there is no such decoder, or it cannot be made with these options.
    """
    config = DecoderConfig(name=name, options=dict(options or {}), last=_LAST)
    config.make(_CHANNELS)
    checks = []
    with torch.random.fork_rng(devices=[]):
        for clause, check in _CHECKS.items():
            try:
                message = check(config, seed)
            except Exception as error:  # a decoder that raises does not keep the clause
                message = " ".join(f"{type(error).__name__}: {error}".split())
            checks.append(Check(clause, not message, message))
    return checks


def assert_decoder(name: str, options: Mapping[str, Any] | None = None, seed: int = 0) -> None:
    """For a test: runs `check_decoder` and raises AssertionError with one line for each check that failed."""
    failed = [f"{check.name}: {check.message}" for check in check_decoder(name, options, seed) if not check.passed]
    if failed:
        raise AssertionError("\n".join([f"{name} does not keep the contract of a decoder", *failed]))


@dataclass(frozen=True)
class _Trial:
    """A decoder with random weights, in eval mode, and random inputs for it."""

    decoder: nn.Module
    user: Tensor
    items: Tensor
    place: Tensor

    def __call__(self, user: Tensor | None = None, items: Tensor | None = None, place: Tensor | None = None) -> Tensor:
        given = (self.user if user is None else user, self.items if items is None else items)
        with torch.no_grad():
            found: Tensor = self.decoder(given[0].clone(), given[1].clone(), self.place if place is None else place)
        return found


def _trials(config: DecoderConfig, seed: int) -> Iterator[_Trial]:
    for draw in range(_DRAWS):
        generator = seeds.generator(seed, f"check_decoder/{draw}")
        torch.manual_seed(seeds.integer(seed, f"check_decoder/weights/{draw}"))
        decoder = config.make(_CHANNELS).eval()
        with torch.no_grad():
            for parameter in decoder.parameters():  # a weight that starts at zero hides what comes before it
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        user = torch.randn(_USERS, _CHANNELS, generator=generator)
        items = torch.randn(_USERS, _ITEMS, _CHANNELS, generator=generator)
        place = torch.arange(_ITEMS + 1).expand(_USERS, -1) + torch.tensor([0, 0, 1, 2, 9])[:, None]
        yield _Trial(decoder, user, items, place.clamp(max=_LAST))


def _shape(config: DecoderConfig, seed: int) -> str:
    for trial in _trials(config, seed):
        for count in (_ITEMS, 1, 0):
            found = trial(items=trial.items[:, :count], place=trial.place[:, : count + 1])
            wanted = (_USERS, count + 1, _CHANNELS)
            if found.shape != wanted or found.dtype != torch.float32:
                return f"gives {list(found.shape)} {found.dtype} for {count} items, must be {list(wanted)} float32"
            if not found.isfinite().all():
                return f"gives numbers that are not finite for {count} items"
        if trial(trial.user[:0], trial.items[:0], trial.place[:0]).shape[0]:
            return "gives queries where there is no user"
    return ""


def _causal(config: DecoderConfig, seed: int) -> str:
    for trial in _trials(config, seed):
        whole = trial()
        for k in range(_ITEMS):
            other = trial.items.clone()
            other[:, k:] = 7.0
            if _differ(trial(items=other)[:, : k + 1], whole[:, : k + 1]):
                return f"the query after {k} items depends on what comes later"
            short = trial(items=trial.items[:, :k], place=trial.place[:, : k + 1])
            if _differ(short, whole[:, : k + 1]):
                return f"the query after {k} items is another one where the items end there"
    return ""


def _each_user_alone(config: DecoderConfig, seed: int) -> str:
    for trial in _trials(config, seed):
        whole = trial()
        for row in range(_USERS):
            one = slice(row, row + 1)
            if _differ(trial(trial.user[one], trial.items[one], trial.place[one]), whole[one]):
                return "a user's query depends on who else is in the batch"
    return ""


def _same_twice(config: DecoderConfig, seed: int) -> str:
    return "draws random numbers in eval mode" if any(_differ(t(), t()) for t in _trials(config, seed)) else ""


def _reads_user(config: DecoderConfig, seed: int) -> str:
    if any(_differ(trial(user=-trial.user)[:, 0], trial()[:, 0]) for trial in _trials(config, seed)):
        return ""
    return "the query of a user without items does not depend on the user's vector"


def _reads_history(config: DecoderConfig, seed: int) -> str:
    trials = list(_trials(config, seed))
    changes = any(_differ(trial(items=-trial.items)[:, 1:], trial()[:, 1:]) for trial in trials)
    if trials[0].decoder.reads_history == changes:
        return ""
    return f"reads_history is {not changes}, but the items {'change' if changes else 'do not change'} the queries"


def _gradients(config: DecoderConfig, seed: int) -> str:
    reached = False
    for trial in _trials(config, seed):
        user, items = trial.user.clone().requires_grad_(), trial.items.clone().requires_grad_()
        trial.decoder(user, items, trial.place).square().sum().backward()
        found = [user.grad, items.grad if trial.decoder.reads_history else user.grad]
        reached |= all(grad is not None and bool(grad.abs().sum() > 0) for grad in found)
        grads = [*found, *(parameter.grad for parameter in trial.decoder.parameters())]
        if not all(grad is None or grad.isfinite().all() for grad in grads):
            return "a gradient is not finite"
    return "" if reached else "no gradient arrives at the vectors that it reads"


def _differ(one: Tensor, other: Tensor) -> bool:
    return bool(((one - other).abs() > _TOLERANCE * (1 + other.abs())).any())


_CHECKS: Mapping[str, Callable[[DecoderConfig, int], str]] = {
    "shape": _shape,
    "causal": _causal,
    "each user alone": _each_user_alone,
    "same twice": _same_twice,
    "reads the user": _reads_user,
    "reads_history": _reads_history,
    "gradients": _gradients,
}
