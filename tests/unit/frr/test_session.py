"""Keys, names and families of sessions, and what FRR cannot be told."""

from __future__ import annotations

from typing import Any

import pytest

from mercurylb.config.model import Password, Peer
from mercurylb.frr.session import (
    COMMUNITIES_MAX,
    Session,
    accepted,
    families_of,
    neighbor_id,
    neighbor_key,
    password_text,
    router_key,
    session_key,
    sound,
)
from tests.unit.frr.cases import ad, intent, peer

SOURCE = {"source_address": "192.0.2.10"}


@pytest.mark.rule("bgp-frr-A1.session-key")
@pytest.mark.parametrize(
    ("made", "key"),
    [
        (peer(), "64600@192.0.2.1-64512@<nil>"),
        (peer(**SOURCE), "64600@192.0.2.1-64512@192.0.2.10"),
        (peer(vrf="red", **SOURCE), "64600@192.0.2.1-64512@192.0.2.10/red"),
        (peer(dynamic_asn="external"), "external@192.0.2.1-64512@<nil>"),
        (peer(interface="net0"), "64600@net0-64512@<nil>"),
        (peer("2001:0DB8:0:0::1"), "64600@2001:db8::1-64512@<nil>"),
    ],
)
def test_the_key_of_a_session(made: Peer, key: str) -> None:
    """It has the remote number, the peer, the own number, the source, and the VRF if any."""
    assert session_key(made) == key


@pytest.mark.rule("bgp-frr-A1.groups")
def test_the_keys_of_instances_and_neighbours() -> None:
    """An address that is not given stands there as such; no VRF is an empty word."""
    assert router_key(peer()) == "64512@<nil>@"
    assert router_key(peer(router_id="192.0.2.9", vrf="red")) == "64512@192.0.2.9@red"
    assert neighbor_key(peer()) == "64600@192.0.2.1@"
    assert neighbor_key(peer(interface="net0", dynamic_asn="internal")) == "internal@net0@"


@pytest.mark.rule("bgp-frr-A1.neighbor-id")
def test_the_name_of_a_neighbour() -> None:
    """The interface or address, and the VRF with a dash."""
    assert neighbor_id(peer()) == "192.0.2.1"
    assert neighbor_id(peer("2001:db8:0::1", vrf="red")) == "2001:db8::1-red"
    assert neighbor_id(peer(interface="net0", vrf="red")) == "net0-red"


@pytest.mark.rule("bgp-frr-A1.family", "bgp-frr-A1.disable-mp")
@pytest.mark.parametrize(
    ("made", "families"),
    [
        (peer(), (4,)),
        (peer("2001:db8::1"), (6,)),
        (peer("2001:db8::1", disable_mp=True), (6,)),
        (peer(dual_stack_address_family=True), (4, 6)),
        (peer(dual_stack_address_family=True, disable_mp=True), (4, 6)),
        (peer(interface="net0"), (4, 6)),
    ],
)
def test_the_families_of_a_neighbour(made: Peer, families: tuple[int, ...]) -> None:
    """What it has no family for, it is not told."""
    both = Session(made, (ad("198.51.100.1/32"), ad("2001:db8:1::1/128")))
    assert families_of(made) == families
    assert tuple(item.family for item in accepted(both)) == families


@pytest.mark.rule("bgp-frr-A1.63")
def test_too_many_communities_leave_out_one_advertisement() -> None:
    """63 are taken; the peer keeps its other advertisements."""
    many = [f"1:{number}" for number in range(COMMUNITIES_MAX + 1)]
    bad, good = ad("198.51.100.1/32", *many), ad("198.51.100.2/32", *many[1:])
    kept, problems = sound(intent((peer(), bad, good)))
    assert kept == intent((peer(), good))
    (problem,) = problems
    assert (
        str(problem) == "BGPPeer router: max supported communities is 63, got 64 (198.51.100.1/32)"
    )
    assert problem.object == "BGPPeer router"


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"vrf": "red\nrouter bgp 1"}, "spec.vrf"),
        ({"vrf": "red blue"}, "spec.vrf"),
        ({"interface": "net0 extra"}, "spec.interface"),
        ({"bfd_profile": "one\ttwo"}, "spec.bfdProfile"),
        ({"password": "open sesame"}, "spec.password"),
        ({"password": "open\nneighbor 192.0.2.1 shutdown"}, "spec.password"),
        ({"password": "\N{REPLACEMENT CHARACTER}"}, "spec.password"),
        ({"password": "ö" * 41}, "spec.password"),
    ],
)
def test_a_field_that_would_be_more_than_a_word_leaves_its_peer_out(
    settings: dict[str, Any], field: str
) -> None:
    """No field begins a line of its own, and FRR is told of all other peers."""
    other = (peer("192.0.2.2", name="other"), ad("198.51.100.1/32"))
    kept, problems = sound(intent((peer(**settings),), other))
    assert kept == intent(other)
    assert [(problem.object, problem.field) for problem in problems] == [("BGPPeer router", field)]
    assert "sesame" not in str(problems)


@pytest.mark.parametrize("password", ["öffne", "a!b#c", '"quoted"', "!bang", "#hash", "x" * 80])
def test_any_other_word_is_a_password(password: str) -> None:
    """FRR takes each of these as it is."""
    wanted = intent((peer(password=password),))
    assert sound(wanted) == (wanted, ())


@pytest.mark.parametrize(
    ("secret", "text"),
    [(b"word", "word"), (b"word\n", "word"), (b"word\r\n", "word"), (b"", ""), (b"\xff", "\ufffd")],
)
def test_a_password_ends_before_the_end_of_its_line(secret: bytes, text: str) -> None:
    """Secrets that are made of files often end with one."""
    made = Peer(name="router", my_asn=1, password=Password(secret))
    assert password_text(made) == text
    assert password_text(Peer(name="router", my_asn=1)) == ""
