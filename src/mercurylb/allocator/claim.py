"""What a service brings to the book, and what it takes away."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from heapq import nsmallest
from itertools import islice
from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.values.address import IPV4, IPV6, Address, Family, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

Port = tuple[str, int]
"""Protocol and number, as clients see them."""

ShareKey = tuple[str, str]
"""Sharing key and backend key: services share an address only if both are equal."""


_SHOWN_MAX: Final = 8

NAMES_MAX: Final = 3
"""Services named in a message."""


class ServiceFamily(StrEnum):
    """The families of a service's cluster IPs."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"
    DUAL = "dual"

    @property
    def families(self) -> tuple[Family, ...]:
        """Give the families, IPv4 first."""
        match self:
            case ServiceFamily.IPV4:
                return (IPV4,)
            case ServiceFamily.IPV6:
                return (IPV6,)
            case ServiceFamily.DUAL:
                return (IPV4, IPV6)


class Stacking(StrEnum):
    """How many families a service wants, as `ipFamilyPolicy` says."""

    SINGLE = "SingleStack"
    PREFER_DUAL = "PreferDualStack"
    REQUIRE_DUAL = "RequireDualStack"


class Claim(msgspec.Struct, frozen=True, gc=False):
    """Who asks, with everything the rules look at."""

    service: str
    """`namespace/name`."""
    namespace: str
    family: ServiceFamily
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    ports: frozenset[Port] = frozenset()
    share_key: ShareKey = ("", "")
    """An empty sharing key means no sharing."""
    stacking: Stacking = Stacking.SINGLE
    primary: Family = IPV4
    """The family to prefer when only one of the two can be had."""


class Allocation(msgspec.Struct, frozen=True, gc=False):
    """What a service holds."""

    pool: str
    addresses: tuple[Address, ...]
    ports: frozenset[Port] = frozenset()
    share_key: ShareKey = ("", "")


class RefusalReason(StrEnum):
    """Why a service gets no address, or not the one it asks for."""

    NOT_IN_POOL = "notInPool"
    ADDRESS_AVOIDED = "addressAvoided"
    """It is in a pool that avoids addresses ending in .0 or .255."""
    POOLS_DIFFER = "poolsDiffer"
    """Two addresses are not of one pool."""
    POOL_INCOMPATIBLE = "poolIncompatible"
    TOO_MANY = "tooManyAddresses"
    SAME_FAMILY = "sameFamily"
    SHARING_CONFLICT = "sharingConflict"
    PORT_CONFLICT = "portConflict"
    WRONG_FAMILY = "wrongFamily"
    POLICY = "policyNotDualStack"
    UNKNOWN_POOL = "unknownPool"
    EXHAUSTED = "exhausted"
    FAMILY_MISSING = "familyMissing"
    NO_POOL_MATCHES = "noPoolMatches"
    """No pool is there for services like this one, full or not."""
    INVALID_CLUSTER_IPS = "invalidClusterIPs"
    INVALID_REQUEST = "invalidRequest"
    POOL_MISMATCH = "poolMismatch"


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """An expected failure."""

    reason: RefusalReason
    message: str
    """The whole truth of the moment, for an event."""
    brief: str = ""
    """The part that does not change with what others do, if that is not all of it."""

    @property
    def lasting(self) -> str:
        """Give what may stand in a status: written once, not at each change of others."""
        return self.brief or self.message


def bracketed(texts: Iterable[object]) -> str:
    """Give `["a" "b"]`, the way lists stand in messages; a long list is cut."""
    shown = [quoted(str(text)) for text in islice(texts, _SHOWN_MAX + 1)]
    if len(shown) > _SHOWN_MAX:
        shown[-1] = "…"
    return f"[{' '.join(shown)}]"


def format_port(port: Port) -> str:
    """Give `TCP/80`."""
    return f"{port[0]}/{port[1]}"


def list_names(names: Iterable[str]) -> str:
    """Give the first few names joined by commas, and how many more there are."""
    every = list(names)
    text = ",".join(nsmallest(NAMES_MAX, every))
    return f"{text} and {len(every) - NAMES_MAX} more" if len(every) > NAMES_MAX else text
