"""ServiceL2Status: which node announces a service by ARP and NDP, as that node says."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from mercurylb.api.meta import NoFields, ObjectMeta
from mercurylb.api.schema import IMMUTABLE, Schema

GENERATE_NAME: Final = "l2-"
NODE_LABEL: Final = "metallb.io/node"
SERVICE_NAME_LABEL: Final = "metallb.io/service-name"
SERVICE_NAMESPACE_LABEL: Final = "metallb.io/service-namespace"


class InterfaceInfo(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """One interface it is announced on."""

    name: Annotated[str, Schema("Name of the interface.")] = ""


class ServiceL2StatusStatus(
    msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False
):
    """What is announced; the first three never change once they are set."""

    node: Annotated[str, Schema("The node that answers.", rules=IMMUTABLE)] = ""
    service_name: Annotated[str, Schema("Name of the Service.", rules=IMMUTABLE)] = ""
    service_namespace: Annotated[str, Schema("Namespace of the Service.", rules=IMMUTABLE)] = ""
    interfaces: Annotated[
        tuple[InterfaceInfo, ...] | None,
        Schema("Interfaces that answer; empty means all interfaces."),
    ] = None


class ServiceL2Status(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """ServiceL2Status tells which node answers for a Service's addresses; speakers write it."""

    metadata: ObjectMeta = ObjectMeta()
    spec: Annotated[NoFields | None, Schema("Empty: nothing is asked for through this kind.")] = (
        None
    )
    status: Annotated[ServiceL2StatusStatus | None, Schema("Who answers, and where.")] = None

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
