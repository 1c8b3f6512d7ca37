"""What each path attribute of a received UPDATE must be like, and what follows if it is not.

RFC 7606 section 7 in one table. Most mistakes make the routes of the message unusable
("treat as withdraw"); some attributes are simply left out. Only what hides where the prefixes are
ends the session, and that is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.bgp import path
from mercurylb.bgp.attribute import OPTIONAL, ORIGINS, TRANSITIVE, AttributeType
from mercurylb.bgp.family import Family
from mercurylb.bgp.notification import UpdateCode

if TYPE_CHECKING:
    from collections.abc import Mapping

_MULTICAST: Final = 224
"""First octet of addresses that are no host's, from here on."""
_AGGREGATOR_WIDE: Final = 8
_AGGREGATOR_NARROW: Final = 6
_CONFEDERATION: Final = frozenset((path.AS_CONFED_SEQUENCE, path.AS_CONFED_SET))


class UpdateContext(msgspec.Struct, frozen=True):
    """What of a session decides how its UPDATEs are read."""

    families: frozenset[Family]
    """Negotiated; others are ignored."""
    is_internal: bool = False
    has_four_octet_asn: bool = True
    """Both sides."""
    extended_next_hops: frozenset[Family] = frozenset()
    """Families that may have a next hop of IPv6 (RFC 8950)."""


class Rule(msgspec.Struct, frozen=True, gc=False):
    """One type of attribute."""

    name: str
    flags: int
    """The optional and the transitive bit as they must be."""
    problem: Callable[[bytes, UpdateContext], str]
    """Says what is wrong with a value; nothing if it is right."""
    subcode: UpdateCode = UpdateCode.LENGTH
    """Told to the peer where the session has to end for it after all."""
    is_discarded: bool = False
    """Whether a malformed one is left out rather than its routes."""
    is_inner: bool = False
    """Whether it is left out unseen where it comes from outside."""


def _length(length: int) -> Callable[[bytes, UpdateContext], str]:
    def problem(value: bytes, _: UpdateContext) -> str:
        return "" if len(value) == length else f"{len(value)} octets"

    return problem


def _multiple(of: int) -> Callable[[bytes, UpdateContext], str]:
    def problem(value: bytes, _: UpdateContext) -> str:
        return "" if value and len(value) % of == 0 else f"{len(value)} octets"

    return problem


def _origin(value: bytes, _: UpdateContext) -> str:
    if len(value) != 1:
        return f"{len(value)} octets"
    return "" if value[0] < len(ORIGINS) else f"value {value[0]}"


def _as_path(value: bytes, context: UpdateContext) -> str:
    width = path.WIDE if context.has_four_octet_asn else path.NARROW
    problem = path.problem(value, width=width)
    if problem or context.is_internal:
        return problem
    is_inner = not _CONFEDERATION.isdisjoint(path.segments(value, width=width))
    return "a segment of a confederation from outside" if is_inner else ""


def _next_hop(value: bytes, _: UpdateContext) -> str:
    if len(value) != path.WIDE:
        return f"{len(value)} octets"
    return "" if 0 < value[0] < _MULTICAST else "no address of a host"


def _aggregator(value: bytes, context: UpdateContext) -> str:
    length = _AGGREGATOR_WIDE if context.has_four_octet_asn else _AGGREGATOR_NARROW
    return "" if len(value) == length else f"{len(value)} octets"


def _as4_path(value: bytes, context: UpdateContext) -> str:
    if context.has_four_octet_asn:
        return "a peer with four-octet numbers"
    return path.problem(value) if value else "0 octets"


def _as4_aggregator(value: bytes, context: UpdateContext) -> str:
    if context.has_four_octet_asn:
        return "a peer with four-octet numbers"
    return "" if len(value) == _AGGREGATOR_WIDE else f"{len(value)} octets"


_BOTH: Final = OPTIONAL | TRANSITIVE
_OPTIONAL: Final = UpdateCode.OPTIONAL

RULES: Final[Mapping[int, Rule]] = {
    AttributeType.ORIGIN: Rule("ORIGIN", TRANSITIVE, _origin, UpdateCode.ORIGIN),
    AttributeType.AS_PATH: Rule("AS_PATH", TRANSITIVE, _as_path, UpdateCode.AS_PATH),
    AttributeType.NEXT_HOP: Rule("NEXT_HOP", TRANSITIVE, _next_hop, UpdateCode.NEXT_HOP),
    AttributeType.MED: Rule("MULTI_EXIT_DISC", OPTIONAL, _length(4)),
    AttributeType.LOCAL_PREF: Rule("LOCAL_PREF", TRANSITIVE, _length(4), is_inner=True),
    AttributeType.ATOMIC_AGGREGATE: Rule(
        "ATOMIC_AGGREGATE", TRANSITIVE, _length(0), is_discarded=True
    ),
    AttributeType.AGGREGATOR: Rule("AGGREGATOR", _BOTH, _aggregator, is_discarded=True),
    AttributeType.COMMUNITIES: Rule("COMMUNITIES", _BOTH, _multiple(4), _OPTIONAL),
    AttributeType.ORIGINATOR_ID: Rule("ORIGINATOR_ID", OPTIONAL, _length(4), is_inner=True),
    AttributeType.CLUSTER_LIST: Rule("CLUSTER_LIST", OPTIONAL, _multiple(4), is_inner=True),
    AttributeType.EXTENDED_COMMUNITIES: Rule(
        "EXTENDED COMMUNITIES", _BOTH, _multiple(8), _OPTIONAL
    ),
    AttributeType.AS4_PATH: Rule("AS4_PATH", _BOTH, _as4_path, is_discarded=True),
    AttributeType.AS4_AGGREGATOR: Rule("AS4_AGGREGATOR", _BOTH, _as4_aggregator, is_discarded=True),
    AttributeType.IPV6_EXTENDED_COMMUNITIES: Rule(
        "IPv6 EXTENDED COMMUNITIES", _BOTH, _multiple(20), _OPTIONAL
    ),
    AttributeType.LARGE_COMMUNITIES: Rule("LARGE_COMMUNITY", _BOTH, _multiple(12), _OPTIONAL),
    AttributeType.ONLY_TO_CUSTOMER: Rule("OTC", _BOTH, _length(4), _OPTIONAL),
}
"""All that are known and hold no prefixes."""
