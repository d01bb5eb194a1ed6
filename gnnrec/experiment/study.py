"""An Optuna study that several workers share: which trial comes next, which was lost, what the budget leaves."""

import contextlib
import fcntl
import itertools
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from gnnrec.errors import ConfigError
from gnnrec.experiment.config import TuningConfig
from gnnrec.options.search_space import SearchSpace
from gnnrec.runtime import seeds

STARTUP_TRIALS = 5
"""Trials drawn evenly, before those that the sampler bases on earlier values."""
OWN, PLACE, WORKER, RECORD = "own", "place", "worker", "record"


@dataclass(frozen=True)
class Record:
    """What one trial found.

    Attributes:
        options: dotted option -> value that was tried.
        value: of the metric on the validation users; None for a trial that failed.
        seconds: of fit and evaluation.
        chosen: options that the model chose itself, for example the number of epochs.
        error: why the trial failed.
        own: whether it is the one with the config's own options.
        number: of the trial.
    """

    options: dict[str, Any]
    value: float | None
    seconds: float
    chosen: dict[str, Any]
    error: str | None = None
    own: bool = False
    number: int = -1


class Proposal(NamedTuple):
    """A trial to be made.

    Attributes:
        trial: Optuna's.
        options: dotted option -> value to try.
        own: whether these are the config's own options.
    """

    trial: Any
    options: dict[str, Any]
    own: bool


class JournalLock:
    """The lock of a journal, which ends with the process that holds it; a process may take it again while it has it.

    Optuna's own one outlives a kill: others wait for half a minute, and for ever where the journal's path is relative.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._depth = path, 0
        self._file: Any = None

    def acquire(self) -> bool:
        """Waits for it."""
        if self._depth == 0:
            self._file = self._path.open("ab")
            fcntl.flock(self._file, fcntl.LOCK_EX)
        self._depth += 1
        return True

    def release(self) -> None:
        """Lets go of it."""
        self._depth -= 1
        if self._depth == 0:
            self._file.close()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keeps it for a block."""
        self.acquire()
        try:
            yield
        finally:
            self.release()


