"""Where a model computes, and in which precision."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from gnnrec.errors import ConfigError

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal[32, "bf16"]


@dataclass(frozen=True)
class Placement:
    """The device of a model's tensors, and the precision of its training steps.

    Random numbers are drawn on the CPU and moved, so that batches, hidden edges and drawn items are the same on every
    device; dropout alone is drawn where the model is.

    Attributes:
        device: of weights, vectors and edges. Data, options and the scores that a model returns lie on the CPU.
        precision: 32, or `bf16` for matrix products of the training steps in bfloat16; weights, optimizer and scores
            keep 32 bits.
    """

    device: torch.device = torch.device("cpu")
    precision: Precision = 32

    def autocast(self) -> AbstractContextManager[None]:
        """The context of a training step's forward pass."""
        if self.precision == 32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    @contextmanager
    def deterministic(self) -> Iterator[None]:
        """While it lasts, a GPU adds up in the same order each time: same seed, same numbers, bit for bit.

        A layer that has an operation without such an order is warned of.
        """
        if self.device.type != "cuda":
            yield
            return
        before, memory = torch.get_deterministic_debug_mode(), torch.utils.deterministic
        fills = memory.fill_uninitialized_memory  # type: ignore[attr-defined]
        torch.set_deterministic_debug_mode("warn")
        memory.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        try:
            with sdpa_kernel(SDPBackend.MATH):  # the fused kernels of attention add up in any order
                yield
        finally:
            torch.set_deterministic_debug_mode(before)
            memory.fill_uninitialized_memory = fills  # type: ignore[attr-defined]

    def rng_state(self) -> Tensor | None:
        """The state of the device's own generator, which dropout draws from; None where that is the CPU's."""
        state: Tensor | None = self._module().get_rng_state() if self.device.type in ("cuda", "mps") else None
        return state

    def set_rng_state(self, state: Tensor | None) -> None:
        """Takes what `rng_state` gave."""
        if state is not None:
            self._module().set_rng_state(state)

    def described(self) -> str:
        """The device and its model, for the versions of a result."""
        return f"cuda ({torch.cuda.get_device_name(self.device)})" if self.device.type == "cuda" else self.device.type

    def _module(self) -> Any:
        return torch.get_device_module(self.device)


CPU = Placement()


def place(name: DeviceName = "auto", precision: Precision = 32, index: int = 0) -> Placement:
    """The placement that a config names.

    Args:
        name: `auto` takes a GPU where there is one: cuda, then mps, then cpu.
        precision: of the training steps.
        index: which of several GPUs.

    Raises:
        ConfigError: this machine has no such device.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before CUDA starts; for `deterministic`
    there = available()
    if name == "auto":
        name = there[-1]
    if name not in there:
        raise ConfigError(
            f"trainer.device: torch finds no {name} on this machine; it has {', '.join(there)}, and auto takes the best"
        )
    return Placement(torch.device(name, index) if name == "cuda" else torch.device(name), precision)


def available() -> list[DeviceName]:
    """The devices of this machine, the fastest last."""
    found: list[DeviceName] = ["cpu"]
    if torch.backends.mps.is_available():
        found.append("mps")
    if torch.cuda.is_available():
        found.append("cuda")
    return found
