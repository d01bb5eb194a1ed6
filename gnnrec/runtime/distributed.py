"""Processes that train one model together: ranks, sums over processes, distributed work.

The processes are started by torchrun, and joined by Lightning Fabric; torch's process group is the only state. In a
program of one process every function returns the process's own value.
"""

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gnnrec.errors import ConfigError, InputError
from gnnrec.runtime.devices import CPU, Placement

A = TypeVar("A")
R = TypeVar("R")


def start(devices: int, placement: Placement = CPU) -> Placement:
    """Joins the processes that torchrun has started; with one process, does nothing.

    Args:
        devices: processes on all machines together; on GPUs, one for each.
        placement: where the processes compute.

    Returns:
        Where this process computes.

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
            f"trainer.devices: the config has {devices}, but this program runs in {started} "
            f"process{'es' if started > 1 else ''}; {start_it}, or set trainer.devices={started}"
        )
    cuda = placement.device.type == "cuda"
    if cuda and devices > 1:
        placement = replace(placement, device=torch.device("cuda", _from_torchrun("LOCAL_RANK")))
    if devices == 1 or dist.is_initialized():
        return placement
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies import DDPStrategy
    except ModuleNotFoundError:
        raise ConfigError(
            "trainer.devices: the package lightning-fabric is missing; pip install 'gnnrec[processes]'"
        ) from None
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    here = _from_torchrun("LOCAL_WORLD_SIZE")
    strategy = DDPStrategy(process_group_backend="nccl" if cuda else "gloo")
    accelerator = "cuda" if cuda else "cpu"
    Fabric(accelerator=accelerator, devices=here, num_nodes=devices // here, strategy=strategy).launch()
    return placement


def count() -> int:
    """Number of processes on all machines together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Rank of this process; rank 0 writes files and output."""
    return dist.get_rank() if dist.is_initialized() else 0


def total(x: Tensor) -> Tensor:
    """The sum over the processes, in each of them; its backward pass sums gradients over the processes.

    Args:
        x: of the same shape in each process.
    """
    if count() == 1:
        return x
    result: Tensor = _Total.apply(x)  # type: ignore[no-untyped-call]
    return result


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replaces each parameter's gradient by the sum over the processes, by one all-reduce.

    Args:
        parameters: the same ones in each process; without a gradient in any process, it stays None.
    """
    if count() == 1:
        return
    every = list(parameters)
    there = torch.tensor([p.grad is not None for p in every], dtype=torch.float32, device=every[0].device)
    parts = [p.new_zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in every]
    message = torch.cat([there, *parts])
    dist.all_reduce(message)
    there, *sums = message.split([len(every), *(p.numel() for p in every)])
    for parameter, anywhere, summed in zip(every, there.bool().tolist(), sums, strict=True):
        parameter.grad = summed.view_as(parameter) if anywhere else None


def take_from_first(module: nn.Module) -> None:
    """Broadcasts the state of a module from rank 0: its last bits may depend on the machine."""
    if count() > 1:
        for value in module.state_dict().values():
            dist.broadcast(value, 0)


def from_first(make: Callable[[], R]) -> R:
    """The result of `make` in rank 0, in all processes; an `InputError` is raised in all of them.

    Args:
        make: called in rank 0 only; its result is pickled.
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
    """`work` of each item, in order; the items are distributed over the processes, all results are in each of them.

    Args:
        items: the same in each process.
        work: without collective operations; its result is pickled.
    """
    own = [work(item) for item in items[rank() :: count()]]
    if count() == 1:
        return own
    every: list[Any] = [None] * count()
    dist.all_gather_object(every, own)
    return [every[i % count()][i // count()] for i in range(len(items))]


def own_generator(generator: torch.Generator) -> torch.Generator:
    """A generator of one process alone, for a number of draws that differs between processes.

    Args:
        generator: in the same state in each process; one process alone uses it directly.
    """
    if count() == 1:
        return generator
    seed = torch.randint(2**62, (), generator=generator)
    return torch.Generator().manual_seed(int(seed) + rank())


def _from_torchrun(name: str) -> int:
    """An environment variable set by torchrun; 1 without torchrun."""
    return int(os.environ[name]) if dist.is_available() and dist.is_torchelastic_launched() else 1


class _Total(torch.autograd.Function):
    """The sum over the processes. Each process's loss depends on every summand, so the backward pass sums too."""

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
