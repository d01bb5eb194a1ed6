"""Attention over the attribute edges of a node that may own no vector itself."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import softmax


class AttributeAttention(MessagePassing):  # type: ignore[misc]
    r"""Weighs the sources of each target by a learned score, and leaves weight for "nothing known".

    .. math::
        e_{st} = p^\top x_s + c + \frac{(K x_s)^\top (Q x_t)}{\sqrt D}, \quad
        \alpha_{st} = \frac{\exp e_{st}}{1 + \sum_{r \in N(t)} \exp e_{rt}}, \quad
        y_t = W x_t + b + \sum_{s \in N(t)} \alpha_{st} V x_s

    An attribute value has a weight by itself (the prior, first two terms of the score) and one that depends on the
    target (the last term). A user owns no vector, so in the first layer only the prior counts; a score made of both
    vectors at once could not tell "no vector" from "a vector of zeros". The 1 in the denominator is the weight of
    "nothing known": a user with one weak attribute stays near its own vector, as a count with few observations is
    shrunk to the overall popularity. Without it, the weight of a relation with one value per user (gender, age) would
    always be 1, and attention could learn nothing there.

    Source:
        Dot product over edges and the target's own transformed vector: Shi, Huang, Feng, Zhong, Wang, Sun, "Masked
        Label Prediction: Unified Message Passing Model for Semi-Supervised Classification", IJCAI 2021, section 3
        (graph transformer), arXiv:2009.03509. The 1 in the denominator: Ai, Hill, Vishwanathan, Croft, "A Zero
        Attention Model for Personalized Product Search", CIKM 2019, section 4 (zero attention), arXiv:1908.11322.
        Differs: the prior of a source is ours; one head; the score of "nothing known" is 0 and the constant c learns
        how much evidence it takes.

    Shapes:
        x_source [S, D_source], x_target [T, D_target], edge_index [2, E] -> [T, out_channels].
        A target without edges gets W x_t + b.

    Args:
        in_channels: width of both kinds of nodes, or (D_source, D_target).
        out_channels: width of the output.
        dropout: share of attention weights that are set to 0 in training.
    """

    def __init__(self, in_channels: int | tuple[int, int], out_channels: int, dropout: float = 0.0) -> None:
        super().__init__(aggr="sum", node_dim=0)
        source, target = in_channels if isinstance(in_channels, tuple) else (in_channels, in_channels)
        self.prior = nn.Linear(source, 1)
        self.key = nn.Linear(source, out_channels, bias=False)
        self.query = nn.Linear(target, out_channels, bias=False)
        self.value = nn.Linear(source, out_channels, bias=False)
        self.own = nn.Linear(target, out_channels)
        self.dropout = nn.Dropout(dropout)

    def reset_parameters(self) -> None:
        """Draws every parameter anew."""
        for part in (self.prior, self.key, self.query, self.value, self.own):
            part.reset_parameters()

    def forward(self, x: tuple[Tensor, Tensor], edge_index: Tensor) -> Tensor:
        """The output for each target, [T, out_channels]."""
        x_source, x_target = x
        message = self.propagate(
            edge_index,
            size=(len(x_source), len(x_target)),
            prior=(self.prior(x_source), None),
            key=(self.key(x_source), self.query(x_target)),
            value=(self.value(x_source), None),
        )
        out: Tensor = message + self.own(x_target)
        return out

    def message(
        self, prior_j: Tensor, key_j: Tensor, key_i: Tensor, value_j: Tensor, index: Tensor, size_i: Any
    ) -> Tensor:
        """The weighted vector that each edge carries, [E, out_channels]. `_j` is the source, `_i` the target."""
        score = prior_j.squeeze(-1) + (key_j * key_i).sum(-1) / math.sqrt(key_j.shape[-1])  # [E]
        # "Nothing known" is one more edge of score 0 to each target, so that the softmax stays safe for large scores.
        nothing = torch.arange(size_i, device=index.device)
        padded = torch.cat([score, score.new_zeros(size_i)])  # [E + T]
        weight = softmax(padded, torch.cat([index, nothing]), num_nodes=size_i)[: len(score)]  # [E]
        weighted: Tensor = self.dropout(weight)[:, None] * value_j
        return weighted
