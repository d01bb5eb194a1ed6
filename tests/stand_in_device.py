"""A device that no machine lacks: its tensors hold their values on the CPU, and refuse to meet those of the CPU.

Tensors that are made on, or moved to, the device `meta` while the mode is on are `OnDevice`: every operation is
computed on the CPU, and an operation on tensors of both kinds is an error, as it is on a GPU (a number, a tensor
without dimensions, may come from anywhere). So a whole training run is proved to keep its tensors together, with the
numbers of the CPU. `FakeTensorMode` of torch knows shapes only, and most shapes in a training step depend on values.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")
MOVES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class OnDevice(Tensor):
    """A tensor of the stand-in device."""

    values_: Tensor

    @staticmethod
    def __new__(cls, real: Tensor) -> "OnDevice":
        made: OnDevice = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            real.shape,
            strides=real.stride(),
            storage_offset=real.storage_offset(),
            dtype=real.dtype,
            device=DEVICE,
        )
        made.values_ = real
        return made

    @classmethod
    def __torch_dispatch__(
        cls, operation: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _computed(operation, args, kwargs or {}, [])


class StandInDevice(TorchDispatchMode):
    """Makes `meta` a device with values.

    Attributes:
        to_host: shape of each tensor that was moved to the CPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.to_host: list[tuple[int, ...]] = []

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _computed(operation, args, kwargs or {}, self.to_host)


def _computed(operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any], to_host: list[tuple[int, ...]]) -> Any:
    given = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
    here = [x for x in given if isinstance(x, OnDevice)]
    wanted = kwargs.get("device")
    if operation not in MOVES and here:
        others = [x for x in given if not isinstance(x, OnDevice) and x.dim() > 0]
        if others:
            raise RuntimeError(
                f"{operation}: expected all tensors on one device; {tuple(others[0].shape)} is on the CPU"
            )
    wrap = bool(here) if wanted is None else torch.device(wanted) == DEVICE
    if operation is torch.ops.aten.copy_.default:
        wrap = isinstance(args[0], OnDevice)
    if here and not wrap and here[0].dim() > 0:
        to_host.append(tuple(here[0].shape))
    known = {id(x.values_): x for x in here}
    real_args, real_kwargs = tree_map(
        lambda x: x.values_ if isinstance(x, OnDevice) else x, (tuple(args), dict(kwargs))
    )
    if wanted is not None:
        real_kwargs["device"] = torch.device("cpu")
    made = operation(*real_args, **real_kwargs)

    def wrapped(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        return known[id(x)] if id(x) in known else OnDevice(x)  # in place: the tensor that was given

    return tree_map(wrapped, made) if wrap else made
