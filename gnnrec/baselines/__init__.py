"""Models to beat, one idea per module, all under the contract of `gnnrec.recommender`."""
