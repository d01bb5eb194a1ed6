"""The page: what is compared, the sections of each protocol, and where every number comes from."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from gnnrec.errors import InputError
from gnnrec.experiment.report import sections
from gnnrec.experiment.report.data import Splits
from gnnrec.experiment.report.markup import Html, definitions, details, element, together
from gnnrec.experiment.report.protocols import Protocol, protocols
from gnnrec.experiment.report.style import STYLE
from gnnrec.experiment.results import Run, find_runs, read_run
from gnnrec.runtime.files import replace_file, writing_to

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""What a browser may fetch for the page, and run in it: nothing."""
TITLE = "Report on runs"


def write_report(
    runs: Iterable[Path], to: Path, reference: str | None = None, metric: str | None = None
) -> list[Protocol]:
    """Writes one HTML file about finished runs; the same runs give the same bytes.

    Args:
        runs: folders of runs, or folders that hold some.
        to: the file; its name ends in .html.
        reference: name or folder of the model that others are compared with; left out, the best baseline.
        metric: to compare by; left out, the first one with a value per user.

    Returns:
        What is in the page.

    Raises:
        InputError: there is no finished run, one cannot be read, two are the same, or the file cannot be written.
    """
    if to.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out: {to}: the name must end in .html")
    found = protocols([read_run(folder) for folder in find_runs(runs)], reference, metric)
    content = page(found).encode("utf-8", "backslashreplace")
    with writing_to(to):
        to.parent.mkdir(parents=True, exist_ok=True)
        replace_file(to, content)
    return found


def page(found: Sequence[Protocol]) -> str:
    """The whole page."""
    splits = Splits()
    parts = [
        _part(sections.Part(protocol, number), f"protocol-{number}", splits)
        for number, protocol in enumerate(found, start=1)
    ]
    links = [
        element("li", element("a", _heading(protocol), href=f"#protocol-{number}"))
        for number, protocol in enumerate(found, start=1)
    ]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{TITLE}: {'; '.join(protocol.title for protocol in found)}"),
        element("style", Html(STYLE)),
    )
    said = "Runs of other data, or of another split, stand in parts of their own: their numbers cannot be compared."
    warned = [element("p", f"While data were read: {one}", class_="note") for one in splits.warnings]
    main = element(
        "main",
        element("h1", TITLE),
        *([element("p", said), element("nav", element("ul", *links), aria_label="Parts")] if len(found) > 1 else []),
        *warned,
        together(parts),
    )
    return f"<!doctype html>\n{element('html', head, element('body', main), lang='en')}\n"


def _part(part: sections.Part, name: str, splits: Splits) -> Html:
    protocol = part.protocol
    content = [
        element("h2", _heading(protocol), id=name),
        definitions(_about(protocol)),
        element("h3", "Models"),
        sections.models(part),
        element("h3", "Quality by known items"),
        sections.known_items(part),
        element("h3", "Learning curves"),
        sections.learning(part),
        element("h3", "Groups of users"),
        sections.groups_served(part, splits),
        element("h3", "Who gains"),
        sections.who_gains(part, splits),
        element("h3", "Example users"),
        sections.example_users(part, splits),
        element("h3", "Configs and provenance"),
        together(_provenance(run, group[0]) for group in protocol.rows.values() for run in group),
    ]
    return element("section", together(content), aria_labelledby=name)


def _heading(protocol: Protocol) -> str:
    models, runs = len(protocol.rows), sum(map(len, protocol.rows.values()))
    return f"{protocol.title}: {models} {'model' if models == 1 else 'models'}, {runs} {'run' if runs == 1 else 'runs'}"


def _about(protocol: Protocol) -> list[tuple[str, str]]:
    """What the runs have in common."""
    seeds = sorted({run.result.seed for group in protocol.rows.values() for run in group})
    common = [(name, _short(protocol.config.get(name))) for name in ("data", "split", "evaluate")]
    return [
        *((name, told) for name, told in common if told),
        ("seeds", ", ".join(map(str, seeds))),
        ("compared by", protocol.metric or "no metric has a value per user"),
        ("reference", protocol.reference or "none"),
    ]


def _short(value: Any) -> str:
    """A value of a config in one line, without what is not set."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_nested(one)}" for key, one in value.items() if one not in (None, {}, []))
    return "" if value is None else ", ".join(map(_nested, value)) if isinstance(value, list) else str(value)


def _nested(value: Any) -> str:
    return f"({_short(value)})" if isinstance(value, dict) else _short(value)


def _provenance(run: Run, first: Run) -> Html:
    """Where one run's numbers come from; the config that a row's runs share is written out once."""
    result = run.result
    skipped = f"{result.skipped_rows} rows, {result.skipped_values} values"
    facts = [
        ("folder", str(run.folder)),
        ("users", f"{result.users}; left out without a target: {result.users_without_target}"),
        ("data left out", skipped if result.skipped_rows or result.skipped_values else "none"),
        ("chosen on validation users", _short(result.chosen) or "nothing"),
        ("seconds", ", ".join(f"{what} {seconds:g}" for what, seconds in result.seconds.items())),
        ("peak memory", f"{result.peak_rss_mb:g} MiB"),
        *((f"SHA-256 of {what}", element("code", value)) for what, value in result.checksums.items()),
        ("versions", ", ".join(f"{what} {version}" for what, version in result.versions.items())),
    ]
    of_run = ("seed", "base")
    ours, theirs = ({k: v for k, v in one.result.config.items() if k not in of_run} for one in (run, first))
    if run is not first and ours == theirs:
        config = element("p", f"The config is that of seed {first.result.seed}, with seed {result.seed}.")
    else:
        told = yaml.safe_dump(result.config, sort_keys=False, allow_unicode=True, width=100)
        config = element("pre", told, tabindex="0")
    return details(f"{result.name}, seed {result.seed}", definitions(facts), config)
