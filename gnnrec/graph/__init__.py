"""Building and cutting the heterogeneous graph."""
