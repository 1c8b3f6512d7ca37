"""A pool that is asked for by name meets what the service holds already."""

from __future__ import annotations

import pytest

from mercurylb.plan.service import plan_service
from tests.unit.plan.cluster import book_of, pool, service

POOL = {"metallb.io/address-pool": "both"}


@pytest.mark.rule("allocator-8.2.1-family")
@pytest.mark.parametrize(
    ("cluster", "has", "gets"),
    [("10.0.0.1", "1000::", "1.2.3.0"), ("fd00::1", "1.2.3.0", "1000::")],
    ids=["IPv4", "IPv6"],
)
def test_an_address_of_the_wrong_family_is_exchanged(cluster: str, has: str, gets: str) -> None:
    """The service gets one of its own family out of the pool it asks for."""
    book = book_of(pool("both", "1.2.3.0/31", "1000::/127", autoAssign=False))
    decision = plan_service(service(cluster=cluster, has=has, annotations=POOL), book=book)
    assert decision.addresses == (gets,)
    assert decision.pool == "both"
