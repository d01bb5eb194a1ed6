"""What the graph model was meant to reach, and what it reached: rows from the kept results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.protocols import Protocol
from experiments.render import LEVEL, NOT_MEASURED
from gnnrec.pairing import LOWER_IS_BETTER
from gnnrec.tables import DASH
from gnnrec.text_table import Table, latex_text

SEARCHED, DEFAULT = "graphsage-no-pretraining", "graphsage-default"
HEADER = ("protocol", "metric", "to beat", "target", "best baseline", "searched", "default", "default, lead", "met by")


@dataclass(frozen=True)
class Target:
    """A number that was aimed at before the runs.

    Attributes:
        protocol: its name.
        metric: as in results.
        to_beat: the best floor or published number that was known then.
        target: what is aimed at.
        searched: the config whose options were searched.
        over_best: in the place of a number, the share by which the best baseline is to be passed.
    """

    protocol: str
    metric: str
    to_beat: float | None
    target: float | None
    searched: str = SEARCHED
    over_best: float = 0.0


TARGETS = (
    Target("hetrec-lastfm", "precision@1", 0.5921, 0.62),
    Target("hetrec-lastfm", "precision@20", 0.3604, 0.378),
    Target("hetrec-lastfm", "map@100", 0.1853, 0.197),
    Target("hetrec-lastfm-friends", "precision@20", 0.3441, 0.358),
    Target("hetrec-lastfm-friends", "map@100", 0.1725, 0.182),
    Target("heater-lastfm", "ndcg@20", 0.388, 0.405),
    Target("ml-1m", "ndcg@10", 0.4174, 0.425),
    Target("renttherunway", "ndcg@10", 0.0690, 0.0720),
    Target("ml-100k", "ndcg@10", 0.4176, 0.424),
    Target("ta-feng", "ndcg@20", None, None, over_best=0.03),
    Target("ml-100k-agnn", "rmse", 1.0180, 1.012),
    Target("ml-100k-agnn", "mae", 0.8115, 0.808, "graphsage-absolute"),
    Target("ml-100k-rated", "rated_ndcg@10", 0.7068, 0.712),
    Target("ml-1m-rated", "rated_ndcg@10", 0.7491, 0.756),
    *(
        Target("ml-1m-shots", f"k{k}/ndcg@10", to_beat, target)
        for k, to_beat, target in ((1, 0.398, 0.455), (2, 0.430, 0.480), (5, 0.496, 0.520), (10, 0.507, 0.540))
    ),
)


def render_targets(kept: Sequence[tuple[Protocol, Mapping[str, Any]]], folder: Path) -> dict[Path, str]:
    """The files of the table: path -> text.

    Args:
        kept: protocols with their results.
        folder: where tables belong.
    """
    table = targets(kept)
    return {
        folder / "targets.md": table.markdown(),
        folder / "targets.tex": table.latex(),
        folder / "targets-caption.tex": latex_text(table.caption) + "\n",
    }


def targets(kept: Sequence[tuple[Protocol, Mapping[str, Any]]]) -> Table:
    """A row for each target of a protocol that has results."""
    by_name = {protocol.name: (protocol, content) for protocol, content in kept}
    cells = [_row(target, *by_name[target.protocol]) for target in TARGETS if target.protocol in by_name]
    missing = dict.fromkeys(target.protocol for target in TARGETS if target.protocol not in by_name)
    return Table(HEADER, cells, set(), _caption(list(missing)), [])


def _row(target: Target, protocol: Protocol, kept: Mapping[str, Any]) -> tuple[str, ...]:
    rows = kept["columns"].get(target.metric, NOT_MEASURED)["rows"]
    means = {name: row["mean"] for name, row in rows.items() if row is not None}
    main = kept["columns"][protocol.main]
    best = means.get(main["floor"])
    aim = target.target if target.target is not None or best is None else best * (1 + target.over_best)
    lead = main["to_floor"][DEFAULT]
    met = [
        word
        for word, name in (("searched", target.searched), ("default", DEFAULT))
        if name in means
        and _reached(target.metric, means[name], aim)
        and main["to_floor"][name]["p_value_holm"] < LEVEL
    ]
    return (
        protocol.title,
        target.metric,
        _number(target.to_beat),
        _number(aim),
        _number(best),
        _number(means.get(target.searched)),
        _number(means.get(DEFAULT)),
        f"{lead['mean']:+.4f} ({lead['low']:+.4f} to {lead['high']:+.4f}), p {lead['p_value_holm']:.4f}",
        " and ".join(met) or "none",
    )


def _reached(metric: str, mean: float, aim: float | None) -> bool:
    if aim is None:
        return False
    return mean <= aim if metric.rpartition("/")[2] in LOWER_IS_BETTER else mean >= aim


def _number(value: float | None) -> str:
    return DASH if value is None else f"{value:.4f}"


def _caption(missing: list[str]) -> str:
    text = (
        "What was aimed at before the runs, and what was reached, as means over seeds. To beat: the best floor or "
        "published number that was known. Best baseline: the one with the best mean in the metric that models are "
        "compared by, searched with the same budget. Lead: of the default options over the best baseline in that "
        "metric, 95 % interval, p after Holm's correction over the rows of the protocol's table. A target counts as "
        f"met where the number is reached and the lead of that row has p below {LEVEL}."
    )
    return text + (f" Not run in full yet: {', '.join(missing)}." if missing else "")
