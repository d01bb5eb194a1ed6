"""Scores and lists of saved models, computed by a process that has seen nothing of their fit."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from gnnrec.models.saving import load_model, save_model
from gnnrec.serving.artifact import Artifact, load
from gnnrec.serving.lists import best, serve
from gnnrec.views import UserBatch

MODEL, USERS, SCORES = "model", "users", "scores.safetensors"
LENGTH = 10
"""Items of a list."""


def scores_in_fresh_process(folder: Path, batches: list[UserBatch]) -> list[Tensor]:
    """The scores that a new process computes for each batch with the model saved in `folder / "model"`.

    Raises:
        RuntimeError: the process failed; the message is the last line that it printed.
    """
    save_model(tuple(batches), folder / USERS)
    scores = _called(folder, "scores", [])
    return [scores[str(place)] for place in range(len(batches))]


def answers_in_fresh_process(
    artifacts: Sequence[Path], users: UserBatch, folder: Path, cwd: Path | None = None
) -> list[dict[str, Tensor]]:
    """What `answers` gives in a new process, for the model saved in each of several folders.

    Args:
        artifacts: written by `gnnrec.serving.artifact.save`.
        users: of the vocabulary of all of them.
        folder: for what goes to the process and back.
        cwd: the process's working folder; None for this one's.

    Raises:
        RuntimeError: the process failed; the message is the last line that it printed.
    """
    save_model((users,), folder / USERS)
    found = _called(folder, "answers", [str(path.resolve()) for path in artifacts], cwd)
    names: list[dict[str, Tensor]] = [{} for _ in artifacts]
    for key, value in found.items():
        place, _, name = key.partition(" ")
        names[int(place)][name] = value
    return names


def answers(artifact: Artifact, users: UserBatch) -> dict[str, Tensor]:
    """`score` of every item, `best score` and `best item` of the lists, and `vector` where the model has one."""
    model: Any = artifact.model
    lists = best(serve(artifact), users, LENGTH)
    found = {"best score": lists.score, "best item": lists.item}
    with torch.no_grad():
        found["score"] = model.score(users)
        if hasattr(model, "embed"):
            found["vector"] = model.embed(users)
    return found


def _called(folder: Path, what: str, arguments: list[str], cwd: Path | None = None) -> dict[str, Tensor]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path)}
    command = [sys.executable, "-m", __name__, what, str(folder.resolve()), str(torch.get_num_threads()), *arguments]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=cwd)
    if run.returncode:
        raise RuntimeError((run.stderr.strip().splitlines() or ["no message"])[-1])
    found: dict[str, Tensor] = load_file(folder / SCORES)
    return found


def main(what: str, folder: Path, threads: int, artifacts: Sequence[str]) -> None:
    """Loads models and users, and writes what they answer."""
    torch.set_num_threads(threads)
    batches = load_model(folder / USERS)
    found: Mapping[str, Tensor]
    if what == "scores":
        model = load_model(folder / MODEL)
        with torch.no_grad():
            found = {str(place): model.score(users) for place, users in enumerate(batches)}
    else:
        found = {
            f"{place} {name}": value
            for place, path in enumerate(artifacts)
            for name, value in answers(load(path), batches[0]).items()
        }
    save_file({key: value.contiguous() for key, value in found.items()}, folder / SCORES)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
