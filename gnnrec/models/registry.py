"""The models that a config may call by their bare name."""

from typing import Any

from gnnrec.models import baselines
from gnnrec.models.blend import Blend
from gnnrec.models.federated_graphsage import FederatedGraphSAGE
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.models.private_graphsage import PrivateGraphSAGE

_MODELS = {
    **{name: getattr(baselines, name) for name in baselines.__all__},
    **{model.__name__: model for model in (Blend, FederatedGraphSAGE, GraphSAGE, PrivateGraphSAGE)},
}
__all__ = [*_MODELS]


def __getattr__(name: str) -> Any:
    if name in _MODELS:
        return _MODELS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
