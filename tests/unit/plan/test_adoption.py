"""A restart: what services have by their status is theirs before anybody gets anything new."""

from __future__ import annotations

from mercurylb.allocator.book import Book
from mercurylb.api.meta import ObjectMeta
from mercurylb.api.service import (
    LoadBalancerIngress,
    LoadBalancerStatus,
    Service,
    ServiceSpec,
    ServiceStatus,
)
from mercurylb.config.model import Pool
from mercurylb.plan.service import plan_all
from mercurylb.values.prefix import parse_prefix


def made(name: str, *has: str, created: str, annotations: dict[str, str] | None = None) -> Service:
    """Make a service with one cluster IP and addresses in its status."""
    ingress = tuple(LoadBalancerIngress(ip=ip) for ip in has)
    return Service(
        ObjectMeta(
            name=name, namespace="default", creation_timestamp=created, annotations=annotations
        ),
        ServiceSpec(type="LoadBalancer", cluster_ip="10.96.0.9", cluster_ips=("10.96.0.9",)),
        ServiceStatus(LoadBalancerStatus(ingress or None)),
    )


def planned(*services: Service, pool: str = "10.0.0.0/30") -> dict[str, tuple[str, ...]]:
    """Plan after a restart; give the addresses by name."""
    book = Book()
    book.set_pools([Pool("pool", (parse_prefix(pool),))])
    decisions = plan_all(services, book=book)
    return {d.service.partition("/")[2]: d.addresses for d in decisions}


def test_who_must_move_does_not_get_what_a_younger_one_has() -> None:
    """The older one's address left the pools; the lowest address is somebody's already."""
    old = made("old", "10.9.9.9", created="2026-01-01T00:00:00Z")
    young = made("young", "10.0.0.0", created="2026-01-02T00:00:00Z")
    assert planned(old, young) == {"old": ("10.0.0.1",), "young": ("10.0.0.0",)}


def test_who_must_move_does_not_get_what_a_service_with_fewer_addresses_has() -> None:
    """Two addresses of which a service loses one put it first in the order, and no further."""
    two = made("two", "10.9.9.9", "fd00::9", created="2026-01-01T00:00:00Z")
    one = made("one", "10.0.0.0", created="2026-01-02T00:00:00Z")
    assert planned(two, one)["one"] == ("10.0.0.0",)


def test_what_is_not_wanted_any_more_is_free_for_others() -> None:
    """A service that asks for another address since does not keep the old one from anybody."""
    wants = {"metallb.io/loadBalancerIPs": "10.0.0.2"}
    moves = made("moves", "10.0.0.0", created="2026-01-02T00:00:00Z", annotations=wants)
    waits = made("waits", created="2026-01-03T00:00:00Z")
    found = planned(moves, waits)
    assert found == {"moves": ("10.0.0.2",), "waits": ("10.0.0.0",)}


def test_of_two_who_show_one_address_the_older_keeps_it() -> None:
    """Whatever let that happen, it ends, and the same way every time."""
    young = made("young", "10.0.0.1", created="2026-01-02T00:00:00Z")
    old = made("old", "10.0.0.1", created="2026-01-01T00:00:00Z")
    assert planned(young, old) == {"old": ("10.0.0.1",), "young": ("10.0.0.0",)}


def test_what_its_holder_wants_to_leave_is_given_away_at_once() -> None:
    """An address that is shown but not asked for any more keeps nobody waiting."""
    wants = {"metallb.io/loadBalancerIPs": "10.0.0.2"}
    old = made("old", "10.9.9.9", created="2026-01-01T00:00:00Z")
    moves = made("moves", "10.0.0.0", created="2026-01-02T00:00:00Z", annotations=wants)
    assert planned(old, moves) == {"old": ("10.0.0.0",), "moves": ("10.0.0.2",)}
