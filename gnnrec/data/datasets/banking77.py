"""Banking77: messages to a bank's customer service, each with its intent."""

from pathlib import Path

import numpy as np
import pandas as pd

from gnnrec.data.catalogue import File, Source
from gnnrec.data.columns import node_ids, positions, sorted_interactions
from gnnrec.data.dataset import Dataset
from gnnrec.views import ITEM, USER


def read(files: dict[str, Path]) -> Dataset:
    """13,083 messages, 77 intents, one of each message. Messages are users, intents are items.

    The id of a message is its part, `train` or `test`, and its row there, from 0; its words are the column `text`. The
    title of an intent is its name with blanks.

    Args:
        files: `train` and `test`, CSV files with the columns `text` and `category`.
    """
    parts = {key: pd.read_csv(files[key], dtype="str", keep_default_na=False) for key in ("train", "test")}
    named = [f"{key}-{row:05}" for key, part in parts.items() for row in range(len(part))]
    rows = pd.concat(parts.values())
    ids = {USER: node_ids(named), ITEM: node_ids(rows["category"].unique())}
    order = np.argsort(ids[USER].get_indexer(pd.Index(named)))
    return Dataset(
        name="banking77",
        ids=ids,
        interactions=sorted_interactions(np.arange(len(rows)), positions(ids[ITEM], rows["category"].iloc[order])),
        titles=tuple(ids[ITEM].str.replace("_", " ")),
        user_cells={"text": tuple(rows["text"].iloc[order])},
    )


SOURCE = Source(
    name="banking77",
    title="Banking77: messages to a bank's customer service, with one of 77 intents",
    terms="CC BY 4.0",
    citation="Casanueva, Temcinas, Gerz, Henderson, Vulic: Efficient Intent Detection with Dual Sentence Encoders. "
    "NLP4ConvAI 2020",
    page="https://github.com/PolyAI-LDN/task-specific-datasets",
    size="13,083 users (messages), 77 items (intents), 13,083 interactions",
    read=read,
    files=(
        File("train", "train.csv", "b06e26ac675513959a63135f11b94ea7786ed02da65db93a5650d8838cbc664b"),
        File("test", "test.csv", "d12d6e3bc4c3103966ae786dc435913c0c563dfa328f5a3646d0e62cfeeb474d"),
    ),
)
