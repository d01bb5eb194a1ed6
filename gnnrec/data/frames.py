"""Data frames in memory as a data set, by the same rules as files."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from gnnrec.data import table
from gnnrec.data.config import TableData
from gnnrec.data.dataset import Dataset
from gnnrec.errors import ConfigError
from gnnrec.options.messages import one_line


def from_frames(frames: Mapping[str, pd.DataFrame], **config: Any) -> Dataset:
    """Builds a data set from data frames.

    Args:
        frames: name -> data frame.
        config: the keys of `data` for `source: table` in a config, with the frames' names as paths, for example
            `interactions={"path": "ratings", "user": "user_id", "item": "item_id"}`.

    Raises:
        ConfigError: the config does not fit, or names a frame that is not there.
        DataError: a row cannot be read; the message names frame, line (the header is line 1) and column.
    """
    try:
        checked = TableData.model_validate({"source": "table", **config})
    except ValidationError as error:
        raise ConfigError(one_line(error, "from_frames", TableData)) from None
    files = [checked.interactions, checked.users, checked.items, *checked.relations]
    for name in (str(file.path) for file in files if file is not None):
        if name not in frames:
            raise ConfigError(f"from_frames: there is no frame {name!r}; there are {', '.join(frames)}")
    with tempfile.TemporaryDirectory() as folder:
        for name, frame in frames.items():
            frame.to_parquet(Path(folder) / f"{name}.parquet")
        plain = checked.model_dump()
        for part in (plain["interactions"], plain["users"], plain["items"], *plain["relations"]):
            if part is not None:
                part["path"] = Path(f"{part['path']}.parquet")
        dataset = table.read(TableData.model_validate(plain), Path(folder))
    return dataset if checked.positive is None else dataset.positives(checked.positive.min_value)
