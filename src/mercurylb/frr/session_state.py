"""BGPSessionState: what frr-k8s says of a session (spec: bgp-frr B5), as far as it is read here."""

from __future__ import annotations

from typing import Final

import msgspec

from mercurylb.api.meta import ObjectMeta
from mercurylb.errors import ParseError
from mercurylb.values.address import parse_address

NODE_LABEL: Final = "frrk8s.metallb.io/node"
NO_BFD: Final = "N/A"
_GROUPS: Final = 8


class SessionStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """How the session is."""

    node: str = ""
    peer: str = ""
    """IPv4 address, IPv6 address written out with dashes, or interface."""
    vrf: str = ""
    """Empty is the default one."""
    bgp_status: str = msgspec.field(default="", name="bgpStatus")
    bfd_status: str = msgspec.field(default="", name="bfdStatus")


class BGPSessionState(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One session of one node."""

    metadata: ObjectMeta = ObjectMeta()
    status: SessionStatus | None = None


def target_of(text: str) -> str:
    """Give a peer's address in canonical text, or its interface as it is."""
    dashed = text.replace("-", ":") if text.count("-") == _GROUPS - 1 else text
    try:
        return str(parse_address(dashed))
    except ParseError:
        return text
