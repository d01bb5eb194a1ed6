"""Lists put into another order after scoring: for diversity, exposure, calibration. Each way is listed once, here."""

from typing import Annotated

from pydantic import Field

from gnnrec.reranking.calibrated import Calibrated
from gnnrec.reranking.dpp import DPP
from gnnrec.reranking.fair import Fair
from gnnrec.reranking.mmr import MMR, mmr
from gnnrec.reranking.plackett_luce import PlackettLuce
from gnnrec.reranking.popularity import LessPopular

__all__ = ["DPP", "MMR", "Calibrated", "Fair", "LessPopular", "PlackettLuce", "RerankConfig", "mmr"]

RerankConfig = Annotated[
    MMR | DPP | Calibrated | Fair | LessPopular | PlackettLuce,
    Field(discriminator="method"),
]
