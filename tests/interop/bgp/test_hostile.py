"""Bad neighbours on real sockets: they get the right answer, and nobody else notices.

The healthy neighbour is the test itself: it asks for a route refresh again and again while the bad
one does its worst, and takes the time until the route comes.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab import netns
from mercurylb.bgp.route import RouteGroup
from mercurylb.bgp.settings import PeerSettings
from mercurylb.plan.desired import BgpPeer
from tests.interop.bgp import hostile, speech
from tests.interop.bgp.daemon import Daemon, wait_until
from tests.interop.bgp.network import HOSTILE
from tests.interop.bgp.node import Node
from tests.interop.bgp.speech import Conversation
from tests.lab.wire_lab import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mercurylb.bgp.report import SessionReport
    from tests.interop.bgp.network import Network

_PORTS = itertools.count(20000)
DELAY_MAX_S = 0.05
"""What a healthy neighbour may wait longer because of others."""
NOISE_MAX_S = 2.0
"""What a busy machine may do to a few answers; whoever waits for a bad neighbour waits longer."""
MEMORY_MAX_KIB = 24 * 1024
BAD = "bad"


@pytest.fixture(scope="module")
def besieged(bgp_network: Network, folder: Path) -> Iterator[Node]:
    """Start an announcer of its own for the bad neighbours."""
    name, number = bgp_network.private_node()
    node = Node(bgp_network, folder, name, number)
    node.start()
    yield node
    node.close()


class Bad:
    """A bad neighbour's process."""

    def __init__(self, node: Node, folder: Path, *script: str, protects: bool = False) -> None:
        self.node = node
        self.port = next(_PORTS)
        self.log = folder / f"hostile-{self.port}.log"
        address = node.network.address(HOSTILE)
        argv = [sys.executable, "-m", "tests.interop.bgp.hostile", *script]
        argv += ["--address", address, "--port", str(self.port)]
        if protects:
            argv += ["--protect-from", node.network.link_address(1, node=node.number)]
        self.daemon = Daemon(
            argv,
            namespace=node.network.namespace(HOSTILE),
            log=self.log,
            env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
            cwd=ROOT,
        )
        self.wait("listening")
        self.settings = PeerSettings(
            name=BAD,
            my_asn=65001,
            peer_asn=hostile.ASN,
            address=address,
            port=self.port,
            source_address=node.network.link_address(1, node=node.number),
            hold_time_s=3 if script[0] == "silent" else 90,
            connect_time_s=1,
        )

    def events(self, name: str = "") -> list[dict[str, object]]:
        """Return what it said."""
        lines = self.log.read_text().splitlines()
        found = [json.loads(line) for line in lines if line[:1] == "{"]
        return [event for event in found if name in {"", event["event"]}]

    def wait(self, event: str, count: int = 1, timeout_s: float = 15.0) -> dict[str, object]:
        """Wait until it said something so often."""
        wait_until(
            lambda: self.daemon.check() and len(self.events(event)) >= count,
            f"{event}, {count} times; {self.log.read_text()[-500:]}",
            timeout_s,
        )
        return self.events(event)[-1]

    @property
    def report(self) -> SessionReport:
        """Return our view of it."""
        return self.node.report(BAD)

    def wait_report(self, condition: Callable[[SessionReport], object], what: str) -> None:
        """Wait for our view of it."""
        wait_until(lambda: condition(self.report), f"{what}: {self.report}", 15)


@pytest.fixture
def bad(besieged: Node, folder: Path) -> Iterator[Callable[..., Bad]]:
    """Start a bad neighbour and let our node know it."""
    made: list[Bad] = []

    def start(*script: str, protects: bool = False) -> Bad:
        made.append(Bad(besieged, folder, *script, protects=protects))
        besieged.set_peer(BgpPeer(made[-1].settings))
        return made[-1]

    yield start
    besieged.remove_peer(BAD)
    for one in made:
        one.daemon.close()


