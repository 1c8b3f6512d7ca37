"""One TCP exchange between two nodes: reliable, late when packets are lost, and able to fail.

It fails at its time limit when the way is cut or the other machine is dead, and at once when that
machine says that nobody listens. A stopped process does not refuse: its kernel accepts, and the
request waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.errors import WireError

if TYPE_CHECKING:
    from mercurylb.announcer.core import CoreEffect
    from mercurylb.membership.member import Exchange
    from tests.sim.world.cluster import Cluster
    from tests.sim.world.node import Node
    from tests.sim.world.process import Process


class Connection:
    """An exchange on its way."""

    def __init__(self, world: Cluster, client: Node, wanted: Exchange) -> None:
        self._world = world
        self._client = client
        self._process = client.process
        self._wanted = wanted
        self._server = world.by_address.get(wanted.address)
        self._is_over = False

    def begin(self) -> None:
        """Send the first segment."""
        world, server = self._world, self._server
        world.timeline.after(self._wanted.timeout_s, lambda: self._finish(None))
        if server is None:
            return
        way_s = world.network.segment_s(self._client.name, server.name, is_first=True)
        if way_s is not None:
            world.timeline.after(way_s, lambda: self._reach(server))

    def _reach(self, server: Node) -> None:
        if not server.is_up:
            return
        is_refused = server.process is None
        sender, receiver = (server, self._client) if is_refused else (self._client, server)
        way_s = self._world.network.segment_s(sender.name, receiver.name)
        if way_s is None:
            return
        if is_refused:
            self._world.timeline.after(way_s, lambda: self._finish(None))
        else:
            self._world.timeline.after(way_s, lambda: server.give(self._serve))

    def _serve(self, process: Process) -> list[CoreEffect]:
        server = self._server
        assert server is not None
        message = self._decode(process, self._wanted.request)
        effects: list[CoreEffect] = []
        reply: bytes | None = None
        if message is not None:
            now = server.clock.now()
            effects, reply = process.on_request(self._client.address, message, now)
        way_s = self._world.network.segment_s(server.name, self._client.name)
        if way_s is not None:
            self._world.timeline.after(way_s, lambda: self._read(reply))
        return effects

    def _read(self, reply: bytes | None) -> None:
        process = self._client.process
        if process is not None and process is self._process:
            self._finish(self._decode(process, reply) if reply else None)

    def _finish(self, message: object | None) -> None:
        client = self._client
        if self._is_over or client.process is not self._process:
            return
        self._is_over = True
        self._world.seen["exchange" if message is not None else "failed exchange"] += 1
        exchange = self._wanted.id
        client.give(lambda process: process.on_reply(exchange, message, client.clock.now()))

    def _decode(self, process: Process, stream: bytes) -> object | None:
        """Read a stream as it may come: in two pieces."""
        decoder = process.stream_decoder()
        cut = self._world.chance.randrange(len(stream) + 1)
        try:
            message = decoder.feed(stream[:cut]) if cut else None
            return decoder.feed(stream[cut:]) if message is None and cut < len(stream) else message
        except WireError as error:
            self._world.log(f"unreadable stream: {error}")
            self._world.seen["unreadable"] += 1
            return None
