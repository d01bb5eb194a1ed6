"""MovieLens-1M."""

from pathlib import Path

import numpy as np
import pandas as pd

from gnnrec.data.catalogue import File, Source, unix_lines
from gnnrec.data.dataset import Dataset
from gnnrec.data.datasets.movielens import CITATION, TERMS, movielens

OCCUPATIONS = (
    *("other", "academic/educator", "artist", "clerical/admin", "college/grad student", "customer service"),
    *("doctor/health care", "executive/managerial", "farmer", "homemaker", "K-12 student", "lawyer", "programmer"),
    *("retired", "sales/marketing", "scientist", "self-employed", "technician/engineer", "tradesman/craftsman"),
    *("unemployed", "writer"),
)
"""The occupations of MovieLens-1M in the order of their codes, as its README names them."""

_MERGED_MOVIES = {860: 811, 1795: 1741}
"""Two films of MovieLens-1M have two ids each in the official files; the checksums are of files with one id each."""


def read(files: dict[str, Path]) -> Dataset:
    """6,040 users, 3,881 movies (3,704 of them rated), 1,000,205 ratings of 1 to 5 without times.

    Two of the official 3,883 movies are copies of others and are merged with them (`_merged_ratings`); of two ratings
    of one movie the higher one is kept, which happens four times.

    Args:
        files: `interactions` (Parquet, or lines of `user::item::rating`), `users` and `items`.
    """
    if files["interactions"].suffix == ".parquet":
        ratings = pd.read_parquet(files["interactions"])
    else:
        number = np.fromstring(files["interactions"].read_text().replace("::", " "), dtype=np.int64, sep=" ")
        ratings = pd.DataFrame(number.reshape(-1, 3), columns=["user", "item", "rating"])
    ratings = ratings.sort_values("rating").drop_duplicates(["user", "item"], keep="last")
    ratings = ratings.rename(columns={"user": "user_id", "item": "item_id"})
    users = _colons(files["users"], ["user_id", "gender", "age", "occupation", "zip_code"])
    users["occupation"] = users["occupation"].astype(int).map(dict(enumerate(OCCUPATIONS)))
    movies = _colons(files["items"], ["item_id", "title", "genre"])
    return movielens("ml-1m", ratings, users, movies, "|")


def _colons(path: Path, columns: list[str]) -> pd.DataFrame:
    lines = pd.Series(path.read_text(encoding="utf-8").splitlines(), dtype="str")
    cells: pd.DataFrame = lines.str.split("::", expand=True)
    cells.columns = pd.Index(columns)
    return cells


def _merged_movies(content: bytes) -> bytes:
    """The official file, which is latin-1, with every accented letter replaced and without the merged movies."""
    lines = unix_lines(content).decode("utf-8", errors="replace").splitlines(keepends=True)
    return "".join(line for line in lines if int(line.split("::")[0]) not in _MERGED_MOVIES).encode()


def _merged_ratings(content: bytes) -> bytes:
    """`user::item::rating` lines in ascending order, without times and with the merged movies' ids."""
    rows = (map(int, line.split(b"::")[:3]) for line in content.splitlines())
    kept = sorted((user, _MERGED_MOVIES.get(movie, movie), rating) for user, movie, rating in rows)
    return b"".join(b"%d::%d::%d\n" % row for row in kept)


SOURCE = Source(
    name="ml-1m",
    title="MovieLens-1M: ratings, demographics of users, genres of movies",
    terms=TERMS,
    citation=CITATION,
    page="https://grouplens.org/datasets/movielens/1m/",
    size="6,040 users, 3,881 items, 1,000,205 ratings",
    read=read,
    files=(
        File(
            "interactions",
            "ratings.parquet",
            "5fb5da7568b4a5cf0f25ee0f3c635ae84534ed0deb99dcef28024f71420ea6a3",
        ),
        File(
            "interactions",
            "ratings.dat",
            "d53eb85a085c9015cfbafeea460976767998dea50a54a18eef6ef52f341df973",
            official="ml-1m/ratings.dat",
            normal=_merged_ratings,
        ),
        File(
            "users",
            "users.dat",
            "1dc3a95300cb19f7c10e027daf29b8cdf1d908dab65b5edfb45950aa389a10a3",
            official="ml-1m/users.dat",
        ),
        File(
            "items",
            "movies.dat",
            "ad22fd112a753c753925eea3a7a46b7ed82b1273fc4f47f798ee52ec0c28576b",
            official="ml-1m/movies.dat",
            normal=_merged_movies,
        ),
    ),
    official="https://files.grouplens.org/datasets/movielens/ml-1m.zip",
    not_default=("zip_code",),
)
