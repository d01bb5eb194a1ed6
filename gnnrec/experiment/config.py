"""RunConfig: everything that one run depends on, read from YAML; unknown keys are refused."""

import itertools
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gnnrec.data.config import DataConfig
from gnnrec.data.textfile import LARGEST
from gnnrec.errors import ConfigError
from gnnrec.evaluation.evaluator import EvaluateConfig
from gnnrec.evaluation.metrics.metric_input import KINDS
from gnnrec.experiment.extends import BASE, BASE_PREFIX, EXTENDS, ConfigFile, read_file
from gnnrec.models.erased import EraseConfig
from gnnrec.options.messages import join, keys_of, one_line, short
from gnnrec.options.resolve import build, complete_options, resolve
from gnnrec.reranking import RerankConfig
from gnnrec.reranking.around import Around
from gnnrec.runtime.devices import DeviceName, Precision
from gnnrec.splits import SplitConfig
from gnnrec.splits.kind import SplitKind
from gnnrec.training.tracking import WandbConfig

MODELS = "gnnrec.models.registry"
Policy = Literal["frozen", "inductive", "steps", "retrain"]
DEEPEST = 50
"""Mappings and lists that a value of a config may lie within."""
RESOLVER = re.compile(r"\$\{[^}]*:|\$\{\s*\$")
"""An interpolation that calls a function of OmegaConf."""
MODELINE = "# yaml-language-server: "
"""What the line at the head of a config begins with that names the schema for editors, see `gnnrec schema`."""


class TrackingConfig(BaseModel):
    """Where a run reports to besides its own files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wandb: WandbConfig | None = None
    """Weights & Biases; left out, only files are written."""


class TrainerConfig(BaseModel):
    """Where a model trains."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    devices: int = Field(1, ge=1)
    """Processes on all machines together, on GPUs one for each; several of them are started by torchrun."""
    device: DeviceName = "auto"
    """Device of weights, vectors and edges; `auto` takes a GPU where there is one."""
    precision: Precision = 32
    """Bits of the matrix products of training steps: 32, or `bf16` for bfloat16. Weights and scores keep 32."""


class ReplayConfig(BaseModel):
    """How what comes after the moment is replayed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    windows: int = Field(10, ge=1)
    """Parts of the events after the moment, about equally many in each; a model may change between two of them."""
    policies: tuple[Policy, ...] = Field(("frozen", "inductive", "steps", "retrain"), min_length=1)
    """`frozen` knows what was known at the moment: of newcomers their attributes. `inductive` knows each event at once,
    as an edge, and its weights stay. `steps` also takes in each window, and trains so many steps on it with a replay of
    old events. `retrain` is fitted anew on all that is past."""
    steps: int = Field(20, ge=0)
    """Steps of training after each window, of the policy `steps`."""
    learning_rate: float | None = Field(None, gt=0)
    """Of these steps; left out, a tenth of the model's own."""
    retrain_every: int = Field(1, ge=1)
    """Windows between two fits of the policy `retrain`."""


class TuningConfig(BaseModel):
    """How much a search for better options may cost: it ends with whichever comes first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trials: int = Field(20, ge=1)
    """Trials, failed ones included; the first one has the config's own options."""
    minutes: float = Field(5.0, gt=0)
    """Time of all trials together, whoever ran them; a trial that has begun is finished."""
    metric: str | None = None
    """What to choose by, `ndcg@10` for example; left out, the first of `evaluate`. Where there are shots, its mean."""


class ServeConfig(BaseModel):
    """How a finished run answers for one user after the other."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    index_from: int = Field(1_000_000, ge=1)
    """Ranked items from which on lists come from an index (faiss) instead of from every item's score, where scores are
    inner products: GraphSAGE alone, no blend."""


class Expected(BaseModel):
    """A number that the config is known to give."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: float
    """Mean over the seeds."""
    within: float = Field(gt=0)
    """How far the mean over the seeds at hand may lie from it."""


