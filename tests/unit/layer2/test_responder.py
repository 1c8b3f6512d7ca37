"""The machine that decides what is answered."""

from __future__ import annotations

import ipaddress

import msgspec
import pytest

from mercurylb.layer2 import arp, ndp
from mercurylb.layer2.drop import Drop
from mercurylb.layer2.effect import (
    ChangeFilter,
    CloseInterface,
    JoinGroup,
    LeaveGroup,
    OpenInterface,
    SendFrame,
)
from mercurylb.layer2.interface import Interface, NodeInterfaces
from mercurylb.layer2.responder import Responder

V4, V4B, V6 = "10.0.0.1", "10.0.0.2", "2001:db8::1"
GROUP = ndp.solicited_node_group(ipaddress.ip_address(V6).packed)
LINK_LOCAL = b"\xfe\x80" + bytes(13) + b"\x05"


class Service(msgspec.Struct, frozen=True):
    """What is announced."""

    service: str
    addresses: tuple[str, ...]
    ranking: tuple[str, ...] = ("me",)
    interfaces: tuple[str, ...] | None = None


def interface(index: int, **changes: object) -> Interface:
    """Return eth0 (index 1), eth1 …"""
    made = Interface(
        index, f"eth{index - 1}", bytes((2, 0, 0, 0, 0, index)), True, True, LINK_LOCAL
    )
    return msgspec.structs.replace(made, **changes)


def node(*interfaces: Interface, names: tuple[str, ...] = ()) -> NodeInterfaces:
    """Return the interfaces of a node."""
    return NodeInterfaces(names or tuple(i.name for i in interfaces), interfaces)


@pytest.fixture
def responder() -> Responder:
    """Return a machine with eth0 and eth1, alive beside `other`."""
    made = Responder("me")
    made.on_interfaces(node(interface(1), interface(2)), 0.0)
    made.on_live({"me", "other"}, 0.0)
    return made


def request(address: str) -> bytes:
    """Return a broadcast ARP request."""
    return arp.encode(
        arp.ArpPacket(arp.BROADCAST, bytes(6), 1, bytes(6), bytes(4), bytes(6), packed(address))
    )


def packed(address: str) -> bytes:
    """Return the bytes of an address."""
    return ipaddress.ip_address(address).packed


def is_answered(responder: Responder, address: str, index: int = 1) -> bool:
    """Return whether an ARP request is answered."""
    return isinstance(responder.answer_arp(index, request(address)), bytes)


OWNERSHIP = [
    (("me", "other"), {"me", "other"}, True),
    (("other", "me"), {"me", "other"}, False),
    (("other", "me"), {"me"}, True),
    (("other",), {"me"}, False),
    ((), {"me"}, False),
    (("me",), {"other"}, False),
    (("me",), set(), False),
    (("gone", "me"), None, False),
    (("me", "gone"), None, True),
]


@pytest.mark.parametrize(("ranking", "live", "is_owner"), OWNERSHIP)
def test_owner_is_the_first_live_node(
    responder: Responder,
    ranking: tuple[str, ...],
    live: set[str] | None,
    is_owner: bool,  # noqa: FBT001 (a parameter of the table)
) -> None:
    """A service belongs to the first live node of its ranking, of all nodes if nobody counts."""
    responder.on_desired([Service("a", (V4,), ranking)], 1.0)
    responder.on_live(live, 2.0)
    responder.validate()
    assert bool(responder.owned) == is_owner
    assert is_answered(responder, V4) == is_owner


def test_announcing_opens_the_filter_before_it_invites_requests(responder: Responder) -> None:
    """Groups and filters come before the gratuitous frames, which leave on every interface."""
    effects = responder.on_desired([Service("a", (V4, V6))], 1.0)
    kinds = [type(effect) for effect in effects]
    assert kinds == [JoinGroup] * 2 + [ChangeFilter] * 2 + [SendFrame] * 6
    assert effects[2] == ChangeFilter(1, (packed(V4),), (packed(V6),))
    sent = [(e.interface, e.frame[12:14].hex()) for e in effects if isinstance(e, SendFrame)]
    assert sent == [(1, "0806")] * 2 + [(2, "0806")] * 2 + [(1, "86dd"), (2, "86dd")]


