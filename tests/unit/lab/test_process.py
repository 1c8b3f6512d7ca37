"""Processes are found by pid and start time, and ended with all they forked."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.errors import ProcessError
from lab.process import Process, ProcessSpec, ProcessTable, read_stat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def table(tmp_path: Path) -> Iterator[ProcessTable]:
    """Give a table whose processes are ended after the test."""
    made = ProcessTable(tmp_path)
    yield made
    made.kill_all()


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "condition did not come true"
        time.sleep(0.01)


def _shell(table: ProcessTable, script: str, **env: str) -> Process:
    return table.start(ProcessSpec("p", ("/bin/sh", "-c", script), env=env))


def test_output_and_environment_reach_the_log(table: ProcessTable) -> None:
    """A process prints into its own log and sees only the environment it was given."""
    process = _shell(table, "echo $WORD; env | grep -c ^PYTEST", WORD="hello")
    assert process.wait(5)
    assert process.log().splitlines() == ["hello", "0"]


def test_a_dead_process_is_no_zombie_and_tells_its_status(table: ProcessTable) -> None:
    """The driver collects what it started."""
    process = _shell(table, "exit 3")
    assert process.wait(5)
    assert process.exit_status == 3
    assert read_stat(process.pid) is None


def test_stop_is_graceful(table: ProcessTable) -> None:
    """SIGTERM comes first, so a program can say goodbye."""
    process = _shell(
        table, "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    )
    _until(lambda: "ready" in process.log())
    process.stop()
    assert process.log().splitlines()[-1] == "bye"
    assert not process.is_alive()


def test_stop_ends_one_that_will_not(table: ProcessTable) -> None:
    """A program that ignores SIGTERM is killed with its children."""
    process = _shell(table, "trap '' TERM; sleep 60 & echo ready; while :; do sleep 0.05; done")
    _until(lambda: "ready" in process.log())
    process.stop(timeout_s=0.2)
    assert process.family() == []


def test_children_survive_a_kill_of_the_main_process_only(table: ProcessTable) -> None:
    """A brain can be killed without its wire process, and the rest is still found."""
    process = _shell(table, "sleep 60 & sleep 61 & echo ready; wait")
    _until(lambda: "ready" in process.log())
    process.kill(family=False)
    assert not process.is_alive()
    assert len(process.family()) == 2
    process.kill()
    assert process.family() == []


def test_a_frozen_process_goes_on(table: ProcessTable) -> None:
    """SIGSTOP and SIGCONT reach the process, and stop works on a frozen one."""
    process = _shell(table, "exec sleep 60")
    process.pause()
    _until(lambda: (stat := process.stat()) and stat.state == "T")
    process.cont()
    _until(lambda: (stat := process.stat()) and stat.state in "RS")
    process.pause()
    process.stop(timeout_s=1)
    assert not process.is_alive()


def test_another_driver_finds_it_again(table: ProcessTable, tmp_path: Path) -> None:
    """The record alone is enough to find, signal and restart a process."""
    process = _shell(table, "echo run; exec sleep 60")
    other = ProcessTable(tmp_path).get("p")
    assert other is not None
    assert other.pid == process.pid
    other.kill()
    assert not process.is_alive()
    other.start()
    _until(lambda: other.log().count("run") == 2)
    assert other.pid != process.pid


def test_a_recycled_pid_is_left_alone(table: ProcessTable, tmp_path: Path) -> None:
    """A record whose start time does not fit the living process names a dead one."""
    process = _shell(table, "exec sleep 60")
    file = tmp_path / "processes" / "p.json"
    record = json.loads(file.read_text())
    record["start_ticks"] -= 1
    file.write_text(json.dumps(record))
    stranger = table.get("p")
    assert stranger is not None
    assert not stranger.is_alive()
    stranger.kill()
    stranger.signal(signal.SIGKILL, family=True)
    assert process.is_alive()
    process.kill()


def test_a_name_is_used_once(table: ProcessTable) -> None:
    """A second process of the same name would orphan the first."""
    _shell(table, "exec sleep 60")
    with pytest.raises(ProcessError, match="running already"):
        _shell(table, "exec sleep 60")


def test_a_missing_program_is_told(table: ProcessTable) -> None:
    """A wrong path is an error with the path in it."""
    with pytest.raises(ProcessError, match="/no/such"):
        table.start(ProcessSpec("p", ("/no/such",)))


def test_a_process_outlives_its_driver(tmp_path: Path) -> None:
    """The lab keeps on when the command that started it has ended."""
    script = (
        "import sys; from pathlib import Path; from lab.process import *;"
        "t = ProcessTable(Path(sys.argv[1]));"
        "print(t.start(ProcessSpec('p', ('/bin/sleep', '60'))).pid)"
    )
    driver = ProcessTable(tmp_path / "driver")
    root = str(Path(__file__).parents[3])
    argv = (sys.executable, "-c", script, str(tmp_path))
    started = driver.start(ProcessSpec("d", argv, env={"PYTHONPATH": root}))
    assert started.wait(20)
    found = ProcessTable(tmp_path).get("p")
    assert found is not None, started.log()
    assert found.is_alive()
    assert os.getpid() != found.stat().parent  # type: ignore[union-attr]
    found.kill()
    assert not found.is_alive()
