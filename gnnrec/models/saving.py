"""A fitted model as plain data: a tree of JSON and named arrays, written without pickle and read to the same bits."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import BaseModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from scipy import sparse
from torch import Tensor

from gnnrec.errors import ConfigError
from gnnrec.options.resolve import build, resolve
from gnnrec.runtime.files import replace_file

FORMAT = 1
"""Version of the layout of a saved model."""
STRUCTURE, ARRAYS = "model.json", "arrays.safetensors"
REGISTRY = "gnnrec.models.registry"
SPARSE = {cls.__name__: cls for cls in (sparse.csr_array, sparse.csc_array, sparse.csr_matrix)}
RUN_TIME = ("tracker", "placement")
"""Attributes of a model that say how a run goes and are not kept."""
UNREADABLE = (ConfigError, OSError, SafetensorError, LookupError, ValueError, TypeError, RuntimeError, AttributeError)
"""What reading a damaged model may raise."""
TYPE = "$type"
"""Key that marks a mapping of JSON as something else than a plain mapping."""


def save_model(model: Any, folder: Path) -> None:
    """Writes a fitted model: what was fitted is kept as arrays, so loading draws nothing and fits nothing.

    Args:
        model: a fitted recommender (or anything else that `pack` takes). Its attributes are kept as they are: arrays,
            sparse matrices, tensors, plain values and objects of this package; or, where it has `state_dict()`, that.
        folder: made if it is not there; `model.json` is written last.

    Raises:
        TypeError: an attribute is none of these, for example the object of another library.
    """
    arrays: dict[str, Tensor] = {}
    packed = pack(model, arrays)
    folder.mkdir(parents=True, exist_ok=True)
    content = save(arrays)
    replace_file(folder / ARRAYS, content)
    structure = {"format": FORMAT, "sha256": hashlib.sha256(content).hexdigest(), "model": packed}
    replace_file(folder / STRUCTURE, json.dumps(structure).encode())


def load_model(folder: Path) -> Any:
    """What `save_model` wrote, with the same scores bit for bit on the same machine and number of threads.

    Raises:
        ConfigError: a file is missing, damaged, or of another format, or an array holds NaN.
    """
    path = folder / STRUCTURE
    if not path.is_file():
        raise ConfigError(
            f"{path}: no such file; name a folder that holds a saved model, or run the config again with another --out "
            "(the model.pt of an older version is not read)"
        )
    try:
        structure = json.loads(path.read_text(encoding="utf-8"))
        with safe_open(folder / ARRAYS, framework="pt") as file:
            arrays = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118  (no mapping)
        if structure["format"] != FORMAT:
            raise ValueError(f"format {structure['format']}, only {FORMAT} can be read")
        if structure.get("sha256", found := _checksum(folder / ARRAYS)) != found:
            raise ValueError(f"{ARRAYS} is not the file that {STRUCTURE} was written with")
        spoiled = next((key for key, one in arrays.items() if one.is_floating_point() and one.isnan().any()), None)
        if spoiled is not None:
            raise ValueError(f"array {spoiled} holds NaN")
        return unpack(structure["model"], arrays)
    except UNREADABLE as error:
        reason = shorten(f"{type(error).__name__}: {error}", 300)
        raise ConfigError(f"{folder}: the saved model cannot be read ({reason}); run the config again") from error


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def pack(value: Any, arrays: dict[str, Tensor]) -> Any:
    """The value as JSON; its arrays are added to `arrays`, under numbers in the order in which they are met.

    Raises:
        TypeError: the value is nothing that can be kept.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    # np.float64 is a float too, but one that makes float64 of a float32 array that it is multiplied with.
    if isinstance(value, float) and not isinstance(value, np.float64):
        return value if math.isfinite(value) else {TYPE: "float", "value": str(value)}
    if isinstance(value, Tensor):
        return {TYPE: "tensor", **_kept(value.detach().cpu(), arrays)}
    if isinstance(value, np.ndarray) and value.dtype != object:
        return {TYPE: "array", **_kept(torch.from_numpy(np.array(value, order="K", copy=True)), arrays)}
    if isinstance(value, np.generic):
        return {TYPE: "scalar", **_kept(torch.from_numpy(np.array(value)), arrays)}
    if type(value).__name__ in SPARSE:
        parts = {name: pack(getattr(value, name), arrays) for name in ("data", "indices", "indptr")}
        return {TYPE: "sparse", "format": type(value).__name__, "shape": list(value.shape), **parts}
    if isinstance(value, pd.Index):
        return {TYPE: "index", "values": [pack(one, arrays) for one in value.tolist()], "dtype": str(value.dtype)}
    if isinstance(value, Mapping):
        pairs = [[pack(key, arrays), pack(one, arrays)] for key, one in value.items()]
        return {TYPE: "mapping", "pairs": pairs}
    if isinstance(value, list | tuple):
        return {TYPE: type(value).__name__, "values": [pack(one, arrays) for one in value]}
    return {TYPE: "object", "class": _name(type(value)), **_of_object(value, arrays)}


