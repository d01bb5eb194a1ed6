"""What of a platform is found on another one, or in a pretrained encoder, as a report."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from gnnrec.data import load
from gnnrec.data.config import NamedData
from gnnrec.data.datasets import source_named
from gnnrec.data.match import Match, match
from gnnrec.experiment.config import read_config
from gnnrec.experiment.pretrain import CARD, everything, load_encoder
from gnnrec.training.pretrained import MatchConfig, nodes_of
from gnnrec.views import INTERACTS, ITEM, TrainingData


def matched(name: str, other: str, examples: int = 3) -> dict[str, Any]:
    """What is the same, what is near, and what starts fresh.

    Args:
        name: of the new platform: a config, or a source.
        other: of where to look: likewise, or a folder of `gnnrec pretrain`.
        examples: nodes of each kind that are named.

    Returns:
        `relations`: pairs of names, and the names of those that match nothing; `nodes`: for each node type the numbers
        of nodes that are the `same`, `near` to others and `fresh`, with examples; `words`: whether words were compared.
    """
    train, how = _platform(name)
    theirs = load_encoder(Path(other)).nodes if (Path(other) / CARD).is_file() else nodes_of(_platform(other)[0])
    own = nodes_of(train)
    found = match(own, theirs, attributes=how.attributes, items=how.items)
    relations = [
        {"own": t[1], "theirs": found.relations[t][1] if t in found.relations else None}
        for t in own.edge_types
        if t != INTERACTS
    ]
    nodes = {}
    for node_type in own.ids:
        named = own.titles if node_type == ITEM and own.titles else own.ids[node_type]
        nodes[node_type] = _nodes(found, node_type, named, theirs, examples)
    return {"platform": name, "other": other, "words": found.words, "relations": relations, "nodes": nodes}


def matched_text(facts: dict[str, Any]) -> Table:
    """The report as a table."""
    table = Table("node type", "found as", "same", "near", "not found", "for example", title=_title(facts))
    for node_type, one in facts["nodes"].items():
        shown = [f"{own} = {theirs}" for own, theirs in one["examples"]["same"]]
        shown += [f"{own} ~ {theirs}" for own, theirs in one["examples"]["near"]]
        shown += [f"{own}: nothing" for own in one["examples"]["fresh"]]
        numbers = (f"{one[how]:,}" for how in ("same", "near", "fresh"))
        table.add_row(node_type, one["theirs"] or "-", *numbers, "\n".join(shown))
    return table


def _title(facts: dict[str, Any]) -> str:
    pairs = [f"{one['own']} = {one['theirs'] or 'nothing'}" for one in facts["relations"]]
    words = "" if facts["words"] else "; names alone are compared: pip install 'gnnrec[text]' for words"
    return f"{facts['platform']} on {facts['other']}: {', '.join(pairs) or 'no relations'}{words}"


def _platform(name: str) -> tuple[TrainingData, MatchConfig]:
    if Path(name).suffix in (".yaml", ".yml"):
        config = read_config(Path(name))
        how = MatchConfig.model_validate(config.config.model.get("match") or {})
        return everything(load(config.config.data, config.folder)), how
    return everything(load(NamedData(source=source_named(name).name))), MatchConfig()


def _nodes(found: Match, node_type: str, own: Any, theirs: Any, examples: int) -> dict[str, Any]:
    one = found.types.get(node_type)
    if one is None:
        fresh = [str(name) for name in own[:examples]]
        return {
            "theirs": None,
            "same": 0,
            "near": 0,
            "fresh": len(own),
            "examples": {"same": [], "near": [], "fresh": fresh},
        }
    named = theirs.titles if node_type == ITEM and theirs.titles else theirs.ids[one.theirs]
    same, near = one.row >= 0, (one.row < 0) & one.known
    places = {"same": same, "near": near, "fresh": ~same & ~near}
    shown: dict[str, list[Any]] = {}
    for how, which in places.items():
        chosen = which.nonzero()[0]
        chosen = chosen[np.argsort(one.similarity[chosen], kind="stable")][:examples]  # the least certain ones first
        shown[how] = [
            str(own[place]) if how == "fresh" else (str(own[place]), str(named[one.near[place, 0]])) for place in chosen
        ]
    return {"theirs": one.theirs, **{how: int(which.sum()) for how, which in places.items()}, "examples": shown}
