"""Jobs on a Ray cluster, each one task on one core; a job whose worker or node dies is done again."""

import logging
import os
import socket
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnnrec.errors import ConfigError, InputError

LOCAL = "local"
"""The address that starts a cluster of this machine alone, which ends with the command."""
TRIES = 3
"""How often a job is begun whose worker dies each time."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process is connected to.

    Attributes:
        cores: that tasks can have, on all nodes together.
    """

    cores: int

    def finished(
        self,
        function: Callable[..., Any],
        jobs: Sequence[tuple[Any, ...]],
        names: Sequence[str],
        told: Callable[[str], None],
    ) -> Iterator[tuple[int, Any]]:
        """Runs a function once for each job, and yields what came out as the jobs finish.

        A job whose worker or node died is begun again, `TRIES` times in all, with a line each time. What a job writes
        must bear that: a run goes on from its checkpoints, a search from its trials. Another error than one that a
        person can mend ends everything.

        Args:
            function: of a module, or of the caller's file; sent to the workers.
            jobs: its arguments. Paths must be absolute, and be the same files on every node.
            names: of the jobs, for messages.
            told: called with a line where a job is begun again.

        Yields:
            The number of a job, and its result, or the InputError that ended it.
        """
        import ray
        from ray.exceptions import RayError, RayTaskError

        here = str(Path.cwd())
        task = ray.remote(num_cpus=1, max_retries=0)(_call)
        waiting = {task.remote(function, job, here): (number, 1) for number, job in enumerate(jobs)}
        while waiting:
            (ready,), _ = ray.wait(list(waiting), num_returns=1)
            number, tries = waiting.pop(ready)
            try:
                yield number, ray.get(ready)
            except RayTaskError as error:  # of the function itself
                raise error.cause or error from error
            except RayError as error:
                why = type(error).__name__
                if tries == TRIES:
                    yield number, InputError(f"{names[number]}: its worker died {TRIES} times, the last time {why}")
                    continue
                told(f"{names[number]}: its worker died ({why}); begun again, {tries + 1} of {TRIES}")
                waiting[task.remote(function, jobs[number], here)] = number, tries + 1


@contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """Connects to a cluster, or starts one on this machine; each worker computes with one thread.

    Args:
        address: `local`, `auto` for the cluster that this machine belongs to, or that of a cluster's head node,
            `host:6379`. Every node needs this package in the same version, and the data; variables of the environment
            that begin with GNNREC_ are sent along.

    Raises:
        ConfigError: Ray is not installed.
        InputError: there is no cluster at that address.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise ConfigError("--ray needs the library Ray: pip install 'gnnrec[ray]'") from None
    own = {key: value for key, value in os.environ.items() if key.startswith("GNNREC_")}
    modules = os.pathsep.join(path for path in sys.path if path)  # where the function of a job is found
    env_vars = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "PYTHONPATH": modules, **own}
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray warns of otherwise
    if address not in (LOCAL, "auto"):
        _ask(address)
    given: dict[str, Any] = {"num_cpus": cores_here()} if address == LOCAL else {"address": address}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(
                **given,
                include_dashboard=False if address == LOCAL else None,
                runtime_env={"env_vars": env_vars},
                logging_level=logging.ERROR,
                log_to_driver=True,  # what a job warns of
            )
    except (ConnectionError, ValueError, RuntimeError) as error:
        said = str(error).strip().split("\n")[0]
        raise InputError(
            f"--ray {address}: there is no cluster ({said}); start one with ray start, or say local"
        ) from None
    try:
        yield Cluster(int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
    finally:
        ray.shutdown()


def _ask(address: str) -> None:
    """Checks that a connection can be made; Ray itself would try for minutes.

    Raises:
        InputError: it cannot.
    """
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 2**16):
        raise InputError(f"--ray: {address!r} is no address; write local, auto, or the head node's HOST:PORT")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        why = error.strerror or error
        raise InputError(
            f"--ray {address}: there is no cluster ({why}); start one with ray start --head, or say local"
        ) from None


def cores_here() -> int:
    """Cores of this machine that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _call(function: Callable[..., Any], job: tuple[Any, ...], here: str) -> Any:
    """In a worker: the function's result, or the error that a person can mend."""
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    if Path(here).is_dir():
        os.chdir(here)  # own classes are looked for where the command was given
    try:
        return function(*job)
    except InputError as error:
        return error


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    if not issubclass(category, DeprecationWarning | FutureWarning | PendingDeprecationWarning):
        sys.stderr.write(f"warning: {message}\n")
