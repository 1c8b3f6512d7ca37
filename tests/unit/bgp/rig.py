"""A speaker with one neighbour whose octets the test writes by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.bgp import notification, opening
from mercurylb.bgp.capability import Capabilities
from mercurylb.bgp.effect import Close, Connect, Ends, Send, SessionChanged
from mercurylb.bgp.family import IPV4, IPV6
from mercurylb.bgp.message import KEEPALIVE, MessageSplitter, MessageType
from mercurylb.bgp.opening import Open
from mercurylb.bgp.route import RouteGroup
from mercurylb.bgp.settings import PeerSettings
from mercurylb.bgp.speaker import BgpSpeaker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mercurylb.bgp.effect import BgpEffect
    from mercurylb.bgp.message import Message
    from mercurylb.bgp.notification import Notification
    from mercurylb.bgp.report import SessionReport

PEER = PeerSettings(name="tor", my_asn=64500, peer_asn=64501, address="192.0.2.254")
ENDS = Ends("192.0.2.1", "192.0.2.254", "eth0", "192.0.2.1", "2001:db8::1", "fe80::1")
ALL = Capabilities(
    families=(IPV4, IPV6),
    has_route_refresh=True,
    extended_next_hops=((IPV4, 2),),
    has_extended_message=True,
    asn=64501,
    has_enhanced_refresh=True,
)
OPEN = Open(64501, 90, "192.0.2.254", ALL)
UPDATE = b"\xff" * 16 + b"\x00\x17\x02" + bytes(4)
REFRESH = b"\xff" * 16 + b"\x00\x17\x05\x00\x01\x00\x01"


class Fixed:
    """Chance without chance: nothing is shortened."""

    def random(self) -> float:
        return 0.0


def routes(*prefixes: str, peers: tuple[str, ...] = ("tor",), leaving: bool = False) -> RouteGroup:
    """Make a group."""
    return RouteGroup(peers, prefixes, is_leaving=leaving)


def messages(effects: Sequence[BgpEffect], connection: int | None = None) -> list[Message]:
    """Give what is sent, message by message."""
    splitter = MessageSplitter()
    splitter.has_extended = True
    found = []
    for effect in effects:
        if isinstance(effect, Send) and connection in (None, effect.connection):
            splitter.feed(effect.octets)
            while (message := splitter.take()) is not None:
                found.append(message)
    return found


def types(effects: Sequence[BgpEffect], connection: int | None = None) -> list[str]:
    """Name what is sent."""
    return [MessageType(message.type).name for message in messages(effects, connection)]


def told(effects: Sequence[BgpEffect], connection: int | None = None) -> Notification | None:
    """Give the NOTIFICATION that is sent before a close."""
    for message in messages(effects, connection):
        if message.type == MessageType.NOTIFICATION:
            return notification.decode(message.body)
    return None


def code(effects: Sequence[BgpEffect], connection: int | None = None) -> tuple[int, int] | None:
    """Give its numbers."""
    found = told(effects, connection)
    return (found.code, found.subcode) if found else None


def closed(effects: Sequence[BgpEffect]) -> list[int]:
    """Give the connections that are closed."""
    return [effect.connection for effect in effects if isinstance(effect, Close)]


def dials(effects: Sequence[BgpEffect]) -> list[Connect]:
    """Give the dials."""
    return [effect for effect in effects if isinstance(effect, Connect)]


def changes(effects: Sequence[BgpEffect]) -> list[str]:
    """Give the states."""
    return [effect.state for effect in effects if isinstance(effect, SessionChanged)]


class Rig:
    """The machine, a clock, and the latest connection."""

    def __init__(
        self, settings: PeerSettings = PEER, *, ends: Ends = ENDS, restarting: bool = False
    ) -> None:
        self.speaker = BgpSpeaker("node-1", chance=Fixed(), gr_restarting=restarting)
        self.settings = settings
        self.ends = ends
        self.now = 100.0
        self.connection = 0
        self.effects = self.speaker.on_peers((settings,), self.now)

    def wait(self, duration_s: float) -> list[BgpEffect]:
        """Let time pass, deadline by deadline."""
        until = self.now + duration_s
        effects: list[BgpEffect] = []
        for _ in range(10_000):
            at = self.speaker.next_deadline()
            if at is None or at > until:
                break
            self.now = max(self.now, at)
            effects += self.check(self.speaker.on_deadline(self.now))
        self.now = until
        return effects

    def check(self, effects: list[BgpEffect]) -> list[BgpEffect]:
        self.speaker.validate()
        return effects

    def dial(self) -> Connect:
        """Expect a dial."""
        (found,) = dials(self.wait(0.0))
        self.connection = found.connection
        return found

    def connect(self) -> list[BgpEffect]:
        """Let the dial succeed."""
        self.dial()
        return self.drain(self.speaker.on_connected(self.connection, self.ends, self.now))

    def accept(self) -> list[BgpEffect]:
        """Let the neighbour dial."""
        self.connection = self.speaker.allocate()
        name = self.settings.name
        return self.check(self.speaker.on_accepted(name, self.connection, self.ends, self.now))

    def receive(self, octets: bytes, connection: int | None = None) -> list[BgpEffect]:
        """Let the neighbour say something; without what follows when that has left."""
        number = self.connection if connection is None else connection
        return self.check(self.speaker.on_received(number, octets, self.now))

    def drain(self, effects: list[BgpEffect]) -> list[BgpEffect]:
        """Take everything that is sent."""
        todo = effects
        while any(isinstance(effect, Send) for effect in todo):
            todo = self.check(self.speaker.on_drained(self.connection, self.now))
            effects = [*effects, *todo]
        return effects

    def open(self, opened: Open = OPEN) -> list[BgpEffect]:
        """Connect, and let the neighbour send its OPEN."""
        self.connect()
        return self.drain(self.receive(opening.encode(opened)))

    def establish(self, opened: Open = OPEN) -> list[BgpEffect]:
        """Come to Established."""
        self.open(opened)
        return self.drain(self.receive(KEEPALIVE))

    def announce(self, *groups: RouteGroup) -> list[BgpEffect]:
        """Want routes."""
        return self.drain(self.check(self.speaker.on_routes(groups, self.now)))

    @property
    def report(self) -> SessionReport:
        return self.speaker.reports(self.now)[0]
