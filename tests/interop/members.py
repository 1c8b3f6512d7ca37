"""One member of a cluster, of either kind, on real sockets.

A member of ours is the SWIM machine on the sockets that the announcer uses; one of the original is
a member in a process of the Go program. All have addresses of their own on the loopback of the
test's namespace and one port number.
"""

from __future__ import annotations

import abc
import asyncio
import base64
import contextlib
import random
from typing import TYPE_CHECKING, Protocol

import msgspec

from mercurylb.membership.member import Exchange, SendDatagram
from mercurylb.membership.swim.config import LAN
from mercurylb.membership.swim.effect import SwimDown, SwimLeft
from mercurylb.membership.swim.keyring import derive_key
from mercurylb.membership.swim.machine import Swim
from mercurylb.membership.swim.message import State
from mercurylb.membership.swim.packet import PacketCodec
from mercurylb.membership.swim.stream import StreamDecoder
from mercurylb.net.aead import AesGcm
from mercurylb.net.datagram import DatagramPort
from mercurylb.net.streams import StreamPort
from mercurylb.plan.layer2 import election_hash
from tests.interop.gossip import GoError, GoProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mercurylb.membership.swim.message import Message

PORT = 7946
IPS = ("192.168.1.1", "192.168.1.2", "192.168.1.3", "2001:db8::1")
"""Addresses to elect owners for."""

TIMING = {
    "probe_interval_ms": 400,
    "probe_timeout_ms": 150,
    "gossip_interval_ms": 50,
    "push_pull_interval_ms": 2000,
    "tcp_timeout_ms": 5000,
}
"""Quicker than the profile LAN, yet slow enough for a machine that is busy; both sides use it."""
CONFIG = msgspec.structs.replace(
    LAN,
    probe_interval_s=0.4,
    probe_timeout_s=0.15,
    gossip_interval_s=0.05,
    push_pull_interval_s=2.0,
    tcp_timeout_s=5.0,
)


class Settings(msgspec.Struct, frozen=True):
    """What all members of a cluster have to agree about, and compression."""

    secret: bytes = b"secret"
    is_compressed: bool = True
    label: str = ""

    def understands(self, other: Settings) -> bool:
        """Tell whether members of both can talk."""
        return (self.secret, self.label) == (other.secret, other.label)

    def codec(self) -> PacketCodec:
        """Return our codec."""
        seal = AesGcm(derive_key(self.secret)) if self.secret else None
        return PacketCodec(
            seal,
            random.SystemRandom(),
            is_compressed=self.is_compressed,
            label=self.label.encode(),
        )


class Seen(msgspec.Struct, frozen=True):
    """A live member as another one sees it."""

    address: str
    state: int
    meta: bytes


class Member(Protocol):
    """One of either kind."""

    name: str
    address: str

    async def join(self, *others: Member) -> None:
        """Exchange everything with others."""

    async def seen(self) -> dict[str, Seen]:
        """Return the members that it holds for live."""

    async def owners(self) -> dict[str, str]:
        """Return who of the live is first for each of `IPS`."""

    async def leave(self) -> None:
        """Leave as a planned stop does."""

    async def kill(self) -> None:
        """End without a word."""


class DirectedStreams(StreamPort):
    """The announcer's connections; tells decoders which way they read, for the sake of labels."""

    is_opening = False

    def _open_next(self) -> None:
        self.is_opening = True
        super()._open_next()
        self.is_opening = False


class Machine(Protocol):
    """A membership machine of ours, as sockets see it."""

    def next_deadline(self) -> float | None:
        """Return when it wants to be called."""

    def on_deadline(self, now: float) -> Iterable[object]:
        """Take that its time has come."""

    def on_datagram(self, source: str, port: int, payload: bytes, now: float) -> Iterable[object]:
        """Take a datagram."""

    def on_request(
        self, source: str, said: object, now: float
    ) -> tuple[Iterable[object], bytes | None]:
        """Take what somebody said over a connection, and give what to answer."""

    def on_reply(self, exchange: int, said: object | None, now: float) -> Iterable[object]:
        """Take the answer of an exchange of ours."""

    def on_leave(self, now: float) -> Iterable[object]:
        """Begin to leave."""


