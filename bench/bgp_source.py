"""An announcer that sends routes: ``python -m bench.bgp_source FILE``; runs inside a lab.

Its brain wants what the file (JSON, `Wish`) says, again whenever that changes, and writes how the
sessions look into ``FILE.seen`` each time it is told.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.announcer import AnnouncerSettings, run
from mercurylb.bfd.report import BfdReport
from mercurylb.bfd.settings import BfdSettings
from mercurylb.bgp.report import SessionReport
from mercurylb.bgp.route import RouteGroup
from mercurylb.bgp.settings import PeerSettings
from mercurylb.net.channel import Channel
from mercurylb.plan.desired import BgpPeer, DesiredState, Observation

if TYPE_CHECKING:
    import socket

SOURCE_ASN: Final = 64500
SINK_ASN: Final = 64501
POLL_S: Final = 0.01


class Wish(msgspec.Struct, frozen=True):
    """What the brain wants."""

    peers: tuple[str, ...] = ()
    """Addresses."""
    prefixes: int = 0
    bfd_ms: int = 0
    """Three times this is the detection time; 0 is none."""


class Seen(msgspec.Struct, frozen=True):
    """What the announcer told last."""

    revision: int
    sessions: tuple[SessionReport, ...]
    bfd: tuple[BfdReport, ...]
    scheduling: str


def prefix(number: int) -> str:
    """Return one of many prefixes, those of a cluster's pools."""
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}/32"


def desired(wish: Wish, revision: int) -> DesiredState:
    """Return the whole desired state."""
    bfd = BfdSettings(wish.bfd_ms, wish.bfd_ms, 3) if wish.bfd_ms else None
    peers = tuple(
        BgpPeer(
            PeerSettings(
                name=name_of(address),
                my_asn=SOURCE_ASN,
                peer_asn=SINK_ASN,
                address=address,
                connect_time_s=1,
            ),
            bfd,
        )
        for address in wish.peers
    )
    names = tuple(peer.settings.name for peer in peers)
    prefixes = tuple(sorted(prefix(i) for i in range(wish.prefixes)))
    groups = (RouteGroup(names, prefixes),) if prefixes else ()
    return DesiredState(revision, bgp_peers=peers, bgp_routes=groups)


def name_of(address: str) -> str:
    """Name a peer so that the order of names is that of addresses."""
    return f"peer-{int(address.rsplit('.', 1)[-1]):03d}"


def read(file: Path) -> bytes:
    """Read the wish as it is now."""
    return file.read_bytes()


async def script(sock: socket.socket, file: Path) -> int:
    """Be the brain until the announcer goes away."""
    channel: Channel[Observation] = Channel(sock, Observation)

    async def observe() -> None:
        while (told := await channel.receive()) is not None:
            seen = Seen(told.revision, told.sessions, told.bfd, told.scheduling)
            fresh = file.with_suffix(".fresh")
            fresh.write_bytes(msgspec.json.encode(seen))
            fresh.rename(file.with_suffix(".seen"))

    observing = asyncio.create_task(observe())
    last, revision = b"", 0
    while not observing.done():
        wanted = read(file)
        if wanted != last:
            last, revision = wanted, revision + 1
            channel.send(desired(msgspec.json.decode(wanted, type=Wish), revision))
        await asyncio.sleep(POLL_S)
    return 0


def main() -> int:
    """Run one announcer in the network namespace this process was started in."""
    file = Path(sys.argv[1])
    settings = AnnouncerSettings(node="source", membership=None)
    return run(settings, lambda sock: asyncio.run(script(sock, file)))


if __name__ == "__main__":
    sys.exit(main())
