"""Our own graph layers, one file each. Layers of torch_geometric.nn are used as they are."""

from gnnrec.nn.conv.attribute_attention import AttributeAttention

__all__ = ["AttributeAttention"]
