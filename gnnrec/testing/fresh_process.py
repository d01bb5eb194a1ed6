"""Scores of a saved model, computed by a process that has seen nothing of its fit."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from gnnrec.models.saving import load_model, save_model
from gnnrec.views import UserBatch

MODEL, USERS, SCORES = "model", "users", "scores.safetensors"


def scores_in_fresh_process(folder: Path, batches: list[UserBatch]) -> list[Tensor]:
    """The scores that a new process computes for each batch with the model saved in `folder / "model"`.

    Raises:
        RuntimeError: the process failed; the message is the last line that it printed.
    """
    save_model(tuple(batches), folder / USERS)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", __name__, str(folder), str(torch.get_num_threads())]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if run.returncode:
        raise RuntimeError((run.stderr.strip().splitlines() or ["no message"])[-1])
    scores = load_file(folder / SCORES)
    return [scores[str(place)] for place in range(len(batches))]


def main(folder: Path, threads: int) -> None:
    """Loads the model, scores the batches and writes the scores."""
    torch.set_num_threads(threads)
    model = load_model(folder / MODEL)
    with torch.no_grad():
        scores = {str(place): model.score(users) for place, users in enumerate(load_model(folder / USERS))}
    save_file({key: score.contiguous() for key, score in scores.items()}, folder / SCORES)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
