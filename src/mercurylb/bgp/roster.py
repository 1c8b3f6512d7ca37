"""All peers of a node: who is meant by a fact, when which one is due, who may send next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mercurylb.bgp.effect import Discover
from mercurylb.bgp.timer import NEVER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mercurylb.bgp.effect import BgpEffect
    from mercurylb.bgp.peer import Peer
    from mercurylb.bgp.settings import PeerSettings

PULL_OCTETS_MAX: Final = 65536
"""Of routes made by one call, for all peers together."""


class Roster:
    """The peers by name, and what leads to them."""

    def __init__(self) -> None:
        self.pull_at = NEVER
        """When routes wait that one call was too short for."""
        self._peers: dict[str, Peer] = {}
        self._deadlines: dict[str, float] = {}
        self._talking: dict[int, str] = {}
        self._connections: dict[str, tuple[int, ...]] = {}
        self._by_address: dict[tuple[str, str], str] = {}
        self._discovered: set[str] = set()

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._peers.values())

    def get(self, name: str) -> Peer | None:
        """Give a peer."""
        return self._peers.get(name)

    def add(self, peer: Peer) -> None:
        """Take a new peer; it is to be settled next."""
        self._peers[peer.settings.name] = peer

    def forget(self, name: str) -> None:
        """Forget a peer that was closed."""
        del self._peers[name]
        del self._deadlines[name]
        self._track(name, ())

    def arrange(self, settings: Sequence[PeerSettings]) -> None:
        """Put the peers into their order; of several with one address the first one is meant."""
        self._peers = {each.name: self._peers[each.name] for each in settings}
        self._by_address = {}
        for each in settings:
            if each.address:
                self._by_address.setdefault((each.address, each.vrf), each.name)

    # --- who is meant ------------------------------------------------------------------------

    def dialling(self, connection: int) -> Peer | None:
        """Give the peer that dials with that number."""
        for peer in self._peers.values():
            if peer.dialler.connection == connection:
                return peer
        return None

    def talking(self, connection: int) -> Peer | None:
        """Give the peer of an open connection."""
        name = self._talking.get(connection)
        return self._peers[name] if name is not None else None

    def match(self, remote: str, *, interface: str, vrf: str) -> str | None:
        """Name the peer with an address."""
        address = remote.partition("%")[0]
        found = self._by_address.get((address, vrf))
        if found is not None:
            return found
        for name, peer in self._peers.items():
            is_there = interface and peer.settings.interface == interface
            if is_there and peer.dialler.address == address:
                return name
        return None

    def discover(self, interfaces: set[str]) -> list[BgpEffect]:
        """Say where routers are to be looked for from now on, and where not any more."""
        before, self._discovered = self._discovered, set(interfaces)
        effects: list[BgpEffect] = [
            Discover(interface, is_wanted=False) for interface in sorted(before - interfaces)
        ]
        effects += [
            Discover(interface, is_wanted=True) for interface in sorted(interfaces - before)
        ]
        return effects

    # --- what is next ------------------------------------------------------------------------

    @property
    def deadline(self) -> float:
        """Give the time at which somebody is due."""
        return min(self.pull_at, min(self._deadlines.values(), default=NEVER))

    def due(self, now: float) -> list[Peer]:
        """Give the peers that are due."""
        return [self._peers[name] for name, at in self._deadlines.items() if at <= now]

    def settle(self, peer: Peer, now: float) -> list[BgpEffect]:
        """Give what a peer wants done, after it was told something."""
        peer.pull(now)
        name = peer.settings.name
        self._deadlines[name] = peer.deadline
        self._track(name, tuple(peer.sessions))
        return peer.take(now)

    def pull(self, now: float) -> list[BgpEffect]:
        """Let each peer that is ready have its next chunk, as far as the bound allows.

        Who had one is not ready before it has left, so the others are next.
        """
        effects: list[BgpEffect] = []
        size = 0
        self.pull_at = NEVER
        for peer in self._peers.values():
            if size >= PULL_OCTETS_MAX:
                self.pull_at = now
                break
            count = peer.pull(now)
            if count:
                size += count
                effects += self.settle(peer, now)
        return effects

    def _track(self, name: str, connections: tuple[int, ...]) -> None:
        before = self._connections.get(name, ())
        if connections == before:
            return
        for connection in before:
            self._talking.pop(connection, None)
        for connection in connections:
            self._talking[connection] = name
        if connections:
            self._connections[name] = connections
        else:
            self._connections.pop(name, None)

    def validate(self) -> None:
        """Assert what always holds."""
        assert set(self._deadlines) == set(self._peers), "each peer has its deadline"
        talking: dict[int, str] = {}
        for name, peer in self._peers.items():
            peer.validate()
            assert name == peer.settings.name, "peers have their names"
            assert self._deadlines[name] == peer.deadline, "deadlines are those of the peers"
            talking.update(dict.fromkeys(peer.sessions, name))
        assert talking == self._talking, "connections belong to peers"