class Healthy:
    """A neighbour that behaves, and looks at its watch."""

    PREFIX = "192.0.2.200/32"

    def __init__(self, node: Node) -> None:
        self.node = node
        port = next(_PORTS)
        address = node.network.address(HOSTILE)
        with netns.inside(node.network.namespace(HOSTILE)):
            listener = socket.create_server((address, port))
        listener.settimeout(15)
        name = "healthy"
        node.announce(name, RouteGroup((name,), (self.PREFIX,)))
        node.set_peer(
            BgpPeer(
                PeerSettings(
                    name=name, my_asn=65001, peer_asn=64800, address=address, port=port,
                    hold_time_s=90,
                )
            )
        )  # fmt: skip
        sock, _ = listener.accept()
        listener.close()
        sock.settimeout(15)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.talk = Conversation(sock)
        assert self.talk.greet(64800)
        self.await_update()

    def await_update(self) -> None:
        """Take messages until a route comes."""
        while True:
            heard = self.talk.receive()
            assert heard is not None, "the healthy session ended"
            assert heard.kind != speech.NOTIFICATION, heard
            if heard.kind == speech.UPDATE and len(heard.body) > 4:
                return

    def ask(self) -> float:
        """Ask for the route; return how long it took to come."""
        started = time.perf_counter()
        self.talk.send(speech.refresh())
        self.await_update()
        return time.perf_counter() - started

    def watch(self, until: Callable[[], object], at_least_s: float = 1.0) -> list[float]:
        """Ask again and again until something is so; return how long each answer took."""
        taken: list[float] = []
        started = time.monotonic()
        while time.monotonic() - started < at_least_s or not until():
            assert time.monotonic() - started < 40, "it did not come"
            taken.append(self.ask())
            self.talk.send(speech.keepalive())
            time.sleep(0.005)
        return sorted(taken)

    def close(self) -> None:
        """Go."""
        self.talk.sock.close()
        self.node.remove_peer("healthy")


@pytest.fixture
def healthy(besieged: Node) -> Iterator[Healthy]:
    """Bring a healthy neighbour up."""
    with contextlib.closing(Healthy(besieged)) as found:
        yield found


def check_delay(healthy: Healthy, taken: list[float], what: str) -> None:
    """Print how long the answers took, and fail if they took far too long."""
    middle, most, longest = taken[len(taken) // 2], taken[len(taken) * 9 // 10], taken[-1]
    lag_s = healthy.node.process.observation.loop_lag_s
    print(  # noqa: T201
        f"\n{what}: {len(taken)} answers, median {middle * 1e3:.1f} ms,"
        f" longest {longest * 1e3:.1f} ms, loop lag {lag_s * 1e3:.1f} ms"
    )
    assert most < DELAY_MAX_S
    assert longest < NOISE_MAX_S


def memory_kib(node: Node) -> int:
    """Return the announcer's resident memory."""
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line[:5] == "VmRSS")


@pytest.mark.rule(
    "bgp-native-1.2.notification",
    "bgp-native-1.4.checked",
    "bgp-native-2.2.marker",
    "bgp-native-2.2.length",
    "bgp-native-2.2.type",
    "bgp-native-2.3.version",
    "bgp-native-2.3.peer-as",
    "bgp-native-2.3.identifier",
    "bgp-native-2.3.parameter",
    "bgp-native-2.3.hold-time",
    "bgp-native-2.7.unexpected",
    "bgp-native-2.7.update-error",
    "bgp-native-2.12.lengths",
    "bgp-native-2.12.nlri",
    "bgp-native-2.12.twice",
    "bgp-native-2.12.malformed",
    "bgp-native-2.10.unknown",
)
@pytest.mark.parametrize("case", hostile.MALFORMED)
def test_malformed(case: str, bad: Callable[..., Bad]) -> None:
    """A wrong message gets the NOTIFICATION of its kind, or none where the session may stay."""
    wrong = hostile.MALFORMED[case]
    one = bad("malformed", case)
    if not wrong.code:
        one.wait("established")
        one.wait_report(lambda report: report.state == "Established", "the session is up")
        one.wait_report(
            lambda report: report.counts.updates_received + report.counts.refreshes_received > 0,
            "it was counted",
        )
        assert one.report.state == "Established"
        assert not one.events("notification")
        return
    told = one.wait("notification")
    assert (told["code"], told["subcode"]) == (wrong.code, wrong.subcode)
    one.wait_report(lambda report: report.last_error, "we say why")
    one.wait_report(lambda report: report.counts.notifications_sent > 0, "we count it")


def test_octet_by_octet(bad: Callable[..., Bad]) -> None:
    """Messages may come in any pieces."""
    one = bad("drip")
    one.wait_report(lambda report: report.state == "Established", "the session is up")


def test_flood(bad: Callable[..., Bad], healthy: Healthy, besieged: Node) -> None:
    """A neighbour that never stops talking delays nobody."""
    before = memory_kib(besieged)
    one = bad("flood")
    one.wait("established")
    taken = healthy.watch(lambda: one.report.counts.updates_received > 2000, 2.0)
    check_delay(healthy, taken, "flood")
    assert memory_kib(besieged) - before < MEMORY_MAX_KIB


