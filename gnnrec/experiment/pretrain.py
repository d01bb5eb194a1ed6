"""Configs -> a pretrained encoder in a folder, with its model card."""

import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gnnrec.data import load
from gnnrec.data.dataset import Dataset
from gnnrec.data.datasets import SOURCES
from gnnrec.data.match import match
from gnnrec.data.union import nodes_of_data, union
from gnnrec.errors import ConfigError
from gnnrec.experiment.card import CARD_TEXT as CARD_TEXT
from gnnrec.experiment.card import card_text
from gnnrec.experiment.config import NamedConfig, replace_options
from gnnrec.experiment.results import config_checksum
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.models.saving import STRUCTURE, load_model, save_model
from gnnrec.runtime import seeds
from gnnrec.runtime.devices import place
from gnnrec.runtime.files import claimed, replace_file, writing_to
from gnnrec.runtime.threads import threads_for
from gnnrec.runtime.versions import versions
from gnnrec.splits.split import training_data
from gnnrec.training.pretrained import Pretrained
from gnnrec.training.ranking import RankingConfig
from gnnrec.training.tracking import Tracker, remove_checkpoints
from gnnrec.views import ITEM, TrainingData

CARD = "card.json"
HELD_OUT, MOST_HELD_OUT = 0.1, 2_000
"""Share of the users that epochs are chosen on, and the most of them."""
ALIKE = 0.9
"""Cosine of two titles from which an item is left out with `without`: safer than being the same."""


