"""Lists put into another order after scoring: for diversity."""

from gnnrec.reranking.mmr import mmr

__all__ = ["mmr"]