def test_withdrawing_is_silent(responder: Responder) -> None:
    """No frame is sent; filters close, and groups are left."""
    responder.on_desired([Service("a", (V4, V6))], 1.0)
    effects = responder.on_desired([], 2.0)
    assert [type(effect) for effect in effects] == [LeaveGroup] * 2 + [ChangeFilter] * 2
    assert effects[2] == ChangeFilter(1, (), ())
    assert responder.next_deadline() is None
    responder.validate()


def test_shared_address_stays_until_its_last_service_goes(responder: Responder) -> None:
    """Two services on an address are one answer, and removing one keeps it."""
    both = [Service("a", (V4, V6)), Service("b", (V4, V6))]
    responder.on_desired(both, 1.0)
    assert responder.on_desired(both[1:], 2.0) == []
    assert is_answered(responder, V4)
    responder.on_desired([], 3.0)
    assert responder.answer_arp(1, request(V4)) is Drop.ANNOUNCE_IP


def test_request_is_answered_where_any_service_allows_it(responder: Responder) -> None:
    """Interface sets of services that share an address are joined; elsewhere it is a named drop."""
    responder.on_desired([Service("a", (V4,), interfaces=("eth0",))], 1.0)
    assert is_answered(responder, V4, 1)
    assert responder.answer_arp(2, request(V4)) is Drop.NOT_MATCHING_INTERFACE
    services = [Service("a", (V4,), interfaces=("eth0",)), Service("b", (V4,))]
    responder.on_desired(services, 2.0)
    assert is_answered(responder, V4, 2)
    responder.on_desired(services[:1], 3.0)
    assert not is_answered(responder, V4, 2)
    responder.validate()


def test_changed_interfaces_replace_the_old_ones(responder: Responder) -> None:
    """A service that moves to another interface is answered there alone."""
    responder.on_desired([Service("a", (V4,), interfaces=("eth0",))], 1.0)
    responder.on_desired([Service("a", (V4,), interfaces=("eth1",))], 2.0)
    assert [is_answered(responder, V4, index) for index in (1, 2)] == [False, True]


def test_address_without_any_of_its_interfaces_is_skipped(responder: Responder) -> None:
    """The service is owned and its address named as skipped, until such an interface exists."""
    responder.on_desired([Service("a", (V4,), interfaces=("eth7",))], 1.0)
    assert responder.owned[0].skipped == (V4,)
    assert responder.addresses == ()
    responder.on_interfaces(node(interface(1), interface(8)), 2.0)
    responder.validate()
    assert responder.owned[0].skipped == ()
    assert is_answered(responder, V4, 8)


def test_interface_that_exists_but_cannot_announce_skips_nothing(responder: Responder) -> None:
    """A known but unusable interface makes a silent address, not a skipped one."""
    responder.on_interfaces(node(interface(1), names=("eth0", "eth7")), 1.0)
    responder.on_desired([Service("a", (V4,), interfaces=("eth7",))], 1.0)
    assert responder.owned[0].skipped == ()


def test_interface_that_appears_later_joins_and_announces(responder: Responder) -> None:
    """A new interface joins the groups of what is announced, and tells its neighbours."""
    responder.on_desired([Service("a", (V4, V6))], 1.0)
    new = interface(3)
    effects = responder.on_interfaces(node(interface(1), interface(2), new), 20.0)
    assert effects[:2] == [OpenInterface(new), JoinGroup(3, GROUP)]
    assert ChangeFilter(3, (packed(V4),), (packed(V6),)) in effects
    assert sum(isinstance(effect, SendFrame) for effect in effects) == 3
    responder.validate()
    left = responder.on_desired([], 30.0)
    assert LeaveGroup(3, GROUP) in left


