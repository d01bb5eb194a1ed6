"""How many threads compute: few items one, many all, an environment that says so as many as it says; what warns."""

import os
import subprocess
import sys

import pytest
import torch

from gnnrec.runtime import threads
from gnnrec.runtime.threads import LARGE, threads_for
from gnnrec.runtime.waiting import SET


@pytest.fixture
def two(monkeypatch):
    """Torch with two threads, in an environment that says nothing of them, on a machine that is not busy."""
    for name in ("OMP_NUM_THREADS", *SET):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "is_busy", lambda number: False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("items", "number"), [(1, 1), (LARGE - 1, 1), (LARGE, 2)])
def test_a_small_catalogue_has_one_thread_and_a_large_one_all(two, items, number):
    with threads_for(items) as found:
        assert found == torch.get_num_threads() == number
    assert torch.get_num_threads() == 2


def test_the_environment_has_the_last_word(two, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with threads_for(1):
        assert torch.get_num_threads() == 2


def test_the_number_comes_back_after_an_error(two):
    with pytest.raises(KeyError), threads_for(1):
        raise KeyError
    assert torch.get_num_threads() == 2


def test_spinning_threads_on_a_busy_machine_are_warned_of_in_one_line(two, monkeypatch, recwarn):
    monkeypatch.setattr(threads, "is_busy", lambda number: True)
    with pytest.warns(UserWarning, match=r"set OMP_WAIT_POLICY=passive .* or OMP_NUM_THREADS=1"), threads_for(LARGE):
        pass
    recwarn.clear()
    with threads_for(1):  # one thread waits for nobody
        pass
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    with threads_for(LARGE):
        pass
    assert not recwarn


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not say which cores are ours")
def test_a_machine_is_busy_where_load_and_threads_are_more_than_its_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    for load, number, busy in ((0.4, 4, False), (1.0, 4, True), (1.0, 3, False), (3.0, 1, False), (4.0, 1, True)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 0.0, 0.0))
        assert threads.is_busy(number) == busy


def waiting(code: str, **environment: str) -> str:
    """What OMP_WAIT_POLICY is, in a new process, after some lines."""
    clean = {k: v for k, v in os.environ.items() if k not in SET}
    command = [sys.executable, "-c", f"import os\n{code}\nprint(os.environ.get('OMP_WAIT_POLICY'))"]
    done = subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def test_the_command_line_lets_threads_wait_passively():
    call = (
        "from gnnrec.cli import main\nimport sys\nsys.argv = ['gnnrec', '--help']\ntry: main()\nexcept SystemExit: pass"
    )
    assert waiting(call) == "passive"
    assert waiting(call, OMP_WAIT_POLICY="active") == "active"
    assert waiting(call, GOMP_SPINCOUNT="0") == "None"


def test_after_torch_is_loaded_it_would_do_nothing():
    assert waiting("import torch\nfrom gnnrec.runtime.waiting import wait_passively\nwait_passively()") == "None"