class Study:
    """A search for the options with the best value, within a budget, whoever does the work.

    Finished trials count towards the budget, failed ones too, and so does one that a worker is busy with. A trial whose
    worker has died is lost: it does not count, and nobody waits for it. (Only a death on this machine can be seen; a
    worker on another one passes for alive.) What is drawn hangs on the seed, on the trial's place, and on the values so
    far; the place of a lost trial goes to the next one, so that a search that was broken off goes on as if it had not
    been, and nothing is drawn twice.

    Source: Bergstra, Bardenet, Bengio, Kegl, "Algorithms for Hyper-Parameter Optimization", NIPS 2011, section 4 (tree
        of Parzen estimators); library optuna. Differs: the first trial has the config's own options, so that a search
        never ends with worse ones; no trial is cut short, so that budgets compare.

    Args:
        name: of the study within the storage.
        storage: a file, or a URL that Optuna knows.
        space: what to try.
        own: the config's own options, one for each of `space`.
        budget: when to stop.
        lower_is_better: of the metric.
        seed: of the sampler.

    Raises:
        ConfigError: Optuna is not installed, or the storage cannot be used.
    """

    def __init__(
        self,
        name: str,
        storage: str | Path,
        *,
        space: SearchSpace,
        own: Mapping[str, Any],
        budget: TuningConfig,
        lower_is_better: bool,
        seed: int,
    ) -> None:
        try:
            import optuna
        except ImportError as error:
            raise ConfigError(f"gnnrec tune needs the library optuna: pip install 'gnnrec[tune]' ({error})") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.name, self.space, self.own, self.budget, self.seed = name, space, dict(own), budget, seed
        self.lower_is_better = lower_is_better
        self._states = optuna.trial.TrialState
        self._sampler = optuna.samplers.TPESampler
        try:
            opened, self._lock = _storage(storage)
            self._study = self._open(optuna, opened)
        except Exception as error:  # whatever a database raises
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigError(f"--storage {storage}: cannot be used: {reason}") from error

    def _open(self, optuna: Any, storage: Any) -> Any:
        """The study. Whoever makes it, and nobody else, puts the config's own options first in the queue."""
        direction = "minimize" if self.lower_is_better else "maximize"
        try:
            self._study = optuna.create_study(study_name=self.name, storage=storage, direction=direction)
        except optuna.exceptions.DuplicatedStudyError:
            return optuna.load_study(study_name=self.name, storage=storage)
        self._put_own_first()
        return self._study

    def _put_own_first(self) -> None:
        """The sampler learns from the config's own values as far as they lie in the space."""
        held = {name: value for name, value in self.own.items() if self.space[name].holds(value)}
        self._study.enqueue_trial(held, user_attrs={OWN: True})

    def fact(self, name: str, value: str) -> str:
        """Keeps a value under a name when first called; the value that was kept."""
        if name not in self._study.user_attrs:
            self._study.set_user_attr(name, value)
        return str(self._study.user_attrs[name])

    @property
    def facts(self) -> dict[str, str]:
        """All that was kept with `fact`."""
        return dict(self._study.user_attrs)

    def ask(self) -> Proposal | None:
        """The next trial to make; None where the budget is spent. Workers with a journal ask one after the other."""
        with contextlib.nullcontext() if self._lock is None else self._lock.held():
            return self._ask()

    def _ask(self) -> Proposal | None:
        self._drop_lost()
        if self._lock is not None and not any(_is_own(trial) for trial in self._trials(*self._states)):
            self._put_own_first()  # a worker was killed before it could
        counted = self._counted()
        spent = sum(record.seconds for record in self.finished())
        if len(counted) >= self.budget.trials or spent >= 60 * self.budget.minutes:
            return None
        trial = self._study.ask()
        trial.set_user_attr(WORKER, _worker())
        own = bool(trial.user_attrs.get(OWN))
        others = [other for other in self._counted() if other.number != trial.number]
        if sum(other.number < trial.number for other in others) >= self.budget.trials:  # another worker was faster
            self.give_back(Proposal(trial, {}, own))
            return None
        place = _free_place(trial.number, others)
        trial.set_user_attr(PLACE, place)
        seed = seeds.integer(self.seed, f"trial {place}") % 2**32
        self._study.sampler = self._sampler(n_startup_trials=STARTUP_TRIALS, seed=seed, multivariate=False)
        names = [name for name in self.space if not own or self.space[name].holds(self.own[name])]
        drawn = {name: self.space[name].suggest(trial, name) for name in names}
        return Proposal(trial, dict(self.own) if own else drawn, own)

    def tell(self, proposal: Proposal, record: Record) -> None:
        """Keeps what a trial found: first the whole record, so that a kill in between loses nothing."""
        proposal.trial.set_user_attr(RECORD, asdict(record))
        self._close(proposal.trial.number, record.value)

    def give_back(self, proposal: Proposal) -> None:
        """Lets go of a trial that was not finished; the config's own options will be tried by somebody else."""
        self._lose(proposal.trial.number, proposal.own)

    def finished(self) -> list[Record]:
        """All trials that found something or failed, in the order of their numbers."""
        finished = [trial for trial in self._trials(*self._states) if _is_finished(trial)]
        return [Record(**{**trial.user_attrs[RECORD], "number": trial.number}) for trial in finished]

    @property
    def running(self) -> int:
        """How many trials workers are busy with."""
        return len(self._trials(self._states.RUNNING))

    def best(self) -> Record | None:
        """The trial with the best value, the earliest of several; None where none has a value."""
        found = [record for record in self.finished() if record.value is not None]
        sign = 1 if self.lower_is_better else -1
        return min(found, key=lambda record: (sign * (record.value or 0.0), record.number), default=None)

    def _counted(self) -> list[Any]:
        """The trials that count: those with a record, and those that are being made."""
        running = self._states.RUNNING  # read once: a trial that ends between two looks would be counted twice
        return [t for t in self._trials(*self._states) if t.state == running or _is_finished(t)]

    def _drop_lost(self) -> None:
        """Closes the trials of dead workers."""
        named_within = timedelta(minutes=1) if self._lock is None else timedelta(0)  # of the lines of `ask`
        for trial in self._trials(self._states.RUNNING):
            if not _is_dead(trial.user_attrs.get(WORKER), trial.datetime_start, named_within):
                continue
            if RECORD in trial.user_attrs:
                self._close(trial.number, trial.user_attrs[RECORD]["value"])
            else:
                self._lose(trial.number, bool(trial.user_attrs.get(OWN)))

    def _lose(self, number: int, own: bool) -> None:
        if self._close(number, None) and own:
            self._put_own_first()

    def _close(self, number: int, value: float | None) -> bool:
        """Ends a running trial; False where another worker has done so."""
        try:
            if value is None:
                self._study.tell(number, state=self._states.FAIL)
            else:
                self._study.tell(number, value)
        except (ValueError, RuntimeError):  # it is not running any more
            return False
        return True

    def _trials(self, *states: Any) -> list[Any]:
        return list(self._study.get_trials(deepcopy=False, states=states))


def _free_place(number: int, others: Sequence[Any]) -> int:
    """The smallest place that no other trial has, but for those that earlier ones are about to take."""
    taken = {trial.user_attrs[PLACE] for trial in others if PLACE in trial.user_attrs}
    about_to = sum(PLACE not in trial.user_attrs and trial.number < number for trial in others)
    return next(itertools.islice((place for place in itertools.count() if place not in taken), about_to, None))


def _is_finished(trial: Any) -> bool:
    """Whether a trial found something, or failed by itself; one that was lost has no record."""
    return RECORD in trial.user_attrs and bool(trial.state.is_finished())


def _is_own(trial: Any) -> bool:
    """Whether a trial with the config's own options is there: waiting, running or with a record, but not lost."""
    return OWN in trial.user_attrs and (RECORD in trial.user_attrs or not trial.state.is_finished())


def _storage(storage: str | Path) -> tuple[Any, JournalLock | None]:
    """A file becomes a journal, whose lines several processes add to, with its lock; a URL is left to Optuna."""
    if "://" in str(storage):
        return str(storage), None
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path = Path(storage)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = JournalLock(path)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock)), lock


def _worker() -> str:
    """This process: machine, number, and when it began, since numbers are used again."""
    return f"{socket.gethostname()} {os.getpid()} {_began(os.getpid())}"


def _began(process: int) -> str:
    """When a process of this machine began, in the clock ticks of /proc; `-` where there is none."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return "-"


def _is_dead(worker: str | None, asked: datetime | None, named_within: timedelta) -> bool:
    """Whether the process that took a trial is gone."""
    if worker is None:  # between two lines of `Study.ask`, or killed there
        return asked is not None and datetime.now() - asked > named_within
    machine, process, began = worker.rsplit(" ", 2)
    if machine != socket.gethostname() or began == "-":
        return False
    return _began(int(process)) != began
