"""Matrix factorization for implicit feedback, and the vector of a user that was not factorized."""
