"""BFDProfile: how quickly the loss of a BGP peer is to be noticed."""

from __future__ import annotations

import msgspec

from mercurylb.api.meta import ObjectMeta


class BFDProfileSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """The wish; intervals in milliseconds."""

    receive_interval: int | None = None
    transmit_interval: int | None = None
    detect_multiplier: int | None = None
    echo_interval: int | None = None
    echo_mode: bool | None = None
    passive_mode: bool | None = None
    minimum_ttl: int | None = None


class BFDProfile(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """A BFDProfile."""

    metadata: ObjectMeta = ObjectMeta()
    spec: BFDProfileSpec | None = None
