"""The classes of a folder: what is put into the folder is found there, and listed nowhere else."""

import importlib
import pkgutil
from collections.abc import Callable
from types import ModuleType


def public_classes(package: ModuleType, wanted: Callable[[type], bool]) -> dict[str, type]:
    """The public classes that the modules of a package define, folders in it included.

    Args:
        package: an imported package.
        wanted: which classes count.

    Returns:
        Name -> class, sorted by name.

    Raises:
        ImportError: two modules define classes of one name.
    """
    found: dict[str, type] = {}
    for module_info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        module = importlib.import_module(module_info.name)
        for name, cls in vars(module).items():
            own = isinstance(cls, type) and cls.__module__ == module.__name__ and not name.startswith("_")
            if own and wanted(cls):
                if name in found:
                    raise ImportError(f"{name} is defined in {found[name].__module__} and in {module.__name__}")
                found[name] = cls
    return dict(sorted(found.items()))
