"""The announcer as a process: stopped, continued, starved of its log's reader, measured."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mercurylb.plan.desired import DesiredState
from tests.lab.wire_lab import Announcer, Asker, Host, Lan, service, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs network namespaces"),
]

V4 = "10.77.0.100"
WEB = "default/web"


class Node:
    """A LAN with one node and a client."""

    def __init__(self, folder: Path) -> None:
        self.lan = Lan(folder)
        self.host: Host = self.lan.host("n1")
        self.asker = Asker(self.lan.host("client"))

    def start(self, *options: str, stdout: int | None = None) -> Announcer:
        """Start an announcer that owns the service."""
        announcer = self.lan.announcer(self.host, *options, stdout=stdout)
        self.want(announcer, 1)
        wait_until(lambda: announcer.owned == (WEB,), "owned", 15.0)
        return announcer

    def want(self, announcer: Announcer, revision: int, *, count: int = 1) -> None:
        """Let it announce the service, and more of them."""
        more = tuple(
            service(f"10.78.{n // 250}.{n % 250 + 1}", ranking=("n1",), name=f"default/s{n}")
            for n in range(1, count)
        )
        wanted = (service(V4, ranking=("n1", "n2"), name=WEB), *more)
        announcer.want(DesiredState(revision, self.lan.members(without="n1"), wanted))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """Give a fresh node and a client."""
    made = Node(tmp_path)
    yield made
    made.asker.close()
    made.lan.close()


def is_stopped(pid: int) -> bool:
    """Tell whether a process stands still."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_continued_process_answers_no_old_question(node: Node) -> None:
    """Questions that waited while it stood still are thrown away; new ones are answered."""
    announcer = node.start()
    assert node.asker.who(V4) == {node.host.mac}
    announcer.kill(signal.SIGSTOP)
    wait_until(lambda: is_stopped(announcer.pid), "stopped")
    node.asker.drain()
    for _ in range(300):
        node.asker.ask(V4)
    stopped_at = time.monotonic()
    while time.monotonic() < stopped_at + 0.8:
        assert node.asker.answers(V4, 0.05) == []
    announcer.kill(signal.SIGCONT)
    assert node.asker.answers(V4, 0.3) == []
    wait_until(lambda: announcer.drops.get("wire stale", 0) >= 300, "counted")
    wait_until(lambda: node.asker.who(V4, 0.03) == {node.host.mac}, "answers again", 3.0)


def test_short_stall_costs_no_answer(node: Node) -> None:
    """What waited for a moment only is answered late rather than never."""
    announcer = node.start()
    announcer.kill(signal.SIGSTOP)
    wait_until(lambda: is_stopped(announcer.pid), "stopped")
    node.asker.drain()
    node.asker.ask(V4)
    time.sleep(0.1)
    announcer.kill(signal.SIGCONT)
    assert node.asker.answers(V4, 0.2) == [node.host.mac]


def test_full_log_pipe_stalls_nothing(node: Node) -> None:
    """With nobody reading the log, questions are answered and wishes carried out as ever."""
    read, write = os.pipe()
    announcer = node.start("--log-level", "debug", stdout=write)
    os.close(write)
    revision = 1
    while revision < 12:
        revision += 1
        node.want(announcer, revision, count=400 if revision % 2 else 1)
        wait_until(lambda at=revision: announcer.observation.revision == at, "carried out")
        assert node.asker.who(V4, 0.05) == {node.host.mac}
    os.set_blocking(read, False)
    found = b""
    ends_at = time.monotonic() + 10
    while b'"log.dropped"' not in found and time.monotonic() < ends_at:
        try:
            found += os.read(read, 65536)
        except BlockingIOError:
            node.want(announcer, revision := revision + 1)
            time.sleep(0.05)
    assert b'"log.dropped"' in found
    os.close(read)


def test_it_says_what_the_kernel_granted(node: Node) -> None:
    """The log and the observation name the scheduling class."""
    announcer = node.start()
    granted = announcer.observation.scheduling
    assert granted.startswith(("round robin", "nice", "normal"))
    (started,) = [line for line in announcer.lines() if line["event"] == "announcer.started"]
    assert started["scheduling"] == granted
    policy = os.sched_getscheduler(announcer.pid)
    assert (policy & ~os.SCHED_RESET_ON_FORK == os.SCHED_RR) == granted.startswith("round robin")
    brain = int((announcer.folder / "brain.pid").read_text())
    assert os.sched_getscheduler(brain) == os.SCHED_OTHER, "the brain is an ordinary process"


def test_memory_with_a_thousand_addresses(node: Node) -> None:
    """It stays a small process: the bound is generous, the figures are those of `make bench`."""
    announcer = node.start("--secret", "s3cret")
    node.want(announcer, 2, count=1000)
    wait_until(lambda: len(announcer.owned) == 1000, "a thousand services", 20.0)
    rollup = Path(f"/proc/{announcer.pid}/smaps_rollup").read_text()
    sizes = {line.split()[0]: int(line.split()[1]) for line in rollup.splitlines()[1:]}
    assert sizes["Rss:"] < 60_000
    assert sizes["Pss:"] < 45_000
