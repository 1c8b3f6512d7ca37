"""Community: names for BGP communities."""

from __future__ import annotations

import msgspec

from mercurylb.api.meta import ObjectMeta


class CommunityAlias(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """One name for one value."""

    name: str = ""
    value: str = ""


class CommunitySpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """The aliases of one object."""

    communities: tuple[CommunityAlias, ...] | None = None


class Community(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """A Community."""

    metadata: ObjectMeta = ObjectMeta()
    spec: CommunitySpec | None = None
