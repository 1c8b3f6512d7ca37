"""An address is withdrawn from one service before another one shows it."""

from __future__ import annotations

from mercurylb.api.meta import ObjectMeta
from mercurylb.api.service import LoadBalancerIngress, LoadBalancerStatus, Service, ServiceStatus
from mercurylb.controller.handover import Handover


def made(name: str, *has: str, version: str = "1") -> Service:
    """Make a service as the store has it."""
    ingress = tuple(LoadBalancerIngress(ip=ip) for ip in has)
    metadata = ObjectMeta(name=name, namespace="n", resource_version=version)
    return Service(metadata, None, ServiceStatus(LoadBalancerStatus(ingress or None)))


def test_nobody_waits_for_a_free_address() -> None:
    """What no status shows can be shown at once."""
    handover = Handover()
    assert handover.on_decided(made("a"), ["10.0.0.1"]) == []
    assert handover.former_holders("n/a", ["10.0.0.1"]) == []


def test_the_new_holder_waits_for_the_old_ones_status() -> None:
    """The stored status of the former holder shows the address until its watch line came."""
    handover = Handover()
    handover.on_decided(made("old", "10.0.0.1"), [])
    assert handover.former_holders("n/new", ["10.0.0.1"]) == ["n/old"]
    assert handover.former_holders("n/old", ["10.0.0.1"]) == []
    handover.wait("n/new", ["n/old"])
    assert handover.on_changed("n/old", made("old", "10.0.0.1", version="2")) == []
    assert handover.on_changed("n/old", made("old", version="3")) == ["n/new"]
    assert handover.former_holders("n/new", ["10.0.0.1"]) == []


def test_a_write_on_its_way_counts_as_shown() -> None:
    """The former holder's status does not show the address yet, but a write may make it."""
    handover = Handover()
    handover.on_write(made("old"), ("10.0.0.1",))
    handover.on_decided(made("old"), [])
    handover.wait("n/new", handover.former_holders("n/new", ["10.0.0.1"]))
    assert handover.on_changed("n/old", made("old", "10.0.0.1", version="2")) == []
    assert handover.on_changed("n/old", made("old", version="3")) == ["n/new"]


def test_all_that_was_written_to_one_version_counts() -> None:
    """A later write does not call an earlier one back."""
    handover = Handover()
    handover.on_write(made("old"), ("10.0.0.1",))
    handover.on_write(made("old"), ("10.0.0.2",))
    assert handover.shown(made("old")) == {"10.0.0.1", "10.0.0.2"}


def test_a_write_to_an_older_version_never_takes_effect() -> None:
    """It names the version that it changes."""
    handover = Handover()
    handover.on_write(made("old"), ("10.0.0.1",))
    assert handover.shown(made("old", version="2")) == frozenset()
    assert handover.on_decided(made("old", version="2"), []) == []
    assert handover.former_holders("n/new", ["10.0.0.1"]) == []


def test_a_service_that_is_gone_shows_nothing() -> None:
    """Its deletion lets the others go on."""
    handover = Handover()
    handover.on_decided(made("old", "10.0.0.1"), [])
    handover.wait("n/new", ["n/old"])
    assert handover.on_changed("n/old", None) == ["n/new"]


def test_who_keeps_the_address_after_all_lets_the_others_be_decided_again() -> None:
    """Nobody waits for something that will not happen."""
    handover = Handover()
    handover.on_decided(made("old", "10.0.0.1"), [])
    handover.wait("n/new", ["n/old"])
    assert handover.on_decided(made("old", "10.0.0.1"), ["10.0.0.1"]) == ["n/new"]


def test_addresses_that_stay_do_not_end_the_wait() -> None:
    """Of two addresses one is left; who waits is asked again and waits on if need be."""
    handover = Handover()
    handover.on_decided(made("old", "10.0.0.1", "fd00::1"), [])
    handover.wait("n/new", ["n/old"])
    assert handover.on_changed("n/old", made("old", "fd00::1", version="2")) == ["n/new"]
    assert handover.former_holders("n/new", ["fd00::1"]) == ["n/old"]
    assert handover.former_holders("n/new", ["10.0.0.1"]) == []


def test_a_write_that_failed_is_not_waited_for() -> None:
    """Of two writes to one version one failed; the other may still take effect."""
    handover = Handover()
    handover.on_write(made("old"), ("10.0.0.1",))
    handover.on_write(made("old"), ("10.0.0.1", "fd00::1"))
    handover.on_write_failed("n/old", "1", ("10.0.0.1", "fd00::1"))
    assert handover.shown(made("old")) == {"10.0.0.1"}
    handover.on_decided(made("old"), [])
    handover.wait("n/new", ["n/old"])
    handover.on_write_failed("n/old", "1", ("10.0.0.1",))
    assert handover.on_changed("n/old", made("old")) == ["n/new"]


def test_the_failure_of_a_write_to_an_older_version_says_nothing() -> None:
    """What was written to the newer one counts."""
    handover = Handover()
    handover.on_write(made("old", version="1"), ("10.0.0.1",))
    handover.on_write(made("old", version="2"), ("10.0.0.1",))
    handover.on_write_failed("n/old", "1", ("10.0.0.1",))
    assert handover.shown(made("old", version="2")) == {"10.0.0.1"}
