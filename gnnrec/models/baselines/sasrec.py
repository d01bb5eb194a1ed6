"""SASRec: self-attention over the user's items in the order of time, without profile and graph."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gnnrec.errors import ConfigError
from gnnrec.graph.histories import Histories
from gnnrec.models.held_out import HeldOutNDCG
from gnnrec.nn.decoder import Recent, query
from gnnrec.nn.decoders.transformer import Transformer
from gnnrec.options.search_space import Choice, Integer, Log, SearchSpace, Uniform
from gnnrec.runtime import seeds
from gnnrec.runtime.devices import CPU
from gnnrec.training.loop import train as run_stage
from gnnrec.training.ranking import ItemRanker, RankingConfig
from gnnrec.training.sequence import batch_loss
from gnnrec.training.tracking import Tracker
from gnnrec.views import TestSet, TrainingData, UserBatch

PART = 1024
"""Users whose histories are read at once."""


class SASRec:
    """The Transformer that decodes for GraphSAGE, over a table of item vectors.

    All users begin with the same token, which stands where GraphSAGE has the user's vector: a user without items gets
    what others began with.

    Source: Kang, McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018. Differs: softmax over all items in the
        place of one drawn item each (Klenitskiy, Vasilev, "Turning Dross Into Gold Loss: is BERT4Rec really better than
        SASRec?", RecSys 2023, find it better), an item bias that starts at log popularity, a first token, and what
        `gnnrec.training.sequence` says of places and parts.
    Shapes: users B, items I -> scores [B, I], logarithms of unnormalised probabilities.

    Args:
        channels: width of every vector.
        last: most recent items that are read.
        layers: of self-attention.
        heads: of each layer; they divide `channels`.
        dropout: of the tokens and in each layer.
        finetune: the objective; `target: next` and a half-life need times, and what is of a graph is not read.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = False
    log_scores = True
    chooses_on_validation = True
    search_space: ClassVar[SearchSpace] = {
        "channels": Choice((32, 64, 128)),
        "layers": Integer(1, 3),
        "dropout": Uniform(0, 0.6),
        "finetune.learning_rate": Log(1e-3, 0.02),
        "finetune.weight_decay": Log(1e-3, 1),
        "finetune.history_dropout": Uniform(0.1, 1),
        "finetune.half_life": Choice((None, 0.03, 0.1, 0.3, 1.0)),
    }

    def __init__(
        self,
        *,
        channels: int = 64,
        last: int = 50,
        layers: int = 2,
        heads: int = 2,
        dropout: float = 0.2,
        finetune: RankingConfig = RankingConfig(target="next", batch_users=64, epochs=60),  # noqa: B008  (frozen)
    ) -> None:
        if channels < 1 or last < 1:
            raise ValueError(f"channels and last must be at least 1, got {channels} and {last}")
        if finetune.loss != "softmax":
            raise ValueError(f"finetune.loss: must be softmax, got {finetune.loss}")
        if finetune.balance is not None:
            raise ValueError("finetune.balance: must be left out; only GraphSAGE weighs groups of users")
        with torch.random.fork_rng(devices=[]):
            Transformer(channels, 1, layers=layers, heads=heads, dropout=dropout)  # raises where they do not fit
        self.channels = channels
        self.last = last
        self.layers = layers
        self.heads = heads
        self.dropout = dropout
        self.finetune = finetune
        self.tracker = Tracker()
        self.placement = CPU
        self.best_params: dict[str, Any] = {}

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of the constructor, as JSON."""
        kept = ("channels", "last", "layers", "heads", "dropout")
        return {**{name: getattr(self, name) for name in kept}, "finetune": self.finetune.model_dump(mode="json")}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Trains; the epochs are chosen on the validation users.

        Raises:
            ConfigError: the interactions have no times.
            TrainingError: a loss is not a number.
        """
        if train.users.items.time is None:
            raise ConfigError(
                "SASRec needs the time of each interaction, and the data have none; name a column of times in "
                "data.interactions.time, or use GraphSAGE"
            )
        own = Histories.of(train.users.items, train.num_users, self.finetune.half_life)
        popularity = train.popularity if own.weight is None else own.weighted_counts(train.popularity)
        with torch.random.fork_rng(), self.placement.deterministic():
            torch.manual_seed(seeds.integer(seed, "weights"))
            self._ranker = self._make(popularity).to(self.placement.device)
            active = own.count.nonzero().flatten()

            def losses(generator: torch.Generator) -> Iterator[Tensor]:
                items = self._ranker.encoder.weight
                for batch in active[torch.randperm(len(active), generator=generator)].split(self._size(len(active))):
                    user = items.new_zeros(len(batch), self.channels)
                    yield batch_loss(
                        self._ranker, user, self._ranker.encoder.weight, own, batch, self.finetune, self.last, generator
                    )

            measure = None
            if validation is not None:
                ndcg = HeldOutNDCG(validation, validation.candidates(train), seed)

                def measure() -> dict[str, float]:
                    return {"ndcg@10": float(ndcg(self.score(validation.users)).mean())}

            epochs = run_stage(
                self._ranker, losses, measure, self.finetune, "finetune", seed, self.tracker, self.placement
            )
        if validation is not None:
            self.best_params = {"finetune": self.finetune.model_copy(update={"epochs": epochs})}

    def _size(self, users: int) -> int:
        return max(self.finetune.batch_users, -(-users // self.finetune.most_steps))

    def _make(self, popularity: Tensor) -> ItemRanker:
        table = nn.Embedding(len(popularity), self.channels)
        nn.init.normal_(table.weight, std=0.1)
        decoder = Transformer(self.channels, self.last, layers=self.layers, heads=self.heads, dropout=self.dropout)
        return ItemRanker(table, popularity, decoder)

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32; see `Recommender.score`."""
        return self._ranker.score(self._vectors(users), self._ranker.encoder.weight).detach().cpu()

    @torch.no_grad()
    def _vectors(self, users: UserBatch) -> Tensor:
        """[B, D] float32, the output at the last token of each user."""
        self._ranker.eval()
        items = self._ranker.encoder.weight
        recent = Recent.of(users.items, len(users), self.last)
        parts = torch.arange(len(users)).split(PART)
        zero = items.new_zeros(0, self.channels)
        found = [
            query(self._ranker.decoder, items.new_zeros(len(p), self.channels), recent.take(p), items) for p in parts
        ]
        return torch.cat([zero, *found])

    def state_dict(self) -> dict[str, Any]:
        """The weights."""
        return {"ranker": self._ranker.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what `state_dict` gave."""
        with torch.random.fork_rng():
            self._ranker = self._make(torch.ones(len(state["ranker"]["bias"])))
        self._ranker.load_state_dict(state["ranker"])
        self._ranker.eval()
