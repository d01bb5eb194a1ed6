"""The field's cold-start models: maps from what is known of a newcomer to vectors of a factorization."""
