"""Events on Services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.kube.correlator import Reference

if TYPE_CHECKING:
    from mercurylb.api.service import Service
    from mercurylb.kube.events import EventRecorder


def record_on(
    service: Service | None, recorder: EventRecorder, type_: str, reason: str, message: str
) -> None:
    """Record an event on a service; one that is gone is told nothing."""
    if service is None:
        return
    metadata = service.metadata
    about = Reference(
        api_version="v1",
        kind="Service",
        name=metadata.name,
        namespace=metadata.namespace,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
    )
    recorder.record(about, type_, reason, message)
