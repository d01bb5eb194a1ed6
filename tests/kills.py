"""Kills what writes files at random moments, starts it again, and compares with what no kill has touched.

    python tests/kills.py --kills 100 --seed 1

Each scenario is a line of SCENARIOS. It runs in a process of its own, forked after the imports, so that kills fall into
work. `make kills` tries them all; the suite tries some (`tests/test_kills.py`).
"""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import optuna.samplers  # noqa: F401  (imported here, once, and not in each process)
import pyarrow.csv  # noqa: F401
import torch
from synthetic_table import write_shop
from two_processes import begun, ended

import gnnrec
from gnnrec.__main__ import start
from gnnrec.errors import ConfigError
from gnnrec.experiment.config import read_config
from gnnrec.experiment.learn import learn
from gnnrec.experiment.run import run
from gnnrec.serving.artifact import ARTIFACT, RESULT
from gnnrec.serving.record import record_file
from gnnrec.training import tracking

QUICK = ("model.pretrain.epochs=2", "model.finetune.epochs=3", "model.choose_on=20", "model.encoder.channels=8")
SMALL = "{class: GraphSAGE, encoder: {channels: 8}, pretrain: {epochs: 1}, finetune: {epochs: 2}, choose_on: 20}"
MODELS = {
    "popularity": "{class: Popularity}",
    "linear": "{class: AttributeLinear}",
    "small": SMALL,
    "blend": f"{{class: Blend, components: {{linear: {{class: AttributeLinear}}, graphsage: {SMALL}}}}}",
}
REPLAYED = "split: {kind: temporal, test: 0.4}\nreplay: {windows: 3, steps: 2}\n"
VARIES = {"seconds", "peak_rss_mb", "time", "number", "best"}
"""Keys of JSON that differ from run to run: times, memory, numbers of trials, among which a lost one leaves a gap."""
LEFT_OUT = {"studies.journal"}
"""Not compared: the journal of a search, which tells of lost trials too. The log that is made of it is compared."""
TUNED = b"# Tuned "
"""Lines of a tuned config with seconds and the number of a trial."""


class Scenario(NamedTuple):
    """What is killed: a command (its arguments), or a call. `before` is the input that its folder begins with."""

    name: str
    work: Sequence[str] | Callable[[], None]
    before: str = ""


def save_over() -> None:
    """Writes each of two models over the other, again and again, the new one last."""
    old, new = (gnnrec.load(f"../inputs/{name}") for name in ("old", "new"))
    for model in (new, old) * 7 + (new,):
        model.save("model")


def record() -> None:
    """Thirty files of interactions are recorded, none of them twice: what was acknowledged is not given again."""
    for number in range(30):
        if not Path(f"acknowledged-{number}").exists():
            record_file(Path("model"), Path(f"../inputs/recorded/{number}.csv"))
            Path(f"acknowledged-{number}").touch()


def teach() -> None:
    """A model learns from what was recorded beside it."""
    learn(Path("../inputs/runs/shop/old"), Path("later"), 20)


SCENARIOS = (
    Scenario("run: pretraining, fine-tuning", ("run", "../inputs/shop.yaml", *QUICK)),
    Scenario("run: a blend", ("run", "../inputs/blend.yaml")),
    Scenario(
        "run: several configs", ("run", *(f"../inputs/{name}.yaml" for name in ("popularity", "small", "linear")))
    ),
    Scenario("tune", ("tune", "../inputs/linear.yaml", "--trials", "8")),
    Scenario("data describe: reading, caching", ("data", "describe", "../inputs/large/popularity.yaml")),
    Scenario("run: reading, caching", ("run", "../inputs/large/popularity.yaml")),
    Scenario("replay", ("replay", "../inputs/replayed.yaml")),
    Scenario("recommend", ("recommend", "../inputs/new", "--users", "../inputs/new.csv", "--out", "lists.parquet")),
    Scenario("embed", ("embed", "../inputs/new", "--users", "../inputs/new.csv", "--out", "vectors.csv")),
    Scenario("save over an older model", save_over, before="old"),
    Scenario("update", record, before="old"),
    Scenario("update --steps", teach),
)


