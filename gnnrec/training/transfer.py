"""Weights of another run, taken over by name and by id."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gnnrec.errors import ConfigError
from gnnrec.nn.encoder import Encoder


def take_weights(
    encoder: Encoder,
    ids: Mapping[str, Iterable[Any]],
    weights: Mapping[str, Tensor],
    their_ids: Mapping[str, Sequence[Any]],
    path: Path,
) -> dict[str, int]:
    """Copies what fits: layers and norms by name and shape, rows of the tables by id.

    Args:
        encoder: takes the weights; what does not fit stays as it is.
        ids: node type -> ids of the rows of the encoder's tables.
        weights: of a model with an encoder, by name.
        their_ids: node type -> ids of the rows of that encoder's tables.
        path: where they are from, for the error.

    Returns:
        How many `tensors` and `table_rows` were taken.

    Raises:
        ConfigError: nothing fits.
    """
    own = encoder.state_dict()
    theirs = {k.removeprefix("encoder."): v for k, v in weights.items() if k.startswith("encoder.")}
    layers = {k: v for k, v in theirs.items() if not k.startswith("tables.") and k in own and v.shape == own[k].shape}
    rows = 0
    for node_type, known in their_ids.items():
        if node_type not in ids:
            continue
        their_row = {one: row for row, one in enumerate(known)}
        place = torch.tensor([their_row.get(one, -1) for one in ids[node_type]], dtype=torch.int64)
        table = encoder.table(node_type).weight.data
        name = next(k for k, v in own.items() if v.data_ptr() == table.data_ptr())
        if name in theirs and theirs[name].shape[1] == table.shape[1]:
            table[place >= 0] = theirs[name][place[place >= 0]].to(table.device)
            rows += int((place >= 0).sum())
    if not layers and not rows:
        raise ConfigError(f"model.pretrained: {path}: nothing fits; compare encoder.channels and encoder.layer")
    encoder.load_state_dict({**own, **layers, **{k: v for k, v in own.items() if "tables." in k}})
    return {"tensors": len(layers), "table_rows": rows}
