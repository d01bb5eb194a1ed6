"""The encoders that the protocols of transfer start from: which configs they are pretrained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.protocols import CONFIGS, ROOT
from experiments.quick import quick_overrides
from gnnrec.experiment.config import NamedConfig, read_config
from gnnrec.experiment.pretrain import pretrain

FOLDER = ROOT / "runs" / "encoders"
"""Where configs look for them."""


@dataclass(frozen=True)
class Encoder:
    """One pretrained encoder.

    Attributes:
        sources: configs of `configs/encoders/` that it is pretrained on; the first one has the model.
        without: config of a platform whose items are left out; empty for none.
    """

    sources: tuple[str, ...]
    without: str = ""


PLATFORMS = ("ml-1m", "ml-100k", "filmtrust", "ciao-dvd", "ta-feng", "complete-journey")
ENCODERS = {
    **{name: Encoder((name,)) for name in PLATFORMS},
    "ml-1m-posters": Encoder(("ml-1m-posters",)),
    "ml-1m-without-ml-100k": Encoder(("ml-1m",), without="ml-100k"),
    "ml-1m-and-complete-journey": Encoder(("ml-1m", "complete-journey-titles")),
}


def wanted(configs: Sequence[NamedConfig]) -> list[str]:
    """The names of the encoders that some configs start from, each once."""
    models = [part for c in configs for part in (c.config.model, *c.config.model.get("components", {}).values())]
    names = [Path(model["pretrained"]).name for model in models if model.get("pretrained")]
    return [name for name in ENCODERS if name in names]


def sources(names: Sequence[str]) -> list[NamedConfig]:
    """The configs of some encoders."""
    every = [name for encoder in map(ENCODERS.get, names) if encoder for name in (*encoder.sources, encoder.without)]
    return [_config(name) for name in dict.fromkeys(every) if name]


def make(names: Sequence[str], folder: Path = FOLDER, *, quick: bool = False, progress: bool = False) -> None:
    """Pretrains some encoders; one that is finished is not made again.

    Args:
        names: of `ENCODERS`.
        folder: to write to, `<folder>/<name>/`.
        quick: with small models, on few epochs.
        progress: show progress bars.
    """
    for name in names:
        encoder = ENCODERS[name]
        configs = [_config(one, quick) for one in encoder.sources]
        without = _config(encoder.without) if encoder.without else None
        pretrain(configs, folder / name, without=without, progress=progress)


def _config(name: str, quick: bool = False) -> NamedConfig:
    path = CONFIGS / "encoders" / f"{name}.yaml"
    config = read_config(path)
    return read_config(path, quick_overrides(config)) if quick else config
