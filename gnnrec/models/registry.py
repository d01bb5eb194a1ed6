"""The models that a config may call by their bare name."""

from typing import Any

from gnnrec.models import baselines
from gnnrec.models.blend import Blend
from gnnrec.models.federated_graphsage import FederatedGraphSAGE
from gnnrec.models.graphsage import GraphSAGE

_MODELS = {
    **{name: getattr(baselines, name) for name in baselines.__all__},
    "Blend": Blend,
    "FederatedGraphSAGE": FederatedGraphSAGE,
    "GraphSAGE": GraphSAGE,
}
__all__ = [*_MODELS]


def __getattr__(name: str) -> Any:
    if name in _MODELS:
        return _MODELS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
