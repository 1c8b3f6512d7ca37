"""The membership of our announcers on real sockets, as a member of a mixed cluster.

It is what the announcer runs, without the addresses it announces: it is told who its peers are and
that it is ready, and does the rest itself. Kernels cannot be probed here, as nothing shares a link.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from mercurylb.membership.combined import CombinedMembership
from mercurylb.membership.member import (
    DownReason,
    Exchange,
    Left,
    MemberDown,
    MemberNote,
    MemberUp,
    SendDatagram,
)
from mercurylb.membership.swim.keyring import derive_key
from mercurylb.net.aead import AesGcm
from mercurylb.net.datagram import DatagramPort
from mercurylb.net.streams import StreamPort
from mercurylb.plan.desired import Member as Peer
from mercurylb.plan.layer2 import election_hash
from tests.interop.members import CONFIG, IPS, PORT, Member, Seen, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.interop.cluster import Cluster


class Announcer:
    """One of ours, with its fast detector."""

    def __init__(
        self,
        name: str,
        address: str,
        settings: Settings,
        check: Callable[[str, bytes], None],
        *,
        incarnation: int,
    ) -> None:
        self.name = name
        self.address = address
        self.downs: list[tuple[str, DownReason]] = []
        """Others that went down, in order."""
        self.notes: dict[str, bytes] = {}
        self._check = check
        self._has_left = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self.membership = CombinedMembership(
            name,
            address,
            PORT,
            secret=settings.secret,
            seal=AesGcm(derive_key(settings.secret)) if settings.secret else None,
            config=CONFIG,
            chance=random.SystemRandom(),
            incarnation=incarnation,
        )
        self._datagrams = DatagramPort(address, PORT, self._on_datagram, self._on_refused)
        self._streams = StreamPort(
            address,
            PORT,
            make_decoder=self.membership.stream_decoder,
            on_request=self._on_request,
            on_reply=self._on_reply,
            timeout_s=CONFIG.tcp_timeout_s,
        )

    async def join(self, *others: Member) -> None:
        """Be told who is there, and be ready."""
        peers = [Peer(other.name, other.address) for other in others]
        self.do(self.membership.on_peers(peers, self._loop.time()))
        self.do(self.membership.on_ready(True, self._loop.time()))

    async def seen(self) -> dict[str, Seen]:
        """Return the members that it holds for live."""
        self.membership.validate()
        views = {view.node: view for view in self.membership.views(self._loop.time())}
        return {
            name: Seen(views[name].address if name in views else self.address, 0, b"")
            for name in self.membership.live() or ()
        }

    async def owners(self) -> dict[str, str]:
        """Return who of the live is first for each of `IPS`."""
        live = self.membership.live() or frozenset()
        return {ip: min(live, key=lambda node, ip=ip: election_hash(node, ip)) for ip in IPS}  # type: ignore[misc]

    async def set_meta(self, meta: bytes) -> None:
        """Tell everybody another note."""
        self.do(self.membership.on_note(meta, self._loop.time()))

    async def leave(self) -> None:
        """Leave as a planned stop does."""
        self.do(self.membership.on_leave(self._loop.time()))
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
            elif isinstance(effect, Exchange):
                self._streams.exchange(effect)
            elif isinstance(effect, MemberDown) and effect.node != self.name:
                self.downs.append((effect.node, effect.reason))
            elif isinstance(effect, MemberUp):
                self.downs = [down for down in self.downs if down[0] != effect.node]
            elif isinstance(effect, MemberNote):
                self.notes[effect.node] = effect.note
            elif isinstance(effect, Left):
                self._has_left.set()
        if self._timer is not None:
            self._timer.cancel()
        deadline = self.membership.next_deadline()
        self._timer = None if deadline is None else self._loop.call_at(deadline, self._on_deadline)

    def _on_deadline(self) -> None:
        self.do(self.membership.on_deadline(self._loop.time()))

    def _on_datagram(self, source: str, port: int, payload: bytes) -> None:
        self._check(source, payload)
        self.do(self.membership.on_datagram(source, port, payload, self._loop.time()))

    def _on_refused(self, address: str) -> None:
        self.do(self.membership.on_refused(address, self._loop.time()))

    def _on_request(self, source: str, said: object) -> bytes | None:
        effects, reply = self.membership.on_request(source, said, self._loop.time())
        self.do(effects)
        return reply

    def _on_reply(self, exchange: int, said: object | None) -> None:
        self.do(self.membership.on_reply(exchange, said, self._loop.time()))


async def announcer(
    cluster: Cluster, name: str = "", address: str = "", *, incarnation: int = 1_700_000_000
) -> Announcer:
    """Start one of ours; it does nothing until it is told of its peers."""
    name, address = cluster.place(name or "ours", address, is_named=bool(name))
    made = Announcer(name, address, cluster.settings, cluster.check, incarnation=incarnation)
    cluster.members[name] = made
    return made


async def introduce(cluster: Cluster) -> None:
    """Tell the announcers of a cluster who is there, as their brains do."""
    everybody = list(cluster.members.values())
    for member in everybody:
        if isinstance(member, Announcer):
            await member.join(*everybody)