def pretrain(
    configs: Sequence[NamedConfig],
    folder: Path,
    *,
    without: NamedConfig | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Trains an encoder on all users of one or several platforms, and writes what another platform can use of it.

    Epochs are chosen on a tenth of the users, then all of them are trained on: there is no test part. Of several
    platforms, users are apart, and what is the same is put together (see `gnnrec.data.union`). A folder that is
    finished is read, not made again; a run that was broken off goes on from its checkpoints.

    Args:
        configs: their data; model and seed are those of the first one.
        folder: to write to.
        without: a config of another platform whose items, as far as they are here too, are left out.
        progress: show progress bars.

    Returns:
        The model card, as JSON.

    Raises:
        ConfigError: the model is none that can be carried, or the folder holds another encoder.
    """
    configs = [_of_layers(config) for config in configs]
    first = configs[0]
    model = first.model()
    ranks = isinstance(model, GraphSAGE) and isinstance(model.finetune, RankingConfig)
    if not ranks or model.encoder.linear:
        raise ConfigError(
            f"{first.name}: model: must be GraphSAGE with objective ranking and without a linear path, to be carried "
            "to another platform"
        )
    told = [
        config_checksum(config.config.model_dump(mode="json", include={"data", "model", "seed"})) for config in configs
    ]
    datasets = [load(config.config.data, config.folder) for config in configs]
    if without is not None:
        other = load(without.config.data, without.folder)
        datasets = [_without_items(dataset, other) for dataset in datasets]
    dataset = union(datasets)
    for one in (*dataset.features, *dataset.user_features):
        if one.words or one.encoder[0] == "number":
            raise ConfigError(
                f"{first.name}: feature {one.name!r}: {one.encoder[0]} is fitted on a platform's own {one.node_type}s, "
                "so its numbers mean nothing elsewhere; take text: {encoder: use}, a picture or a vector"
            )
    checksum = config_checksum({"configs": told, "data": dataset.checksum})
    with claimed(folder):
        finished = _finished(folder, checksum)
        if finished is not None:
            return finished
        start = time.perf_counter()
        trained, train, chosen = _train(first, dataset, folder, checksum, progress)
        pretrained: Pretrained = trained.carried()
        card = {
            "checksum": checksum,
            "platforms": [_platform(config, one) for config, one in zip(configs, datasets, strict=True)],
            "without": None if without is None else str(without.config.data.source),
            "users": train.num_users,
            "items": int(train.candidates.sum()),
            "interactions": len(train.users.items),
            "relations": [list(t) for t in pretrained.nodes.edge_types],
            "values": {t: len(names) for t, names in pretrained.nodes.ids.items() if t != ITEM},
            "features": dict(pretrained.features),
            "shape": dict(pretrained.shape),
            "numbers": sum(one.numel() for one in pretrained.weights.values())
            + sum(one.numel() for known in pretrained.known.values() for one in known.values()),
            "chosen": chosen,
            "seconds": round(time.perf_counter() - start, 1),
            "versions": versions(),
        }
        with writing_to(folder):
            save_model(pretrained, folder)
            card["sha256"] = hashlib.sha256((folder / STRUCTURE).read_bytes()).hexdigest()
            replace_file(folder / CARD_TEXT, card_text(card).encode())
            replace_file(folder / CARD, json.dumps(card, indent=1).encode())
            remove_checkpoints(folder)
            shutil.rmtree(folder / "pretrained", ignore_errors=True)  # what a run keeps of the stage before
    return card


def _of_layers(config: NamedConfig) -> NamedConfig:
    """The config without a regression beside the layers, which is of a platform's own items."""
    model = config.config.model
    if not isinstance(model.get("encoder"), Mapping):
        return config
    own = replace_options(model, {"encoder.regression": 0})
    return replace(config, config=config.config.model_copy(update={"model": own}))


def load_encoder(folder: Path) -> Pretrained:
    """The encoder in a folder.

    Raises:
        ConfigError: there is none.
    """
    found = load_model(folder)
    if not isinstance(found, Pretrained):
        raise ConfigError(f"{folder}: holds {type(found).__name__}; name a folder written by gnnrec pretrain")
    return found


def everything(dataset: Dataset) -> TrainingData:
    """All users of a data set and all their interactions."""
    users, every = torch.arange(dataset.num_users), torch.ones(len(dataset.interactions), dtype=torch.bool)
    return training_data(dataset, users, every)


def _train(
    config: NamedConfig, dataset: Dataset, folder: Path, checksum: str, progress: bool
) -> tuple[Any, TrainingData, dict[str, Any]]:
    """The fitted model, what it was fitted on, and what was chosen."""
    seed, train = config.config.seed, everything(dataset)
    placement = place(config.config.trainer.device, config.config.trainer.precision)
    count = max(1, min(MOST_HELD_OUT, int(HELD_OUT * train.num_users)))
    drawn = torch.randperm(train.num_users, generator=seeds.generator(seed, "pretraining"))[:count].sort().values
    rest, held_out = train.hold_out(drawn)
    with Tracker(folder, progress=progress, name=config.name) as tracker, threads_for(dataset.num_items):
        tracker.identity = checksum
        chosen: dict[str, Any] = {}
        for stage, (part, test) in {"choose/": (rest, held_out), "final/": (train, None)}.items():
            tracker.prefix = stage
            model = config.model(chosen)
            model.tracker, model.placement = tracker, placement
            model.fit(part, test, seed)
            chosen = chosen or dict(model.best_params)
        tracker.write_history()
    plain = {key: value.model_dump(mode="json") for key, value in chosen.items()}
    return model, train, {f"{stage}.epochs": options["epochs"] for stage, options in plain.items()}


def _without_items(dataset: Dataset, other: Dataset) -> Dataset:
    """The data set without the items that are on another platform too; users and values stay."""
    found = match(nodes_of_data(dataset), nodes_of_data(other))
    alike = found.types[ITEM].similarity >= ALIKE
    kept = torch.from_numpy(~alike)
    place = torch.where(kept, kept.cumsum(0) - 1, -1)
    own = dataset.interactions.take(kept[dataset.interactions.item])
    relations = []
    for relation in dataset.relations:
        ends = zip((relation.source, relation.target), relation.edge_index, strict=True)
        edges = torch.stack([place[end] if t == ITEM else end for t, end in ends])
        relations.append(replace(relation, edge_index=edges).take((edges >= 0).all(0)))
    return replace(
        dataset,
        ids={**dataset.ids, ITEM: dataset.ids[ITEM][kept.numpy()]},
        interactions=replace(own, item=place[own.item]),
        relations=tuple(relations),
        numeric=tuple(
            replace(one, node=place[one.node][kept[one.node]], number=one.number[kept[one.node]])
            if one.node_type == ITEM
            else one
            for one in dataset.numeric
        ),
        titles=tuple(np.array(dataset.titles, dtype=object)[kept.numpy()]) if dataset.titles else (),
        cells={},
        features=tuple(
            replace(
                one,
                vector=one.vector[kept],
                known=one.known[kept],
                words=tuple(text for text, own in zip(one.words, kept.tolist(), strict=False) if own),
            )
            for one in dataset.features
        ),
    )


def _platform(config: NamedConfig, dataset: Dataset) -> dict[str, Any]:
    source = SOURCES.get(str(config.config.data.source))
    texts = [o.text.encoder for o in config.config.data.features.values() if o.text is not None]
    return {
        "config": config.name,
        "data": dataset.name,
        "users": dataset.num_users,
        "items": dataset.num_items,
        "interactions": len(dataset.interactions),
        "text_encoders": sorted(set(texts)),
        "terms": None if source is None else source.terms,
        "citation": None if source is None else source.citation,
    }


def _finished(folder: Path, checksum: str) -> dict[str, Any] | None:
    path = folder / CARD
    if not path.is_file():
        return None
    try:
        card: dict[str, Any] = json.loads(path.read_text())
        same = card["checksum"] == checksum
    except (ValueError, KeyError, OSError):
        same = False
    if not same:
        raise ConfigError(f"{folder}: holds another encoder; choose another --out, or delete the folder")
    load_encoder(folder)  # complete and undamaged
    return card
