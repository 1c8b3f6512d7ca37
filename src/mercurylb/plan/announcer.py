"""Who says that it announces a service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mercurylb.plan.snapshot import Snapshot


class Announcer(msgspec.Struct, frozen=True):
    """A node that says it announces the service."""

    node: str
    protocol: str
    """`layer2` or `bgp`."""
    detail: str = ""
    """Interfaces or peers; empty for all interfaces."""


def find_announcers(snapshot: Snapshot, service: str) -> tuple[Announcer, ...]:
    """Give the nodes by what their ServiceL2Status and ServiceBGPStatus objects say."""
    found = (*_by_layer2(snapshot, service), *_by_bgp(snapshot, service))
    return tuple(sorted(found, key=lambda each: (each.protocol, each.node)))


def _by_layer2(snapshot: Snapshot, service: str) -> Iterator[Announcer]:
    for item in snapshot.l2_statuses:
        if item.service_key == service and item.node:
            interfaces = (item.status.interfaces if item.status else None) or ()
            yield Announcer(item.node, "layer2", ", ".join(each.name for each in interfaces))


def _by_bgp(snapshot: Snapshot, service: str) -> Iterator[Announcer]:
    for item in snapshot.bgp_statuses:
        status = item.status
        if status and f"{status.service_namespace}/{status.service_name}" == service:
            yield Announcer(status.node, "bgp", ", ".join(status.peers or ()))
