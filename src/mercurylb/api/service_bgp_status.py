"""ServiceBGPStatus: to which peers a node tells the addresses of a service."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from mercurylb.api.meta import NoFields, ObjectMeta
from mercurylb.api.schema import IMMUTABLE, Schema
from mercurylb.api.service_l2_status import (
    NODE_LABEL,
    SERVICE_NAME_LABEL,
    SERVICE_NAMESPACE_LABEL,
)

GENERATE_NAME: Final = "bgp-"


class ServiceBGPStatusStatus(
    msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False
):
    """What is announced; the first three never change once they are set."""

    node: Annotated[str, Schema("The node that announces.", rules=IMMUTABLE)] = ""
    service_name: Annotated[str, Schema("Name of the Service.", rules=IMMUTABLE)] = ""
    service_namespace: Annotated[str, Schema("Namespace of the Service.", rules=IMMUTABLE)] = ""
    peers: Annotated[
        tuple[str, ...] | None, Schema("Names of the BGPPeers the Service is announced to.")
    ] = None
    """Sorted."""


class ServiceBGPStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """ServiceBGPStatus tells to which peers a node announces a Service; written by the speakers."""

    metadata: ObjectMeta = ObjectMeta()
    spec: Annotated[NoFields | None, Schema("Empty: nothing is asked for through this kind.")] = (
        None
    )
    status: Annotated[ServiceBGPStatusStatus | None, Schema("To whom the node announces.")] = None

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
