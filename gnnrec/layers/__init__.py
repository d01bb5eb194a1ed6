"""Our own graph layers, one file each. Layers of torch_geometric.nn are used as they are."""
