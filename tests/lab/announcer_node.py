"""An announcer with a scripted brain, for tests: it wants what a file says.

The brain sends the desired state of `DIR/desired.json` whenever that changes, writes every
observation to `DIR/observation.json` and its own process id to `DIR/brain.pid`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mercurylb.announcer import AnnouncerSettings, MembershipSettings, run
from mercurylb.layer2 import burst
from mercurylb.net.channel import Channel
from mercurylb.plan.desired import DesiredState, Observation

if TYPE_CHECKING:
    import socket

POLL_S = 0.01


def write(path: Path, content: bytes) -> None:
    """Replace a file at once."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.rename(path)


async def script(sock: socket.socket, folder: Path) -> int:
    """Be the brain until the announcer goes away."""
    channel: Channel[Observation] = Channel(sock, Observation)
    write(folder / "brain.pid", str(os.getpid()).encode())

    async def observe() -> None:
        while (observation := await channel.receive()) is not None:
            write(folder / "observation.json", msgspec.json.encode(observation))

    observing = asyncio.create_task(observe())
    sent = b""
    while not observing.done():
        wanted = (
            (folder / "desired.json").read_bytes() if (folder / "desired.json").exists() else b""
        )
        if wanted != sent:
            sent = wanted
            if wanted == b"exit 2":
                return 2
            channel.send(msgspec.json.decode(wanted, type=DesiredState))
        await asyncio.sleep(POLL_S)
    return 0


def main() -> int:
    """Run one announcer in the network namespace this process was started in."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--node", required=True)
    parser.add_argument("--dir", required=True, type=Path)
    parser.add_argument("--address")
    parser.add_argument("--secret", default="")
    parser.add_argument("--exclude", default="^lo$")
    parser.add_argument("--lease", type=float, default=600.0)
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--bgp-listen-port", type=int, default=0)
    parser.add_argument("--burst", type=float, default=burst.BURST_S)
    arguments = parser.parse_args()
    burst.BURST_S = arguments.burst
    settings = AnnouncerSettings(
        node=arguments.node,
        membership=MembershipSettings(arguments.address, secret=arguments.secret.encode())
        if arguments.address
        else None,
        excluded_interfaces=(re.compile(arguments.exclude),),
        bgp_listen_port=arguments.bgp_listen_port,
        lease_s=arguments.lease,
        log_level=arguments.log_level,
    )
    return run(settings, lambda sock: asyncio.run(script(sock, arguments.dir)))


if __name__ == "__main__":
    sys.exit(main())
