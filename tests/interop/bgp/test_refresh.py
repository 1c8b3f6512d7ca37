"""Routers that ask for everything once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.interop.bgp.matrix import capability
from tests.interop.bgp.routers.router import IPV6

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interop.bgp.node import Link
    from tests.interop.bgp.routers.router import Router

    Meet = Callable[..., Link]


@pytest.mark.rule("bgp-native-2.10.again")
@capability("route refresh")
def test_refresh(router: Router, meet: Meet) -> None:
    """A ROUTE-REFRESH of each family gets the whole table of that family again."""
    link = meet(router, has_both_families=True)
    link.announce(link.group("192.0.2.70/32", "2001:db8::70/128"))
    link.wait_prefixes("192.0.2.70/32")
    link.wait_prefixes("2001:db8::70/128", family=IPV6)
    link.wait(lambda: link.report.prefixes_sent == 2, "we know")
    before = link.report.counts
    router.refresh(link.name)
    link.wait(
        lambda: link.report.counts.refreshes_received >= before.refreshes_received + 2,
        "it was asked for",
    )
    link.wait(
        lambda: link.report.counts.updates_sent >= before.updates_sent + 2, "it is sent again"
    )
    link.wait_prefixes("192.0.2.70/32")
    link.wait_prefixes("2001:db8::70/128", family=IPV6)
    assert link.view.is_established


@pytest.mark.rule("bgp-native-2.10.again")
@capability("enhanced route refresh")
def test_enhanced_refresh(router: Router, meet: Meet) -> None:
    """Where both sides have RFC 7313, the table is framed by its begin and end."""
    link = meet(router)
    assert "enhanced route refresh" in " ".join(link.report.capabilities)
    link.announce(link.group("192.0.2.71/32"))
    link.wait_prefixes("192.0.2.71/32")
    link.wait(lambda: link.report.prefixes_sent == 1, "we know")
    before = link.report.counts
    router.refresh(link.name)
    link.wait(
        lambda: link.report.counts.refreshes_sent == before.refreshes_sent + 2,
        "begin and end were sent",
    )
    link.wait_prefixes("192.0.2.71/32")
    assert link.view.is_established
