import gzip
import hashlib
from collections import Counter
from functools import partial

import torch

from gnnrec.data.catalogue import File
from gnnrec.data.datasets import hetrec_lastfm


def test_counts_are_the_published_ones(real):
    data = real("hetrec-lastfm")
    assert (data.num_users, data.num_items, len(data.interactions)) == (1892, 17_632, 92_834)
    friend, tag = data.relations
    assert friend.type == ("user", "friend", "user")
    assert friend.edge_index.shape[1] == 25_434
    assert tag.type == ("user", "tag", "tag")
    assert int(tag.weight.sum()) == 186_478  # every assignment counts once
    assert len(data.ids["tag"]) == 9749
    assert set(data.ids) == {"user", "item", "tag"}  # no (artist, tag) pair, no edge from an artist to a tag


def test_friends_are_symmetric(real):
    one, other = real("hetrec-lastfm").relations[0].edge_index
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    assert pairs == {(b, a) for a, b in pairs}


def test_tags_of_a_user_are_counted_over_artists(real, real_files):
    data = real("hetrec-lastfm")
    path = real_files("hetrec-lastfm")["tags"]
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt") as lines:
        rows = [line.split("\t") for line in lines][1:]
    tag = data.relations[1]
    for user in data.ids["user"][[0, 700, 1891]]:
        told = Counter(row[2] for row in rows if row[0] == user)
        mine = tag.edge_index[0] == data.ids["user"].get_loc(user)
        got = dict(zip(data.ids["tag"][tag.edge_index[1][mine].numpy()], tag.weight[mine].tolist(), strict=True))
        assert got == told
        assert got


def test_names_and_listening_counts_are_those_of_the_artist(real):
    data = real("hetrec-lastfm")
    assert data.titles[data.ids["item"].get_loc("1")] == "MALICE MIZER"
    assert data.titles[data.ids["item"].get_loc("3")] == "Carpathian Forest"
    row = (data.interactions.user == data.ids["user"].get_loc("2")) & (
        data.interactions.item == data.ids["item"].get_loc("51")
    )
    assert data.interactions.value[row].tolist() == [13883.0]


def test_reader_on_three_users(tmp_path):
    (tmp_path / "a").write_text('id\tname\turl\n7\tSeven\tx\n20\t"half quoted\ty\n')
    (tmp_path / "l").write_text("userID\tartistID\tweight\n10\t7\t5\n9\t20\t3\n9\t7\t1\n8\t7\t1\n")
    (tmp_path / "f").write_text("userID\tfriendID\n9\t10\n")  # told in one direction only
    (tmp_path / "t").write_text("userID\tartistID\ttagID\tday\n9\t7\t3\t1\n9\t20\t3\t1\n9\t7\t11\t1\n")
    data = hetrec_lastfm.read(
        {"interactions": tmp_path / "l", "friends": tmp_path / "f", "tags": tmp_path / "t", "artists": tmp_path / "a"}
    )
    assert list(data.ids["user"]) == ["8", "9", "10"]
    assert data.titles == ("Seven", '"half quoted')
    assert data.relations[0].edge_index.tolist() == [[1, 2], [2, 1]]
    # User 9 gave tag 3 to two artists and tag 11 to one.
    assert data.relations[1].edge_index.tolist() == [[1, 1], [0, 1]]
    assert torch.equal(data.relations[1].weight, torch.tensor([2.0, 1.0]))


def test_one_row_too_many_is_left_out_and_nothing_else():
    lines = [b"%d\t%d\n" % (i, i * i) for i in range(50)]
    line_sum = sum(int.from_bytes(hashlib.sha256(line).digest(), "big") for line in lines) % 2**256
    whole = b"".join(lines)
    file = File(
        "tags", "tags.dat", hashlib.sha256(whole).hexdigest(), normal=partial(hetrec_lastfm._without_one_line, line_sum)
    )
    assert file.checked(whole) == whole
    assert file.checked(b"".join([*lines[:7], b"odd\trow\n", *lines[7:]])) == whole
    assert file.checked(whole.replace(b"\n", b"\r\n")) == whole
    assert file.checked(b"".join(lines[1:])) is None
    assert file.checked(b"".join([*lines, b"a\n", b"b\n"])) is None
