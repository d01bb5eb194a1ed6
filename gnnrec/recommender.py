"""The contract of every model: what it is fitted on, what it is asked to score, what it returns."""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from gnnrec.views import TestSet, TrainingData, UserBatch


@runtime_checkable
class Recommender(Protocol):
    """Anything that can be fitted on training users and scores items for other users.

    A class meets the contract by having these members; there is nothing to inherit. Options are the keyword arguments
    of its constructor, each with a type and a default: a config names them, and they are checked before any data is
    read. What is fitted is kept in attributes that `gnnrec.models.saving` can write: arrays, sparse matrices, tensors,
    plain values and objects of this package; a model that keeps anything else has `options` (the arguments of its
    constructor, as JSON), `state_dict()` and `load_state_dict(state)`.

    Attributes:
        supports_cold_users: False where all users without a history get the same scores; such a model gets a dash in
            the tables.
        predicts_ratings: True where scores are values on the scale of the interactions (ratings), so that RMSE is
            defined.
        best_params: after a fit with validation users, the arguments of the constructor that were chosen on them (for
            example `{"epochs": 37}`); empty where there was nothing to choose. A model made with these arguments
            and fitted without validation users is the final one.

    A class may have more: `guarantee`, a mapping that a fit fills in, where what is learned of users is differentially
    private (see `gnnrec.privacy`); `log_scores = True` where scores are logarithms (a blend takes their exponential);
    `keeps_interactions = True` where histories of training users are among the fitted attributes (see
    `gnnrec.serving.artifact`); `search_space` (see `gnnrec.options.search_space`) holds what `gnnrec tune` may try of
    its options; `chooses_on_validation = True` where the fit with validation users is needed; `fit_folds(folds, seed)`
    fits one model for each of several folds and chooses on all of them together; `build(train, seed)`, which returns
    the graph that it will be trained on, and `tables` (node type -> rows of its learned tables) are audited before each
    fit; `embed(users)` gives a vector of each user;
    `item_vectors()` and `query(users)`, whose inner products are the scores (None where they are not), let lists come
    from an index where there are very many items; `tracker` receives progress and keeps checkpoints.
    """

    supports_cold_users: bool
    predicts_ratings: bool
    best_params: dict[str, Any]

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Learns from `train`. With `validation`, also fills `best_params`; without, follows its options to the letter.

        Args:
            train: all that may be learned from.
            validation: users who are not in `train`, for model selection; None in the final fit.
            seed: source of every random number; same arguments and seed, same model, bit for bit.
        """
        ...

    def score(self, users: UserBatch) -> Tensor:
        """Scores every item for each user; a user's scores depend on that user alone, not on the rest of the batch.

        Args:
            users: B users, in training or not, with their edges.

        Returns:
            [B, I] float32, higher is better; all finite. The columns of items that are no candidates, and of the
            support, are computed, but ignored.
        """
        ...
