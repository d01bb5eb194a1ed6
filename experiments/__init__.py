"""Scripts that turn finished runs into the tables and figures of the paper. Nothing here trains."""
