"""Clusters of members of both kinds on real sockets, and what to wait for.

A member of ours is the SWIM machine on the sockets that the announcer uses; one of the original is
a member in a process of the Go program. All have addresses of their own on the loopback of the
test's namespace and one port number. Nothing here sleeps for a fixed time: conditions are awaited.
"""

from __future__ import annotations

import asyncio
import base64
import collections
import contextlib
import random
import re
from typing import TYPE_CHECKING, Protocol

import msgspec

from lab import netns
from mercurylb.errors import WireError
from mercurylb.membership.member import Exchange, SendDatagram
from mercurylb.membership.swim import message
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
from tests.interop.written import check_written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence
    from pathlib import Path

    from mercurylb.membership.swim.message import Message

PORT = 7946
PATIENCE_S = 90
"""Most conditions are met within a second; a machine that is busy elsewhere may take longer."""
POLL_S = 0.05
CHECKS_MAX = 200
"""Datagrams of each original that are compared byte for byte: compressing them again takes time."""
IPS = ("192.168.1.1", "192.168.1.2", "192.168.1.3", "2001:db8::1")
"""Addresses to elect owners for."""

MISREAD = re.compile(r"Failed to decode|Failed to decompress|not supported|truncated|checksum")
"""What the original logs when it cannot read what we wrote."""

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


