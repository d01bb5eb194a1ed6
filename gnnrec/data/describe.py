"""Description of a data set: counts, attributes, degrees, terms, and the NDCG of popularity for unseen users."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from gnnrec.data.dataset import Dataset
from gnnrec.data.datasets import SOURCES
from gnnrec.data.sources import find
from gnnrec.views import ITEM, USER

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
TEST_SHARE = 0.2
CUT = 10
"""Length of the lists of which the NDCG is computed."""


def describe(dataset: Dataset) -> dict[str, Any]:
    """A description that can be written as JSON.

    Args:
        dataset: as loaded; with `positive` in the config only the positive interactions are counted.

    Returns:
        `name`, `users`, `items`, `interactions`, `density`, `skipped_rows`, `skipped_values`, `skipped` (both in words,
        with examples), `value` (None where there is none), `attributes` (edges from users or items to values, and
        features of items), `relations` (every other edge; of events of other kinds than the interactions,
        `event_weight`), `degrees`, `popularity` (see `popularity_share`), and `source` (title, terms, citation, page;
        None for your own files).
    """
    interactions = dataset.interactions
    source = SOURCES.get(dataset.name)
    value = interactions.value
    return {
        "name": dataset.name,
        "users": dataset.num_users,
        "items": dataset.num_items,
        "interactions": len(interactions),
        "density": len(interactions) / (dataset.num_users * dataset.num_items),
        "skipped_rows": dataset.skipped_rows,
        "skipped_values": dataset.skipped_values,
        "skipped": dataset.skipped,
        "value": None
        if value is None
        else {"least": float(value.min()), "mean": float(value.double().mean()), "most": float(value.max())},
        "times": interactions.time is not None,
        "attributes": _attributes(dataset),
        "relations": [
            {
                "source": r.source,
                "name": r.name,
                "target": r.target,
                "edges": r.edge_index.shape[1],
                "event_weight": None if r.time is None or r.weight is None else float(r.weight[0]),
            }
            for r in dataset.relations
            if not _is_attribute(r.source, r.target)
        ],
        "degrees": {
            USER: _quantiles(interactions.user.numpy(), dataset.num_users),
            ITEM: _quantiles(interactions.item.numpy(), dataset.num_items),
        },
        "popularity": popularity_share(dataset),
        "source": source
        and {"title": source.title, "terms": source.terms, "citation": source.citation, "page": source.page},
    }


def list_sources() -> list[dict[str, Any]]:
    """One row per named data set, for the table and for JSON.

    Returns:
        For each data set `name`, `title`, `size`, `terms`, `from` (where `fetch` looks after the cache folder and
        GNNREC_DATA; None where there is no such place), `here` (whether every file is on this machine), `citation`,
        `page` and `sha256` (file name -> checksum).
    """
    return [
        {
            "name": source.name,
            "title": source.title,
            "size": source.size,
            "terms": source.terms,
            "from": source.official or (source.archive and "package " + "==".join(source.archive)),
            "here": len(find(source.name)) == len(source.keys),
            "citation": source.citation,
            "page": source.page,
            "sha256": {file.name: file.sha256 for file in source.files},
        }
        for source in SOURCES.values()
    ]


def _is_attribute(source: str, target: str) -> bool:
    return source in (USER, ITEM) and target not in (USER, ITEM)


def _attributes(dataset: Dataset) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for relation in dataset.relations:
        if _is_attribute(relation.source, relation.target):
            owners = relation.edge_index[0].numpy()
            kind = "one value each" if len(np.unique(owners)) == len(owners) else "several values each"
            values = len(dataset.ids[relation.target])
            rows.append(_attribute(dataset, relation.source, relation.name, owners, kind, values))
    for number in dataset.numeric:
        owners = number.node.numpy()
        values = len(number.number.unique())
        rows.append(_attribute(dataset, number.node_type, number.name, owners, "number", values))
    for one in (*dataset.features, *dataset.user_features):
        owners, kind = np.flatnonzero(one.known.numpy()), "words" if one.words else f"{one.vector.shape[1]:,} numbers"
        rows.append(_attribute(dataset, one.node_type, one.name, owners, kind, len(owners)))
    return rows


def _attribute(dataset: Dataset, owner: str, name: str, owners: np.ndarray, kind: str, values: int) -> dict[str, Any]:
    missing = 1 - len(np.unique(owners)) / len(dataset.ids[owner])
    return {"of": owner, "name": name, "kind": kind, "values": values, "edges": len(owners), "missing": missing}


def _quantiles(node: np.ndarray, size: int) -> dict[str, float]:
    """Quantiles of the number of interactions per node; those without any count as 0."""
    degree = np.quantile(np.bincount(node, minlength=size), QUANTILES)
    return {f"{quantile:g}": float(number) for quantile, number in zip(QUANTILES, degree, strict=True)}


def popularity_share(dataset: Dataset, seed: int = 0) -> dict[str, float] | None:
    """Share of the possible NDCG of unseen users that a ranking by popularity reaches.

    A fifth of the users is held out, items are ranked by their number of interactions with the other users, and the
    list is evaluated on the held-out users' interactions with items that any other user has an interaction with.
    `explained` is the NDCG on a scale from 0 for a random order to 1 for a perfect one.

    Args:
        dataset: the data.
        seed: of the permutation of users (numpy's `RandomState`, as in a split by `unseen_users` with test 0.2).

    Returns:
        `ndcg@10`, `chance` (expected `ndcg@10` of a random order) and `explained` = (ndcg - chance) / (1 - chance),
        means over the held-out users with any such item; `top_1_percent` and `top_10_percent`, the shares of the
        held-out interactions with the most popular 1 % and 10 % of the items. None where the data are too small to
        hold anything out.
    """
    user, item = dataset.interactions.user.numpy(), dataset.interactions.item.numpy()
    held_out = np.zeros(dataset.num_users, dtype=bool)
    order = np.random.RandomState(seed).permutation(dataset.num_users)
    held_out[order[: int(TEST_SHARE * dataset.num_users)]] = True
    count = np.bincount(item[~held_out[user]], minlength=dataset.num_items)
    rank = np.empty(dataset.num_items, dtype=np.int64)
    rank[np.argsort(-count, kind="stable")] = np.arange(dataset.num_items)
    candidates = int((count > 0).sum())

    wanted = held_out[user] & (count[item] > 0)
    if not wanted.any():
        return None
    place = rank[item[wanted]]  # [E] rank of each held-out item in the list
    _, row, relevant = np.unique(user[wanted], return_inverse=True, return_counts=True)
    discount = 1 / np.log2(np.arange(CUT) + 2)
    gain = np.where(place < CUT, discount[np.minimum(place, CUT - 1)], 0)
    ideal = np.cumsum(discount)[np.minimum(relevant, CUT) - 1]
    ndcg = float((np.bincount(row, gain) / ideal).mean())
    chance = float((relevant / candidates * discount[: min(CUT, candidates)].sum() / ideal).mean())
    return {
        "ndcg@10": ndcg,
        "chance": chance,
        "explained": (ndcg - chance) / (1 - chance) if chance < 1 else 0.0,
        "top_1_percent": float((place < candidates * 0.01).mean()),
        "top_10_percent": float((place < candidates * 0.1).mean()),
    }


def describe_text(description: dict[str, Any], width: int = 100) -> str:
    """The description as text.

    Args:
        description: what `describe` returns.
        width: characters in a line.
    """
    out = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False)
    d = description
    source = d["source"]
    out.print(f"{d['name']}" + (f": {source['title']}" if source else ""))
    out.print(
        f"{d['users']:,} users, {d['items']:,} items, {d['interactions']:,} interactions (density {d['density']:.3%})"
        + (", with times" if d["times"] else "")
        + (f", {d['skipped_rows']:,} rows skipped" if d["skipped_rows"] else "")
    )
    if d["skipped"]:
        out.print(f"left out: {d['skipped']}", soft_wrap=True)
    if d["value"]:
        out.print("values from {least:g} to {most:g}, mean {mean:.3g}".format(**d["value"]))
    if d["attributes"]:
        out.print(
            _table(
                ("attribute", "of", "kind", "values", "edges", "missing"),
                [
                    (a["name"], a["of"], a["kind"], f"{a['values']:,}", f"{a['edges']:,}", f"{a['missing']:.1%}")
                    for a in d["attributes"]
                ],
            )
        )
    if d["relations"]:
        rows = [(r["name"], r["source"], r["target"], f"{r['edges']:,}", _weight(r)) for r in d["relations"]]
        events = any(r["event_weight"] is not None for r in d["relations"])
        names = ("relation", "from", "to", "edges", "weight of an event")
        out.print(_table(names if events else names[:-1], rows if events else [row[:-1] for row in rows]))
    quantiles = [float(q) for q in d["degrees"][USER]]
    out.print(
        _table(
            ("interactions of a", *("least" if q == 0 else "most" if q == 1 else f"{q:.0%}" for q in quantiles)),
            [(node_type, *(f"{n:g}" for n in degree.values())) for node_type, degree in d["degrees"].items()],
        )
    )
    if p := d["popularity"]:
        out.print(
            f"Unseen users (a fifth): popularity has NDCG@10 {p['ndcg@10']:.4f}, a random order {p['chance']:.4f}, a "
            f"perfect one 1, so popularity explains {p['explained']:.1%}. The most popular 1 % of the items take "
            f"{p['top_1_percent']:.1%} of their interactions, the most popular 10 % take {p['top_10_percent']:.1%}."
        )
    if source:
        out.print(f"terms: {source['terms']}\ncite: {source['citation']}\nfrom: {source['page']}")
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    return table


def _weight(relation: dict[str, Any]) -> str:
    """The weight of an event, where an interaction weighs 1; empty for a relation that is none of events."""
    return "" if relation["event_weight"] is None else f"{relation['event_weight']:g}"