class SocketMember(abc.ABC):
    """A machine of ours on sockets, with its one timer."""

    machine: Machine
    datagrams: DatagramPort
    streams: StreamPort

    def __init__(self, name: str, address: str, check: Callable[[str, bytes], None]) -> None:
        self.name = name
        self.address = address
        self.check = check
        self.has_left = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    @abc.abstractmethod
    async def join(self, *others: Member) -> None:
        """Get to know others."""

    @abc.abstractmethod
    async def seen(self) -> dict[str, Seen]:
        """Return the members that it holds for live."""

    @abc.abstractmethod
    def note(self, effect: object) -> None:
        """Take an effect that is not about sockets."""

    async def owners(self) -> dict[str, str]:
        """Return who of the live is first for each of `IPS`."""
        live = await self.seen()
        return {ip: min(live, key=lambda node, ip=ip: election_hash(node, ip)) for ip in IPS}  # type: ignore[misc]

    async def leave(self) -> None:
        """Leave as a planned stop does."""
        self.do(self.machine.on_leave(self.loop.time()))
        async with asyncio.timeout(5):
            await self.has_left.wait()
        await self.kill()

    async def kill(self) -> None:
        """End without a word."""
        if self._timer is not None:
            self._timer.cancel()
        self.datagrams.close()
        self.streams.close()

    def do(self, effects: Iterable[object]) -> None:
        """Carry effects out and wait for the next deadline."""
        for effect in effects:
            if isinstance(effect, SendDatagram):
                self.datagrams.send(effect.address, effect.payload, effect.port)
            elif isinstance(effect, Exchange):
                self.streams.exchange(effect)
            self.note(effect)
        if self._timer is not None:
            self._timer.cancel()
        deadline = self.machine.next_deadline()
        self._timer = None if deadline is None else self.loop.call_at(deadline, self._on_deadline)

    def _on_deadline(self) -> None:
        self.do(self.machine.on_deadline(self.loop.time()))

    def on_datagram(self, source: str, port: int, payload: bytes) -> None:
        """Take a datagram."""
        self.check(source, payload)
        self.do(self.machine.on_datagram(source, port, payload, self.loop.time()))

    def on_request(self, source: str, said: object) -> bytes | None:
        """Take what somebody said over a connection; give what to answer."""
        effects, reply = self.machine.on_request(source, said, self.loop.time())
        self.do(effects)
        return reply

    def on_reply(self, exchange: int, said: object | None) -> None:
        """Take the answer of an exchange."""
        self.do(self.machine.on_reply(exchange, said, self.loop.time()))


class PythonMember(SocketMember):
    """Our SWIM machine alone."""

    def __init__(
        self,
        name: str,
        address: str,
        settings: Settings,
        check: Callable[[str, bytes], None],
        **options: object,
    ) -> None:
        super().__init__(name, address, check)
        self.codec = settings.codec()
        self.machine = self.swim = Swim(
            name,
            address,
            PORT,
            config=CONFIG,
            codec=self.codec,
            chance=random.SystemRandom(),
            **options,  # type: ignore[arg-type]
        )
        self.downs: list[SwimDown] = []
        self.sent: list[type[Message]] = []
        """Kinds of the messages it sent by datagram, in order."""
        self.exchanged = 0
        """Exchanges that ended with a reply."""
        self.datagrams = DatagramPort(address, PORT, self.on_datagram, lambda _: None)
        self.streams = streams = DirectedStreams(
            address,
            PORT,
            make_decoder=lambda: StreamDecoder(self.codec, is_reply=streams.is_opening),
            on_request=self.on_request,
            on_reply=self.on_reply,
            timeout_s=CONFIG.tcp_timeout_s,
        )
        self.do(self.swim.start(self.loop.time()))

    async def join(self, *others: Member) -> None:
        """Exchange everything with others."""
        self.do(self.swim.on_join([(other.address, PORT) for other in others], self.loop.time()))

    async def seen(self) -> dict[str, Seen]:
        """Return the members that it holds for live."""
        self.swim.validate()
        return {
            name: Seen(member.address, member.state, member.meta)
            for name, member in self.swim.members().items()
            if member.state in (State.ALIVE, State.SUSPECT)
        }

    async def set_meta(self, meta: bytes) -> None:
        """Tell everybody something else."""
        self.do(self.swim.on_meta(meta, self.loop.time()))

    def note(self, effect: object) -> None:
        """Remember what was sent and what happened."""
        if isinstance(effect, SendDatagram):
            self.sent += [type(one) for one in self.codec.decode(effect.payload)]
        elif isinstance(effect, SwimDown):
            self.downs.append(effect)
        elif isinstance(effect, SwimLeft):
            self.has_left.set()

    def on_reply(self, exchange: int, said: object | None) -> None:
        """Take the answer of an exchange, and count it."""
        self.exchanged += said is not None
        super().on_reply(exchange, said)


class GoMember:
    """A member of the original library."""

    def __init__(self, name: str, address: str, process: GoProcess) -> None:
        self.name = name
        self.address = address
        self.process = process

    async def join(self, *others: Member) -> None:
        """Exchange everything with others."""
        places = [
            f"[{other.address}]:{PORT}" if ":" in other.address else f"{other.address}:{PORT}"
            for other in others
        ]
        with contextlib.suppress(GoError):  # Whether it worked is seen in the lists.
            await self.process.ask("join", name=self.name, addresses=places)

    async def seen(self) -> dict[str, Seen]:
        """Return the members that it holds for live."""
        found = await self.process.ask("list", name=self.name)
        return {
            node["name"]: Seen(node["address"], node["state"], base64.b64decode(node["meta"] or ""))
            for node in found.get("nodes", ())
        }

    async def owners(self) -> dict[str, str]:
        """Return who of the live is first for each of `IPS`."""
        found = await self.process.ask("owners", name=self.name, addresses=IPS)
        owners: dict[str, str] = found["owners"]
        return owners

    async def set_meta(self, meta: bytes) -> None:
        """Tell everybody something else."""
        await self.process.ask("meta", name=self.name, meta=meta, timeout_ms=5000)

    async def leave(self) -> None:
        """Leave as a planned stop does."""
        await self.process.ask("leave", name=self.name, timeout_ms=1000)

    async def kill(self) -> None:
        """End without a word; its process goes on with its other members."""
        await self.process.ask("shutdown", name=self.name)
