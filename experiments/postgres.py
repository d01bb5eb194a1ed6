"""PostgreSQL for tests and measurements: a server of one's own on a free port, which ends with them."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

MISSING = "PostgreSQL is not installed here; on Debian: apt-get install postgresql"


def binaries() -> Path | None:
    """The folder of `initdb` and `postgres`; None where there is none."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((place for place in reversed(places) if (place / "initdb").is_file()), None)


def user() -> str | None:
    """The one that the server runs as, which must not be root."""
    return "postgres" if os.geteuid() == 0 else None


@contextlib.contextmanager
def server(*, fsync: bool = False) -> Iterator[str]:
    """The start of URLs of its databases, such as postgresql://postgres@127.0.0.1:5433.

    Args:
        fsync: whether what is written outlives a loss of power, which takes longer.
    """
    place = binaries()
    assert place is not None, MISSING
    with tempfile.TemporaryDirectory(prefix="gnnrec-postgres-") as folder:
        data = Path(folder) / "data"
        if user() is not None:
            shutil.chown(folder, user())
        create = [place / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8"]
        subprocess.run(create, user=user(), cwd=folder, check=True, capture_output=True)
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        options = [
            f"port={port}",
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={folder}",
            f"fsync={'on' if fsync else 'off'}",
        ]
        start = [place / "postgres", "-D", data, *(part for option in options for part in ("-c", option))]
        log = Path(folder) / "log"
        with log.open("wb") as to:
            running = subprocess.Popen(start, user=user(), cwd=folder, stdout=to, stderr=to)
        try:
            ready = [place / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-t", "1"]
            while subprocess.run(ready, capture_output=True).returncode:
                assert running.poll() is None, log.read_text(errors="replace")
            yield f"postgresql://postgres@127.0.0.1:{port}"
        finally:
            running.terminate()
            running.wait(30)
