"""The membership of our announcers on real sockets, as a member of a mixed cluster.

It is what the announcer runs, without the addresses it announces: it is told who its peers are and
that it is ready, and does the rest itself. Kernels cannot be probed here, as nothing shares a link.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from mercurylb.membership.combined import CombinedMembership
from mercurylb.membership.member import (
    DownReason,
    Left,
    MemberDown,
    MemberNote,
    MemberUp,
)
from mercurylb.membership.swim.keyring import derive_key
from mercurylb.net.aead import AesGcm
from mercurylb.net.datagram import DatagramPort
from mercurylb.net.streams import StreamPort
from mercurylb.plan.desired import Member as Peer
from tests.interop.members import CONFIG, PORT, Member, Seen, Settings, SocketMember

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interop.cluster import Cluster


class Announcer(SocketMember):
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
        super().__init__(name, address, check)
        self.downs: list[tuple[str, DownReason]] = []
        """Others that went down, in order."""
        self.notes: dict[str, bytes] = {}
        self.machine = self.membership = CombinedMembership(
            name,
            address,
            PORT,
            secret=settings.secret,
            seal=AesGcm(derive_key(settings.secret)) if settings.secret else None,
            config=CONFIG,
            chance=random.SystemRandom(),
            incarnation=incarnation,
        )
        self.datagrams = DatagramPort(address, PORT, self.on_datagram, self._on_refused)
        self.streams = StreamPort(
            address,
            PORT,
            make_decoder=self.membership.stream_decoder,
            on_request=self.on_request,
            on_reply=self.on_reply,
            timeout_s=CONFIG.tcp_timeout_s,
        )

    async def join(self, *others: Member) -> None:
        """Be told who is there, and be ready."""
        peers = [Peer(other.name, other.address) for other in others]
        self.do(self.membership.on_peers(peers, self.loop.time()))
        self.do(self.membership.on_ready(True, self.loop.time()))

    async def seen(self) -> dict[str, Seen]:
        """Return the members that it holds for live."""
        self.membership.validate()
        views = {view.node: view for view in self.membership.views(self.loop.time())}
        return {
            name: Seen(views[name].address if name in views else self.address, 0, b"")
            for name in self.membership.live() or ()
        }

    async def set_meta(self, meta: bytes) -> None:
        """Tell everybody another note."""
        self.do(self.membership.on_note(meta, self.loop.time()))

    def note(self, effect: object) -> None:
        """Remember what happened to others."""
        if isinstance(effect, MemberDown) and effect.node != self.name:
            self.downs.append((effect.node, effect.reason))
        elif isinstance(effect, MemberUp):
            self.downs = [down for down in self.downs if down[0] != effect.node]
        elif isinstance(effect, MemberNote):
            self.notes[effect.node] = effect.note
        elif isinstance(effect, Left):
            self.has_left.set()

    def _on_refused(self, address: str) -> None:
        self.do(self.membership.on_refused(address, self.loop.time()))


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
