"""MovieLens-100K."""

import csv
from pathlib import Path

import pandas as pd

from gnnrec.data.catalogue import File, Source
from gnnrec.data.dataset import Dataset
from gnnrec.data.datasets.movielens import CITATION, TERMS, movielens

_RECBOLE = "recbole/dataset_example/ml-100k"


def read(files: dict[str, Path]) -> Dataset:
    """943 users, 1,682 movies, 100,000 ratings of 1 to 5 with times.

    Args:
        files: `interactions`, `users` and `items`, tab-separated, with columns named as in `user_id:token`.
    """
    ratings, users, movies = (_atomic(files[key]) for key in ("interactions", "users", "items"))
    year = movies["release_year"].where(movies["release_year"].str.fullmatch(r"\d{4}"))
    movies["title"] = movies["movie_title"] + (" (" + year + ")").fillna("")
    return movielens("ml-100k", ratings, users, movies.rename(columns={"class": "genre"}), " ")


def _atomic(path: Path) -> pd.DataFrame:
    table: pd.DataFrame = pd.read_csv(path, sep="\t", dtype=str, quoting=csv.QUOTE_NONE, keep_default_na=False)
    table.columns = pd.Index([str(column).split(":")[0] for column in table])
    return table


SOURCE = Source(
    name="ml-100k",
    title="MovieLens-100K: ratings, demographics of users, genres of movies",
    terms=TERMS,
    citation=CITATION,
    page="https://grouplens.org/datasets/movielens/100k/",
    size="943 users, 1,682 items, 100,000 ratings",
    read=read,
    # The official zip holds the same data in another layout, whose checksums are not known here.
    files=(
        File(
            "interactions",
            "ml-100k.inter",
            "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
            archived=f"{_RECBOLE}/ml-100k.inter",
        ),
        File(
            "users",
            "ml-100k.user",
            "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
            archived=f"{_RECBOLE}/ml-100k.user",
        ),
        File(
            "items",
            "ml-100k.item",
            "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
            archived=f"{_RECBOLE}/ml-100k.item",
        ),
    ),
    archive=("recbole", "1.2.1"),
    not_default=("zip_code",),
)
