"""Who is meant: by the number of a connection, or by the address one comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.bgp.effect import Discover

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mercurylb.bgp.effect import BgpEffect
    from mercurylb.bgp.settings import PeerSettings


class Directory:
    """What leads to a peer's name."""

    def __init__(self) -> None:
        self.talking: dict[int, str] = {}
        """Of open connections."""
        self._by_address: dict[tuple[str, str], str] = {}
        self._connections: dict[str, tuple[int, ...]] = {}
        self._discovered: set[str] = set()

    def replace(self, settings: Sequence[PeerSettings]) -> None:
        """Take the peers; of several with one address the first one is meant."""
        self._by_address = {}
        for each in settings:
            if each.address:
                self._by_address.setdefault((each.address, each.vrf), each.name)

    def match(self, remote: str, *, vrf: str) -> str | None:
        """Name the peer with an address."""
        return self._by_address.get((remote.partition("%")[0], vrf))

    def track(self, name: str, connections: Iterable[int]) -> None:
        """Take what connections a peer has now."""
        now_open = tuple(connections)
        before = self._connections.get(name, ())
        if now_open == before:
            return
        for connection in before:
            self.talking.pop(connection, None)
        for connection in now_open:
            self.talking[connection] = name
        if now_open:
            self._connections[name] = now_open
        else:
            self._connections.pop(name, None)

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
