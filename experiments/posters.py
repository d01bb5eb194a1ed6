"""Posters of MovieLens-1M's films under the ids of MovieLens-100K, whose films come without any."""

import io
import os
import zipfile
from pathlib import Path

from experiments.protocols import ROOT
from gnnrec.data import load
from gnnrec.data.config import NamedData
from gnnrec.data.match import Nodes, match
from gnnrec.experiment.config import NamedConfig
from gnnrec.runtime.files import replace_file
from gnnrec.views import ITEM

FROM, TO = "ml-1m", "ml-100k"
FOLDER = ROOT / "runs" / "posters"
"""Where configs look for them: `<FOLDER>/ml-100k.zip`."""


def wanted(config: NamedConfig) -> bool:
    """Whether a row takes them."""
    images = [feature.image for feature in config.config.data.features.values() if feature.image is not None]
    return any(image.zip is not None and image.zip.name == f"{TO}.zip" for image in images)


def archive() -> Path | None:
    """The posters of MovieLens-1M; None where they are not on this machine."""
    path = Path(os.environ.get("GNNREC_DATA", "")) / "ml-1m-posters" / "posters.zip"
    return path if path.is_file() else None


def make(folder: Path = FOLDER) -> Path | None:
    """Writes the posters of films whose titles are the same on both platforms; once.

    Args:
        folder: to write to.

    Returns:
        The archive, whose pictures are named by the ids of MovieLens-100K; None where there are no posters.
    """
    own, path = archive(), folder / f"{TO}.zip"
    if own is None or path.is_file():
        return path if path.is_file() else None
    here, there = (load(NamedData(source=name)) for name in (TO, FROM))  # type: ignore[arg-type]
    nodes = [Nodes({ITEM: list(map(str, one.ids[ITEM]))}, (), one.titles) for one in (here, there)]
    row = match(*nodes).types[ITEM].row
    content = io.BytesIO()
    with zipfile.ZipFile(own) as pictures, zipfile.ZipFile(content, "w") as out:
        names = {Path(name).stem: name for name in pictures.namelist()}
        for item, other in zip(here.ids[ITEM], row.tolist(), strict=True):
            name = names.get(str(there.ids[ITEM][other])) if other >= 0 else None
            if name is not None:
                out.writestr(zipfile.ZipInfo(f"{item}{Path(name).suffix}"), pictures.read(name))
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(path, content.getvalue())
    return path
