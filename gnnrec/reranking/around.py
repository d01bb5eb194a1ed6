"""What may stand around a model, whichever it is: an attribute that it is not to know, another order of its lists."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from gnnrec.errors import ConfigError
from gnnrec.models.erased import EraseConfig, Erased
from gnnrec.reranking import RerankConfig
from gnnrec.reranking.reranked import Reranked


class Around(BaseModel):
    """The keys `erase` and `rerank` of a config, and arguments of `gnnrec.Recommender`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    erase: EraseConfig | None = None
    """An attribute of users that the model is not to know, and not to find out from others."""
    rerank: RerankConfig | None = None
    """How the best items of each list are put into another order: for diversity, calibration or exposure."""

    @staticmethod
    def of(model: Any) -> "tuple[Any, Around]":
        """A model without what stands around it, and that; the strength of an order is the one that was chosen."""
        rerank = erase = None
        if isinstance(model, Reranked):
            model, rerank = model.model, model.how.model_copy(update={"strength": model.strength})
        if isinstance(model, Erased):
            model, erase = model.model, model.how
        return model, Around(erase=erase, rerank=rerank)

    def put(self, model: Any) -> Any:
        """The model with these around it; the model itself where there is none.

        Raises:
            ConfigError: the model does not go with them.
        """
        name = type(model).__name__
        for key in ("rerank", "erase"):
            if hasattr(model, "guarantee") and getattr(self, key) is not None:
                raise ConfigError(
                    f"{key}: reads the training users once more, which the guarantee of {name} does not cover; leave "
                    "it out, or take a model without a guarantee"
                )
        if self.erase is not None and hasattr(model, "federated"):
            raise ConfigError(
                f"erase: reads all training users in one place, and those of {name} stay with their clients; name the "
                "attributes to use in data.use, or take GraphSAGE"
            )
        model = model if self.erase is None else Erased(model, self.erase)
        return model if self.rerank is None else Reranked(model, self.rerank)
