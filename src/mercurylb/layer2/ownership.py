"""Which services this node owns: the first live and able node of a ranking does.

Facts: the services wanted with their rankings, the live nodes, what each of them says it is unable
for, and the node's own interfaces. Nobody owns anything before the first live nodes are known.
Where no live node of a ranking is able, the first live one owns the service all the same: it says
that none of the chosen interfaces exists, as MetalLB 0.16 does, and answers as soon as one does.

Pure functions of the facts, never of the path by which they came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from mercurylb.layer2.ability import ABLE, Carriers, Unable, unable_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from mercurylb.layer2.interface import NodeInterfaces


class RankedService(Protocol):
    """A service to be announced by whichever candidate is the first alive."""

    @property
    def service(self) -> str:
        """`namespace/name`."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Load-balancer IPs in canonical text."""

    @property
    def ranking(self) -> tuple[str, ...]:
        """Candidate nodes, best first."""

    @property
    def interfaces(self) -> tuple[str, ...] | None:
        """Names of the interfaces to answer on; None means all."""


class OwnedAddresses(msgspec.Struct, frozen=True):
    """What this node announces for one service."""

    service: str
    addresses: tuple[str, ...]
    skipped: tuple[str, ...]
    """Those that none of the chosen interfaces of this node can carry."""


class Ownership:
    """Decide which of the wanted services are this node's."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._services: dict[str, RankedService] = {}
        self._live: frozenset[str] | None = frozenset()
        self._others: dict[str, Unable] = {}
        self._names: frozenset[str] = frozenset()
        self._carriers = Carriers()
        self.unable = ABLE
        """The services that this node cannot carry."""

    def on_desired(self, services: Sequence[RankedService]) -> None:
        """Take over the whole list of services."""
        self._services = {service.service: service for service in services}
        self._judge()

    def on_live(self, nodes: AbstractSet[str] | None, unable: Mapping[str, Unable]) -> None:
        """Take over which nodes are alive, and what they cannot carry."""
        self._live = None if nodes is None else frozenset(nodes)
        self._others = {node: word for node, word in unable.items() if word != ABLE}

    def on_interfaces(self, found: NodeInterfaces, now: float) -> None:
        """Take over the node's interfaces."""
        self._names = frozenset(found.names)
        self._carriers.on_interfaces(found, now)
        self._judge()

    def next_deadline(self) -> float | None:
        """Return when this node may become able for more."""
        return self._carriers.next_deadline()

    def on_deadline(self, now: float) -> None:
        """Take note of interfaces that have run for long enough."""
        self._carriers.on_deadline(now)
        self._judge()

    def owned(self) -> dict[str, tuple[RankedService, OwnedAddresses]]:
        """Return this node's services, and which of their addresses it can announce."""
        return {
            name: (service, self._carried(service))
            for name, service in self._services.items()
            if self._owns(service)
        }

    def precedes(self, service: RankedService, other: str) -> bool:
        """Return whether this node stands before another one in a ranking."""
        for node in service.ranking:
            if node in {self._node, other}:
                return node == self._node
        return True

    def left_with(self, service: RankedService, left: AbstractSet[str]) -> str | None:
        """Return the node that stands before all live ones in a ranking, if it is one of `left`."""
        live = self._live
        if live is None or not left:
            return None
        first = next((node for node in service.ranking if node in live or node in left), None)
        return first if first in left and first not in live else None

    def _owns(self, service: RankedService) -> bool:
        live = self._live
        if live is None:
            return service.ranking[:1] == (self._node,)
        if not self._others and self.unable == ABLE:
            return next((node for node in service.ranking if node in live), None) == self._node
        candidates = [node for node in service.ranking if node in live]
        able = (node for node in candidates if self._is_able(node, service.service))
        return next(able, candidates[0] if candidates else None) == self._node

    def _is_able(self, node: str, service: str) -> bool:
        word = self.unable if node == self._node else self._others.get(node, ABLE)
        return not word.covers(service)

    def _carried(self, service: RankedService) -> OwnedAddresses:
        chosen = service.interfaces
        is_carried = chosen is None or any(name in self._names for name in chosen)
        return OwnedAddresses(
            service.service, service.addresses, () if is_carried else service.addresses
        )

    def _judge(self) -> None:
        """Find out anew what this node is unable for."""
        if not self._carriers.is_known:
            return
        if not self._carriers.steady:
            self.unable = Unable(is_all=True)
            return
        self.unable = unable_for(
            name
            for name, service in self._services.items()
            if not self._carriers.can_carry(service.interfaces) and self._node in service.ranking
        )
