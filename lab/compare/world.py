"""What an author knows: the terms of its contract, its draws, and what exists by now.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.compare.draws import Draws
    from lab.compare.script import Json, Step

NAMESPACES: Final = ("@-blue", "@-green", "@-red")
CLASS: Final = "compare.example/@"
TIERS: Final = ("gold", "silver")
TEAMS: Final = ("one", "two")


@dataclass(frozen=True, slots=True)
class Terms:
    """What kind of scripts are wanted."""

    steps: int = 14
    ordered: bool = False
    """Leave out what MetalLB 0.16 decides by chance, or one release of it unlike the next."""
    retires: bool = True
    """Services may stop being load balancers for a while."""
    restarts: Sequence[str] = ()
    """Universes to choose from; an empty name restarts the controllers of both."""


@dataclass(slots=True)
class Pool:
    """A pool, as it is meant to be."""

    zone: int
    spec: Json


@dataclass(slots=True)
class World:
    """Everything that exists."""

    pools: dict[str, Pool] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)
    """Name → namespace."""
    retired: set[str] = field(default_factory=set)
    """Services that are no load balancers just now."""
    mistake: Step | None = None
    """What takes the present mistake away."""
    priorities: set[int] = field(default_factory=set)
    pool_count: int = 0
    service_count: int = 0
    community_count: int = 0


@dataclass(frozen=True, slots=True)
class Desk:
    """What an author works with."""

    draws: Draws
    terms: Terms
    world: World
