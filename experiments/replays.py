"""Replays every config of a folder, keeps the small results, and renders the table of models and their policies.

python -m experiments.replays            every replay; goes on where it was broken off
python -m experiments.replays --render   the tables again, from the committed results
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from threadpoolctl import threadpool_limits

from experiments.keep import write_json
from experiments.protocols import CONFIGS, RESULTS, TABLES
from experiments.render import read_kept
from experiments.reproduce import err, start
from gnnrec.experiment.config import NamedConfig, read_config
from gnnrec.experiment.replay import DRAWS, SEEN, Replayed, replay
from gnnrec.experiment.results import config_checksum
from gnnrec.experiment.text_table import Table, latex_text
from gnnrec.runtime.versions import versions

REPLAYS = {"ml-100k-replay": "MovieLens-100K, replayed"}
"""Folder of configs -> title."""
INTERVAL_OF = ("newcomers", "old users")
GROUPS = (*(name for _, _, name in SEEN), *INTERVAL_OF)
"""Columns of the table."""
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    only_render: Annotated[bool, typer.Option("--render", help="Run nothing; render from what is kept.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of the replays.")] = Path("replays"),
) -> None:
    """Replays what comes after a moment, with every model and policy, one thread."""
    for name, title in REPLAYS.items():
        if not only_render:
            write_json(RESULTS / f"{name}.json", kept(name, title, out / name))
        for path, text in render(name, read_kept(RESULTS / f"{name}.json"), TABLES).items():
            path.write_text(text)


def kept(name: str, title: str, out: Path) -> dict[str, Any]:
    """Replays the configs of a folder; a window that is finished is not asked for again.

    Args:
        name: the folder's.
        title: for people.
        out: folder of the replays.

    Returns:
        What is committed.
    """
    rows: list[dict[str, Any]] = []
    shares: dict[str, Any] = {}
    runs: list[dict[str, Any]] = []
    for path in sorted((CONFIGS / name).glob("[!_]*.yaml")):
        config = read_config(path)
        with threadpool_limits(1):
            found = replay(config, out / config.name / str(config.config.seed), advance=err.print)
        rows += _rows(config, found)
        shares[config.name] = _shares(found)
        content = config.config.model_dump(mode="json", exclude={"base"})
        runs.append({"name": config.name, "config": content, "checksum": checksum_of(content), "versions": versions()})
    return {"protocol": name, "title": title, "rows": rows, "shares": shares, "runs": runs}


def checksum_of(config: Mapping[str, Any]) -> str:
    """Of what a replay computes: a run's keys, and those of `replay`."""
    return config_checksum({**config, "replayed": config["replay"]})


def _rows(config: NamedConfig, found: Replayed) -> list[dict[str, Any]]:
    metric = found.metrics[0]
    return [
        {
            "model": config.name,
            "policy": policy,
            "groups": {group: [round(x, 6) for x in part[metric]] for group, part in groups.items() if metric in part},
            "seconds": {key: round(value, 4) for key, value in found.seconds[policy].items()},
            "events": int((found.events["policy"] == policy).sum()),
        }
        for policy, groups in found.summary.items()
    ]


def _shares(found: Replayed) -> dict[str, Any]:
    """What `steps` keeps of the quality of `retrain`, and of `inductive`, with intervals; and its share of the time."""
    policies = set(found.events["policy"])
    if not {"steps", "retrain", "inductive"} <= policies:
        return {}
    new = found.events["newcomer"]
    return {
        "newcomers, of retrain": share_of(found.events[new], "steps", "retrain", found.metrics[0]),
        "old users, of retrain": share_of(found.events[~new], "steps", "retrain", found.metrics[0]),
        "old users, of inductive": share_of(found.events[~new], "steps", "inductive", found.metrics[0]),
        "seconds, of retrain": found.seconds["steps"]["update"] / found.seconds["retrain"]["update"],
    }


