import hashlib
from functools import partial

from gnnrec.data.catalogue import SOURCES, File, _merged_movies, _merged_ratings, _without_one_line


def test_one_row_too_many_is_left_out_and_nothing_else():
    lines = [b"%d\t%d\n" % (i, i * i) for i in range(50)]
    line_sum = sum(int.from_bytes(hashlib.sha256(line).digest(), "big") for line in lines) % 2**256
    whole = b"".join(lines)
    file = File("tags", "tags.dat", hashlib.sha256(whole).hexdigest(), normal=partial(_without_one_line, line_sum))
    assert file.checked(whole) == whole
    assert file.checked(b"".join([*lines[:7], b"odd\trow\n", *lines[7:]])) == whole
    assert file.checked(whole.replace(b"\n", b"\r\n")) == whole
    assert file.checked(b"".join(lines[1:])) is None
    assert file.checked(b"".join([*lines, b"a\n", b"b\n"])) is None


def test_official_ratings_become_the_known_form():
    official = b"2::860::3::978300760\n1::1795::5::978302109\n1::48::4::978302109\n"
    assert _merged_ratings(official) == b"1::48::4\n1::1741::5\n2::811::3\n"
    bewegte, miserables = "811::Bewegte Mann, Der (1994)::Comedy\n", "73::Mis\xe9rables::Drama\n"
    official = f"{bewegte}860::Maybe (1994)::Comedy\n{miserables}".encode("latin-1")
    assert _merged_movies(official).decode() == bewegte + miserables.replace("\xe9", "\ufffd")


def test_a_page_instead_of_the_ratings_is_refused_not_a_crash():
    file = next(f for f in SOURCES["ml-1m"].files if f.name == "ratings.dat")
    assert file.checked(b"<html>moved</html>") is None


def test_sizes_are_those_of_the_loaded_data(real):
    for name in ("ml-100k", "hetrec-lastfm"):
        data = real(name)
        told = [int(word.replace(",", "")) for word in SOURCES[name].size.split() if word[0].isdigit()]
        assert told == [data.num_users, data.num_items, len(data.interactions)]
