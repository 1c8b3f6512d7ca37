"""ServiceL2Status: which node announces a service by ARP and NDP, as that node says."""

from __future__ import annotations

from typing import Final

import msgspec

from mercurylb.api.meta import ObjectMeta

GENERATE_NAME: Final = "l2-"
NODE_LABEL: Final = "metallb.io/node"
SERVICE_NAME_LABEL: Final = "metallb.io/service-name"
SERVICE_NAMESPACE_LABEL: Final = "metallb.io/service-namespace"


class InterfaceInfo(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """One interface it is announced on."""

    name: str = ""


class ServiceL2StatusStatus(
    msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False
):
    """What is announced; the first three never change once they are set."""

    node: str = ""
    service_name: str = ""
    service_namespace: str = ""
    interfaces: tuple[InterfaceInfo, ...] | None = None
    """None or empty: all interfaces."""


class ServiceL2Status(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """A ServiceL2Status."""

    metadata: ObjectMeta = ObjectMeta()
    status: ServiceL2StatusStatus | None = None

    @property
    def service_key(self) -> str | None:
        """Give `namespace/name` of the service by its labels; None if a label is missing."""
        labels = self.metadata.labels or {}
        namespace, name = labels.get(SERVICE_NAMESPACE_LABEL), labels.get(SERVICE_NAME_LABEL)
        return f"{namespace}/{name}" if namespace and name else None

    @property
    def node(self) -> str | None:
        """Give the node by its label; None if it is missing."""
        return (self.metadata.labels or {}).get(NODE_LABEL)