def test_interface_that_goes_is_closed(responder: Responder) -> None:
    """Nothing is sent or answered on an interface that is gone, and the group count is right."""
    responder.on_desired([Service("a", (V4, V6))], 1.0)
    assert responder.on_interfaces(node(interface(1)), 2.0) == [CloseInterface(2)]
    assert responder.answer_arp(2, request(V4)) is Drop.NOT_MATCHING_INTERFACE
    responder.on_desired([], 3.0)
    rejoined = responder.on_desired([Service("a", (V6,))], 4.0)
    assert [e for e in rejoined if isinstance(e, JoinGroup)] == [JoinGroup(1, GROUP)]


@pytest.mark.parametrize(
    "change", [{"mac": b"\x02\x00\x00\x00\x00\x99"}, {"is_running": True}], ids=["mac", "carrier"]
)
def test_changed_interface_is_announced_on_again(change: dict[str, object]) -> None:
    """A new MAC address or a carrier that comes back is told on that interface at once."""
    responder = Responder("me")
    responder.on_interfaces(node(interface(1, is_running=False), interface(2)), 0.0)
    responder.on_live({"me"}, 0.0)
    responder.on_desired([Service("a", (V4,))], 0.0)
    changed = interface(1, **({"is_running": False} | change))
    effects = responder.on_interfaces(node(changed, interface(2)), 9.0)
    frames = [effect for effect in effects if isinstance(effect, SendFrame)]
    assert [(e.interface, e.frame[6:12]) for e in frames] == [(1, changed.mac)] * 2
    reply = responder.answer_arp(1, request(V4))
    assert isinstance(reply, bytes)
    assert reply[6:12] == changed.mac


def test_renamed_interface_is_another_one(responder: Responder) -> None:
    """The same index under a new name follows the rules of the new name."""
    responder.on_desired([Service("a", (V4,), interfaces=("eth0",))], 1.0)
    effects = responder.on_interfaces(
        node(interface(1, name="lan0"), interface(2, name="eth0")), 2.0
    )
    assert sum(isinstance(effect, CloseInterface) for effect in effects) == 2
    assert [is_answered(responder, V4, index) for index in (1, 2)] == [False, True]
    responder.validate()


def test_two_addresses_in_one_group_count(responder: Responder) -> None:
    """A group is left with its last address only."""
    twin = "2001:db8:1::1"
    responder.on_desired([Service("a", (V6,)), Service("b", (twin,))], 1.0)
    assert not any(
        isinstance(e, LeaveGroup) for e in responder.on_desired([Service("b", (twin,))], 2.0)
    )
    assert sum(isinstance(e, LeaveGroup) for e in responder.on_desired([], 3.0)) == 2


def test_changed_address_moves(responder: Responder) -> None:
    """A service whose address changed answers for the new one only."""
    responder.on_desired([Service("a", (V4,))], 1.0)
    responder.on_desired([Service("a", (V4B,))], 2.0)
    assert [is_answered(responder, address) for address in (V4, V4B)] == [False, True]
    responder.validate()


def test_counters_count_requests_answers_and_frames(responder: Responder) -> None:
    """Counters are per address: two gratuitous frames per interface for IPv4, one for IPv6."""
    responder.on_desired([Service("a", (V4, V6))], 1.0)
    is_answered(responder, V4)
    counts = {count.address: count for count in responder.counts()}
    assert (counts[V4].requests_received, counts[V4].responses_sent) == (1, 1)
    assert (counts[V4].gratuitous_sent, counts[V6].gratuitous_sent) == (4, 2)


def test_unchanged_desired_state_sends_nothing(responder: Responder) -> None:
    """The same wish again changes nothing on the wire."""
    responder.on_desired([Service("a", (V4,))], 1.0)
    assert responder.on_desired([Service("a", (V4,))], 2.0) == []


def test_refresh_sends_a_round_during_a_burst(responder: Responder) -> None:
    """After a healed partition the owner tells everybody at once, burst or not."""
    responder.on_desired([Service("a", (V4,))], 1.0)
    assert len(responder.refresh(1.2)) == 4


def test_no_node_is_live_means_no_answer() -> None:
    """Without any live nodes known nothing is announced."""
    fresh = Responder("me")
    fresh.on_interfaces(node(interface(1)), 0.0)
    assert fresh.on_desired([Service("a", (V4,))], 0.0) == []
    assert fresh.on_frame(1, request(V4), 0.0) == []
