"""Seconds of training until the validation NDCG@10 of LightFM's best epoch is passed, on MovieLens-1M.

    python -m experiments.bench_time_to_quality [--epochs 30]

LightFM has the options of its config and two threads; its time is that of its epochs alone, without looks at the
validation users. Ours is GraphSAGE without pretraining, with two threads too; its time is that of the whole fit: graph,
singular vectors, steps, and a look at the validation users in each epoch. A regression in closed form, a component of
blends, is measured by itself: before the first epoch, with a blend weight of nine tenths.
"""

import argparse
import contextlib
import time

import numpy as np
import torch

from experiments.benchmarks import movielens, write
from experiments.protocols import CONFIGS
from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
from gnnrec.experiment.config import read_config
from gnnrec.graph.matrices import UserFeatures, as_csr_matrix, histories
from gnnrec.models.baselines.lightfm import LightFM, _State
from gnnrec.models.baselines.linear import AttributeLinear
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.runtime import seeds
from gnnrec.splits.split import Split
from gnnrec.training.ranking import RankingConfig
from gnnrec.training.tracking import Tracker

NDCG = EvaluateConfig(metrics=["ndcg"], at=[10])


class Passed(Exception):  # noqa: N818  (no error)
    """The value to pass was passed."""


class Watch(Tracker):
    """Notes when each epoch ends, and stops the fit once a value is passed."""

    def __init__(self, to_pass: float) -> None:
        super().__init__()
        self.to_pass = to_pass
        self.start = time.perf_counter()
        self.curve: list[tuple[float, float]] = []

    def epoch(self, stage: str, epoch: int, total: int, values: dict[str, float]) -> None:
        """See `Tracker.epoch`."""
        self.curve.append((time.perf_counter() - self.start, values["ndcg@10"]))
        if values["ndcg@10"] > self.to_pass:
            raise Passed


def lightfm_curve(split: Split, model: LightFM, epochs: int) -> list[tuple[float, float]]:
    """Seconds of training and validation NDCG@10 after each epoch of LightFM with two threads."""
    import lightfm

    train = split.train
    options = {"edge_weights": model.edge_weights, "idf": model.idf, "normalise": model.normalise}
    model._train, model._attributes = train, UserFeatures(train, friends=model.friends, **options)
    library = lightfm.LightFM(
        no_components=model.factors,
        loss=model.loss,
        learning_rate=model.learning_rate,
        item_alpha=model.regularization,
        user_alpha=model.regularization,
        random_state=np.random.RandomState(seeds.integer(0, "lightfm") % 2**32),
    )
    interactions = as_csr_matrix(histories(train.users, train.num_items)).tocoo()
    features = as_csr_matrix(model._features(train.users))
    curve: list[tuple[float, float]] = []
    spent = 0.0
    for _ in range(epochs):
        start = time.perf_counter()
        library.fit_partial(interactions, user_features=features, epochs=1, num_threads=2)
        spent += time.perf_counter() - start
        model._state = _State(library.user_embeddings, library.item_embeddings, library.item_biases)
        curve.append((spent, evaluate(model, split.validation, train.candidates, NDCG, 0).metrics["ndcg@10"] or 0.0))
        values = [value for _, value in curve]
        if len(values) - values.index(max(values)) > model.patience:
            break
    return curve


def our_curve(split: Split, to_pass: float, epochs: int) -> list[tuple[float, float]]:
    """Seconds since the fit began and validation NDCG@10 after each epoch, until the value is passed."""
    model = GraphSAGE(
        encoder=EncoderConfig(layers=2),
        pretrain=None,
        finetune=RankingConfig(epochs=epochs, evaluate_every=1, batch_users=256),
    )
    watch = model.tracker = Watch(to_pass)
    with contextlib.suppress(Passed):
        model.fit(split.train, split.validation, seed=0)
    return watch.curve


def before_training(split: Split) -> tuple[float, float]:
    """Seconds of the fit of a regression in closed form, and its validation NDCG@10."""
    model = AttributeLinear(regularization=1.0, svd_rank=64, edge_weights="log", idf=True, normalise="length")
    start = time.perf_counter()
    model.fit(split.train, None, seed=0)
    seconds = time.perf_counter() - start
    return seconds, evaluate(model, split.validation, split.train.candidates, NDCG, 0).metrics["ndcg@10"] or 0.0


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    epochs = parser.parse_args().epochs
    torch.set_num_threads(2)
    split = movielens()
    model = read_config(CONFIGS / "ml-1m" / "lightfm.yaml").model({})
    assert isinstance(model, LightFM)
    theirs = lightfm_curve(split, model, epochs)
    theirs_seconds, to_pass = max(theirs, key=lambda point: point[1])
    ours = our_curve(split, to_pass, epochs)
    passed = ours[-1][1] > to_pass
    at_once, value = before_training(split)
    write(
        "time_to_quality",
        {
            "what": "seconds of training until validation NDCG@10 of LightFM's best epoch is passed; two threads each",
            "ndcg@10": {"LightFM, best epoch": to_pass, "encoder alone": ours[-1][1], "regression": value},
            "seconds": {
                "LightFM": theirs_seconds,
                "encoder alone": ours[-1][0] if passed else None,
                "regression": at_once if value > to_pass else None,
            },
            "epochs": {
                "LightFM": theirs.index((theirs_seconds, to_pass)) + 1,
                "encoder alone": len(ours),
                "regression": 0,
            },
            "ratios": {
                "encoder alone / LightFM": ours[-1][0] / theirs_seconds if passed else None,
                "regression / LightFM": at_once / theirs_seconds if value > to_pass else None,
            },
            "curves": {"LightFM": theirs, "encoder alone": ours},
            "target": {"ours / LightFM": 0.5},
        },
    )


if __name__ == "__main__":
    main()
