"""Descriptions of the options of a class, taken from its docstrings, for people who read a schema."""

import ast
import inspect
import itertools
import re
import textwrap


def descriptions(cls: type) -> dict[str, str]:
    """Option -> its description, on one line: the string below a field, or its entry under `Args:`.

    Args:
        cls: a class of fields, or one whose constructor has the options. What a class leaves undescribed is looked up
            in the classes that it inherits from.
    """
    found: dict[str, str] = {}
    for one in cls.__mro__:
        if one.__module__ == "builtins" or one.__module__.startswith("pydantic"):
            continue
        found = {**_arguments(one), **_arguments(vars(one).get("__init__")), **_below_fields(one), **found}
    return found


def summary(cls: type) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join(inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].split())


def _arguments(documented: object) -> dict[str, str]:
    """The entries of a docstring's section `Args:`."""
    text = inspect.cleandoc(getattr(documented, "__doc__", None) or "")
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)*)", text, re.MULTILINE)
    if section is None:
        return {}
    entries = re.split(r"^(\w+): ", textwrap.dedent(section[1]), flags=re.MULTILINE)[1:]
    return {name: " ".join(entry.split()) for name, entry in zip(entries[::2], entries[1::2], strict=True)}


def _below_fields(cls: type) -> dict[str, str]:
    """Field -> the string that stands below it."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError):  # made while the program runs
        return {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    found = {}
    for field, below in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            text = below.value.value if isinstance(below.value, ast.Constant) else None
            if isinstance(text, str):
                found[field.target.id] = " ".join(text.split())
    return found
