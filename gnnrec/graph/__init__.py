"""The heterogeneous graph: building, sampling, sharding."""
