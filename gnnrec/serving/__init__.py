"""A fitted model that answers for users it has never seen."""
