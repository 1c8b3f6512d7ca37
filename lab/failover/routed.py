"""Trials on a service that a router spreads over the nodes: break, watch, mend, and count losses.

Every node announces the address of one service to the lab's router, which runs FRR.  Each node has
a pod of its own and hands nothing on (``externalTrafficPolicy: Local``), so that what the router
sends to a node is lost exactly as long as that node cannot answer.  Datagrams of many flows tell.
"""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from lab import parts
from lab.errors import LabError
from lab.failover import flows
from lab.failover.control import control_of
from lab.failover.tail import Tail
from lab.observe.watch import Observers, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from lab.failover.flows import Loss
    from lab.light import LightLab

FLOWS: Final = 12
PORTS_ASKED: Final = 40
RHYTHM_MS: Final = 1.0
ECHO_PORT: Final = 81
EXCLUDE: Final = "node.kubernetes.io/exclude-from-external-load-balancers"
BEFORE_S: Final = 0.5
AFTER_S: Final = 0.5
TRY_S: Final = 1.1
"""A datagram counts as lost after a second."""
MOVE_TIMEOUT_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Told:
    """The figures of one trial."""

    name: str
    sent: int
    lost: int
    outage_s: float
    flows_hit: int
    rerouted_s: float | None
    """From the fault until the router's kernel had the node no longer; None if it never went."""
    restored_s: float | None
    """From the mending until the router spread over all nodes again."""
    sessions_dropped: int
    """Sessions that ended, as the router counts them."""
    answered_by: Mapping[str, int]

    def line(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


class RoutedStage:
    """One service behind the router, watched."""

    def __init__(self, lab: LightLab, address: str) -> None:
        self.lab = lab
        self.address = address
        self.control = control_of(lab)
        self.nodes = sorted(lab.nodes)
        self.struck = self.nodes[0]
        self.had_outage = False
        self._watch: Watch[Any] | None = None
        self._tail: Tail | None = None

    def __enter__(self) -> Self:
        """Let the flows begin, once every node's kube-proxy knows the service.

        A flow that met a node without its rules would stay lost: the kernel remembers it as it is.
        """
        self.until(self._is_served, "an answer over every node")
        observe = Observers(self.lab.site, urgent=True)
        watch = observe.udp(self.address, ECHO_PORT, interval_ms=RHYTHM_MS, flows=FLOWS)
        self._watch, self._tail = watch, Tail(watch.process.log_path)
        self.settle()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the flows."""
        if self._watch is not None:
            self._watch.process.stop(3.0)
            self._watch.process.discard()

    def _is_served(self) -> bool:
        """Ask from many ports, so that every node is met."""
        if not self.is_whole():
            return False
        for _ in range(PORTS_ASKED):
            self.lab.client.udp_ask(self.address, ECHO_PORT, b"1 ?", timeout_s=0.3)
        return True

    def settle(self) -> None:
        """Wait until the router spreads over all nodes and every echo comes back."""
        self.lab.wait_for(self.is_whole, timeout_s=MOVE_TIMEOUT_S, what="a route over all nodes")
        if self.lab.bgp.options().has_bfd:
            what = "BFD with all nodes"
            self.lab.wait_for(
                lambda: self.lab.bgp.watched() == self.nodes, timeout_s=MOVE_TIMEOUT_S, what=what
            )

        def no_loss() -> bool:
            now = time.monotonic()
            recent = self._lines(now - TRY_S - 0.5, now - TRY_S)
            return bool(recent) and all(line["ok"] for line in recent)

        self.lab.wait_for(no_loss, timeout_s=MOVE_TIMEOUT_S, what="an echo of every datagram")

    def is_whole(self) -> bool:
        """Tell whether the router spreads over all nodes."""
        return self.lab.bgp.next_hops(self.address) == self.nodes

    def is_struck(self) -> bool:
        """Tell whether the router spreads over all nodes but the first."""
        return self.lab.bgp.next_hops(self.address) == self.nodes[1:]

    def perform(self, name: str) -> Told:
        """Perform a trial by its name and judge it."""
        if self._tail is None:
            raise LabError("the stage is not open")
        self.settle()
        self._tail.forget(time.monotonic() - 1.0)
        dropped = sum(self.lab.bgp.dropped().values())
        begin = time.monotonic()
        time.sleep(BEFORE_S)
        rerouted_s, restored_s = TRIALS[name](self)
        time.sleep(AFTER_S)
        end = time.monotonic()
        time.sleep(TRY_S)
        loss: Loss = flows.judge(self._lines(begin, end), begin, end)
        return Told(
            name=name,
            sent=loss.sent,
            lost=loss.lost,
            outage_s=loss.outage_s,
            flows_hit=loss.flows_hit,
            rerouted_s=rerouted_s,
            restored_s=restored_s,
            sessions_dropped=sum(self.lab.bgp.dropped().values()) - dropped,
            answered_by=loss.answered_by,
        )

    def recover(self) -> None:
        """End every fault and bring every speaker back."""
        self.lab.faults.heal()
        for node in self.nodes:
            label(self.lab, node, None)
            self.control.start(node)
        if self.had_outage:
            restart_proxies(self.lab)
            self.had_outage = False

    def until(self, condition: Callable[[], bool], what: str) -> float:
        """Wait, in short steps; return for how long."""
        begin = time.monotonic()
        self.lab.wait_for(condition, timeout_s=MOVE_TIMEOUT_S, what=what, interval_s=0.01)
        return time.monotonic() - begin

    def _lines(self, begin: float, end: float) -> list[dict[str, Any]]:
        return self._tail.between(begin, end) if self._tail is not None else []


Moments = tuple[float | None, float | None]


def label(lab: LightLab, node: str, value: str | None) -> None:
    """Put the label that excludes a node from load balancing on it, or take it away (None)."""
    lab.api.merge(f"/api/v1/nodes/{node}", {"metadata": {"labels": {EXCLUDE: value}}})


def _cut(stage: RoutedStage) -> Moments:
    stage.lab.faults.cut(stage.struck)
    rerouted_s = stage.until(stage.is_struck, "the router knows")
    time.sleep(AFTER_S)
    return rerouted_s, _mend(stage, lambda: stage.lab.faults.heal(stage.struck))


def _drain(stage: RoutedStage) -> Moments:
    label(stage.lab, stage.struck, "")
    rerouted_s = stage.until(stage.is_struck, "the node is left out")
    time.sleep(AFTER_S)
    return rerouted_s, _mend(stage, lambda: label(stage.lab, stage.struck, None))


def _stop(stage: RoutedStage) -> Moments:
    begin = time.monotonic()
    stage.control.stop(stage.struck)
    stage.until(stage.is_struck, "the node is left out")
    rerouted_s = time.monotonic() - begin
    return rerouted_s, _mend(stage, lambda: stage.control.start(stage.struck))


def _roll(stage: RoutedStage) -> Moments:
    return None, _mend(stage, stage.control.roll)


def _restart(stage: RoutedStage) -> Moments:
    """Stop all speakers and start them again, as an update of all pods at once would."""

    def restart() -> None:
        for node in stage.nodes:
            stage.lab.speaker(node).signal(signal.SIGTERM)
        for node in stage.nodes:
            stage.control.stop(node)
        for node in stage.nodes:
            stage.lab.speaker(node).start()
        for node in stage.nodes:
            stage.lab.await_speaker(node)

    return None, _mend(stage, restart)


def _crash(stage: RoutedStage) -> Moments:
    """Kill a speaker outright and start it again."""

    def crash() -> None:
        stage.control.kill(stage.struck)
        stage.control.start(stage.struck)

    return None, _mend(stage, crash)


def _brain(stage: RoutedStage) -> Moments:
    found = stage.control.parts(stage.struck)
    parts.send(found, parts.BRAIN, signal.SIGKILL)
    stage.until(
        lambda: bool(set(stage.control.parts(stage.struck).brains) - set(found.brains)),
        "a new brain",
    )
    stage.control.start(stage.struck)
    time.sleep(1.0)
    return None, None


@contextmanager
def outage(lab: LightLab) -> Iterator[None]:
    """Be without an API server inside the block."""
    server = lab.process("kube-apiserver")
    server.kill()
    try:
        yield
    finally:
        server.start()
        lab.wait_for(lab.api.is_ready, timeout_s=60, what="API server")


def restart_proxies(lab: LightLab) -> None:
    """Let every kube-proxy begin anew: after an outage they take minutes to look for news again."""
    for node in lab.nodes:
        lab.process(f"kube-proxy-{node}").restart()


def _outage(stage: RoutedStage) -> Moments:
    stage.had_outage = True
    with outage(stage.lab):
        time.sleep(5.0)
    return None, None


def _mend(stage: RoutedStage, action: Callable[[], object]) -> float:
    begin = time.monotonic()
    action()
    stage.until(stage.is_whole, "a route over all nodes")
    return time.monotonic() - begin


TRIALS: Final[Mapping[str, Callable[[RoutedStage], Moments]]] = {
    "cut": _cut,
    "drain": _drain,
    "stop": _stop,
    "roll": _roll,
    "restart": _restart,
    "crash": _crash,
    "brain": _brain,
    "outage": _outage,
}
