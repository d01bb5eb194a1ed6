"""What a private model guarantees, as results and saved models state it."""

from collections.abc import Mapping, Sequence
from typing import Any

from gnnrec.privacy.accountant import ACCOUNTANT, Release, spent
from gnnrec.privacy.sums import NoiseSource

UNIT = "one user with all its interactions and attribute values"
NEIGHBOURS = "one user more or less among the training users"


def guarantee(
    releases: Mapping[str, Release],
    epsilon: float | None,
    delta: float,
    declared: Sequence[str],
    noise: NoiseSource,
) -> dict[str, Any]:
    """The guarantee of all that was learned from users, ready for JSON.

    Args:
        releases: what was released, by name.
        epsilon: the budget; None where no noise was added, so that nothing is guaranteed.
        delta: of the budget.
        declared: the node types whose ids count as public.
        noise: where the noise came from.

    Returns:
        `epsilon` is what the accountant says of the releases, at most the budget.
    """
    return {
        "epsilon": None if epsilon is None else round(spent((*releases.values(),), delta), 4),
        "delta": delta,
        "unit": UNIT,
        "neighbours": NEIGHBOURS,
        "accountant": ACCOUNTANT,
        "releases": {name: release._asdict() for name, release in releases.items()},
        "declared": list(declared),
        "noise": noise,
    }
