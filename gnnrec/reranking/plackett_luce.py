"""A drawn order: each user's list is one draw from the Plackett-Luce distribution of its scores."""

from typing import Literal

import torch
from torch import Tensor

from gnnrec.reranking.kind import Reranking
from gnnrec.reranking.pool import Items, Pool, by_gain
from gnnrec.runtime.ties import TIE_KEYS, tie_key


class PlackettLuce(Reranking):
    """A drawn order, so that items of nearly the same relevance share the exposure (Diaz et al., CIKM 2020)."""

    method: Literal["plackett_luce"] = "plackett_luce"
    """A drawn order."""
    seed: int = 0
    """Of the draws."""

    def order(self, pool: Pool, items: Items, strength: float) -> Tensor:
        """See `Reranking.order`; the strength is the temperature, in units of the pool's spread of scores.

        A user of the data gets the same draw whenever it is asked for. One who is not in the data has no identity: its
        draw is that of its scores, so people of whom the same is known get the same list.

        Source: Diaz, Mitra, Ekstrand, Biega, Carterette, "Evaluating Stochastic Rankings with Expected Exposure", CIKM
            2020, section 5.1; drawn by adding Gumbel noise (Yellott, J. Math. Psych. 15, 1977). Differs: scores are
            stretched to between 0 and 1 first.
        """
        told = (pool.relevance.double() * 1e6).long() * torch.arange(1, pool.item.shape[1] + 1)
        who = torch.where(pool.user >= 0, pool.user, told.sum(1))
        drawn = (tie_key(who[:, None], pool.item, self.seed).double() + 0.5) / TIE_KEYS
        gumbel = -(-drawn.log()).log()
        gain = pool.relevance.double() + strength * gumbel
        return by_gain(gain.masked_fill(~pool.listed, -torch.inf), self.places)
