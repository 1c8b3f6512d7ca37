"""An announcer of a membership under test: ``python -m bench.member NUMBER SIZE``.

Its brain names the members once, prints how many are live whenever that changes, and asks for
nothing else.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from bench.membership import SECRET, address_of, members
from mercurylb.announcer import AnnouncerSettings, MembershipSettings, run
from mercurylb.net.channel import Channel
from mercurylb.plan.desired import DesiredState, Observation

if TYPE_CHECKING:
    import socket


async def script(sock: socket.socket, node: str, size: int) -> int:
    """Be the brain until the announcer goes away."""
    channel: Channel[Observation] = Channel(sock, Observation)
    others = tuple(member for member in members(size) if member.node != node)
    channel.send(DesiredState(revision=1, members=others))
    live = -1
    while (observation := await channel.receive()) is not None:
        if len(observation.live) != live:
            live = len(observation.live)
            print(f"live {live}", flush=True)
    return 0


def main() -> int:
    """Run one announcer in the network namespace this process was started in."""
    number, size = int(sys.argv[1]), int(sys.argv[2])
    node = f"m{number}"
    membership = MembershipSettings(address_of(number), secret=SECRET)
    settings = AnnouncerSettings(node=node, membership=membership)
    return run(settings, lambda sock: asyncio.run(script(sock, node, size)))


if __name__ == "__main__":
    sys.exit(main())
