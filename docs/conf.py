"""The documentation site: `make docs` writes it into build/docs, a warning being an error.

The source folder is the root of the repository, so that one link serves the repository and the site. Pages are the
Markdown files that are there anyway, the API reference is made of docstrings, and notebooks are scripts, which are run.
"""

import importlib
import re
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

from docutils import nodes
from docutils.parsers.rst import directives
from pydantic import BaseModel
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

project = "gnnrec"
author = copyright = "The gnnrec authors"
version = release = installed_version("gnnrec")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.mermaid",
]
root_doc = "README"
include_patterns = [
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "experiments/README.md"),
    *("docs/*.md", "docs/api/*.rst", "paper/tables/*.md", "build/notebooks/*.rst"),
]
exclude_patterns = ["docs/navigation.md", "build/notebooks/sg_execution_times.rst"]
html_theme = "furo"
html_title = f"gnnrec {release}"
html_extra_path = ["site"]
html_copy_source = html_show_sourcelink = False

myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 3

default_role = "code"
autodoc_default_options = {"members": True, "exclude-members": "model_config"}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_custom_sections = ["Source", "Shapes"]
napoleon_use_ivar = True

sys.path.insert(0, str(Path(__file__).parent / "examples"))  # sphinx-gallery takes back what a cell adds to the path
sphinx_gallery_conf = {
    "examples_dirs": "docs/notebooks",
    "gallery_dirs": "build/notebooks",
    "filename_pattern": "",
    "within_subsection_order": "FileNameSortKey",
    "run_stale_examples": True,
    "abort_on_example_error": True,
    "image_scrapers": (),
    "reset_modules": (),
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
}


class PublicNames(SphinxDirective):
    """What a module lists in `__all__`, documented: `.. public-names:: MODULE`.

    Options are `of`, the module under which the names are shown, and `without`, modules whose names are left out.
    """

    required_arguments = 1
    option_spec = {"of": directives.unchanged, "without": directives.unchanged}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        names = set(importlib.import_module(self.arguments[0]).__all__)
        for other in self.options.get("without", "").split():
            names -= set(importlib.import_module(other).__all__)
        shown = self.options.get("of", self.arguments[0])
        module = importlib.import_module(shown)
        text = ""
        for name in sorted(names, key=str.lower):
            named = getattr(module, name)
            kind = "class" if isinstance(named, type) else "function"
            fields = "   :undoc-members:\n" if kind == "class" and issubclass(named, BaseModel) else ""
            text += f".. auto{kind}:: {shown}.{name}\n{fields}\n"
        return self.parse_text_to_nodes(text)


SECTION = re.compile(r"^(Source|Shapes): (.+)$")


def sections(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Before napoleon: `Source: text` becomes a section, and an example that is no doctest a block of code."""
    made: list[str] = []
    inside = False
    for line in lines:
        if found := SECTION.match(line):
            made += ["", f"{found[1]}:", f"    {found[2]}"]
            inside = True
            continue
        if inside and line and not line.startswith(" "):
            made.append("")
            inside = False
        if made and made[-1] == "Example:" and not line.lstrip().startswith(">>>"):
            made[-1:] = ["Example::", ""]
        made.append(line)
    lines[:] = made


def fields(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """After napoleon: it takes what stands before a colon in the line below a field for the field's type."""
    for place, line in enumerate(lines if what == "attribute" else []):
        if line.startswith(":type: "):
            lines[:] = [f"{line.removeprefix(':type: ')}: {lines[0]}", *lines[1:place], *lines[place + 1 :]]
            return


def plain_types(obj: Any) -> None:
    """Types are shown without what pydantic checks of them."""
    own = SimpleNamespace(__annotations__=obj.__annotations__)
    obj.__annotations__ = get_type_hints(own, vars(sys.modules[obj.__module__]))


def function_types(app: Sphinx, obj: Any, bound_method: bool) -> None:
    plain_types(getattr(obj, "__func__", obj))


def class_signature(app: Sphinx, what: str, name: str, obj: Any, options: Any, given: str, returns: str) -> Any:
    """A config class has its fields listed below, and needs no signature."""
    if isinstance(obj, type) and issubclass(obj, BaseModel):
        plain_types(obj)
        return "", None
    return None


def page(app: Sphinx, docname: str, source: list[str]) -> None:
    """The README is the front page, with docs/navigation.md at its side; a table gets the title of its protocol."""
    if docname == root_doc:
        source[0] += "\n" + (Path(__file__).parent / "navigation.md").read_text(encoding="utf-8")
    if docname.startswith("paper/tables/"):
        source[0] = f"# {Path(docname).name}\n\n{source[0]}"


def setup(app: Sphinx) -> None:
    app.add_directive("public-names", PublicNames)
    app.connect("autodoc-process-docstring", sections, priority=100)
    app.connect("autodoc-process-docstring", fields, priority=900)
    app.connect("autodoc-before-process-signature", function_types)
    app.connect("autodoc-process-signature", class_signature)
    app.connect("source-read", page)
