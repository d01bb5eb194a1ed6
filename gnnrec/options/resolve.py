"""From a name and options in a config to a class and the arguments of its constructor."""

import dataclasses
import importlib
import inspect
import os
import re
import sys
import types
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple, get_type_hints

import pydantic
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from gnnrec.errors import ConfigError
from gnnrec.options.messages import join, keys_of, nearest, short
from gnnrec.options.messages import one_line as one_line


def resolve(name: str, package: types.ModuleType | str) -> type:
    """The class that a config calls `name`.

    Args:
        name: a bare name is looked up in the `__all__` of `package`; a dotted one (`torch_geometric.nn.SAGEConv`,
            `my_package.my_file.MyConv`) is imported from wherever Python finds it, the working folder last: naming a
            class runs the code of its module.
        package: a package of this project, or its name, for example `gnnrec.nn.conv`.

    Raises:
        ConfigError: no such name, a module that cannot be imported, or something that is no class.

    Example:
        >>> resolve("collections.OrderedDict", "gnnrec.nn.conv")
        <class 'collections.OrderedDict'>
    """
    module_name, _, attribute = name.rpartition(".")
    if module_name:
        module = _import(module_name, name)
        if not hasattr(module, attribute):
            raise ConfigError(f"{name}: {module_name} has no {attribute!r}.{nearest(attribute, dir(module))}")
    else:
        module = _import(package, name) if isinstance(package, str) else package
        known = sorted(getattr(module, "__all__", ()))
        if name not in known:
            raise ConfigError(
                f"{name!r} is not in {module.__name__}.{nearest(name, known)} There are: {', '.join(known)}; "
                "a class from elsewhere is named with its module, e.g. my_package.my_file.MyClass"
            )
    found = getattr(module, attribute)
    if not isinstance(found, type):
        raise ConfigError(f"{name}: must name a class, but it is {_article(type(found).__name__)}")
    return found


def options_model(cls: type) -> type[BaseModel]:
    """A strict pydantic model of the options of `cls`: the parameters of its constructor, their types and defaults.

    Raises:
        ConfigError: a parameter has no type, or the constructor takes `*args` or `**kwargs`, so that a wrong option
            could not be told from a right one.
    """
    hints = get_type_hints(cls.__init__, include_extras=True)  # type: ignore[misc]
    made = {}  # defaults that a dataclass makes anew for each instance
    if dataclasses.is_dataclass(cls):
        made = {f.name: f.default_factory() for f in dataclasses.fields(cls) if callable(f.default_factory)}
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(cls).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigError(f"{cls.__name__}: its constructor takes *{name}; name each option, so it can be checked")
        if name not in hints:
            raise ConfigError(f"{cls.__name__}: option {name!r} of its constructor has no type; give it one")
        default = ... if parameter.default is parameter.empty else made.get(name, parameter.default)
        fields[name] = (hints[name], default)
    config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, validate_default=True)
    return pydantic.create_model(cls.__name__, __config__=config, **fields)


def complete_options(cls: type, options: Mapping[str, Any], where: str = "", at: str = "") -> dict[str, Any]:
    """The options of `cls` with every default filled in, ready to be written as JSON or YAML.

    A class may have a static method `adapted`, which fills in what follows from the other options.

    Args:
        cls: a class whose constructor takes typed options.
        options: from a config.
        where: what an error message begins with, e.g. the path of the config.
        at: the key under which the options stand in the config, e.g. `model`.

    Raises:
        ConfigError: an unknown option, or a value that does not fit.
    """
    complete = _validate(cls, options, where, at).model_dump(mode="json", by_alias=True)
    adapted = getattr(cls, "adapted", None)
    return complete if adapted is None else dict(adapted(complete))


def build(cls: type, options: Mapping[str, Any], where: str = "", at: str = "") -> Any:
    """An instance of `cls` with these options. Arguments and errors as in `complete_options`."""
    checked = _validate(cls, options, where, at)
    try:
        return cls(**{name: getattr(checked, name) for name in type(checked).model_fields})
    except (TypeError, ValueError, ConfigError) as error:
        text = join(where, at or cls.__name__, " ".join(str(error).split()))
        raise ConfigError(text, at.split(".") if at else []) from error


def changed_options(options: Mapping[str, Any], best_params: Mapping[str, Any]) -> dict[str, Any]:
    """What best parameters change in complete options: dotted key -> value, as JSON.

    Example:
        >>> changed_options({"finetune": {"epochs": 9, "loss": "bpr"}}, {"finetune": {"epochs": 3, "loss": "bpr"}})
        {'finetune.epochs': 3}
    """
    changed: dict[str, Any] = {}
    for key, value in best_params.items():
        plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        before = options.get(key)
        if isinstance(plain, Mapping) and isinstance(before, Mapping) and {*before} >= {*plain}:
            changed |= {f"{key}.{inner}": found for inner, found in changed_options(before, plain).items()}
        elif plain != before:
            changed[key] = {str(k): v for k, v in plain.items()} if isinstance(plain, Mapping) else plain
    return changed


