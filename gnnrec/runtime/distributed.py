"""Processes that train one model together: who is who, sums over all, work that is dealt out.

The processes are started by torchrun, and joined by Lightning Fabric; torch's process group is all the state there is.
In a program of one process every function returns at once what the process has itself.
"""

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gnnrec.errors import ConfigError, InputError

A = TypeVar("A")
R = TypeVar("R")


def start(devices: int) -> None:
    """Joins the processes that torchrun has started; for one process there is nothing to do.

    Args:
        devices: processes on all machines together.

    Raises:
        ConfigError: another number of processes has been started, or the package lightning-fabric is missing.
    """
    started = dist.get_world_size() if dist.is_initialized() else _from_torchrun("WORLD_SIZE")
    if started != devices:
        start_it = (
            f"start it by `torchrun --nproc-per-node {devices} -m gnnrec run ...`"
            if devices > 1
            else "leave torchrun out"
        )
        raise ConfigError(
            f"trainer.devices: the config says {devices}, but this program runs in {started} "
            f"process{'es' if started > 1 else ''}; {start_it}, or set trainer.devices={started}"
        )
    if devices == 1 or dist.is_initialized():
        return
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies import DDPStrategy
    except ModuleNotFoundError:
        raise ConfigError(
            "trainer.devices: the package lightning-fabric is missing; pip install 'gnnrec[processes]'"
        ) from None
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    here = _from_torchrun("LOCAL_WORLD_SIZE")
    strategy = DDPStrategy(process_group_backend="gloo")
    Fabric(accelerator="cpu", devices=here, num_nodes=devices // here, strategy=strategy).launch()


def count() -> int:
    """Processes on all machines together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Number of this process; the first one, 0, is the one that writes files and speaks."""
    return dist.get_rank() if dist.is_initialized() else 0


def total(x: Tensor) -> Tensor:
    """The sum of what each process has, which each one gets; gradients flow back to all.

    Args:
        x: of the same shape in each process.
    """
    if count() == 1:
        return x
    result: Tensor = _Total.apply(x)  # type: ignore[no-untyped-call]
    return result


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replaces each parameter's gradient by the sum over the processes, all of them in one message.

    Args:
        parameters: the same ones in each process; those that have no gradient in any process stay without.
    """
    if count() == 1:
        return
    every = list(parameters)
    there = torch.tensor([p.grad is not None for p in every], dtype=torch.float32)
    parts = [torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in every]
    message = torch.cat([there, *parts])
    dist.all_reduce(message)
    there, *sums = message.split([len(every), *(p.numel() for p in every)])
    for parameter, anywhere, summed in zip(every, there.bool().tolist(), sums, strict=True):
        parameter.grad = summed.view_as(parameter) if anywhere else None


def take_from_first(module: nn.Module) -> None:
    """Gives a module the state that it has in the first process: last bits may hang on the machine."""
    if count() > 1:
        for value in module.state_dict().values():
            dist.broadcast(value, 0)


def from_first(make: Callable[[], R]) -> R:
    """What the first process makes; the others wait for it, and share its error where a person can mend it.

    Args:
        make: called in the first process only; what it returns is pickled.
    """
    if count() == 1:
        return make()
    box: list[Any] = [None]
    if rank() == 0:
        try:
            box = [(make(), None)]
        except InputError as error:
            box = [(None, error)]
    dist.broadcast_object_list(box)
    made, problem = box[0]
    if problem is not None:
        raise problem
    result: R = made
    return result


def dealt(items: Sequence[A], work: Callable[[A], R]) -> list[R]:
    """What `work` makes of each item, in order; the processes take turns, and each one gets all of it.

    Args:
        items: the same in each process.
        work: may hold no sum over the processes; what it returns is pickled.
    """
    own = [work(item) for item in items[rank() :: count()]]
    if count() == 1:
        return own
    every: list[Any] = [None] * count()
    dist.all_gather_object(every, own)
    return [every[i % count()][i // count()] for i in range(len(items))]


def own_generator(generator: torch.Generator) -> torch.Generator:
    """A generator for draws of which each process makes another number, so that the shared one stays in step.

    Args:
        generator: in the same state in each process; one process draws from it directly.
    """
    if count() == 1:
        return generator
    seed = torch.randint(2**62, (), generator=generator)
    return torch.Generator().manual_seed(int(seed) + rank())


def _from_torchrun(name: str) -> int:
    """One of the numbers that torchrun tells its processes; 1 where there is no torchrun."""
    return int(os.environ[name]) if dist.is_available() and dist.is_torchelastic_launched() else 1


class _Total(torch.autograd.Function):
    """The sum over the processes. What each does with the sum hangs on every summand, so its backward sums as well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _all_reduced(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _all_reduced(grad)


def _all_reduced(x: Tensor) -> Tensor:
    x = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(x)
    return x
