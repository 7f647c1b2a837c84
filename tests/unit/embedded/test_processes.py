from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from libs.embedded import processes
from libs.embedded.processes import Process


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def test_a_process_is_found_with_its_start_and_gone_when_it_has_ended(sleeper: subprocess.Popen[bytes]) -> None:
    found = processes.find(sleeper.pid)
    assert found is not None
    assert found.alive
    assert 0 <= found.uptime < 60
    sleeper.kill()
    assert processes.has_ended(os.pidfd_open(sleeper.pid), 5)
    assert not found.alive, "a zombie is no process any more"


def test_another_process_with_the_same_pid_is_never_attached_to(sleeper: subprocess.Popen[bytes]) -> None:
    found = processes.find(sleeper.pid)
    assert found is not None
    former = Process(found.pid, found.start - 1)
    assert former.attach() is None
    assert not former.alive
    assert sleeper.poll() is None


def test_ending_signals_one_process_and_not_what_it_started() -> None:
    script = "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    assert parent.stdout
    child = processes.find(int(parent.stdout.readline()))
    parent.stdout.close()
    descriptor = os.pidfd_open(parent.pid)
    processes.end([(descriptor, ((signal.SIGTERM, 5.0),))])
    os.close(descriptor)
    assert parent.wait(5) == -signal.SIGTERM
    assert child
    assert child.alive
    os.kill(child.pid, signal.SIGKILL)


def test_who_ignores_a_signal_gets_the_next_one() -> None:
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    stubborn = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert stubborn.stdout
    stubborn.stdout.readline()
    stubborn.stdout.close()
    descriptor = os.pidfd_open(stubborn.pid)
    processes.end([(descriptor, ((signal.SIGTERM, 0.05), (signal.SIGINT, 5.0)))])
    os.close(descriptor)
    assert stubborn.wait(5) in {-signal.SIGINT, 1, 130}


def test_memory_is_counted_with_and_without_what_a_process_started() -> None:
    me = processes.find(os.getpid())
    assert me
    child = subprocess.Popen(["sleep", "60"])
    try:
        assert 0 < processes.memory(me, tree=False) < processes.memory(me, tree=True)
    finally:
        child.kill()
        child.wait()
