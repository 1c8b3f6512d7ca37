"""What the promises are measured with: verbs that wait for nothing, and times off the ledger."""

from __future__ import annotations

import collections
import ipaddress
from typing import TYPE_CHECKING

from tests.sim.world.play import come_up, told
from tests.sim.world.script import Step, do

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sim.world.cluster import Cluster
    from tests.sim.world.node import Node
    from tests.sim.world.shape import Shape


class Measured:
    """A cluster that has come up, and a moment from which on is measured."""

    def __init__(self, shape: Shape) -> None:
        self.world: Cluster = come_up(shape)
        self.world.run(self.world.chance.uniform(0.0, 1.0))
        self.since = self.world.now

    def mark(self) -> None:
        """Measure from now on."""
        self.since = self.world.now

    def do(self, verb: str, *args: object) -> None:
        """Do one step; nodes are given as such."""
        words = tuple(str(arg.number) if hasattr(arg, "number") else str(arg) for arg in args)
        do(self.world, Step(0.0, verb, words))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        with told(self.world):
            self.world.run(seconds)

    def owner(self, index: int = 0) -> Node:
        """Return the one that owns a service."""
        name = list(self.world.services)[index]
        (owner,) = self.world.ledger.owners(name)
        return self.world.by_name[owner]

    def expect(self, is_so: bool, what: str) -> None:  # noqa: FBT001
        """Tell the story if something is not so."""
        with told(self.world):
            assert is_so, what

    # --- measures ----------------------------------------------------------------------------

    def gap_s(self) -> float:
        """Return the longest time since the mark without anybody who is heard, of any service."""
        return self._longest(self.world.ledger.longest_gap)

    def double_s(self) -> float:
        """Return the longest time since the mark with more than one who is heard."""
        return self._longest(self.world.ledger.longest_double)

    def _longest(self, measure: Callable[[str, float, float], float]) -> float:
        return max(measure(service, self.since, self.world.now) for service in self.world.services)

    def expect_gap(self, most_s: float) -> None:
        """Expect nobody to be heard for no longer than this."""
        self.expect(self.gap_s() <= most_s, f"gap of {self.gap_s():.3f} s, not {most_s} s")

    def expect_unchanged(self) -> None:
        """Expect that no owner changed since the mark."""
        changes = self.world.ledger.changes(self.since)
        self.expect(not changes, f"changed: {changes[:3]}")

    def expect_calm(self, most: int) -> None:
        """Expect no service to have changed its owners more often than this since the mark."""
        counts = collections.Counter(
            service for service, _ in self.world.ledger.changes(self.since)
        )
        for service, count in counts.most_common(1):
            entries = self.world.ledger.entries[service][-count:]
            self.expect(count <= most, f"{service} changed {count} times: {entries}")

    def expect_agreed(self) -> None:
        """Expect the right owners now."""
        wrong = self.world.disagreements()
        self.expect(not wrong, "; ".join(wrong))

    def expect_clients_agree(self) -> None:
        """Expect every client on the LAN to believe in the owner, as far as it was ever told."""
        world = self.world
        for service in world.services.values():
            (owner,) = world.ledger.owners(service.service)
            for node in world.nodes:
                for text in service.addresses:
                    told = world.heard_last.get((node.name, ipaddress.ip_address(text).packed))
                    self.expect(told in (None, owner), f"{text} is {told}'s, not {owner}'s")
