"""When a configuration is applied."""

from __future__ import annotations

import pytest

from mercurylb.frr.debounce import Debounce


@pytest.mark.rule("bgp-frr-A8.debounce")
def test_changes_that_come_together_are_applied_once_with_the_last() -> None:
    """The first one sets the time, the others do not put it off."""
    debounce = Debounce(3.0)
    for number, now in enumerate((10.0, 11.0, 12.9)):
        assert debounce.on_configuration(f"c{number}", now)
        assert debounce.next_deadline() == 13.0
    assert debounce.on_deadline(12.99) is None
    assert debounce.on_deadline(13.0) == "c2"
    assert debounce.next_deadline() is None
    assert debounce.on_deadline(14.0) is None


@pytest.mark.rule("bgp-frr-A8.equal")
def test_an_equal_configuration_is_ignored() -> None:
    """Also when the one before is not applied yet."""
    debounce = Debounce(3.0)
    assert debounce.on_configuration("c", 10.0)
    assert not debounce.on_configuration("c", 11.0)
    assert debounce.on_deadline(13.0) == "c"
    assert not debounce.on_configuration("c", 20.0)
    assert debounce.next_deadline() is None


@pytest.mark.rule("bgp-frr-A8.retry")
def test_what_failed_is_applied_again_until_it_succeeds() -> None:
    """Each time 5 s later, with the newest configuration."""
    debounce = Debounce(3.0)
    debounce.on_configuration("c", 0.0)
    for attempt in (3.0, 8.0, 13.0):
        assert debounce.next_deadline() == attempt
        assert debounce.on_deadline(attempt) == "c"
        debounce.on_failed(attempt)
    debounce.on_configuration("d", 14.0)
    assert debounce.next_deadline() == 18.0
    assert debounce.on_deadline(18.0) == "d"
    assert debounce.next_deadline() is None


@pytest.mark.rule("bgp-frr-A8.use-old")
def test_the_last_one_can_be_applied_once_more() -> None:
    """Before there is any, nothing happens."""
    debounce = Debounce(3.0)
    assert not debounce.on_reused(0.0)
    assert debounce.next_deadline() is None
    debounce.on_configuration("c", 1.0)
    debounce.on_deadline(4.0)
    assert debounce.on_reused(10.0)
    assert debounce.on_deadline(13.0) == "c"