class RunConfig(BaseModel):
    """One complete run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(0, ge=0, lt=2**32)
    """Source of every random number of the run."""
    data: DataConfig
    """What to learn from."""
    split: SplitConfig
    """Who is held out."""
    shuffle_attributes: bool = False
    """A control: every user gets the attributes and friends of another one, held-out users too. Nothing is left to
    learn from them, so a model must fall back to popularity."""
    model: dict[str, Any]
    """`class`, and the options of its constructor."""
    erase: EraseConfig | None = None
    """An attribute of users that the model is not to know, and not to find out from others."""
    rerank: RerankConfig | None = None
    """How the best items of each list are put into another order: for diversity, calibration or exposure."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """What is measured."""
    trainer: TrainerConfig = TrainerConfig()
    """How many processes train, on which device."""
    tracking: TrackingConfig = TrackingConfig()
    """Where to report to."""
    tuning: TuningConfig = TuningConfig()
    """Budget of `gnnrec tune`."""
    replay: ReplayConfig = ReplayConfig()
    """What `gnnrec replay` does with what comes after the moment of a split by time."""
    serve: ServeConfig = ServeConfig()
    """How `gnnrec recommend` finds the best items."""
    expected: dict[str, Expected] = Field(default_factory=dict)
    """Metric -> the number that the seeds of the tables give, for `gnnrec run --check`."""
    base: Path = Path()
    """Folder that paths in the config start from, itself relative to the config file."""


@dataclass(frozen=True)
class NamedConfig:
    """A config, and where it was read from.

    Attributes:
        name: the file's name without its ending; a row of a table.
        config: the complete config, checked.
        folder: absolute folder that its paths start from.
        said: the keys of the file and of what it extends, overrides included, without any default. Complete in itself:
            written to another file, it needs none of those that it came from.
        own: the keys of the file itself, `extends` included, without overrides.
        head: the lines of comment that the file begins with.
    """

    name: str
    config: RunConfig
    folder: Path
    said: Mapping[str, Any] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)
    head: tuple[str, ...] = ()

    def model(self, replaced: Mapping[str, Any] | None = None) -> Any:
        """A new model with the config's options.

        Args:
            replaced: what replaces the config's options: arguments of the constructor, as `best_params` has them, or
                options by dotted keys, for example `{"finetune.epochs": 37}`.
        """
        replaced = dict(replaced or {})
        own = self.config.model_dump(mode="json", include={"erase", "rerank"})
        own |= {"rerank": replaced.pop("rerank")} if "rerank" in replaced else {}
        inside = {key: replaced.pop(key) for key in [*replaced] if key.startswith("rerank.")}
        around = Around.model_validate(replace_options(own, inside))
        dotted = {k: v for k, v in replaced.items() if "." in k}
        plain = replace_options({k: v for k, v in self.config.model.items() if k != "class"}, dotted)
        plain |= {k: v for k, v in replaced.items() if "." not in k}
        plain = _with_paths(plain, self.folder)
        return around.put(build(resolve(self.config.model["class"], MODELS), plain, self.name, "model"))

    @property
    def options(self) -> dict[str, Any]:
        """The options of the model, complete, as its constructor gets them: what it chose is told from these."""
        own = _with_paths({k: v for k, v in self.config.model.items() if k != "class"}, self.folder)
        how = self.config.rerank
        return own if how is None else {**own, "rerank": how.model_dump(mode="json")}

    @property
    def split(self) -> SplitKind:
        """The split, with the paths of files of users made absolute."""
        return self.config.split.with_folder(self.folder)

    def written(self, folder: Path) -> dict[str, Any]:
        """The complete config as a run's folder holds it: paths start from where they did."""
        plain = self.config.model_dump(mode="json", by_alias=True)
        return {**plain, "base": os.path.relpath(self.folder, folder)}

    def with_seed(self, seed: int) -> "NamedConfig":
        """The same config with another seed."""
        return replace(self, config=self.config.model_copy(update={"seed": seed}), said={**self.said, "seed": seed})


