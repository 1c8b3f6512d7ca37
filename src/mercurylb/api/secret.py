"""Secret: values stay in base64 as delivered, so that nobody prints them by accident in clear."""

from __future__ import annotations

import msgspec

from mercurylb.api.meta import ObjectMeta


class Secret(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """A Secret."""

    metadata: ObjectMeta = ObjectMeta()
    type: str = ""
    data: dict[str, str | None] | None = None

    def __repr__(self) -> str:
        """Give the name only."""
        return f"Secret({self.metadata.key})"
