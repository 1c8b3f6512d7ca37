"""ConfigMap: texts under keys."""

from __future__ import annotations

import msgspec

from mercurylb.api.meta import ObjectMeta


class ConfigMap(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """A ConfigMap."""

    metadata: ObjectMeta = ObjectMeta()
    data: dict[str, str | None] | None = None
