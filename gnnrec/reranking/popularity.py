"""Less popular items: relevance against the logarithm of how many training users chose an item."""

from typing import Literal

from torch import Tensor

from gnnrec.reranking.kind import Reranking
from gnnrec.reranking.pool import Items, Pool, by_gain, stretched


class LessPopular(Reranking):
    """Items that fewer users chose: a discount of the logarithm of popularity."""

    method: Literal["less_popular"] = "less_popular"
    """A discount of popularity."""

    def order(self, pool: Pool, items: Items, strength: float) -> Tensor:
        """See `Reranking.order`; the strength is the weight of being chosen seldom, 1 less it that of the relevance.

        Source: Adomavicius, Kwon, "Improving Aggregate Recommendation Diversity Using Ranking-Based Techniques", IEEE
            TKDE 24 (2012), item popularity-based ranking. Differs: mixed with the relevance instead of below a
            threshold of predicted ratings, which rankings do not have.
        """
        seldom = -items.popularity[pool.item.clamp(min=0)].log1p()
        gain = (1 - strength) * pool.relevance + strength * stretched(seldom, pool.listed)
        return by_gain(gain.masked_fill(~pool.listed, -1), self.places)
