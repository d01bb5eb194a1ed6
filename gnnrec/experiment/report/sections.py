"""The sections about one protocol: tables, quality by known items, learning, who gains, examples."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from gnnrec.errors import InputError
from gnnrec.evaluation.metrics import higher_is_better
from gnnrec.evaluation.statistics import Difference
from gnnrec.experiment.paired import mean_with_interval, summary
from gnnrec.experiment.plots import Interval
from gnnrec.experiment.report import charts
from gnnrec.experiment.report.data import Splits
from gnnrec.experiment.report.examples import LENGTH, SEED, Example, UserList, examples
from gnnrec.experiment.report.groups import ACTIVITY, SMALLEST, Gain, Groups, evaluated, gains, groupings, served
from gnnrec.experiment.report.history import HISTORY, panels
from gnnrec.experiment.report.markup import Html, definitions, details, element, table, text, together
from gnnrec.experiment.report.protocols import Protocol, per_user_metrics
from gnnrec.experiment.tables import compare, mean_text, metrics_table
from gnnrec.experiment.text_table import Table

SHOTS = re.compile(r"k(\d+)/(.+)")
MANY = 12
"""Values or items of a user that are written out; of more, the number of the others."""
SPREAD = "Mean over seeds ± standard deviation; the best of a column is bold."
NO_METRIC = "No model here has a metric with a value per user, so there is nothing to compare user by user."


@dataclass(frozen=True)
class Part:
    """A protocol, and the number that makes the names of its charts unique in the page."""

    protocol: Protocol
    number: int

    @property
    def places(self) -> dict[str, int]:
        """Row -> its number."""
        return {name: place for place, name in enumerate(self.protocol.rows)}

    def name(self, chart: str) -> str:
        """Of one of its charts."""
        return f"{self.number}-{chart}"


def models(part: Part) -> Html:
    """All metrics, and the comparison with the reference."""
    protocol = part.protocol
    every = metrics_table(protocol.results)
    content = [_table(replace(every, caption=f"{SPREAD} {every.caption}"))]
    if protocol.metric is None or protocol.reference is None:
        return together([*content, _note(NO_METRIC)])
    metric, first = protocol.metric, protocol.reference
    if len(protocol.compared) > 1:
        runs = [run for group in protocol.compared.values() for run in group]
        content.append(_table(_with_interval(compare(runs, reference=first, metric=metric), protocol, metric)))
    else:
        found = summary([run.result for run in protocol.rows[first]], metric)
        cells = (first, mean_text(found), _interval_text(_mean(protocol, first, metric)))
        header = ("model", metric, "95 % interval of the mean")
        content.append(table(f"{metric} of the one model here; paired bootstrap over users.", header, [cells]))
    content += [_note(f"Not compared: {why}.") for why in protocol.apart.values()]
    return together(content)


def known_items(part: Part) -> Html:
    """Quality by the number of known items, where the runs were measured with several."""
    protocol, metric = part.protocol, part.protocol.metric
    shots = SHOTS.fullmatch(metric or "")
    lines: dict[str, dict[float, Interval]] = {}
    plain = shots[2] if shots else ""
    for name, group in protocol.rows.items():
        for one in per_user_metrics(group):
            found = SHOTS.fullmatch(one)
            if found and found[2] == plain:
                lines.setdefault(name, {})[float(found[1])] = _ends(mean_with_interval(group, one))
    every = sorted({x for line in lines.values() for x in line})
    if len(every) < 2:
        return _soft(
            "These runs were measured with one number of known items. `evaluate.shots` in a config, for example "
            "[0, 1, 2, 5, 10], measures the same users with several."
        )
    title = f"{plain} of {len(lines)} models by the number of known items, with 95 % intervals"
    said = f"{plain} after so many first choices of each user are known. Bands: 95 % intervals, bootstrap over users."
    if protocol.config.get("split", {}).get("target") == "next":
        said += " Each number of known items asks for another item, the next one."
    rows = [(name, *(_interval_text(line.get(x)) for x in every)) for name, line in lines.items()]
    numbers = table(f"{plain} with 95 % intervals", ("model", *(f"{x:g} known" for x in every)), rows)
    return _figure(charts.shot_curve(lines, plain, part.places, part.name("shots"), title), said, numbers)


def learning(part: Part) -> Html:
    """Loss and validation metrics, epoch by epoch."""
    found, notes = panels(part.protocol.rows)
    content = [_note(note) for note in notes]
    if not found:
        return together([*content, _soft(f"No model here trains in epochs ({HISTORY} has none).")])
    labels = dict.fromkeys([*part.places, *(label for panel in found for label in panel.lines)])
    places = {label: place for place, label in enumerate(labels)}
    shown = []
    for number, panel in enumerate(found):
        title = f"{panel.value} by epoch, {panel.title}, of {', '.join(panel.lines)}"
        said = f"{panel.value}: {panel.title}" + (f", {next(iter(panel.lines))}" if len(panel.lines) == 1 else "")
        chart = charts.learning_curves(panel.lines, panel.value, places, part.name(f"learning-{number}"), title)
        shown.append(element("figure", chart, element("figcaption", said)))
    said = (
        "A line for each seed, and for each restart where a stage has several. All but the loss is of validation data."
    )
    return together([*content, _soft(said), element("div", together(shown), class_="charts")])


def groups_served(part: Part, splits: Splits) -> Html:
    """How well each model serves each group of users, the worst group and the gap."""
    protocol, metric = part.protocol, part.protocol.metric
    if metric is None or protocol.reference is None:
        return _soft(NO_METRIC)
    try:
        dataset = splits.of(protocol.rows[protocol.reference][0]).dataset
    except InputError as error:
        return _note(f"The data cannot be read: {error}")
    better = higher_is_better(metric) is not False
    users = evaluated(protocol.rows[protocol.reference])
    content = [
        _soft(
            f"{metric} of the users of each group, with 95 % intervals (bootstrap over users), the worst group of each "
            "model, and how far its best and worst group lie apart. The largest of several noisy differences is above "
            "0 also where all groups are served alike."
        )
    ]
    for by, groups in groupings(dataset, users).items():
        rows = []
        for name, runs in protocol.rows.items():
            found = served(runs, groups, metric, higher_is_better=better) if metric in runs[0].per_user else None
            if found is not None:
                means = [found.means.get(group) for group, _ in groups]
                cells = ["-" if one is None else _value_text(_ends(one[1])) for one in means]
                rows.append((name, *cells, found.worst, _value_text(found.gap)))
        counts = [len(users & members) for _, members in groups]
        header = ("model", *(f"{g} ({n})" for (g, _), n in zip(groups, counts, strict=True)), "worst", "gap")
        if rows:
            content.append(table(f"{metric} by {by}; the number of users in brackets", header, rows))
    if len(content) == 1:
        return _soft(f"The users have no attribute that makes two groups of {SMALLEST} users or more.")
    return together(content)


def who_gains(part: Part, splits: Splits) -> Html:
    """Differences to the reference by activity and by attributes."""
    protocol, first, metric = part.protocol, part.protocol.reference, part.protocol.metric
    if first is None or metric is None:
        return _soft(NO_METRIC)
    if len(protocol.compared) < 2:
        return _soft(f"There is no other model to compare with {first}.")
    users = evaluated(protocol.rows[first])
    found: dict[str, Groups] = {}
    notes: dict[str, None] = {}
    for name, group in protocol.compared.items():
        try:
            dataset = splits.of(group[0]).dataset
        except InputError as error:
            notes[f"The data of {name} cannot be read: {error}"] = None
            continue
        for by, groups in groupings(dataset, users).items():
            found.setdefault(by, groups)
    better = {True: "above 0 is better", False: "below 0 is better", None: ""}[higher_is_better(metric)]
    said = (
        f"Difference of {metric} to {first}, user by user{', ' if better else ''}{better}: mean with 95 % interval, "
        f"bootstrap over users. Groups of fewer than {SMALLEST} users are joined into others. "
        "Interactions are all that a user has, held-out ones too. The intervals are not "
        "corrected for the number of groups: one interval that leaves out 0 is no proof."
    )
    content = [*map(_note, notes), _soft(said)]
    for number, (by, groups) in enumerate(found.items()):
        content.append(_gain_figure(part, by, gains(protocol, groups), number))
    if not found and not notes:
        content.append(_soft("There are no two groups of users that are large enough."))
    elif list(found) == [ACTIVITY]:
        content.append(_soft(f"The users have no attribute that makes two groups of {SMALLEST} users or more."))
    return together(content)


def example_users(part: Part, splits: Splits) -> Html:
    """A few test users with the lists of all models."""
    protocol = part.protocol
    if protocol.reference is None:
        return _soft("No model here has evaluated users.")
    try:
        seed, shown, notes = examples(protocol, splits)
    except InputError as error:
        return _note(f"There are no examples: {error}")
    said = (
        f"{len(shown)} of the test users of seed {seed}, drawn with the fixed seed {SEED}, not by their results. The "
        f"lists of {LENGTH} are ranked as they were measured, and hits are held-out items. Small print: what of the "
        "user holds an item's score up, and by how much the score falls without it, on the model's own scale. Choose "
        "nothing by these users: they are test users."
    )
    return together([*map(_note, notes), _soft(said), *(_example(one, protocol.metric) for one in shown)])


def _gain_figure(part: Part, by: str, found: Iterable[Gain], number: int) -> Html:
    first, metric = part.protocol.reference, part.protocol.metric
    found = list(found)
    groups = [(gain.group, gain.users, {n: _ends(d) for n, d in gain.differences.items()}) for gain in found]
    names = [name for name in part.protocol.compared if name != first]
    rows = [
        (gain.group, str(gain.users), *(_interval_text(_ends(gain.differences[name]), "+") for name in names))
        for gain in found
    ]
    title = f"Difference of {metric} to {first} by {by}, {len(found)} groups, with 95 % intervals"
    numbers = table(f"Difference of {metric} to {first}, with 95 % intervals", (by, "users", *names), rows)
    chart = charts.forest(groups, f"difference of {metric}", part.places, part.name(f"gain-{number}"), title)
    return _figure(chart, f"By {by}; the number of users in brackets.", numbers)


def _example(example: Example, metric: str | None) -> Html:
    def several(values: tuple[str, ...]) -> str:
        rest = len(values) - MANY
        return ", ".join(values[:MANY]) + (f" and {rest} more" if rest > 0 else "") or "nothing"

    facts = [
        *((name, several(values)) for name, values in example.profile.items()),
        (f"known items ({len(example.known)})", several(example.known[::-1])),
        (f"held-out items ({len(example.held_out)})", several(example.held_out)),
    ]
    lists = element("div", together(_list(*one, metric) for one in example.lists.items()), class_="lists")
    summary = element("summary", f"User {example.user}")
    return element("details", summary, definitions(facts), lists, class_="user", open="")


def _list(model: str, found: UserList, metric: str | None) -> Html:
    heading = element("h5", model)
    if not found.places:
        return element("div", heading, _soft("It cannot score a user without known items."))
    hits = sum(place.hit for place in found.places)
    value = "" if found.value is None or metric is None else f", {metric} {found.value:.4f}"
    items = []
    for place in found.places:
        told = ", ".join(f"{relation} {value} +{weight:.3g}" for relation, value, weight in place.reasons)
        content = [place.item, *([" ", element("strong", "✓\u00a0hit")] if place.hit else [])]
        items.append(
            element(
                "li",
                *content,
                *([element("small", told)] if told else []),
                **({"class_": "hit"} if place.hit else {}),
            )
        )
    count = f"{hits} {'hit' if hits == 1 else 'hits'}{value}"
    return element("div", heading, element("p", count, class_="soft"), element("ol", *items))


def _with_interval(found: Table, protocol: Protocol, metric: str) -> Table:
    """The table of `compare` with the interval of each mean as one more column."""
    cells: list[tuple[str, ...]] = [
        (*row[:2], _interval_text(_mean(protocol, row[0], metric)), *row[2:]) for row in found.cells
    ]
    header = (*found.header[:2], "95 % interval of the mean", *found.header[2:])
    return replace(found, header=header, cells=cells)


def _mean(protocol: Protocol, name: str, metric: str) -> Interval:
    return _ends(mean_with_interval(protocol.rows[name], metric))


def _ends(found: Difference) -> Interval:
    return found.mean, found.low, found.high


def _interval_text(found: Interval | None, sign: str = "") -> str:
    """An interval as the cell of a table; with a sign the mean stands before it."""
    if found is None:
        return "-"
    mean, low, high = (f"{number:{sign}.4f}" for number in found)
    return f"{mean} ({low} to {high})" if sign else f"{low} to {high}"


def _value_text(found: Interval) -> str:
    mean, low, high = found
    return f"{mean:.4f} ({low:.4f} to {high:.4f})"


def _table(found: Table) -> Html:
    return table(found.caption, found.header, found.cells, found.bold)


def _figure(chart: Html, said: str, numbers: Html) -> Html:
    return together([element("figure", chart, element("figcaption", said)), details("The numbers", numbers)])


def _soft(said: str) -> Html:
    """A remark; what stands between ` marks is code."""
    parts = said.split("`")
    return element("p", *(element("code", p) if i % 2 else text(p) for i, p in enumerate(parts)), class_="soft")


def _note(said: str) -> Html:
    """Something that is missing in the page, and why."""
    return element("p", said, class_="note")
