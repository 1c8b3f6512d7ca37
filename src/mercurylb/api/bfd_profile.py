"""BFDProfile: how quickly the loss of a BGP peer is to be noticed."""

from __future__ import annotations

from typing import Annotated

import msgspec

from mercurylb.api.meta import NoFields, ObjectMeta
from mercurylb.api.schema import RESERVED, Schema


def _interval(description: str) -> Schema:
    return Schema(description, format="int32", minimum=10, maximum=60000)


class BFDProfileSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """The wish; intervals in milliseconds."""

    receive_interval: Annotated[
        int | None,
        _interval("Shortest time between packets we are able to receive, in milliseconds."),
    ] = None
    transmit_interval: Annotated[
        int | None,
        _interval("Shortest time between packets we want to send, in milliseconds."),
    ] = None
    detect_multiplier: Annotated[
        int | None,
        Schema(
            "How many packets in a row may be lost before the session is down.",
            format="int32",
            minimum=2,
            maximum=255,
        ),
    ] = None
    echo_interval: Annotated[
        int | None, _interval("Shortest time between echo packets, in milliseconds.")
    ] = None
    echo_mode: Annotated[
        bool | None,
        Schema("Whether the echo function is used; it needs a directly connected router."),
    ] = None
    passive_mode: Annotated[
        bool | None, Schema("Whether to wait for the router's first packet.")
    ] = None
    minimum_ttl: Annotated[
        int | None,
        Schema(
            "Least TTL that is accepted in packets of multi-hop sessions.",
            format="int32",
            minimum=1,
            maximum=254,
        ),
    ] = None


class BFDProfile(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """BFDProfile holds the timers of BFD sessions that guard BGP sessions."""

    metadata: ObjectMeta = ObjectMeta()
    spec: Annotated[BFDProfileSpec | None, Schema("The timers.")] = None
    status: Annotated[NoFields | None, RESERVED] = None
