"""What finished runs lose and gain by re-ranking: each method at several strengths, on the users of the runs."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from gnnrec.audit.test_access import TestAccess, record_test_access
from gnnrec.errors import ConfigError
from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
from gnnrec.evaluation.metrics import METRICS
from gnnrec.experiment.report.data import Splits
from gnnrec.experiment.results import Result, Run, find_runs, read_run
from gnnrec.reranking.around import Around
from gnnrec.reranking.kind import Reranking
from gnnrec.reranking.reranked import Reranked
from gnnrec.serving.artifact import load
from gnnrec.splits.parts import TEST
from gnnrec.splits.split import Split
from gnnrec.views import ITEM, USER

PLAIN = "not re-ranked"
"""The row of the model's own lists, also of a run whose lists were in another order."""
METHODS = ("mmr", "dpp", "calibrated", "fair", "less_popular", "plackett_luce")
NEED_ATTRIBUTES = ("mmr", "dpp", "calibrated")
STRENGTHS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
BESIDE = ("coverage", "gini", "average_popularity", "long_tail_share")
OF_ATTRIBUTES = ("miscalibration", "intra_list_diversity")
"""What is measured besides, where items have attributes."""
BESIDES = (*BESIDE, *OF_ATTRIBUTES, "exposure_gap")


def tradeoff(
    folders: Sequence[Path],
    methods: Sequence[str] = (),
    strengths: Sequence[float] = STRENGTHS,
    tell: Callable[[str], object] = lambda text: None,
) -> list[Run]:
    """Evaluates the saved model of each run again, its lists in other orders. Nothing is trained.

    The test users are those of the runs, so a strength that is picked by the numbers is picked on test users; for a
    table, `rerank: {strength: choose}` picks it on validation users.

    Args:
        folders: run folders, or folders that hold some; of one model, with different seeds.
        methods: names of re-rankings; none for all that the data allow.
        strengths: from 0 to 1.
        tell: called with each row that is done.

    Returns:
        For each run one `Run` without any re-ranking, and one for each method and strength, named after these.

    Raises:
        ConfigError: an unknown method or strength, runs of different models, or a run that ranks no lists.
    """
    runs = [read_run(folder) for folder in find_runs(folders)]
    models = {json.dumps([run.result.name, run.result.config["model"]]) for run in runs}
    if len(models) > 1:
        names = sorted({f"{run.result.name} ({run.result.config['model']['class']})" for run in runs})
        raise ConfigError(f"the runs are of {len(models)} models: {', '.join(names)}; name those of one")
    splits, found = Splits(), []
    for run in runs:
        assert run.folder is not None
        split = splits.of(run)
        model = load(run.folder).model
        model = model.model if isinstance(model, Reranked) else model
        has_attributes = any(r.source == ITEM and r.target != ITEM for r in split.full.relations)
        ways = _ways(methods, strengths, has_attributes=has_attributes)
        measured = _measured(run.result, has_attributes=has_attributes)
        record_test_access(run.folder.resolve().parents[1], _access(run.result))
        for name, how in ({PLAIN: None} | ways).items():
            reranked = model if how is None else Reranked(model, how).attached(split.full)
            found.append(_evaluated(name, run, reranked, split, measured, how))
            tell(f"{run.result.name} {run.result.seed}: {name}")
    return found


Points = dict[str, dict[str, list[tuple[float, float]]]]


def lines(runs: Sequence[Run]) -> tuple[Points, dict[str, tuple[float, float]], str]:
    """The means over seeds as `gnnrec.experiment.plots.tradeoffs` draws them: panels, their start, the first metric.

    Args:
        runs: as of `tradeoff`.
    """
    first, *others = [name for name, value in runs[0].result.metrics.items() if value is not None]
    length = first.rpartition("@")[2]
    others = [name for name in others if name.endswith(f"@{length}") and name.partition("@")[0] in BESIDES]
    rows: dict[str, list[Result]] = {}
    for run in runs:
        rows.setdefault(run.result.name, []).append(run.result)

    def mean(row: str, metric: str) -> float:
        return fmean(value for result in rows[row] if (value := result.metrics[metric]) is not None)

    panels: Points = {metric: {} for metric in others}
    for row in rows:
        for metric in others if row != PLAIN else ():
            points = panels[metric].setdefault(row.rpartition(" ")[0], [])
            points.append((mean(row, first), mean(row, metric)))
    return panels, {metric: (mean(PLAIN, first), mean(PLAIN, metric)) for metric in others}, first


def _ways(methods: Sequence[str], strengths: Sequence[float], *, has_attributes: bool) -> dict[str, Reranking | None]:
    possible = [name for name in METHODS if has_attributes or name not in NEED_ATTRIBUTES]
    for name in methods:
        if name not in METHODS:
            raise ConfigError(f"--method: unknown value {name!r}. Allowed: {', '.join(METHODS)}")
    for strength in strengths:
        if not 0 < strength <= 1:
            raise ConfigError(f"--strengths: {strength:g} is not allowed; it should be above 0 and at most 1")
    if not strengths:
        raise ConfigError("--strengths: name at least one, for example 0.1,0.3")
    return {
        f"{name} {strength:g}": Around.model_validate({"rerank": {"method": name, "strength": strength}}).rerank
        for name in (methods or possible)
        for strength in strengths
    }


def _measured(result: Result, *, has_attributes: bool) -> EvaluateConfig:
    own = EvaluateConfig.model_validate(result.config["evaluate"])
    if own.kind != "lists" or own.shots is not None:
        raise ConfigError(
            f"{result.name}: needs runs that were measured on lists, and on one number of known items; "
            + (
                "its config has evaluate.shots: run it without"
                if own.shots is not None
                else f"its config has evaluate.metrics: {own.metrics[0]}; run it with ndcg"
            )
        )
    more = [*BESIDE, *(OF_ATTRIBUTES if has_attributes else ())]
    kept = [name for name in own.metrics if METRICS[name].kind == "lists"]
    return own.model_copy(update={"metrics": list(dict.fromkeys([*kept, *more]))})


def _evaluated(name: str, run: Run, model: Any, split: Split, measured: EvaluateConfig, how: Reranking | None) -> Run:
    before = run.result
    candidates = split.candidates(TEST, split.full)
    evaluation = evaluate(model, split.test, candidates, measured, before.seed, split.full)
    rerank: Mapping[str, Any] | None = None if how is None else how.model_dump(mode="json")
    result = before.model_copy(
        update={
            "name": name,
            "metrics": evaluation.metrics,
            "checksums": {**before.checksums, "evaluation": evaluation.checksum},
            "config": {**before.config, "evaluate": measured.model_dump(mode="json"), "rerank": rerank},
        }
    )
    per_user = evaluation.per_user.assign(user=split.dataset.ids[USER][evaluation.per_user["user"]])
    return replace(run, result=result, per_user=per_user, folder=None)


def _access(result: Result) -> TestAccess:
    return TestAccess(
        config=result.name,
        seed=result.seed,
        split_checksum=result.checksums["split"],
        config_checksum=result.checksums["config"],
        why="the lists of a finished run in other orders",
    )
