"""What FRR is told of what is wanted."""

from __future__ import annotations

import pytest

from mercurylb.bgp.route import RouteGroup
from mercurylb.plan.bgp_wanted import BgpWanted
from mercurylb.speaker.frr_intent import intent_of, sound_intent
from tests.unit.frr.cases import FULL_PROFILE, ad, intent, peer

OTHER = peer("192.0.2.2", name="other")


@pytest.mark.rule("bgp-frr-A1.together")
def test_each_peer_gets_the_groups_that_name_it() -> None:
    """With all attributes; a name that is no peer here is skipped."""
    routes = (
        RouteGroup(
            ("other", "router"), ("198.51.100.1/32",), 300, 2, (65536 * 7 + 8,), ((1, 2, 3),)
        ),
        RouteGroup(("router", "stranger"), ("198.51.100.2/32", "2001:db8:1::/64")),
    )
    both = ad("198.51.100.1/32", "7:8", "large:1:2:3", pref=300, prepend=2)
    expected = intent(
        (peer(), both, ad("198.51.100.2/32"), ad("2001:db8:1::/64")),
        (OTHER, both),
        profiles=[FULL_PROFILE],
        extras="agentx",
    )
    wanted = BgpWanted((peer(), OTHER), routes, (FULL_PROFILE,), "agentx")
    assert intent_of(wanted) == expected


def test_what_is_on_its_way_out_is_not_told() -> None:
    """FRR knows no way to announce a departure."""
    leaving = RouteGroup(("router",), ("198.51.100.1/32",), is_leaving=True)
    assert intent_of(BgpWanted((peer(),), (leaving,))) == intent((peer(),))


def test_what_frr_cannot_be_told_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """The peer that is left out and the reason are named, its password is not."""
    made = sound_intent(BgpWanted((peer(password="open sesame"), OTHER)))
    assert made == intent((OTHER,))
    line = capsys.readouterr().out
    assert '"event":"frr.peer_left_out"' in line
    assert "BGPPeer router" in line
    assert "sesame" not in line