class PythonMember:
    """Our machine on sockets."""

    def __init__(
        self,
        name: str,
        address: str,
        settings: Settings,
        check: Callable[[str, bytes], None],
        **options: object,
    ) -> None:
        self._check = check
        self.name = name
        self.address = address
        self.codec = settings.codec()
        self.swim = Swim(
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
        self._has_left = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._datagrams = DatagramPort(address, PORT, self._on_datagram, lambda _: None)
        self._streams = DirectedStreams(
            address,
            PORT,
            make_decoder=lambda: StreamDecoder(self.codec, is_reply=self._streams.is_opening),
            on_request=self._on_request,
            on_reply=self._on_reply,
            timeout_s=CONFIG.tcp_timeout_s,
        )
        self.do(self.swim.start(self._loop.time()))

    async def join(self, *others: Member) -> None:
        """Exchange everything with others."""
        self.do(self.swim.on_join([(other.address, PORT) for other in others], self._loop.time()))

    async def seen(self) -> dict[str, Seen]:
        """Return the members that it holds for live."""
        self.swim.validate()
        return {
            name: Seen(member.address, member.state, member.meta)
            for name, member in self.swim.members().items()
            if member.state in (State.ALIVE, State.SUSPECT)
        }

    async def owners(self) -> dict[str, str]:
        """Return who of the live is first for each of `IPS`."""
        live = await self.seen()
        return {ip: min(live, key=lambda node, ip=ip: election_hash(node, ip)) for ip in IPS}  # type: ignore[misc]

    async def set_meta(self, meta: bytes) -> None:
        """Tell everybody something else."""
        self.do(self.swim.on_meta(meta, self._loop.time()))

    async def leave(self) -> None:
        """Leave as a planned stop does."""
        self.do(self.swim.on_leave(self._loop.time()))
        async with asyncio.timeout(5):
            await self._has_left.wait()
        await self.kill()

    async def kill(self) -> None:
        """End without a word."""
        if self._timer is not None:
            self._timer.cancel()
        self._datagrams.close()
        self._streams.close()

    def do(self, effects: Iterable[object]) -> None:
        """Carry effects out and wait for the next deadline."""
        for effect in effects:
            if isinstance(effect, SendDatagram):
                self._datagrams.send(effect.address, effect.payload, effect.port)
                self.sent += [type(one) for one in self.codec.decode(effect.payload)]
            elif isinstance(effect, Exchange):
                self._streams.exchange(effect)
            elif isinstance(effect, SwimDown):
                self.downs.append(effect)
            elif isinstance(effect, SwimLeft):
                self._has_left.set()
        if self._timer is not None:
            self._timer.cancel()
        deadline = self.swim.next_deadline()
        self._timer = None if deadline is None else self._loop.call_at(deadline, self._on_deadline)

    def _on_deadline(self) -> None:
        self.do(self.swim.on_deadline(self._loop.time()))

    def _on_datagram(self, source: str, port: int, payload: bytes) -> None:
        self._check(source, payload)
        self.do(self.swim.on_datagram(source, port, payload, self._loop.time()))

    def _on_request(self, source: str, said: object) -> bytes | None:
        effects, reply = self.swim.on_request(source, said, self._loop.time())
        self.do(effects)
        return reply

    def _on_reply(self, exchange: int, said: object | None) -> None:
        self.exchanged += said is not None
        self.do(self.swim.on_reply(exchange, said, self._loop.time()))


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


class Cluster:
    """Members that are to find each other."""

    def __init__(self, log: Path, namespace: str, settings: Settings) -> None:
        self.settings = settings
        self.members: dict[str, Member] = {}
        self._log = log
        self._namespace = namespace
        self._count = 0
        self._originals: dict[str, Settings] = {}
        """What the original's members were started with, by address."""
        self._codec = settings.codec()
        self._checked: collections.Counter[str] = collections.Counter()
        self._processes: list[GoProcess] = []
        self.complaints: list[str] = []
        """Datagrams of the original that we would have written otherwise."""

    async def python(self, name: str = "", address: str = "", **options: object) -> PythonMember:
        """Start a member of ours."""
        name, address = self.place(name or "python", address, is_named=bool(name))
        made = PythonMember(name, address, self.settings, self.check, **options)
        self.members[name] = made
        return made

    async def go(
        self,
        name: str = "",
        address: str = "",
        *,
        settings: Settings | None = None,
        process: GoProcess | None = None,
        meta: bytes = b"",
    ) -> GoMember:
        """Start a member of the original, in a process of its own unless one is given."""
        name, address = self.place(name or "go", address, is_named=bool(name))
        if process is None:
            process = await self.process()
        settings = settings or self.settings
        await process.ask(
            "start",
            name=name,
            bind=address,
            port=PORT,
            key=derive_key(settings.secret),
            label=settings.label,
            compress=settings.is_compressed,
            meta=meta or None,
            timing=TIMING,
        )
        self._originals[address] = settings
        made = GoMember(name, address, process)
        self.members[name] = made
        return made

    async def process(self) -> GoProcess:
        """Start a process of the Go program."""
        made = await GoProcess.start(self._log)
        self._processes.append(made)
        return made

    def check(self, source: str, payload: bytes) -> None:
        """Check that what came from the original is what we would have written in its place."""
        settings = self._originals.get(source)
        if settings is None or not settings.understands(self.settings):
            return
        self._checked[source] += 1
        if self._checked[source] > CHECKS_MAX:
            return
        try:
            check_written(self._codec, payload, is_compressed=settings.is_compressed)
        except (AssertionError, WireError) as error:
            self.complaints.append(f"{source}: {payload.hex()}: {error}")

    def place(self, name: str, address: str, *, is_named: bool) -> tuple[str, str]:
        """Return a name and an address that nobody has, unless they are given."""
        self._originals.pop(address, None)
        self._count += 1
        return name if is_named else f"{name}-{self._count}", address or f"127.0.2.{self._count}"

    def forget(self, member: Member) -> None:
        """Expect nothing of a member any more."""
        del self.members[member.name]

    async def kill(self, member: Member) -> None:
        """End a member without a word: a process with it if it is the process's only one."""
        self.forget(member)
        if isinstance(member, GoMember):
            await member.process.kill()
        else:
            await member.kill()

    async def leave(self, member: Member) -> None:
        """Have a member leave."""
        self.forget(member)
        await member.leave()

    async def agree(self, members: Iterable[Member] | None = None) -> None:
        """Wait until each of the members (all) sees exactly them and elects the same owners."""
        group = list(members if members is not None else self.members.values())
        names = {member.name for member in group}
        owners = {ip: min(names, key=lambda node, ip=ip: election_hash(node, ip)) for ip in IPS}  # type: ignore[misc]

        async def is_agreed() -> bool:
            for member in group:
                if set(await member.seen()) != names or await member.owners() != owners:
                    return False
            return True

        await until(is_agreed)

    def cut(self, some: Sequence[Member], others: Sequence[Member], what: str = "") -> None:
        """Drop all packets, or some kind of them, between members, either way."""
        pairs = [(a.address, b.address) for a in some for b in others]
        rules = "".join(
            f"ip saddr {a} ip daddr {b} {what} drop\n"
            for pair in pairs
            for a, b in (pair, pair[::-1])
        )
        chain = "chain cut { type filter hook input priority 0; policy accept;\n" + rules + "}"
        netns.nft(self._namespace, f"table inet gossip {{\n{chain}\n}}\n")

    def heal(self) -> None:
        """Let everything through again."""
        netns.nft(self._namespace, "flush ruleset")

    def misread(self) -> list[str]:
        """Return what the original could not read, as it logged it."""
        return [line for line in self._log.read_text().splitlines() if MISREAD.search(line)]

    async def close(self) -> None:
        """End everything."""
        for member in self.members.values():
            if not isinstance(member, GoMember):
                await member.kill()
        for process in self._processes:
            await process.kill()


@contextlib.asynccontextmanager
async def cluster(log: Path, namespace: str, settings: Settings) -> AsyncIterator[Cluster]:
    """Give a cluster without members; end it with the block."""
    made = Cluster(log, namespace, settings)
    try:
        yield made
        assert made.complaints == []
        assert made.misread() == []
    finally:
        await made.close()


async def until(is_so: Callable[[], object]) -> None:
    """Wait for a condition, which may be a coroutine."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = is_so()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(POLL_S)


async def forge(settings: Settings, to: Member, *said: Message) -> None:
    """Send messages to a member from somebody who knows the secret and is no member."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=(to.address, PORT)
    )
    transport.sendto(settings.codec().encode([message.encode(one) for one in said]))
    transport.close()
