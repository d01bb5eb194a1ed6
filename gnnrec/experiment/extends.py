"""A config file and its bases: `extends` names further files, whose keys lie below the file's own.

A component of a blend may extend a config as well: it has that config's model.
"""

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gnnrec.errors import ConfigError
from gnnrec.options.messages import nearest, short

EXTENDS, BASE = "extends", "base"
BASE_PREFIX = "_"
"""What the names of files begin with that are bases of others and no complete run."""
CHOICES = {"model": "class", "split": "kind", "data": "source"}
"""Part of a config -> the key that chooses which options the part has: another choice replaces the whole part."""
OF_MODELS = ("class", "objective")
"""Such keys of the parts of a model, wherever they stand in it: components have classes, fine-tuning an objective."""
MOST_VALUES = 100_000
"""Of one config file. A few lines of references to references stand for billions."""
PATHS = (
    *("data.interactions.path", "data.users.path", "data.items.path", "data.relations.*.path"),
    *("split.test", "split.validation", "model.pretrained", "model.components.*.pretrained"),
)
"""Where a config may hold the path of a file; `*` stands for each entry of a list or mapping."""


@dataclass(frozen=True)
class ConfigFile:
    """A config file as it was read.

    Attributes:
        path: where it was read from.
        own: its keys, `extends` included, with interpolations as written.
        bases: the files that it extends; a later one lies above an earlier one.
        components: component of a blend -> the file whose model it extends.
    """

    path: Path
    own: Mapping[str, Any]
    bases: tuple["ConfigFile", ...] = ()
    components: Mapping[str, "ConfigFile"] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Absolute folder of the file."""
        return self.path.resolve().parent

    def merged(self, base: str | None = None) -> dict[str, Any]:
        """The keys of the file above those of its bases, without `extends`.

        Args:
            base: folder that its paths start from instead of its own `base`, relative to its folder. Paths of its bases
                are written anew, so that they lead to the same files from there.
        """
        start = self._start(base)
        below: dict[str, Any] = {}
        for file in self.bases:
            its = {key: value for key, value in file.merged().items() if key != BASE}
            below = merge(below, _moved(its, file._start(), start))
        return merge(below, {key: value for key, value in self._with_components(start).items() if key != EXTENDS})

    def _with_components(self, start: Path) -> Mapping[str, Any]:
        """Its own keys, components that extend a config with that config's model; its paths start from `start`."""
        if not self.components:
            return self.own
        components = dict(self.own["model"]["components"])
        for name, file in self.components.items():
            above = {key: value for key, value in components[name].items() if key != EXTENDS}
            extended = _moved(file.merged(), file._start(), start).get("model")
            if not extended:
                raise ConfigError(
                    f"{self.path}: model.components.{name}.{EXTENDS}: {file.path} has no model; name a config that "
                    "has one"
                )
            components[name] = _merge(extended, above, OF_MODELS)
        return {**self.own, "model": {**self.own["model"], "components": components}}

    def holder(self, keys: Sequence[str]) -> "ConfigFile | None":
        """The file that the value at these keys is from: this one, else the uppermost base that has them; else None."""
        if _has(self.own, keys):
            return self
        return next((found for file in reversed(self.bases) if (found := file.holder(keys))), None)

    def _start(self, base: str | None = None) -> Path:
        return (self.folder / (base if base is not None else self.own.get(BASE, ""))).resolve()


