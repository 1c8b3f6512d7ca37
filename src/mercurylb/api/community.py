"""Community: names for BGP communities."""

from __future__ import annotations

from typing import Annotated

import msgspec

from mercurylb.api.meta import NoFields, ObjectMeta
from mercurylb.api.schema import RESERVED, Schema


class CommunityAlias(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """One name for one value."""

    name: Annotated[str, Schema("The name.")] = ""
    value: Annotated[
        str, Schema("The community it stands for, such as 65000:100 or large:65000:1:2.")
    ] = ""


class CommunitySpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """The aliases of one object."""

    communities: Annotated[
        tuple[CommunityAlias, ...] | None, Schema("Names and what they stand for.")
    ] = None


class Community(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """Community gives names to BGP communities; every BGPAdvertisement can use them."""

    metadata: ObjectMeta = ObjectMeta()
    spec: Annotated[CommunitySpec | None, Schema("The names.")] = None
    status: Annotated[NoFields | None, RESERVED] = None
