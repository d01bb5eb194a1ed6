"""The files of code of one's own that a class named in a config stands in."""

import ast
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

INSTALLED = (*(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")), Path(__file__).parents[1])


def own_files(cls: type) -> set[Path]:
    """The file of a class, and those that it imports, directly or through others, from the same folder of modules.

    Imports within functions count too. A module that is found by a name made while the code runs is not seen.

    Args:
        cls: of the user's own; a class of this package or of an installed one has no such files.
    """
    source = getattr(sys.modules[cls.__module__], "__file__", None)
    if source is None or any(map(Path(source).is_relative_to, INSTALLED)):
        return set()
    path, name = Path(source), cls.__module__.split(".")
    root = path.parents[len(name) if path.name == "__init__.py" else len(name) - 1]
    found: set[Path] = set()
    waiting = [path, *_files(root, name)]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported(path, root)
    return found


def _imported(path: Path, root: Path) -> Iterator[Path]:
    """The files below a folder of modules that one of them imports."""
    package = list(path.relative_to(root).parts[:-1])
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # nor can Python import it
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                yield from _files(root, one.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else []
            for one in node.names:  # a module, or something in one
                yield from _files(root, [*start, *(node.module or "").split("."), one.name])


def _files(root: Path, name: list[str]) -> Iterator[Path]:
    """The files of a module and of the packages around it, as far as there are any below the folder."""
    parts = [part for part in name if part]
    for length in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:length])
        yield from (file for file in (place.with_name(f"{place.name}.py"), place / "__init__.py") if file.is_file())
