"""Splits of a data set into training, validation and test. Each kind of split is listed once, here."""

from typing import Annotated

from pydantic import Field

from gnnrec.data.dataset import Dataset
from gnnrec.splits.interactions import WarmInteractions
from gnnrec.splits.kind import SplitKind
from gnnrec.splits.split import Split
from gnnrec.splits.temporal import Temporal
from gnnrec.splits.unseen_both import UnseenBoth
from gnnrec.splits.unseen_items import UnseenItems
from gnnrec.splits.unseen_users import FromFile, UnseenUsers

__all__ = ["FromFile", "Temporal", "UnseenBoth", "UnseenItems", "UnseenUsers", "WarmInteractions"]

SplitConfig = Annotated[
    UnseenUsers | FromFile | UnseenItems | UnseenBoth | WarmInteractions | Temporal, Field(discriminator="kind")
]


def make_split(dataset: Dataset, config: SplitKind, seed: int) -> Split:
    """Splits a data set into training, validation and test.

    Args:
        dataset: the data.
        config: how to split; see the classes of this folder.
        seed: the run's seed, used where the config gives none.

    Returns:
        A split whose test part is sealed.

    Raises:
        ConfigError: a part is empty, or a user of a file is not in the data.
    """
    return config.make(dataset, seed)
