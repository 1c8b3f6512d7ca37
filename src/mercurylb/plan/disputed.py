"""Who else claims the address of a service: what the speakers say, and the cause that it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.plan.cause import Cause, CauseCode
from mercurylb.plan.testimony import Dispute, read_disputes

if TYPE_CHECKING:
    from collections.abc import Collection

    from mercurylb.plan.snapshot import Snapshot


def find_disputes(
    snapshot: Snapshot, service: str, addresses: Collection[str]
) -> tuple[Dispute, ...]:
    """Give the disputes that ServiceL2Status objects tell, those that began first in front."""
    told = (
        dispute
        for item in snapshot.l2_statuses
        if item.service_key == service
        for dispute in read_disputes(item)
        if dispute.address in addresses
    )
    return tuple(sorted(told))


def why_disputed(disputes: tuple[Dispute, ...], announced: Cause) -> Cause:
    """Say of an announced service who claims its address as well."""
    first = disputes[0]
    who = f"node {first.node}" if first.node else "a machine that is no node"
    advice = "find that machine and give it another address, or take this one out of the pool"
    if first.node:
        advice = f"look at the log of the speaker on {first.node}"
    return Cause(
        CauseCode.ADDRESS_CONFLICT,
        f"{announced.sentence}; {first.address} is also claimed by {who} with MAC {first.mac},"
        f" seen on {first.interface} since {first.since}",
        advice,
    )
