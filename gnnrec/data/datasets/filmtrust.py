"""FilmTrust: ratings of films, and whom users trust."""

from pathlib import Path

import pandas as pd

from gnnrec.data.catalogue import File, Source
from gnnrec.data.columns import edge_tensor, node_ids, positions, sorted_interactions
from gnnrec.data.dataset import Dataset, symmetric
from gnnrec.views import ITEM, USER, Relation


def read(files: dict[str, Path]) -> Dataset:
    """1,508 users, 2,071 films, 35,494 ratings of 0.5 to 4 out of 35,497, trust between 705 of the users.

    Of several ratings of one film by one user the last one counts. Trust is a relation in both directions, whoever
    declared it; it is left out where one of the two has rated nothing. Nothing else is known of users and films.

    Args:
        files: `ratings` and `trust`, CSV files.
    """
    ratings = pd.read_csv(files["ratings"]).drop_duplicates(["user", "item"], keep="last")
    trust = pd.read_csv(files["trust"])
    ids = {USER: node_ids(ratings["user"].astype(str).unique()), ITEM: node_ids(ratings["item"].astype(str).unique())}
    ends = [positions(ids[USER], trust[column]) for column in ("trustor", "trustee")]
    rated = (ends[0] >= 0) & (ends[1] >= 0)
    trusted, _ = symmetric(edge_tensor(*(end[rated] for end in ends)))
    return Dataset(
        name="filmtrust",
        ids=ids,
        interactions=sorted_interactions(
            positions(ids[USER], ratings["user"]), positions(ids[ITEM], ratings["item"]), ratings["rating"], None
        ),
        relations=(Relation(USER, "trust", USER, trusted),),
    )


SOURCE = Source(
    name="filmtrust",
    title="FilmTrust: ratings of films, trust between users",
    terms="research use, cite the paper",
    citation="Guo, Zhang, Yorke-Smith: A novel Bayesian similarity measure for recommender systems. IJCAI 2013",
    page="https://guoguibing.github.io/librec/datasets.html",
    size="1,508 users, 2,071 items, 35,494 ratings",
    read=read,
    # The authors' files are of another layout; no checksum is known for them.
    files=(
        File("ratings", "ratings.csv", "4113e1affdb07d9f47a33e22d7a78e24db5ba104d355c8f398ad29afd2e93445"),
        File("trust", "trust.csv", "c2eb11f8ec22ad8781e9a45136e4b84119396712b65623a86e57239d9512aabf"),
    ),
)