def read_file(path: Path, chain: Sequence[Path] = ()) -> ConfigFile:
    """Reads a config file and all that it extends; values are not checked.

    Args:
        path: a YAML file.
        chain: the files that led to this one, to find a circle.

    Raises:
        ConfigError: the file or a base is missing, broken or no mapping, or extends itself.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: {'is a folder, name a config file' if path.is_dir() else 'no such config file'}")
    try:
        text = path.read_text(encoding="utf-8-sig")
        if _size(yaml.compose(text), {}) > MOST_VALUES:
            raise ConfigError(f"{path}: holds more than {MOST_VALUES:,} values, references counted each time")
        own = OmegaConf.to_container(OmegaConf.load(io.StringIO(text)), resolve=False)
    except (OmegaConfBaseException, yaml.YAMLError, OSError, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigError(f"{path}: cannot be read: it is nested too deeply") from None
    if not isinstance(own, dict):
        raise ConfigError(f"{path}: must be a mapping (key: value)")
    if not isinstance(own.get(BASE, ""), str):
        raise ConfigError(f"{path}: {BASE}: {short(own[BASE])} is not allowed; it is a folder, relative to the file")
    chain = (*chain, path)
    bases = tuple(read_file(base, chain) for base in _bases(path, own.get(EXTENDS, ()), chain))
    return ConfigFile(path, own, bases, dict(_components(path, own, chain)))


def _size(node: Any, known: dict[int, int]) -> int:
    """Values below a node of YAML, where a reference (`*name`) counts as all that it stands for."""
    if id(node) not in known:
        known[id(node)] = MOST_VALUES  # a reference to what it stands in has no end
        below = (
            [one for pair in node.value for one in (pair if isinstance(pair, tuple) else (pair,))]
            if isinstance(node, yaml.CollectionNode)
            else []
        )
        known[id(node)] = 1 + sum(_size(one, known) for one in below)
    return known[id(node)]


def _components(path: Path, own: Mapping[str, Any], chain: Sequence[Path]) -> Iterator[tuple[str, ConfigFile]]:
    """The components of a blend that extend a config, with what they extend."""
    model = own.get("model")
    components = model.get("components") if isinstance(model, Mapping) else None
    for name, options in components.items() if isinstance(components, Mapping) else ():
        if isinstance(options, Mapping) and EXTENDS in options:
            value = options[EXTENDS]
            if not isinstance(value, str):
                raise ConfigError(
                    f"{path}: model.components.{name}.{EXTENDS}: must be one config file, got {short(value)}"
                )
            yield name, read_file(_bases(path, value, chain, f"model.components.{name}.")[0], chain)


def _bases(path: Path, value: Any, chain: Sequence[Path], part: str = "") -> list[Path]:
    """The files that `extends` names; `part` is where in the config it stands."""
    names = [value] if isinstance(value, str) else value
    if not (isinstance(names, Sequence) and all(isinstance(name, str) and name for name in names)):
        raise ConfigError(
            f"{path}: {part}{EXTENDS}: {short(value)} is not allowed; it is a config file, relative to this one, or a "
            "list of them; leave the key out to extend none"
        )
    found = []
    for name in names:
        target = (path.resolve().parent / name).resolve()
        if not target.is_file():
            near = nearest(target.name, [p.name for p in target.parent.glob("*.yaml")])
            raise ConfigError(
                f"{path}: {part}{EXTENDS}: {name!r}: there is no file {target}.{near} Name a config file, relative to "
                "the folder of this one"
            )
        if target in [file.resolve() for file in chain]:
            circle = " -> ".join(str(file) for file in (*chain, target))
            raise ConfigError(f"{path}: {part}{EXTENDS}: {name!r} leads in a circle, {circle}; take one of them out")
        found.append(target if path.is_absolute() else Path(os.path.relpath(target)))
    return found


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """One config above another: mappings merge key by key, everything else replaces.

    Options go with what they are options of: another `model.class`, `split.kind` or `data.source` replaces the whole
    part, so do another `class` of a component and another `objective`, and another `layer` leaves the `layer_options`
    below behind.

    Example:
        >>> base = {"seed": 0, "split": {"kind": "unseen_users", "test": 0.1}, "model": {"class": "ALS", "factors": 8}}
        >>> merge(base, {"split": {"support": 10}, "model": {"class": "EASE"}})
        {'seed': 0, 'split': {'kind': 'unseen_users', 'test': 0.1, 'support': 10}, 'model': {'class': 'EASE'}}
    """
    kept = {
        part: value
        for part, value in below.items()
        if not (part in CHOICES and _differ(value, above.get(part), CHOICES[part]))
    }
    lower, upper = ({key: value for key, value in file.items() if key == "model"} for file in (kept, above))
    return {**_merge(kept, above), **_merge(lower, upper, OF_MODELS)}


def _merge(below: Mapping[str, Any], above: Mapping[str, Any], choices: Sequence[str] = ()) -> dict[str, Any]:
    """Key by key; `choices` are keys of which another value replaces the mapping that they stand in."""
    if any(_differ(below, above, key) for key in choices):
        return dict(above)
    if _differ(below, above, "layer"):
        below = {key: value for key, value in below.items() if key != "layer_options"}
    both = {
        key: _merge(below[key], value, choices)
        for key, value in above.items()
        if isinstance(value, Mapping) and isinstance(below.get(key), Mapping)
    }
    return {**below, **above, **both}


def _differ(below: Any, above: Any, key: str) -> bool:
    """Whether both are mappings that have the key, with different values."""
    both = isinstance(below, Mapping) and isinstance(above, Mapping) and key in below and key in above
    return both and bool(below[key] != above[key])


def _moved(plain: dict[str, Any], old: Path, new: Path) -> dict[str, Any]:
    """A config whose relative paths start from another folder, and lead to the same files."""

    def moved(here: Any, keys: Sequence[str]) -> Any:
        if not keys:
            # A number is a share of users. What begins with an interpolation (`${base}`) is taken as absolute.
            relative = isinstance(here, str) and not here.startswith("${") and not Path(here).is_absolute()
            return os.path.relpath(old / here, new) if relative else here
        if keys[0] == "*" and isinstance(here, list):
            return [moved(entry, keys[1:]) for entry in here]
        if keys[0] == "*" and isinstance(here, Mapping):
            return {name: moved(entry, keys[1:]) for name, entry in here.items()}
        if isinstance(here, Mapping) and keys[0] in here:
            return {**here, keys[0]: moved(here[keys[0]], keys[1:])}
        return here

    if old != new:
        for path in PATHS:
            plain = moved(plain, path.split("."))
    return plain


def _has(here: Any, keys: Sequence[str]) -> bool:
    for key in keys:
        if isinstance(here, list) and key.isdigit() and int(key) < len(here):
            here = here[int(key)]
            continue
        names = {str(name): name for name in here} if isinstance(here, Mapping) else {}
        if key not in names:
            return False
        here = here[names[key]]
    return True
