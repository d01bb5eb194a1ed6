"""How long it takes until an event counts: recording it, and the next list of its user.

    python -m experiments.bench_events [--rounds 30]

A model of MovieLens-1M's size in a process that serves it. One event is recorded by `Recommender.update`, alone and
with the list that follows, and a thousand events of as many users at once, against the list of one user of whom no item
is known. The encoder is hardly trained: time does not hang on the weights.
"""

import argparse
import itertools
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from experiments.bench_serving import saved_model, write_users
from experiments.benchmarks import medians, ratio, side_by_side, write
from gnnrec.serving.estimator import load

MANY = 1_000


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vocabulary = saved_model(folder / "model")
        write_users(folder / "users.csv", vocabulary, MANY)
        profiles = pd.read_csv(folder / "users.csv", dtype=str).fillna("")
        recommender, number = load(folder / "model"), itertools.count()
        items, random = np.asarray(vocabulary.texts["item"]), np.random.default_rng(1)

        def events(users: list[str]) -> pd.DataFrame:
            names = [f"e{next(number)}" for _ in users]
            return pd.DataFrame({"user": users, "item": random.choice(items, len(users)), "event_id": names})

        one = profiles.head(1)

        def listed() -> None:
            recommender.recommend(one)

        def recorded() -> None:
            recommender.update(events(["0"]))

        def counted() -> None:
            recorded()
            listed()

        def many() -> None:
            recommender.update(events(list(profiles["user"])))

        runs = {"list": listed, "event": recorded, "event and list": counted, "thousand events": many}
        seconds = side_by_side(runs, given.rounds)
    write(
        "events",
        {
            "what": f"{len(items)} items, {len(runs)} ways, {given.rounds} rounds, {torch.get_num_threads()} threads",
            "seconds": medians(seconds),
            "ratios": {f"{one} / list": ratio(seconds, one, "list") for one in runs if one != "list"},
        },
    )


if __name__ == "__main__":
    main()
