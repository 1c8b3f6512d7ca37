"""All checks of `mercurylb verify`, in the order in which things depend on each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mercurylb.cli.verify_cluster import (
    check_definitions,
    check_frr_k8s,
    check_kube_proxy,
    check_namespace,
    check_one_product,
    check_webhooks,
)
from mercurylb.cli.verify_programs import (
    check_configuration,
    check_controller,
    check_members,
    check_owners,
    check_secret,
    check_sessions,
    check_speakers,
    check_versions,
)

if TYPE_CHECKING:
    from mercurylb.cli.verify_evidence import Evidence
    from mercurylb.cli.verify_finding import Finding

CHECKS: Final = (
    check_namespace,
    check_definitions,
    check_one_product,
    check_controller,
    check_secret,
    check_speakers,
    check_versions,
    check_webhooks,
    check_configuration,
    check_members,
    check_kube_proxy,
    check_owners,
    check_frr_k8s,
    check_sessions,
)


def judge(evidence: Evidence) -> tuple[Finding, ...]:
    """Give everything that there is to say."""
    return tuple(finding for check in CHECKS for finding in check(evidence))