def option_names(layer: type) -> list[str]:
    """The options of a layer: what its constructor names after `in_channels` and `out_channels`.

    Layers of torch_geometric pass `**kwargs` on to the class that they are built on; its parameters count too.
    """
    names: list[str] = []
    for cls in layer.__mro__:
        if "__init__" not in vars(cls):
            continue
        parameters = list(inspect.signature(vars(cls)["__init__"]).parameters.values())[1:]
        names += [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            break
    return [name for name in dict.fromkeys(names) if name not in ("in_channels", "out_channels")]


def layer_options(layer: type, options: Mapping[str, Any], where: str = "", at: str = "") -> dict[str, Any]:
    """The options of a layer by name, and `add_self_loops: False` where the layer has that option.

    A self-loop would join source i to target i, two nodes that have nothing to do with each other; torch_geometric
    does so without a word. The arguments `where` and `at` are those of `complete_options`.

    Raises:
        ConfigError: an unknown option, or self-loops that are asked for.
    """
    known = option_names(layer)
    for key in options:
        if key not in known:
            text = f"{layer.__name__} has no option {key!r}.{nearest(str(key), known)} It has: {', '.join(known)}"
            raise ConfigError(join(where, at, text))
    if options.get("add_self_loops"):
        text = f"{layer.__name__}: add_self_loops would join source i to target i, two nodes of different types"
        raise ConfigError(join(where, at, f"{text}; leave it out"))
    return {**({"add_self_loops": False} if "add_self_loops" in known else {}), **options}


def check_layer_options(layer: type, options: Mapping[str, Any], where: str = "", at: str = "") -> dict[str, Any]:
    """`layer_options`, and a trial: the layer is made and called on three sources and two targets.

    The trial has edges once and none once; the global random state stays as it is.

    Raises:
        ConfigError: as `layer_options`, or the layer cannot be made or called with these options.
    """
    complete = layer_options(layer, options, where, at)
    edges = torch.tensor([[0, 1, 2], [0, 0, 1]])
    with torch.random.fork_rng(devices=[]):
        try:
            made = layer(4, 4, **complete)
            out = made((torch.ones(3, 4), torch.ones(2, 4)), edges)
            made((torch.ones(3, 4), torch.ones(2, 4)), edges[:, :0])  # a sample may hold no edge of a relation
        except Exception as error:  # whatever a layer from elsewhere raises
            text = f"{layer.__name__} does not work as Layer(in_channels, out_channels, **options) with "
            raise ConfigError(join(where, at, f"{text}{short(complete)}: {_word(error)}")) from error
    if not isinstance(out, torch.Tensor) or out.shape != (2, 4):
        got = list(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
        text = f"{layer.__name__} gives {got} for two targets and out_channels 4; it must give [2, 4]"
        hint = (
            "; set concat: false, so that heads are averaged"
            if complete.get("concat", "concat" in option_names(layer))
            else ""
        )
        raise ConfigError(join(where, at, text + hint))
    return complete


class LayerName(NamedTuple):
    """A layer that a config may name, and what it is in one line."""

    name: str
    summary: str


def available_layers() -> list[LayerName]:
    """Our own layers, then those of torch_geometric.nn that work between two node types without any option."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for package, prefix in (("gnnrec.nn.conv", ""), ("torch_geometric.nn.conv", "torch_geometric.nn.")):
            for name in _import(package, package).__all__:
                layer = resolve(name, package)
                try:
                    check_layer_options(layer, {})
                except ConfigError:
                    continue
                found.append(LayerName(prefix + name, _first_sentence(layer)))
    return found


def _first_sentence(cls: type) -> str:
    """The first sentence of a docstring as plain text: of a link in reStructuredText only its title stays."""
    paragraph = " ".join(inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].split())
    plain = re.sub(r"`+(.+?) <[^>]*>`_+", r"\1", paragraph)
    return re.sub(r":\w+:`~?([^`]+)`", r"\1", plain).partition(". ")[0].rstrip(".") + "."


def _validate(cls: type, options: Mapping[str, Any], where: str, at: str) -> BaseModel:
    model = options_model(cls)
    try:
        return model.model_validate(_with_own_defaults(model, options))
    except ValidationError as error:
        raise ConfigError(one_line(error, where, model, at), keys_of(error, model, at)) from error


def _with_own_defaults(model: type[BaseModel], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, a part that is given as a mapping filled up with what the class has there by default.

    Its default may be a part with other values than the part's own defaults; who gives one of them keeps the others.
    """
    filled = dict(options)
    for name, field in model.model_fields.items():
        given = options.get(name)
        if isinstance(field.default, BaseModel) and isinstance(given, Mapping):
            filled[name] = {**field.default.model_dump(exclude_defaults=True), **given}
    return filled


def _import(module: str, name: str) -> types.ModuleType:
    """Imports a module; the working folder is the last place where it is looked for, while it is imported."""
    here = os.getcwd()
    sys.path.append(here)
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever a person's file raises while it is imported
        raise ConfigError(f"{name}: cannot import {module}: {_word(error)}") from error
    finally:
        last = max((place for place, path in enumerate(sys.path) if path == here), default=None)
        if last is not None:
            del sys.path[last]


def _word(error: BaseException) -> str:
    """The message of an exception, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
