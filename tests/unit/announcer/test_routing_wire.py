"""The sockets towards routers, over the loopback interface, with a scripted speaker."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from mercurylb.announcer.routing_wire import RoutingWire
from mercurylb.announcer.settings import AnnouncerSettings
from mercurylb.bgp.effect import BgpEffect, Close, Connect, Ends, Send, Stopped
from mercurylb.bgp.settings import Key, PeerSettings
from mercurylb.layer2.interface import Link
from mercurylb.net import tcp
from mercurylb.net.turns import Turns
from mercurylb.plan.desired import BgpPeer, DesiredState
from tests.unit.announcer.scripted_routing import ScriptedSpeaker, ScriptedTable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

HOST = "127.0.0.1"
LO = Link(1, "lo", 0x41, bytes(6), addresses=((bytes((127, 0, 0, 1)), 8),))


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    ends_at = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < ends_at, "not within the time"
        await asyncio.sleep(0.001)


class Replying(ScriptedSpeaker):
    """Answers a kind of fact with effects."""

    def __init__(self) -> None:
        super().__init__()
        self.replies: dict[str, list[BgpEffect]] = {}

    def hear(self, *fact: object) -> list[BgpEffect]:
        """Remember, and reply to the first of each kind."""
        return super().hear(*fact) + self.replies.pop(str(fact[0]), [])

    def match(self, remote: str, *, interface: str = "", vrf: str = "") -> str | None:
        """Know the peer that calls from here."""
        del interface, vrf
        return "r1" if remote == HOST else None

    def kinds(self) -> list[object]:
        """Return the kinds of facts."""
        return [fact[0] for fact in self.told]


class Scene:
    """A wire with a scripted speaker, and a listening socket for it to dial."""

    def __init__(self, *, listen_port: int = 0) -> None:
        self.speaker = Replying()
        self.finished: list[None] = []
        settings = AnnouncerSettings("me", None, bgp_listen_port=listen_port)
        self.wire = RoutingWire(
            settings,
            Turns(),
            on_observe=lambda: None,
            on_tell=lambda _: None,
            on_finished=lambda: self.finished.append(None),
        )
        self.wire.core.speaker = self.speaker  # type: ignore[assignment]
        self.wire.core.bfd = ScriptedTable()  # type: ignore[assignment]
        self.wire._listeners._match = self.speaker.match
        self.wire.on_links([LO])
        self.router = socket.create_server((HOST, 0))
        self.router.setblocking(False)
        self.port = int(self.router.getsockname()[1])

    def settings(self, **fields: Any) -> PeerSettings:
        """Describe the peer."""
        given = {"name": "r1", "address": HOST, "my_asn": 1, "port": self.port} | fields
        return PeerSettings(**given)

    def want(self, *, is_dialled: bool = True, **fields: Any) -> None:
        """Have the speaker dial the peer."""
        settings = self.settings(**fields)
        if is_dialled:
            self.speaker.replies["peers"] = [Connect("r1", 1, settings, settings.address)]
        self.wire.on_brain_message(DesiredState(1, bgp_peers=(BgpPeer(settings),)))

    async def accept(self) -> socket.socket:
        """Take the connection."""
        sock, _ = await asyncio.get_running_loop().sock_accept(self.router)
        return sock


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """Give a wire."""
    made = Scene()
    yield made
    made.wire.close()
    made.router.close()


async def heard(sock: socket.socket) -> bytes:
    """Read what comes next."""
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 1 << 16), 5)


async def test_connection_lives_as_the_speaker_says(scene: Scene) -> None:
    """Dialled, written to, read, drained and closed; after a close nothing more is told."""
    scene.speaker.replies |= {
        "connected": [Send(1, b"hello")],
        "received": [Send(1, b"bye"), Close(1)],
    }
    scene.want()
    with await scene.accept() as sock:
        assert await heard(sock) == b"hello"
        await until(lambda: "drained" in scene.speaker.kinds())
        sock.send(b"something")
        assert await heard(sock) == b"bye"
        assert await heard(sock) == b""
        sock.send(b"too late")
    connected = next(fact for fact in scene.speaker.told if fact[0] == "connected")
    assert connected[1:3] == (1, Ends(HOST, HOST, "lo", HOST))
    assert scene.speaker.kinds() == ["peers", "routes", "connected", "drained", "received"]


async def test_failures_are_facts(scene: Scene) -> None:
    """A refused dial and a lost connection are told with their reasons, once."""
    scene.want(port=1, source_address="192.0.2.99")
    await until(lambda: "failed" in scene.speaker.kinds())
    assert scene.speaker.told[-1][1:3] == (1, 'address "192.0.2.99": doesn\'t exist on this host')
    scene.want()
    sock = await scene.accept()
    await until(lambda: "connected" in scene.speaker.kinds())
    sock.close()
    await until(lambda: "closed" in scene.speaker.kinds())
    assert scene.speaker.told[-1][1:3] == (1, "closed by the peer")


async def test_dial_that_is_closed_tells_nothing(scene: Scene) -> None:
    """The speaker may change its mind while a connection is being made."""
    scene.speaker.replies["routes"] = [Close(1)]
    scene.want()
    await asyncio.sleep(0.02)
    assert scene.speaker.kinds() == ["peers", "routes"]


async def test_stop_is_finished_once_the_last_word_has_left(scene: Scene) -> None:
    """The process does not end before the NOTIFICATION is on its way."""
    scene.want()
    sock = await scene.accept()
    await until(lambda: "connected" in scene.speaker.kinds())
    scene.speaker.replies["stop"] = [Send(1, b"cease"), Close(1), Stopped()]
    scene.wire.stop()
    assert not scene.finished
    assert await heard(sock) == b"cease"
    assert await heard(sock) == b""
    assert not scene.finished
    sock.close()
    await until(lambda: scene.finished)


async def test_stop_does_not_wait_long_for_a_peer_that_never_closes(scene: Scene) -> None:
    """The grace period of a pod is short, and what was sent leaves anyway."""
    scene.want()
    sock = await scene.accept()
    await until(lambda: "connected" in scene.speaker.kinds())
    scene.speaker.replies["stop"] = [Close(1), Stopped()]
    began_at = time.monotonic()
    scene.wire.stop()
    await until(lambda: scene.finished)
    assert time.monotonic() - began_at < tcp.LINGER_S
    await asyncio.sleep(tcp.LINGER_S + 0.2)
    assert len(scene.finished) == 1
    sock.close()


@pytest.mark.rule("bgp-native-2.1.listener")
async def test_callers_are_matched_and_strangers_sent_away() -> None:
    """A listener lets peers in, with the password that is theirs."""
    with socket.create_server((HOST, 0)) as free:
        port = int(free.getsockname()[1])
    scene = Scene(listen_port=port)
    scene.speaker.replies["accepted"] = [Send(1000, b"hello")]
    scene.want(is_dialled=False)
    with socket.create_connection((HOST, port)) as caller:
        caller.setblocking(False)
        assert await heard(caller) == b"hello"
    accepted = next(fact for fact in scene.speaker.told if fact[0] == "accepted")
    assert accepted[1:4] == ("r1", 1000, Ends(HOST, HOST, "lo", HOST))
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.2", 0))
        stranger.connect((HOST, port))
        stranger.setblocking(False)
        assert await heard(stranger) == b""
    assert scene.wire.drops()["bgp connections of strangers"] == 1
    scene.want(is_dialled=False, password=Key(b"secret"))
    with pytest.raises(TimeoutError):
        socket.create_connection((HOST, port), 0.05)
    scene.want(is_dialled=False)
    with socket.create_connection((HOST, port), 1) as caller:
        assert caller.getpeername()[1] == port
    scene.wire.on_brain_message(DesiredState(2))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port), 1)
    scene.wire.close()
    scene.router.close()
