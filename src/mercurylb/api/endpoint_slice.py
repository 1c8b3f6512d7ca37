"""EndpointSlice: which nodes have endpoints of a service that can take traffic."""

from __future__ import annotations

from typing import Final

import msgspec

from mercurylb.api.meta import ObjectMeta

SERVICE_NAME_LABEL: Final = "kubernetes.io/service-name"


class EndpointConditions(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """State of an endpoint; None is "not told"."""

    ready: bool | None = None
    serving: bool | None = None


class Endpoint(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """One endpoint."""

    addresses: tuple[str, ...] | None = None
    conditions: EndpointConditions | None = None
    node_name: str | None = None

    @property
    def is_servable(self) -> bool:
        """Tell whether it takes traffic: not told to be unready, or still serving."""
        conditions = self.conditions
        return conditions is None or conditions.ready is not False or conditions.serving is True


class EndpointSlice(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """An EndpointSlice."""

    metadata: ObjectMeta = ObjectMeta()
    endpoints: tuple[Endpoint, ...] | None = None

    @property
    def service_key(self) -> str:
        """Give `namespace/name` of the service it belongs to; empty if it does not say."""
        name = (self.metadata.labels or {}).get(SERVICE_NAME_LABEL, "")
        return f"{self.metadata.namespace}/{name}" if name else ""
