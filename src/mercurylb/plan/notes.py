"""What else is worth knowing about a service: true, but not what its state comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.api.annotation import DEPRECATED_PREFIX
from mercurylb.config.problem import clip
from mercurylb.plan.cause import Cause, CauseCode
from mercurylb.plan.request import listed
from mercurylb.plan.testimony import missed_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mercurylb.api.service import Service
    from mercurylb.plan.snapshot import HasMetadata, Snapshot


def take_notes(snapshot: Snapshot, service: Service, cause: Cause) -> tuple[str, ...]:
    """Give the notes, one sentence each."""
    return (
        *_missing(snapshot),
        *_programs(snapshot, cause),
        *_states(snapshot),
        *_missed(snapshot),
        *_misplaced(snapshot),
        *_deprecated(service),
    )


def _missing(snapshot: Snapshot) -> Iterator[str]:
    """Tell what the snapshot lacks, so that nobody takes that for the state of the cluster."""
    if not snapshot.nodes:
        yield "the snapshot has no nodes: who may announce is not known"
    if not snapshot.endpoint_slices:
        yield "the snapshot has no endpoints: whether any takes traffic is not known"


def _programs(snapshot: Snapshot, cause: Cause) -> Iterator[str]:
    if not snapshot.are_pods_known:
        yield "the snapshot has no pods: whether controller and speakers run is not known"
        return
    home = snapshot.settings.namespace
    if cause.code is not CauseCode.CONTROLLER_NOT_RUNNING and not any(
        pod.is_ready for pod in snapshot.controllers
    ):
        yield f"no controller is ready in namespace {home}: no service gets an address"
        yield (
            "the webhook is answered by the controller, so changes of the configuration are"
            " refused while it is away"
        )
    ailing = sorted({pod.node for pod in snapshot.speakers if not pod.is_ready and pod.node})
    if ailing:
        yield f"the speakers on {listed(ailing)} are not ready"


def _states(snapshot: Snapshot) -> Iterator[str]:
    for item in sorted(snapshot.configuration_states, key=lambda state: state.metadata.name):
        if item.status and item.status.result == "Invalid":
            summary = clip(item.status.error_summary, 512)
            yield f"ConfigurationState {item.metadata.key} is Invalid: {summary}"


def _missed(snapshot: Snapshot) -> Iterator[str]:
    """Tell which speakers the others miss, by their own words."""
    for node, words in sorted(missed_by(snapshot.configuration_states).items()):
        by_word: dict[str, list[str]] = {}
        for speaker, word in words.items():
            by_word.setdefault(word, []).append(speaker)
        told = "; ".join(f"{clip(word, 64)} (says {listed(who)})" for word, who in by_word.items())
        yield f"the speaker on {clip(node, 253)} is missed by others: {told}"


def _misplaced(snapshot: Snapshot) -> Iterator[str]:
    home = snapshot.settings.namespace
    kinds: dict[str, tuple[HasMetadata, ...]] = {
        "IPAddressPool": snapshot.pools,
        "L2Advertisement": snapshot.l2_advertisements,
        "BGPAdvertisement": snapshot.bgp_advertisements,
        "BGPPeer": snapshot.bgp_peers,
        "BFDProfile": snapshot.bfd_profiles,
        "Community": snapshot.communities,
    }
    for kind, objects in kinds.items():
        astray = sorted(item.metadata.key for item in objects if item.metadata.namespace != home)
        if astray:
            yield f"{kind} {listed(astray)}: ignored, because not in namespace {home}"


def _deprecated(service: Service) -> Iterator[str]:
    keys = [key for key in service.metadata.annotations or () if key.startswith(DEPRECATED_PREFIX)]
    if keys:
        new = "metallb.io"
        yield f"annotation {listed(sorted(keys))} is deprecated: use the prefix {new}"
