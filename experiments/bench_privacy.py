"""The claim of private models attacked: epsilon from below by a planted user, beside the accountant's.

    python -m experiments.bench_privacy [--trials 1000]

A made shop of 36 users and 40 items; planted is a user with the ten least chosen items. Each model is trained so many
times with the user and as often without, each time with noise of its own, and the presence of the user is guessed from
the probability of its items. Of released moments it is guessed from what they show in the direction of the user, which
nobody sees who has the model alone. The last rows take a tenth of the noise that the budget asks for, and are to be
caught.
"""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from experiments.benchmarks import write
from gnnrec.data.synthetic import synthetic
from gnnrec.models.baselines.private_popularity import PrivatePopularity
from gnnrec.models.private_graphsage import PrivateGraphSAGE
from gnnrec.privacy import canary
from gnnrec.privacy.accountant import Release, calibrated, spent
from gnnrec.privacy.moments import release_moments
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.training.private import GradientConfig
from gnnrec.views import USER

DELTA, EPSILONS = 1e-6, (1.0, 2.0, 4.0, 8.0)
TRAIN = make_split(synthetic(5, num_users=60, num_items=40, choices=6), UnseenUsers(test=0.2, validation=0.2), 5).train
CLUB, COLOUR = ((USER, name, name) for name in ("club", "colour"))
VALUES = {t: len(TRAIN.ids[t[2]]) for t in (CLUB, COLOUR)}
ITEMS = np.argsort(np.bincount(TRAIN.users.items.node, minlength=TRAIN.num_items), kind="stable")[:10].tolist()
PLANTED = canary.canary(TRAIN, {CLUB: [3], COLOUR: [0]}, ITEMS)


def main() -> None:
    """Runs the audits and writes what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--trials", type=int, default=1000, help="trainings with the user, and as many without")
    trials = parser.parse_args().trials
    rows = []
    for epsilon in EPSILONS:
        noise = calibrated(epsilon, DELTA)
        rows.append(_row("released moments", epsilon, spent((Release(noise),), DELTA), released(noise, trials)))
        for name, make in models(epsilon).items():
            rows.append(_row(name, epsilon, guaranteed(make), canary.guesses(make, TRAIN, PLANTED, trials, 3)))
    for epsilon in EPSILONS[:2]:
        inside, outside = released(calibrated(epsilon, DELTA) / 10, trials)
        rows.append(_row("released moments, a tenth of the noise", epsilon, epsilon, (inside, outside)))
    write("privacy", {"trials": trials, "delta": DELTA, "confidence": canary.CONFIDENCE, "rows": rows})


def models(epsilon: float) -> Mapping[str, Callable[[], Any]]:
    """Each model that is attacked, not fitted."""
    steps = GradientConfig(steps=5, sample_rate=0.5, learning_rate=0.02)
    shared: dict[str, Any] = {
        "epsilon": epsilon,
        "delta": DELTA,
        "declared": ("item", "club", "colour"),
        "attributes": ("club", "colour"),
    }
    return {
        "PrivatePopularity": lambda: PrivatePopularity(epsilon=epsilon, delta=DELTA),
        "PrivateGraphSAGE, moments alone": lambda: PrivateGraphSAGE(**shared, gradients=None),
        "PrivateGraphSAGE": lambda: PrivateGraphSAGE(**shared, gradients=steps),
    }


def guaranteed(make: Callable[[], Any]) -> float:
    """The epsilon that a model claims."""
    model = make()
    model.fit(TRAIN, None, 0)
    return float(model.guarantee["epsilon"])


def released(noise: float, trials: int) -> tuple[list[float], list[float]]:
    """Moments with the planted user and without, projected on the items that it adds."""
    both: tuple[list[float], list[float]] = ([], [])
    for number, (found, data) in enumerate(zip(both, (canary.planted(TRAIN, PLANTED), TRAIN), strict=True)):
        random = np.random.default_rng(number)
        for _ in range(trials):
            one = release_moments(data.users, VALUES, TRAIN.num_items, 10.0, noise, random)
            found.append(float((one.popularity + one.chosen[3] + one.chosen[len(TRAIN.ids["club"])])[ITEMS].sum()))
    return both


def _row(name: str, budget: float, claimed: float, found: tuple[list[float], list[float]]) -> dict[str, Any]:
    below = round(canary.epsilon_from_below(*found, DELTA), 3)
    print(f"{name}: budget {budget:g}, accountant {claimed:.3f}, from below {below}", flush=True)
    return {
        "name": name,
        "budget": budget,
        "claimed": round(claimed, 3),
        "from_below": below,
        "holds": below <= claimed,
    }


if __name__ == "__main__":
    main()