def share_of(events: pd.DataFrame, policy: str, other: str, metric: str) -> list[float]:
    """One policy's mean over another's, and the ends of its 95 % interval: users are drawn with all of their events."""
    sums = [events[events["policy"] == one].groupby("user")[metric].sum() for one in (policy, other)]
    both = pd.concat(sums, axis=1, keys=["own", "other"]).to_numpy()
    drawn = np.random.default_rng(0).integers(len(both), size=(DRAWS, len(both)))
    totals = both[drawn].sum(1)
    low, high = np.quantile(totals[:, 0] / totals[:, 1], [0.025, 0.975])
    return [round(float(x), 4) for x in (both[:, 0].sum() / both[:, 1].sum(), low, high)]


def render(name: str, content: Mapping[str, Any], folder: Path) -> dict[Path, str]:
    """The files of a table: path -> text.

    Args:
        name: of the folder of configs.
        content: as `kept` gives it.
        folder: where tables belong.
    """
    table = replay_table(content)
    return {
        folder / f"{name}.md": table.markdown(),
        folder / f"{name}.tex": table.latex(),
        folder / f"{name}-caption.tex": latex_text(table.caption) + "\n",
    }


def replay_table(content: Mapping[str, Any]) -> Table:
    """A row for each model and policy, the best for newcomers first."""
    rows = [row for row in content["rows"] if row["groups"]]  # frozen, some models cannot score anybody
    rows.sort(key=lambda row: -row["groups"]["newcomers"][0])
    groups = [group for group in GROUPS if any(group in row["groups"] for row in rows)]
    bold = set()
    for column, group in enumerate(groups):
        means = [row["groups"].get(group, [-1.0])[0] for row in rows]
        bold |= {(place, 2 + column) for place, mean in enumerate(means) if f"{mean:.4f}" == f"{max(means):.4f}"}
    cells = [
        (
            row["model"],
            row["policy"],
            *(_cell(row["groups"].get(group), group in INTERVAL_OF) for group in groups),
            *(f"{row['seconds'][key]:.2f}" for key in ("update", "score")),
        )
        for row in rows
    ]
    header = ("model", "policy", *groups, "update, s", "scores, s")
    return Table(header, cells, bold, _caption(content), rows=[])


def _cell(numbers: list[float] | None, interval: bool) -> str:
    if numbers is None:
        return "-"
    mean, low, high = numbers
    return f"{mean:.4f} ({low:.4f} to {high:.4f})" if interval else f"{mean:.4f}"


def _caption(content: Mapping[str, Any]) -> str:
    config = content["runs"][0]["config"]
    parts = [
        f"{content['title']}. NDCG@10 of the next item, a mean over {max(row['events'] for row in content['rows']):,} "
        f"events after the moment, each predicted before it is recorded, in {config['replay']['windows']} windows. "
        "First, second, ...: which event of a newcomer. Brackets: 95 % intervals, users drawn with all their events. "
        "Seconds for 1,000 events, one thread. frozen: nothing after the moment is known; inductive: each event is an "
        "edge at once, or folded in; steps: some steps of training after each window; retrain: fitted anew after each "
        "window. A model that cannot score users without items is measured on the other events alone. No option was "
        "searched.",
    ]
    for name, shares in content["shares"].items():
        if shares:
            quality = [f"{100 * mean:.1f} % ({100 * low:.1f} to {100 * high:.1f})" for mean, low, high in _of(shares)]
            parts.append(
                f"{name}, steps: for newcomers {quality[0]} of what retraining has, for old users {quality[1]} (of "
                f"inductive: {quality[2]}), in {100 * shares['seconds, of retrain']:.1f} % of the seconds."
            )
    return " ".join(parts)


def _of(shares: Mapping[str, Any]) -> list[list[float]]:
    return [shares[key] for key in ("newcomers, of retrain", "old users, of retrain", "old users, of inductive")]


if __name__ == "__main__":
    start(app)
