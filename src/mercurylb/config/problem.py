"""What is wrong with which field of which object: codes, bounds and summaries.

The value itself stands beside the exception that carries it; this is its name for readers of
configuration. Whatever an object holds, one problem stays a few lines of printable text: values and
messages are clipped and control characters are escaped, so that no object can flood a log, a
status or an answer of the webhook.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DESCRIPTIONS", "Code", "Problem", "Report", "clip", "summarize"]

VALUE_MAX: Final = 256
"""Characters of a value that a problem repeats; as many as `quoted` lets through."""
MESSAGE_MAX: Final = 1024
SUMMARY_MAX: Final = 20
"""Problems that a summary spells out unless told otherwise."""


class Code(StrEnum):
    """The rule that a problem breaks; stable, for programs."""

    NAME_MISSING = "name-missing"
    NAME_DUPLICATE = "name-duplicate"
    NAMESPACE = "namespace"
    UNREADABLE = "unreadable"
    VALUE_RANGE = "value-range"
    VALUE_DUPLICATE = "value-duplicate"
    SELECTOR_DUPLICATE = "selector-duplicate"
    SELECTOR_INVALID = "selector-invalid"
    POOL_EMPTY = "pool-empty"
    POOL_ADDRESS = "pool-address"
    POOL_OVERLAP = "pool-overlap"
    POOL_SIZE = "pool-size"
    COMMUNITY_VALUE = "community-value"
    COMMUNITY_DUPLICATE = "community-duplicate"
    COMMUNITY_UNKNOWN = "community-unknown"
    PEER_ASN = "peer-asn"
    PEER_MULTI_HOP = "peer-multi-hop"
    PEER_ADDRESS = "peer-address"
    PEER_TIMERS = "peer-timers"
    PEER_DUPLICATE = "peer-duplicate"
    PEER_PASSWORD = "peer-password"  # noqa: S105 (the name of a rule)
    SECRET_MISSING = "secret-missing"  # noqa: S105
    SECRET_TYPE = "secret-type"  # noqa: S105
    SECRET_PASSWORD = "secret-password"  # noqa: S105
    BFD_PROFILE_MISSING = "bfd-profile-missing"
    BFD_PROFILE_IN_USE = "bfd-profile-in-use"
    BFD_ECHO_IPV6 = "bfd-echo-ipv6"
    ADVERTISEMENT_DUPLICATE = "advertisement-duplicate"
    AGGREGATION_LENGTH = "aggregation-length"
    AGGREGATION_SELECTORS = "aggregation-selectors"
    AGGREGATION_POOL = "aggregation-pool"
    LOCAL_PREF_CONFLICT = "local-pref-conflict"
    AS_PATH_PREPEND_CONFLICT = "as-path-prepend-conflict"
    BACKEND_FEATURE = "backend-feature"
    BACKEND_ROUTER_ID = "backend-router-id"
    BACKEND_DUPLICATE_PEER = "backend-duplicate-peer"
    BACKEND_MY_ASN = "backend-my-asn"


DESCRIPTIONS: Final = {
    Code.NAME_MISSING: "Every object has a name.",
    Code.NAME_DUPLICATE: "No two objects of one kind have the same name.",
    Code.NAMESPACE: "Configuration lives in one namespace.",
    Code.UNREADABLE: "Every field holds a value of its type.",
    Code.VALUE_RANGE: "Numbers are within the range of their field.",
    Code.VALUE_DUPLICATE: "A list names each thing once.",
    Code.SELECTOR_DUPLICATE: "A list of label selectors has each of them once.",
    Code.SELECTOR_INVALID: "Label selectors follow the syntax of Kubernetes.",
    Code.POOL_EMPTY: "A pool has addresses.",
    Code.POOL_ADDRESS: "A pool's addresses are CIDR prefixes or first-last ranges.",
    Code.POOL_OVERLAP: "No address is in two places of the pools.",
    Code.POOL_SIZE: "A pool has a bounded number of prefixes.",
    Code.COMMUNITY_VALUE: "Communities are written a:b or large:a:b:c.",
    Code.COMMUNITY_DUPLICATE: "An alias of a community is defined once.",
    Code.COMMUNITY_UNKNOWN: "A community is a value or an alias that exists.",
    Code.PEER_ASN: "A peer has a local number and one way to know the remote one.",
    Code.PEER_MULTI_HOP: "ebgpMultiHop is for peers of another autonomous system.",
    Code.PEER_ADDRESS: "A peer has either an address or an interface, and addresses are valid.",
    Code.PEER_TIMERS: "The hold time is 0 or at least 3 s, and not below the keepalive time.",
    Code.PEER_DUPLICATE: "No two peers are the same.",
    Code.PEER_PASSWORD: "A peer has its password in one place.",
    Code.SECRET_MISSING: "The secret with a peer's password exists.",
    Code.SECRET_TYPE: "The secret with a peer's password is of type kubernetes.io/basic-auth.",
    Code.SECRET_PASSWORD: "The secret with a peer's password has the key password.",
    Code.BFD_PROFILE_MISSING: "The BFD profile of a peer exists.",
    Code.BFD_PROFILE_IN_USE: "A BFD profile that a peer uses stays.",
    Code.BFD_ECHO_IPV6: "BFD echo is not used where IPv6 addresses are advertised.",
    Code.ADVERTISEMENT_DUPLICATE: "No two advertisements are equal.",
    Code.AGGREGATION_LENGTH: "Aggregation lengths are within the width of the address.",
    Code.AGGREGATION_SELECTORS: "Addresses chosen by service are not aggregated.",
    Code.AGGREGATION_POOL: "An aggregate lies inside the pool's block.",
    Code.LOCAL_PREF_CONFLICT: "One route has one local preference.",
    Code.AS_PATH_PREPEND_CONFLICT: "One route has one number of prepended ASNs.",
    Code.BACKEND_FEATURE: "Only what the BGP backend supports is asked for.",
    Code.BACKEND_ROUTER_ID: "Peers of one node have one router ID with an FRR backend.",
    Code.BACKEND_DUPLICATE_PEER: "A node has one session per neighbour with an FRR backend.",
    Code.BACKEND_MY_ASN: "Peers of one node and VRF have one local ASN with an FRR backend.",
}
"""What holds when nothing is wrong, for each code."""


class Report(msgspec.Struct, frozen=True):
    """Collects the problems of one object."""

    object: str
    problems: list[Problem]

    def add(  # noqa: PLR0913 (the parts of a problem)
        self,
        field: str,
        value: str,
        message: str,
        *,
        code: Code,
        hint: str = "",
        is_transient: bool = False,
    ) -> None:
        """Note a problem with one field."""
        self.problems.append(
            Problem(
                object=clip(self.object),
                field=field,
                value=clip(value),
                message=clip(message, MESSAGE_MAX),
                hint=clip(hint, MESSAGE_MAX),
                code=code.value,
                is_transient=is_transient,
            )
        )


def clip(text: str, limit: int = VALUE_MAX) -> str:
    """Give a text that is no longer than a bound and has no character that breaks a line."""
    if len(text) > limit:
        text = f"{text[: limit - 1]}…"
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def summarize(problems: Sequence[Problem], limit: int = SUMMARY_MAX) -> str:
    """Give one line per problem, and how many more there are beyond the limit."""
    lines = [str(problem) for problem in problems[:limit]]
    more = len(problems) - limit
    if more > 0:
        lines.append(f"and {more} more problem{'s' if more > 1 else ''}")
    return "\n".join(lines)
