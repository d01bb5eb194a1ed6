"""What describes users, as the encoder takes it, and linear maps to start from."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from gnnrec.graph.matrices import Matrix
from gnnrec.views import Features

REGULARIZATIONS = tuple(10.0**power for power in range(-3, 5))
"""What the start of a map chooses from, by leave-one-out."""


def start_map(features: "Tensor | Matrix", wanted: Tensor, known: Tensor) -> Tensor:
    """The ridge regression from features to vectors, whose regularization is the best by leave-one-out.

    Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning (2009), equations 3.44 and 7.64.

    Args:
        features: [N, F] float32, or a sparse matrix.
        wanted: [N, D] float32.
        known: [N] bool, the nodes that are learned from.

    Returns:
        [F, D] float32.
    """
    from sklearn.linear_model import RidgeCV
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    if not known.any() or not features.shape[1]:
        return torch.zeros(features.shape[1], wanted.shape[1])
    with threadpool_limits(1, "blas"):  # with several threads the last bits differ
        rows = features[known].double().numpy() if isinstance(features, Tensor) else features[known.numpy()]
        fitted = RidgeCV(REGULARIZATIONS, fit_intercept=False).fit(rows, wanted[known].double().numpy())
    return torch.from_numpy(np.atleast_2d(fitted.coef_).T.copy()).float()


class _Scaled(nn.Module):
    """A linear map of vectors that are divided by a unit first.

    Attributes:
        unit: the mean length of the training users' vectors.
    """

    unit: Tensor

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, width))
        nn.init.normal_(self.weight, std=0.1)
        self.register_buffer("unit", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return (x.to(self.unit.device) / self.unit) @ self.weight.t()


class UserInputs(nn.Module):
    """What users' nodes begin with: a linear map of each feature, added up. A feature that a user lacks adds nothing.

    Shapes: features of B users, [B, F] each -> [B, channels].

    Args:
        widths: name of a feature -> its numbers F.
        channels: width of the vectors.
    """

    def __init__(self, widths: Mapping[str, int], channels: int) -> None:
        super().__init__()
        self.widths, self.channels = dict(widths), channels
        self.maps = nn.ModuleDict({_key(name): _Scaled(width, channels) for name, width in widths.items()})

    def _map(self, name: str) -> _Scaled:
        found = self.maps[_key(name)]
        assert isinstance(found, _Scaled)
        return found

    def map_of(self, name: str) -> tuple[Tensor, float]:
        """[channels, F] of a feature, and the unit that its vectors are divided by."""
        return self._map(name).weight, float(self._map(name).unit)

    def forward(self, features: Sequence[Features], number: int) -> Tensor:
        """[number, channels], of so many users; features of other names say nothing."""
        parts = [self._map(one.name)(one.vector) for one in features if one.name in self.widths]
        if not parts:
            return torch.zeros(number, self.channels, device=next(self.parameters()).device)
        return torch.stack(parts).sum(0)

    @torch.no_grad()
    def start(self, features: Sequence[Features], wanted: Tensor | None) -> None:
        """Begins with the ridge regression from all features to vectors of the training users, where there are some.

        Args:
            features: of the training users.
            wanted: [U, channels] float32; None leaves the random start.
        """
        rows, known = [], torch.zeros(len(features[0].known), dtype=torch.bool)
        for one in features:
            length = one.vector[one.known].norm(dim=1)
            unit = max(float(length.mean()), 1e-12) if len(length) else 1.0
            self._map(one.name).unit.fill_(unit)
            rows.append(one.vector / unit)
            known |= one.known
        if wanted is None:
            return
        parts = start_map(torch.cat(rows, dim=1), wanted, known).split([one.vector.shape[1] for one in features])
        for one, part in zip(features, parts, strict=True):
            self._map(one.name).weight.copy_(part.t())


def _key(name: str) -> str:
    return "feature " + name.replace(".", "·")  # a module's name may hold no dot, nor be that of a method
