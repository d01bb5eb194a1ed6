"""Data sets: from the `data` part of a config to a `Dataset`."""

from dataclasses import replace
from pathlib import Path

from gnnrec.data import table
from gnnrec.data.cache import cached
from gnnrec.data.config import FeatureColumn, NamedData, TableData
from gnnrec.data.dataset import Dataset
from gnnrec.data.datasets import source_named
from gnnrec.data.features import with_features, with_value_words
from gnnrec.data.files import in_folder
from gnnrec.data.sources import fetch
from gnnrec.errors import ConfigError
from gnnrec.views import ITEM, USER

__all__ = ["load"]


def load(config: NamedData | TableData, base: Path = Path()) -> Dataset:
    """Loads a data set; files that are not on this machine are fetched, and the data cache is used.

    Args:
        config: the `data` part of a config.
        base: folder that the config's paths are relative to.

    Returns:
        The data; with `config.positive`, only the interactions of at least its value.

    Raises:
        ConfigError: `config.use` names a relation or attribute that the data set does not have.
        DataError: a file cannot be had or read.
    """
    if isinstance(config, TableData):
        what = config.model_dump_json(exclude={"positive"})
        dataset = cached(what, config.files(base), lambda: table.read(config, in_folder(base)))
        if config.positive is None:
            table.warn_of_no_choices(dataset)
    else:
        source, files = source_named(config.source), fetch(config.source)
        dataset = cached(source.name, list(files.values()), lambda: source.read(files))
        dataset = _only(dataset, config.use, source.not_default)
    of_items, of_users = _by_owner(config, dataset)
    dataset = with_features(with_features(dataset, of_items, base), of_users, base, node_type=USER)
    dataset = with_value_words(dataset, config.values)
    return dataset if config.positive is None else dataset.positives(config.positive.min_value, config.positive.kinds)


def _by_owner(
    config: NamedData | TableData, dataset: Dataset
) -> tuple[dict[str, FeatureColumn], dict[str, FeatureColumn]]:
    """The features of items, and those of users; of named data, a column of users' words makes one of users."""
    if isinstance(config, TableData):
        return config.features, config.user_features
    of_users = {
        name: one
        for name, one in config.features.items()
        if ((one.text and one.text.column) or name) in dataset.user_cells
    }
    return {name: one for name, one in config.features.items() if name not in of_users}, of_users


def _only(dataset: Dataset, use: tuple[str, ...] | None, not_default: tuple[str, ...]) -> Dataset:
    """Keeps the relations and attributes in `use` (None: all but `not_default`), and the node types that these need."""
    names = [r.name for r in dataset.relations] + [a.name for a in dataset.numeric]
    for name in use or ():
        if name not in names:
            raise ConfigError(f"data.use: {dataset.name} has no relation or attribute {name!r}; there are {names}")
    kept = [name for name in names if name not in not_default] if use is None else use
    relations = tuple(r for r in dataset.relations if r.name in kept)
    node_types = {USER, ITEM}.union(*({r.source, r.target} for r in relations))
    return replace(
        dataset,
        ids={node_type: ids for node_type, ids in dataset.ids.items() if node_type in node_types},
        relations=relations,
        numeric=tuple(a for a in dataset.numeric if a.name in kept),
    )