def write_configs(folder: Path, users: int, items: int) -> Path:
    """A shop, and a config of each model."""
    folder.mkdir(parents=True)
    shop = write_shop(folder, users, items)
    for name, model in MODELS.items():
        head = shop.read_text().split("model:")[0]
        (folder / f"{name}.yaml").write_text(f"{head}model: {model}\nevaluate: {{metrics: [ndcg], at: [5]}}\n")
    head = shop.read_text().split("\nsplit:")[0] + "\n"
    (folder / "replayed.yaml").write_text(f"{head}{REPLAYED}model: {SMALL}\nevaluate: {{metrics: [ndcg], at: [5]}}\n")
    return shop


def make_inputs(folder: Path) -> None:
    """Configs of a small and a large shop, two models, and users whom they are asked for."""
    shop = write_configs(folder, 100, 20)
    write_configs(folder / "large", 8_000, 300)
    shutil.copy(folder / "large" / "users.csv", folder / "new.csv")
    (folder / "recorded").mkdir()
    for number in range(30):
        row = f"u-new{number % 7},sku/{number % 9},5,{number}"
        (folder / "recorded" / f"{number}.csv").write_text(f"user_id,item_id,rating,timestamp\n{row}\n")
    for name, seed in (("old", 0), ("new", 1)):
        made = run(read_config(shop, [*QUICK, f"seed={seed}"]), folder / "runs" / "shop" / name)
        shutil.copytree(folder / "runs" / made.result.name / name / "model", folder / name)
    for number in range(9):
        record_file(folder / "runs" / "shop" / "old", folder / "recorded" / f"{number}.csv")


def look(folder: Path) -> dict[str, str]:
    """What there is: file -> checksum. A saved model is one thing, which is there if it can be loaded."""
    found, models = {}, {path.parent for path in folder.rglob(ARTIFACT)}
    for path in folder.rglob("*"):
        if path.is_symlink() or (path.is_file() and path.name not in LEFT_OUT and path.parent not in models):
            found |= {f"{path.relative_to(folder)}{part}": checksum for part, checksum in _contents(path)}
    for model in models:
        try:
            gnnrec.load(model)
        except ConfigError:  # the line that refuses it
            continue
        found[str(model.relative_to(folder))] = " ".join(
            f"{p.name} {_sha256(p.read_bytes())}" for p in sorted(model.iterdir()) if p.is_file()
        )
    return found


def _contents(path: Path) -> Iterator[tuple[str, str]]:
    """The parts of a file, with their checksums: the lines of a log, and of another file the whole."""
    content = path.read_bytes() if path.is_file() else b""
    try:
        if path.suffix == ".jsonl":
            yield from ((f": {_plain(line)}", "") for line in content.splitlines())
            return
        content = _plain(content).encode() if path.suffix == ".json" else content
    except ValueError:  # half a file, which no whole one is equal to
        pass
    yield "", _sha256(b"\n".join(line for line in content.split(b"\n") if not line.startswith(TUNED)))