def read_config(path: Path, overrides: Sequence[str] = ()) -> NamedConfig:
    """Reads and checks a config; the model's class and options, its layer included, are checked too.

    Args:
        path: a YAML file; what it extends is merged below its own keys.
        overrides: `key=value` with dotted keys, the value read as YAML, for example `model.encoder.channels=32`. A
            mapping replaces the one that stands there: `model.encoder.layer_options={}` leaves no option.

    Raises:
        ConfigError: a file is missing or broken, is a base of others, or holds something that is not allowed. The
            message begins with the file that the mistake stands in.
    """
    if path.name.startswith(BASE_PREFIX) and path.is_file():
        raise ConfigError(
            f"{path}: is a base of other configs and no complete run, since its name begins with {BASE_PREFIX!r}; name "
            f"the configs that extend it, for example {path.parent / '[!_]*.yaml'}"
        )
    file = read_file(path)
    try:
        changes = [(key, yaml.safe_load(value)) for key, _, value in (o.partition("=") for o in overrides)]
        if any(key == EXTENDS for key, _ in changes):
            raise ConfigError(f"{path}: {EXTENDS}: is no override; write it into a config file, and run that one")
        raw = OmegaConf.create(file.merged(dict(changes).get(BASE)))
        for key, value in changes:
            OmegaConf.update(raw, key, value, merge=False, force_add=True)
        check_values(OmegaConf.to_container(raw, resolve=False), str(path))
        plain = _to_plain(raw)
    except (OmegaConfBaseException, yaml.YAMLError, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigError(f"{path}: cannot be read: it is nested too deeply") from None
    of_run = path.name == "config.yaml" and path.resolve().parent.name.isdecimal()
    name = path.resolve().parent.parent.name if of_run else path.stem
    if name.strip(".") == "":
        raise ConfigError(f"{path}: a run's folder is called as its config, and {name!r} is none; rename the file")
    try:
        checked = check_config(plain, str(path), name, file.folder)
    except ConfigError as error:
        raise _of_its_file(error, file, [key for key, _ in changes]) from None
    lines = itertools.takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
    return replace(checked, said=plain, own=file.own, head=tuple(lines))


def check_values(value: Any, where: str, keys: tuple[str, ...] = ()) -> None:
    """Refuses what no key of a config can mean, wherever it stands.

    Args:
        value: nested mappings and lists, with interpolations as written.
        where: what an error message begins with.
        keys: that lead to the value.

    Raises:
        ConfigError: a number beyond 64 bits, beyond float32 or none at all (`.inf`, `.nan`), values within more than
            `DEEPEST` others, or an interpolation of something else than another key: `${oc.env:NAME}` would write a
            secret into every result.
    """
    problem = ""
    if len(keys) > DEEPEST:
        keys, problem = keys[:3], f"holds values within more than {DEEPEST} others; make it flatter"
    elif isinstance(value, str) and RESOLVER.search(value):
        problem = f"{short(value)} is not allowed; write the value itself, or `${{key}}` for that of another key"
    elif isinstance(value, int) and abs(value) >= 2**63:
        problem = "a whole number beyond 64 bits is not allowed"
    elif isinstance(value, float) and not abs(value) <= LARGEST:
        problem = f"{value} is not allowed; it should be a finite number of at most {LARGEST:.1e}"
    if problem:
        raise ConfigError(join(where, ".".join(keys), problem), keys)
    entries = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    )
    for key, one in entries:
        check_values(one, where, (*keys, str(key)))


def _of_its_file(error: ConfigError, file: ConfigFile, changed: Sequence[str]) -> ConfigError:
    """The same error; where a base holds the value, and no override has replaced it, the message names the base."""
    at = ".".join(error.keys) + "."
    if any(at.startswith(f"{key}.") or f"{key}.".startswith(at) for key in changed):
        return error
    holder = file.holder(error.keys)
    if holder is None or holder is file:
        return error
    text = str(error).removeprefix(f"{file.path}: ")
    return ConfigError(f"{holder.path} (extended by {file.path}): {text}", error.keys)


