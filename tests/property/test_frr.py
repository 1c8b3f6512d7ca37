"""frr.conf for any fields whatever, and vtysh's answers whatever they are."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mercurylb.config.model import BFDProfile, Password, Peer
from mercurylb.errors import ParseError
from mercurylb.frr.configuration import frr_conf
from mercurylb.frr.reload_status import parse_pid, parse_reload_status
from mercurylb.frr.session import Advertisement, Intent, Session, sound
from mercurylb.frr.vtysh import (
    parse_bfd_counters,
    parse_bfd_peers,
    parse_neighbor,
    parse_neighbors,
    parse_routes,
    parse_vrfs,
)
from mercurylb.values.address import Address

PARSERS = (
    parse_bfd_counters,
    parse_bfd_peers,
    parse_neighbor,
    parse_neighbors,
    parse_pid,
    parse_reload_status,
    parse_routes,
    parse_vrfs,
)
KEYS = st.sampled_from(["routes", "vrfs", "peer", "192.0.2.1", "messageStats", "nexthops"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)
ADDRESS = st.builds(Address, st.just(4), st.integers(0, 2**32 - 1)) | st.builds(
    Address, st.just(6), st.integers(0, 2**128 - 1)
)
WORD = st.text(max_size=8) | st.just("red\nrouter bgp 1")
TIME = st.none() | st.integers(0, 2**40)
PEER = st.builds(
    Peer,
    name=st.just("router"),
    my_asn=st.integers(1, 2**32 - 1),
    peer_asn=st.integers(1, 2**32 - 1),
    local_asn=st.integers(0, 5),
    address=ADDRESS,
    interface=st.just("") | WORD,
    source_address=st.none() | ADDRESS,
    port=st.integers(0, 65535),
    hold_time_ns=TIME,
    keepalive_time_ns=TIME,
    connect_time_ns=TIME,
    router_id=st.none() | ADDRESS,
    password=st.none() | st.builds(Password, st.binary(max_size=8)),
    bfd_profile=WORD,
    enable_graceful_restart=st.booleans(),
    ebgp_multi_hop=st.booleans(),
    vrf=WORD,
    dual_stack_address_family=st.booleans(),
)
ADVERTISEMENT = st.builds(
    Advertisement,
    prefix=st.sampled_from(["198.51.100.1/32", "198.51.100.0/24", "2001:db8::/64"]),
    local_pref=st.integers(0, 3),
)
SESSION = st.builds(Session, PEER, st.lists(ADVERTISEMENT, max_size=3).map(tuple))
LINE = re.compile(
    r" {0,4}(log|hostname|ip|ipv6|route-map|match|set|on-match|router bgp|no bgp|bgp|neighbor"
    r"|address-family|exit-address-family|network|bfd|profile)( .*)?"
)


@given(st.lists(SESSION, max_size=4))
def test_no_field_begins_a_line(sessions: list[Session]) -> None:
    """Each line is one of ours, printable, and there are as many instances as keys."""
    intent, _ = sound(Intent(tuple(sessions), (BFDProfile(name="one"),)))
    text = frr_conf(intent, level="informational", hostname="node-1")
    lines = text.removesuffix("\n").split("\n")
    assert [line for line in lines if not LINE.fullmatch(line) or not line.isprintable()] == []
    peers = [session.peer for session in intent.sessions]
    instances = {(peer.my_asn, peer.router_id, peer.vrf) for peer in peers}
    assert len(re.findall(r"^router bgp ", text, re.MULTILINE)) == len(instances)


@pytest.mark.parametrize("parse", PARSERS)
@given(st.text() | JSON.map(json.dumps))
def test_an_answer_is_read_or_refused(parse: Any, text: str) -> None:
    """Nothing but our own error is raised."""
    try:
        parse(text)
    except ParseError:
        return