def _plain(text: bytes) -> str:
    return json.dumps(json.loads(text, object_pairs_hook=lambda pairs: {k: v for k, v in pairs if k not in VARIES}))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Trial:
    """A scenario, what it leaves when nothing kills it, and what came of kills.

    Attributes:
        kills: file that was written last before a kill -> number of kills.
        rounds: how often it was killed, once or more, and went on to the end.
        equal: how many rounds showed no fault.
        faults: a line for each.
    """

    def __init__(self, scenario: Scenario, root: Path) -> None:
        self.scenario, self.root = scenario, root
        self.kills: Counter[str] = Counter()
        self.rounds = self.equal = 0
        self.faults: list[str] = []
        folder = self._fresh("whole")
        self.before, begin = look(folder), time.perf_counter()
        assert ended(self._started(folder)) == 0, Path(f"{folder}.out").read_text()
        self.seconds, self.after = time.perf_counter() - begin, look(folder)

    def round(self, moments: Sequence[float]) -> list[str]:
        """Kills it at each moment, a share of the time that it takes unbroken, and lets it go on to the end: faults."""
        folder, faults, before = self._fresh("broken"), [], self.kills.total()
        for moment in moments:
            process = self._started(folder)
            process.join(moment * self.seconds)
            if process.is_alive():
                os.killpg(process.pid, signal.SIGKILL)
            if ended(process) != -signal.SIGKILL:
                break
            self.kills[_last_written(folder)] += 1
            faults += [f"after a kill: {fault}" for fault in self._half_done(look(folder))]
        code, found = ended(self._started(folder)), look(folder)
        faults += [f"exit code {code}: {Path(f'{folder}.out').read_text()[-500:]}"] if code else []
        faults += [f"at the end: {name} is missing" for name in self.after.keys() - found.keys()]
        faults += [f"at the end: {name} was left" for name in found.keys() - self.after.keys()]
        faults += [f"at the end: {k} differs" for k in found.keys() & self.after.keys() if found[k] != self.after[k]]
        killed = self.kills.total() > before
        self.rounds, self.equal = self.rounds + killed, self.equal + (killed and not faults)
        self.faults += faults
        return faults

    def _half_done(self, found: dict[str, str]) -> Iterator[str]:
        """What looks finished and is not: a file neither as before nor as at the end, or a result without the rest."""
        for name in found.keys() & (self.before.keys() | self.after.keys()):
            if found[name] not in (self.before.get(name), self.after.get(name)):
                yield f"{name} is neither the old nor the new one"
            if Path(name).name == RESULT:
                rest = {one for one in self.after if one.startswith(name.removesuffix(RESULT))}
                yield from (f"{name} is there without {one}" for one in rest - found.keys())

    def _fresh(self, name: str) -> Path:
        folder = self.root / name
        shutil.rmtree(folder, ignore_errors=True)
        Path(f"{folder}.out").unlink(missing_ok=True)
        folder.mkdir()
        if self.scenario.before:
            shutil.copytree(self.root / "inputs" / self.scenario.before, folder / "model")
        return folder

    def _started(self, folder: Path) -> Any:
        """The process, in a group of its own."""

        def work(_: int) -> None:
            os.chdir(folder)
            os.environ["GNNREC_CACHE"] = str(folder / "cache")
            tracking.CHECKPOINT_SECONDS = 0.0  # a checkpoint after each epoch
            with Path(f"{folder}.out").open("a", buffering=1) as said:
                sys.stdout = sys.stderr = said
                if callable(self.scenario.work):
                    return self.scenario.work()
                sys.argv = ["gnnrec", *self.scenario.work]
                start()

        process = begun(work, 0)
        os.setpgid(process.pid, process.pid)
        return process


def _last_written(folder: Path) -> str:
    """The file that was written last, without what in its name is of one process or checksum."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    name = str(max(files, key=lambda path: path.stat().st_mtime_ns).relative_to(folder)) if files else "nothing yet"
    return re.sub(r"part-[^/]+|[0-9a-f]{64}|[^.]+\.\d+(?=\.partial)", "*", name)


def tried(scenario: Scenario, root: Path, kills: int, draw: random.Random) -> Trial:
    """Rounds with one to three kills each, until there were so many."""
    trial = Trial(scenario, root)
    while (left := kills - trial.kills.total()) > 0:
        trial.round([draw.random() for _ in range(min(left, draw.choice((1, 1, 2, 3))))])
        print(f"{scenario.name}: {trial.kills.total()} of {kills} kills, {len(trial.faults)} faults", flush=True)
    return trial


def table(trials: Sequence[Trial]) -> str:
    """A row for each scenario, where its kills fell, and each fault."""
    rows = [(t.scenario.name, f"{t.seconds:.1f}", t.kills.total(), t.rounds, t.equal) for t in trials]
    rows += [("all", "", *(sum(column) for column in zip(*(row[2:] for row in rows), strict=True)))]
    head = ("what was killed", "seconds unbroken", "kills", "went on to the end", "bit for bit equal")
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, ["---"] * 5, *rows)]
    for trial in trials:
        lines += ["", f"{trial.scenario.name}: kills by the file that was written last"]
        lines += [f"  {count:3}  {name}" for name, count in trial.kills.most_common()]
        lines += [f"  FAULT {fault}" for fault in trial.faults]
    return "\n".join(lines)


def main() -> None:
    """Prints the table; exit code 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="how many, over all scenarios")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--only", default="", help="scenarios whose names contain this")
    given = parser.parse_args()
    torch.set_num_threads(1)
    scenarios = [scenario for scenario in SCENARIOS if given.only in scenario.name]
    begin, draw = time.perf_counter(), random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        make_inputs(Path(folder) / "inputs")
        shares = [(given.kills + place) // len(scenarios) for place in range(len(scenarios))]
        trials = [tried(one, Path(folder), share, draw) for one, share in zip(scenarios, shares, strict=True)]
    print(f"\n{table(trials)}\n\nseed {given.seed}, {(time.perf_counter() - begin) / 60:.0f} minutes")
    sys.exit(any(trial.faults for trial in trials))


if __name__ == "__main__":
    main()
