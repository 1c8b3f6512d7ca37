"""What the peers of a node share, and what a peer shares with its sessions."""

from __future__ import annotations

import collections
import itertools
from typing import TYPE_CHECKING

from mercurylb.bgp.book import RouteBook
from mercurylb.bgp.story import Story

if TYPE_CHECKING:
    from mercurylb.bgp.effect import BgpEffect
    from mercurylb.bgp.settings import PeerSettings
    from mercurylb.bgp.timer import Chance


class House:
    """What all peers of a node share."""

    def __init__(self, node: str, chance: Chance) -> None:
        self.node = node
        self.chance = chance
        self.book = RouteBook()
        self.has_routes = False
        """Whether what is to be announced is known, so that End-of-RIB may be told."""
        self._numbers = itertools.count(1)

    def allocate(self) -> int:
        """Give the number of the next connection."""
        return next(self._numbers)


class Desk:
    """Of a peer: what its sessions write on."""

    def __init__(self, settings: PeerSettings, house: House) -> None:
        self.settings = settings
        self.house = house
        self.counts: collections.Counter[str] = collections.Counter()
        """By the fields of `MessageCounts`."""
        self.story = Story()
        self.out: list[BgpEffect] = []
        """What is to be done, in order."""
