"""Clusters of members of both kinds, and what to wait for.

Nothing here sleeps for a fixed time: conditions are awaited.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import re
from typing import TYPE_CHECKING

from lab import netns
from mercurylb.errors import WireError
from mercurylb.membership.swim import message
from mercurylb.membership.swim.keyring import derive_key
from mercurylb.plan.layer2 import election_hash
from tests.interop.gossip import GoProcess
from tests.interop.members import (
    IPS,
    PORT,
    TIMING,
    GoMember,
    Member,
    PythonMember,
    Settings,
)
from tests.interop.written import check_written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence
    from pathlib import Path

    from mercurylb.membership.swim.message import Message

PATIENCE_S = 90
"""Most conditions are met within a second; a machine that is busy elsewhere may take longer."""
POLL_S = 0.05
CHECKS_MAX = 200
"""Datagrams of each original that are compared byte for byte: compressing them again takes time."""
MISREAD = re.compile(r"Failed to decode|Failed to decompress|not supported|truncated|checksum")
"""What the original logs when it cannot read what we wrote."""


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
