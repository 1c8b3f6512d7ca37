"""The deliberate deviations from MetalLB that a cluster would notice, by what it uses.

Each names its row in docs/compatibility.md. Those that only make things quicker or say more are not
in here: nobody has to prepare for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mercurylb.api.annotation import DEPRECATED_PREFIX, LOAD_BALANCER_IPS, read_annotation
from mercurylb.cli.verify_finding import fine, warning
from mercurylb.cli.verify_workload import has_flag, pod_spec
from mercurylb.plan.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mercurylb.cli.verify_finding import Finding

Json = dict[str, Any]
_Test = Callable[[Snapshot, Sequence[Json]], bool]


class Deviation(msgspec.Struct, frozen=True):
    """One row of docs/compatibility.md, as far as a cluster shows whether it matters there."""

    subject: str
    """The row's first cell."""
    touches: _Test
    """Tells whether a cluster would notice."""
    message: str
    advice: str


def check_deviations(snapshot: Snapshot, workloads: Sequence[Json]) -> Iterator[Finding]:
    """Tell which of them touch this cluster."""
    touched = False
    for each in DEVIATIONS:
        if each.touches(snapshot, workloads):
            touched = True
            subject = each.subject.replace("`", "")
            yield warning("compatibility", f"{subject}: {each.message}", each.advice)
    if not touched:
        yield fine("compatibility", "nothing in use here behaves otherwise")


def _has_flag(name: str) -> _Test:
    def touches(snapshot: Snapshot, workloads: Sequence[Json], /) -> bool:
        del snapshot
        return any(has_flag(each, name) for each in workloads)

    return touches


def _has_echo(snapshot: Snapshot, workloads: Sequence[Json], /) -> bool:
    del workloads
    return any(each.spec and each.spec.echo_mode for each in snapshot.resources().bfd_profiles)


def _prepends_inside(snapshot: Snapshot, workloads: Sequence[Json], /) -> bool:
    del workloads
    resources = snapshot.resources()
    prepends = any(each.spec and each.spec.as_path_prepend for each in resources.bgp_advertisements)
    return prepends and any(
        each.spec and each.spec.my_asn == each.spec.peer_asn for each in resources.bgp_peers
    )


def _has_old_annotations(snapshot: Snapshot, workloads: Sequence[Json], /) -> bool:
    del workloads
    return any(
        key.startswith(DEPRECATED_PREFIX)
        for service in snapshot.services
        for key in service.metadata.annotations or {}
    )


def _asks_for_two(snapshot: Snapshot, workloads: Sequence[Json], /) -> bool:
    del workloads
    asked = (
        read_annotation(service.metadata.annotations, LOAD_BALANCER_IPS)
        for service in snapshot.services
    )
    return any("," in (text or "") for text in asked)


def _has_frr_inside(snapshot: Snapshot, workloads: Sequence[Json], /) -> bool:
    del snapshot
    return any(
        each.get("name") in {"reloader", "frr", "frr-metrics"}
        for workload in workloads
        for each in pod_spec(workload).get("containers") or ()
    )


def _names_interfaces(snapshot: Snapshot, workloads: Sequence[Json], /) -> bool:
    del workloads
    return any(
        each.spec and each.spec.interfaces for each in snapshot.resources().l2_advertisements
    )


DEVIATIONS: Final = (
    Deviation(
        "`--pprof-bind-address`",
        _has_flag("pprof-bind-address"),
        "taken, and there is no Go profile to serve",
        "leave it out",
    ),
    Deviation(
        "`--webhook-http2`",
        _has_flag("webhook-http2"),
        "taken, and HTTP/2 stays off",
        "leave it out",
    ),
    Deviation(
        "BFD echo mode",
        _has_echo,
        "a BFDProfile has it; with the native backend no echo packets are sent",
        "set the intervals of control packets as short as the echo's, or keep FRR",
    ),
    Deviation(
        "`asPathPrepend` towards an internal peer",
        _prepends_inside,
        "there is a peer of the own AS; the native backend prepends nothing there",
        "use localPref among internal peers, or keep FRR",
    ),
    Deviation(
        "event about a deprecated annotation",
        _has_old_annotations,
        f"services bear annotations of {DEPRECATED_PREFIX}; they are honoured and told less often",
        "write metallb.io/ instead when they are next changed",
    ),
    Deviation(
        "two requested addresses",
        _asks_for_two,
        "a service asks for two addresses by name; those it has keep their order",
        "nothing, unless somebody relies on which one stands first",
    ),
    Deviation(
        "node whose chosen interfaces are missing or have lost their carrier",
        _names_interfaces,
        "an L2Advertisement names interfaces; a node without them hands over to one that has them",
        "nothing; before, such a node kept the address and was silent",
    ),
    Deviation(
        "`cp-tool`, `/frr-reloader.sh` and `/frr-metrics` in the image",
        _has_frr_inside,
        "FRR runs in the speakers' pods; its helpers are programs of ours with other paths",
        "take the containers from our chart or manifests, not only the image",
    ),
)
