"""Namespace: its labels are what pools select by."""

from __future__ import annotations

import msgspec

from mercurylb.api.meta import ObjectMeta


class Namespace(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """A Namespace."""

    metadata: ObjectMeta = ObjectMeta()