def _of_object(value: Any, arrays: dict[str, Tensor]) -> dict[str, Any]:
    if isinstance(value, BaseModel):
        return {"options": value.model_dump(mode="json")}
    if hasattr(value, "state_dict") and hasattr(value, "options"):
        return {"options": value.options, "state": pack(value.state_dict(), arrays)}
    if not _may_be_kept(type(value)):
        raise TypeError(f"{_name(type(value))} cannot be saved; keep arrays and plain values, or give a state_dict")
    attributes = {key: one for key, one in vars(value).items() if key not in RUN_TIME}
    return {"attributes": pack(attributes, arrays)}


def unpack(value: Any, arrays: Mapping[str, Tensor]) -> Any:
    """What `pack` was given."""
    if not isinstance(value, dict):
        return value
    kind = value[TYPE]
    if kind == "float":
        return float(value["value"])
    if kind in ("tensor", "array", "scalar"):
        tensor = arrays[value["key"]]
        tensor = tensor.permute(value["axes"]) if value["axes"] else tensor
        return tensor if kind == "tensor" else tensor.numpy() if kind == "array" else tensor.numpy()[()]
    if kind == "sparse":
        parts = tuple(unpack(value[name], arrays) for name in ("data", "indices", "indptr"))
        return SPARSE[value["format"]](parts, shape=tuple(value["shape"]))
    if kind == "index":
        return pd.Index([unpack(one, arrays) for one in value["values"]], dtype=value["dtype"])
    if kind == "mapping":
        return {unpack(key, arrays): unpack(one, arrays) for key, one in value["pairs"]}
    if kind in ("list", "tuple"):
        values = [unpack(one, arrays) for one in value["values"]]
        return values if kind == "list" else tuple(values)
    return _object(value, arrays)


def _object(value: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> Any:
    cls = resolve(value["class"], REGISTRY)
    if not _may_be_kept(cls):
        raise TypeError(f"{value['class']} is no class of a saved model")
    if "state" in value:
        model = build(cls, value["options"])
        model.load_state_dict(unpack(value["state"], arrays))
        return model
    if issubclass(cls, BaseModel):
        return cls.model_validate(value["options"])
    instance = object.__new__(cls)
    instance.__dict__.update(unpack(value["attributes"], arrays))
    return instance


def _may_be_kept(cls: type) -> bool:
    """Whether objects of the class are part of a model: classes of this package, and recommenders from elsewhere."""
    return cls.__module__.startswith("gnnrec.") or callable(getattr(cls, "score", None))


def _kept(tensor: Tensor, arrays: dict[str, Tensor]) -> dict[str, Any]:
    """The tensor under a new key, laid out in memory as it was: products of another layout may differ in a last bit."""
    axes = sorted(range(tensor.dim()), key=lambda axis: (-tensor.stride()[axis], axis))
    key = str(len(arrays))
    arrays[key] = tensor.cpu().permute(axes).contiguous().clone()
    back = sorted(range(len(axes)), key=lambda axis: axes[axis])
    return {"key": key, "axes": back if back != sorted(back) else []}


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