@pytest.mark.rule("bgp-native-1.4.ignored")
def test_a_million_routes(bad: Callable[..., Bad], healthy: Healthy, besieged: Node) -> None:
    """A million routes are looked at and none is taken."""
    before = memory_kib(besieged)
    one = bad("many-routes")
    one.wait("established")
    taken = healthy.watch(lambda: one.events("announced"), 1.0)
    check_delay(healthy, taken, "1 000 000 routes")
    grown = memory_kib(besieged) - before
    print(f"memory: {grown} KiB more; sent in {one.events('announced')[0]['took_s']:.1f} s")  # noqa: T201
    assert grown < MEMORY_MAX_KIB
    assert one.report.state == "Established"
    one.wait_report(lambda report: report.counts.updates_received >= 1250, "they are counted")


@pytest.mark.rule("bgp-native-2.16.no-wait")
def test_slow_reader(bad: Callable[..., Bad], healthy: Healthy, besieged: Node) -> None:
    """A neighbour that does not read waits alone, and what waits for it is bounded."""
    before = memory_kib(besieged)
    one = bad("slow-reader")
    one.wait("established")
    prefixes = tuple(sorted(f"11.{n >> 16}.{n >> 8 & 255}.{n & 255}/32" for n in range(40_000)))
    besieged.announce(BAD, RouteGroup((BAD,), prefixes))
    taken = healthy.watch(lambda: one.report.prefixes_pending > 0, 2.0)
    check_delay(healthy, taken, "slow reader, 40 000 prefixes")
    assert 0 < one.report.prefixes_sent + one.report.prefixes_pending <= 40_000
    assert memory_kib(besieged) - before < 2 * MEMORY_MAX_KIB


@pytest.mark.rule("bgp-native-1.1.one-each")
def test_swallowed(bad: Callable[..., Bad], healthy: Healthy, bgp_network: Network) -> None:
    """A neighbour that swallows connection attempts delays nobody."""
    namespace = bgp_network.namespace(HOSTILE)
    netns.nft(
        namespace,
        "table inet swallow {\nchain in {\ntype filter hook input priority 0;\n"
        "tcp dport 20000-29999 tcp flags & (syn|ack) == syn drop\n}\n}\n",
    )
    try:
        one = bad("mute")
        one.wait_report(lambda report: report.state in {"Connect", "Active"}, "we try")
        check_delay(healthy, healthy.watch(lambda: True, 2.0), "SYN swallowed")
        assert not one.events("accepted")
    finally:
        netns.nft(namespace, "flush ruleset")


@pytest.mark.rule("bgp-native-1.1.one-each")
def test_unknown_password(bad: Callable[..., Bad], healthy: Healthy) -> None:
    """A neighbour that wants a password we lack delays nobody."""
    one = bad("mute", protects=True)
    one.wait_report(lambda report: report.state in {"Connect", "Active"}, "we try")
    check_delay(healthy, healthy.watch(lambda: True, 1.0), "password wanted")
    assert not one.events("accepted")


@pytest.mark.rule("bgp-native-1.2.budget")
def test_mute(bad: Callable[..., Bad], healthy: Healthy) -> None:
    """A neighbour that takes the connection and says nothing is left after ten seconds."""
    one = bad("mute")
    accepted = one.wait("accepted")
    taken = healthy.watch(lambda: one.events("closed"), 1.0)
    check_delay(healthy, taken, "mute")
    closed = one.wait("closed")
    assert 8 < float(str(closed["at"])) - float(str(accepted["at"])) < 14


@pytest.mark.rule("bgp-native-1.3.silent", "bgp-native-2.7.hold")
def test_silent(bad: Callable[..., Bad], healthy: Healthy) -> None:
    """A neighbour that falls silent is dropped by the hold timer, and told so."""
    one = bad("silent")
    begun = one.wait("established")
    taken = healthy.watch(lambda: one.events("closed"), 1.0)
    check_delay(healthy, taken, "silent")
    told = one.wait("notification")
    assert (told["code"], told["subcode"]) == (4, 0)
    assert 2.5 < float(str(one.events("closed")[0]["at"])) - float(str(begun["at"])) < 5
    one.wait_report(lambda report: "nothing heard for 3 s" in report.last_error, "we say why")


@pytest.mark.rule("bgp-native-2.1.connect-time")
def test_flapping(bad: Callable[..., Bad], healthy: Healthy) -> None:
    """A neighbour that comes and goes is counted, waited for, and delays nobody."""
    one = bad("flap")
    taken = healthy.watch(lambda: one.report.flap_count >= 2, 1.0)
    check_delay(healthy, taken, "flapping")
    attempts = len(one.events("established"))
    assert one.report.flap_count <= attempts <= 20
    assert one.report.last_error
