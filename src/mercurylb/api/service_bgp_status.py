"""ServiceBGPStatus: to which peers a node tells the addresses of a service."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from mercurylb.api.meta import NoFields, ObjectMeta
from mercurylb.api.schema import IMMUTABLE, Schema

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