def check_config(plain: Any, where: str, name: str, folder: Path) -> NamedConfig:
    """Checks a config that was read already.

    Args:
        plain: nested mappings, as in the YAML file.
        where: what an error message begins with.
        name: the config's name.
        folder: folder that `base` is relative to.
    """
    if not isinstance(plain, dict):
        raise ConfigError(f"{where}: must be a mapping with the keys {', '.join(RunConfig.model_fields)}")

    def refused(keys: str, text: str) -> ConfigError:
        return ConfigError(join(where, keys, text), keys.split("."))

    try:
        config = RunConfig.model_validate(plain)
    except ValidationError as error:
        raise ConfigError(one_line(error, where, RunConfig), keys_of(error, RunConfig)) from None
    if "class" not in config.model:
        raise refused("model", "missing key 'class', for example `class: GraphSAGE`")
    try:
        cls = resolve(str(config.model["class"]), MODELS)
    except ConfigError as error:
        raise refused("model.class", str(error)) from None
    options = {k: v for k, v in config.model.items() if k != "class"}
    complete = {"class": config.model["class"], **complete_options(cls, options, where, "model")}
    shots, support = config.evaluate.shots, config.split.support_size
    if shots is not None and shots[-1] != support:
        raise refused(
            "evaluate.shots",
            f"the last number must be split.support, so that the target is the same for all; got {shots[-1]} and a "
            f"support of {support}",
        )
    unknown = sorted(set(config.expected) - set(config.evaluate.names))
    if unknown:
        raise refused("expected", f"{unknown[0]!r} is not measured; there are {list(config.evaluate.names)}")
    chosen_by = config.tuning.metric
    if chosen_by is not None and chosen_by not in config.evaluate.plain_names:
        raise refused("tuning.metric", f"{chosen_by!r} is not measured; there are {list(config.evaluate.plain_names)}")
    checked = NamedConfig(name, config.model_copy(update={"model": complete}), (folder / config.base).resolve())
    check_values(checked.config.model_dump(), where)  # again, since text that is a number has become one
    try:
        model = checked.model()
    except ConfigError as error:
        raise ConfigError(f"{where}: {str(error).removeprefix(f'{name}: ')}", error.keys) from None
    if config.trainer.devices > 1 and not getattr(model, "trains_in_processes", False):
        raise refused(
            "trainer.devices",
            f"{type(model).__name__} is trained by one process; only GraphSAGE that ranks by several, got "
            f"{config.trainer.devices}",
        )
    if model.predicts_ratings and config.data.positive is not None:
        warnings.warn(
            f"{where}: {config.model['class']} predicts ratings, but data.positive leaves those below "
            f"{config.data.positive.min_value:g} out of training and test; set data.positive to null to keep all",
            stacklevel=2,
        )
    kind = config.evaluate.kind
    if config.rerank is not None and kind != "lists":
        raise refused(
            "rerank",
            f"puts lists into another order, and {config.evaluate.metrics[0]} is measured over {KINDS[kind]}; leave it "
            "out, or take metrics of lists, for example ndcg",
        )
    if kind == "ratings" and not model.predicts_ratings:
        raise refused(
            "evaluate.metrics",
            f"{config.evaluate.metrics[0]} needs predicted values, but {type(model).__name__} only ranks; use a rating "
            "model (e.g. Biases), or ranking metrics such as ndcg",
        )
    return checked


def replace_options(options: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The options with some replaced; keys of `chosen` are dotted.

    Example:
        >>> replace_options({"finetune": {"epochs": 9}}, {"finetune.epochs": 3})
        {'finetune': {'epochs': 3}}
    """
    config = OmegaConf.create(dict(options))
    for key, value in chosen.items():
        OmegaConf.update(config, key, value, force_add=True)
    plain: dict[str, Any] = _to_plain(config)
    return plain


def _with_paths(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The options of a model, the paths in them and in those of its components made absolute."""
    components = options.get("components")
    if isinstance(components, Mapping):
        options = {**options, "components": {name: _with_paths(one, folder) for name, one in components.items()}}
    path = options.get("pretrained")
    return {**options, "pretrained": str(folder / path)} if path else dict(options)


def _to_plain(config: Any) -> Any:
    return OmegaConf.to_container(config, resolve=True)
