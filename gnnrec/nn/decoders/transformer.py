"""A causal Transformer over the user's vector and those of its most recent items."""

from torch import Tensor, nn


class Transformer(nn.Module):
    """Self-attention over a sequence that begins with the user's vector, so that it works from zero items on.

    The tokens are the user's vector and those of its items in the order of time, each plus a learned vector of its
    place; a token attends to itself and to what stands before it. The query after k items is the output at the k-th.

    Source: Kang, McAuley, "Self-Attentive Sequential Recommendation" (SASRec), ICDM 2018, by PyTorch's own layers.
        Differs: the first token is the encoder's vector of the user; items have the graph's vectors; normalisation
        comes before each sublayer; places are counted from the first item, and end at `last`.
    Shapes: [B, D] users, [B, L, D] items, [B, L + 1] places -> [B, L + 1, D].

    Args:
        channels: D.
        last: items that are read, and that places are told apart of.
        layers: of self-attention.
        heads: of each layer; they divide `channels`.
        dropout: in training, in each layer and of the tokens.

    Raises:
        ValueError: `layers` or `heads` is less than 1, `heads` does not divide `channels`, or `dropout` is not in
            [0, 1).
    """

    reads_history = True

    def __init__(self, channels: int, last: int, *, layers: int = 2, heads: int = 2, dropout: float = 0.2) -> None:
        super().__init__()
        if layers < 1 or heads < 1:
            raise ValueError(f"layers and heads must be at least 1, got {layers} and {heads}")
        if channels % heads:
            raise ValueError(f"heads must divide channels, got {heads} and {channels}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        self.of_place = nn.Embedding(last + 1, channels)
        nn.init.normal_(self.of_place.weight, std=0.02)
        layer = nn.TransformerEncoderLayer(
            channels, heads, 4 * channels, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(channels), enable_nested_tensor=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, user: Tensor, items: Tensor, place: Tensor) -> Tensor:
        """[B, L + 1, D], the output at each token."""
        tokens = self.dropout(nn.functional.pad(items, (0, 0, 1, 0)) + self.of_place(place))
        tokens = tokens + nn.functional.pad(user[:, None], (0, 0, 0, items.shape[1]))
        causal = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1], device=tokens.device)
        query: Tensor = self.layers(tokens, mask=causal, is_causal=True)
        return query
