"""The machine that decides what is answered."""

from __future__ import annotations

import pytest

from mercurylb.layer2 import ndp
from mercurylb.layer2.drop import Drop
from mercurylb.layer2.effect import (
    ChangeFilter,
    CloseInterface,
    JoinGroup,
    LeaveGroup,
    OpenInterface,
    SendFrame,
)
from mercurylb.layer2.responder import MACS_MAX, Responder
from tests.unit.layer2.scene import (
    LINK_LOCAL,
    V4,
    V4B,
    V6,
    Service,
    arp_frame,
    frames,
    interface,
    node,
    packed,
    solicitation,
)

GROUP = ndp.solicited_node_group(packed(V6))


@pytest.fixture
def responder() -> Responder:
    """Return a machine with eth0 and eth1, alive beside `other`."""
    made = Responder("me")
    made.on_interfaces(node(interface(1), interface(2)), 0.0)
    made.on_live({"me", "other"}, 0.0)
    return made


def request(address: str) -> bytes:
    """Return a broadcast ARP request."""
    return arp_frame(target=address)


def is_answered(responder: Responder, address: str, index: int = 1) -> bool:
    """Return whether an ARP request is answered."""
    return isinstance(responder.answer_arp(index, request(address)), bytes)


@pytest.mark.rule("layer2-4.3", "layer2-4.4", "layer2-8.first", "layer2-8.round")
def test_announcing_opens_the_filter_before_it_invites_requests(responder: Responder) -> None:
    """Groups and filters come before the gratuitous frames, which leave on every interface."""
    effects = responder.on_desired([Service("a", (V4, V6))], 1.0)
    kinds = [type(effect) for effect in effects]
    assert kinds == [JoinGroup] * 2 + [ChangeFilter] * 2 + [SendFrame] * 6
    assert effects[2] == ChangeFilter(1, (packed(V4),), (packed(V6),))
    sent = [(e.interface, e.frame[12:14].hex()) for e in effects if isinstance(e, SendFrame)]
    assert sent == [(1, "0806")] * 2 + [(2, "0806")] * 2 + [(1, "86dd"), (2, "86dd")]


@pytest.mark.rule("layer2-4.withdraw", "layer2-8.withdrawn", "layer2-4.never-configured")
def test_withdrawing_is_silent(responder: Responder) -> None:
    """No frame is sent; filters close, and groups are left."""
    responder.on_desired([Service("a", (V4, V6))], 1.0)
    effects = responder.on_desired([], 2.0)
    assert [type(effect) for effect in effects] == [LeaveGroup] * 2 + [ChangeFilter] * 2
    assert effects[2] == ChangeFilter(1, (), ())
    assert responder.next_deadline() is None
    responder.validate()


@pytest.mark.rule("layer2-9.count", "layer2-13.4.count")
def test_shared_address_stays_until_its_last_service_goes(responder: Responder) -> None:
    """Two services on an address are one answer, and removing one keeps it."""
    both = [Service("a", (V4, V6)), Service("b", (V4, V6))]
    responder.on_desired(both, 1.0)
    assert responder.on_desired(both[1:], 2.0) == []
    assert is_answered(responder, V4)
    responder.on_desired([], 3.0)
    assert responder.answer_arp(1, request(V4)) is Drop.ANNOUNCE_IP


@pytest.mark.rule("layer2-9.any", "layer2-6.interface", "layer2-13.4.merge")
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


@pytest.mark.rule("layer2-4.3", "layer2-13.5.interface")
def test_changed_interfaces_replace_the_old_ones(responder: Responder) -> None:
    """A service that moves to another interface is answered there alone."""
    responder.on_desired([Service("a", (V4,), interfaces=("eth0",))], 1.0)
    responder.on_desired([Service("a", (V4,), interfaces=("eth1",))], 2.0)
    assert [is_answered(responder, V4, index) for index in (1, 2)] == [False, True]


@pytest.mark.rule("layer2-4.2", "layer2-13.5.missing")
def test_skipped_address_is_announced_once_its_interface_exists(responder: Responder) -> None:
    """Where no node has the interface, the owner names the address until the interface is there."""
    responder.on_desired([Service("a", (V4,), interfaces=("eth7",))], 1.0)
    assert responder.owned[0].skipped == (V4,)
    assert responder.addresses == ()
    assert responder.answer_arp(1, request(V4)) is Drop.ANNOUNCE_IP
    responder.on_interfaces(node(interface(1), interface(8)), 2.0)
    responder.validate()
    assert responder.owned[0].skipped == ()
    assert is_answered(responder, V4, 8)


@pytest.mark.rule("layer2-4.2.exists")
def test_interface_that_exists_but_cannot_announce_skips_nothing(responder: Responder) -> None:
    """A known but unusable interface makes a silent address, not a skipped one."""
    responder.on_interfaces(node(interface(1), names=("eth0", "eth7")), 1.0)
    responder.on_desired([Service("a", (V4,), interfaces=("eth7",))], 1.0)
    assert responder.owned[0].skipped == ()


@pytest.mark.rule("layer2-5.late-group")
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


@pytest.mark.rule("layer2-5.9")
def test_interface_that_goes_is_closed(responder: Responder) -> None:
    """Nothing is sent or answered on an interface that is gone, and the group count is right."""
    responder.on_desired([Service("a", (V4, V6))], 1.0)
    assert responder.on_interfaces(node(interface(1)), 2.0) == [CloseInterface(2)]
    assert responder.answer_arp(2, request(V4)) is Drop.NOT_MATCHING_INTERFACE
    responder.on_desired([], 3.0)
    rejoined = responder.on_desired([Service("a", (V6,))], 4.0)
    assert [e for e in rejoined if isinstance(e, JoinGroup)] == [JoinGroup(1, GROUP)]


@pytest.mark.rule("layer2-5.mac")
@pytest.mark.parametrize(
    "change",
    [{"mac": b"\x02\x00\x00\x00\x00\x99"}, {"is_running": True}, {"notices": 1}],
    ids=["mac", "carrier", "bond failover"],
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


@pytest.mark.rule("layer2-7.group")
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


@pytest.mark.rule("metrics-1.2.gratuitous")
def test_counters_count_requests_answers_and_frames(responder: Responder) -> None:
    """Counters are per address: two gratuitous frames per interface for IPv4, one for IPv6."""
    responder.on_desired([Service("a", (V4, V6))], 1.0)
    is_answered(responder, V4)
    counts = {count.address: count for count in responder.counts()}
    assert (counts[V4].requests_received, counts[V4].responses_sent) == (1, 1)
    assert (counts[V4].gratuitous_sent, counts[V6].gratuitous_sent) == (4, 2)


@pytest.mark.rule("layer2-8.retrigger")
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


@pytest.mark.rule("layer2-6.announce-ip", "layer2-7.announce-ip", "layer2-7.interface")
def test_what_is_not_announced_is_told_apart(responder: Responder) -> None:
    """An address nobody has, one of another interface, and an interface nobody knows."""
    responder.on_desired([Service("a", (V4, V6), interfaces=("eth0",))], 1.0)
    assert responder.answer_arp(1, request(V4B)) is Drop.ANNOUNCE_IP
    assert responder.answer_arp(2, request(V4)) is Drop.NOT_MATCHING_INTERFACE
    assert responder.answer_arp(7, request(V4)) is Drop.NOT_MATCHING_INTERFACE
    assert responder.answer_ndp(1, solicitation(target="2001:db8::2")) is Drop.ANNOUNCE_IP
    assert responder.answer_ndp(2, solicitation()) is Drop.NOT_MATCHING_INTERFACE
    assert responder.answer_ndp(7, solicitation()) is Drop.NOT_MATCHING_INTERFACE
    assert isinstance(responder.answer_ndp(1, solicitation()), bytes)
    assert responder.drops == {Drop.ANNOUNCE_IP: 2, Drop.NOT_MATCHING_INTERFACE: 4}


@pytest.mark.rule("layer2-6.order")
def test_reasons_are_looked_for_in_order(responder: Responder) -> None:
    """A reply to another station for a foreign address is a reply above all."""
    responder.on_desired([Service("a", (V4,), interfaces=("eth0",))], 1.0)
    elsewhere = b"\x02\x00\x00\x00\x00\x55"
    wrong = {"operation": 2, "destination": elsewhere, "target": V4B}
    assert responder.answer_arp(2, arp_frame(**wrong)) is Drop.ARP_REPLY
    del wrong["operation"]
    assert responder.answer_arp(2, arp_frame(**wrong)) is Drop.ETHERNET_DESTINATION
    del wrong["destination"]
    assert responder.answer_arp(2, arp_frame(**wrong)) is Drop.ANNOUNCE_IP
    assert responder.answer_arp(2, arp_frame(target=V4)) is Drop.NOT_MATCHING_INTERFACE


@pytest.mark.rule("layer2-5.7", "layer2-5.8")
def test_families_are_those_of_each_interface() -> None:
    """IPv6 is announced where there is a link-local address, IPv4 where there is broadcast."""
    responder = Responder("me")
    found = node(interface(1, link_local=None), interface(2, has_arp=False))
    responder.on_interfaces(found, 0.0)
    responder.on_live({"me"}, 0.0)
    effects = responder.on_desired([Service("a", (V4, V6))], 1.0)
    assert [(index, frame[12:14].hex()) for index, frame in frames(effects)] == [
        (1, "0806"), (1, "0806"), (2, "86dd"),
    ]  # fmt: skip
    assert JoinGroup(2, GROUP) in effects
    assert JoinGroup(1, GROUP) not in effects
    responder.validate()
    later = responder.on_interfaces(node(interface(1), interface(2, has_arp=False)), 2.0)
    assert later[:3] == [CloseInterface(1), OpenInterface(interface(1)), JoinGroup(1, GROUP)]
    assert [frame[12:14].hex() for _, frame in frames(later)] == ["0806", "0806", "86dd"]
    responder.validate()


def test_changed_link_local_address_is_the_new_source(responder: Responder) -> None:
    """Advertisements come from the address the interface has now, and say so at once."""
    responder.on_desired([Service("a", (V6,))], 1.0)
    changed = interface(1, link_local=LINK_LOCAL[:-1] + b"\x09")
    (sent,) = frames(responder.on_interfaces(node(changed, interface(2)), 2.0))
    assert sent[1][22:38] == changed.link_local


@pytest.mark.rule("layer2-13.4.periodic", "layer2-8.periodic")
def test_periodic_tick_is_one_round_per_address() -> None:
    """One IPv4 and two IPv6 addresses, one of them shared, on the interfaces that any allows."""
    twin = "2001:db8::2"
    responder = Responder("me", periodic_interval_s=30.0, now=0.0)
    responder.on_interfaces(node(interface(1), interface(2)), 0.0)
    responder.on_live({"me"}, 0.0)
    responder.on_desired(
        [
            Service("a", (V4, V6), interfaces=("eth0",)),
            Service("b", (twin,), interfaces=("eth0",)),
            Service("c", (twin,), interfaces=("eth1",)),
        ],
        0.0,
    )
    while (deadline := responder.next_deadline()) is not None and deadline < 30.0:
        responder.on_deadline(deadline)
    sent = [(index, frame[12:14].hex()) for index, frame in frames(responder.on_deadline(30.0))]
    assert sent == [(1, "0806"), (1, "0806"), (1, "86dd"), (1, "86dd"), (2, "86dd")]


def test_dual_stack_service_keeps_what_it_keeps(responder: Responder) -> None:
    """A service that gives one of its addresses up neither leaves nor joins the other's group."""
    responder.on_desired([Service("a", (V4, V6))], 1.0)
    effects = responder.on_desired([Service("a", (V6,))], 2.0)
    assert [type(effect) for effect in effects] == [ChangeFilter, ChangeFilter]
    assert responder.addresses == (V6,)
    responder.validate()


def test_owned_is_the_same_object_until_it_changes(responder: Responder) -> None:
    """Who looks at it after each datagram need not compare."""
    responder.on_desired([Service("a", (V4,))], 1.0)
    owned = responder.owned
    responder.on_live({"me"}, 2.0)
    assert responder.owned is owned
    responder.on_desired([], 3.0)
    assert responder.owned == ()


def test_mac_addresses_for_the_note_are_bounded() -> None:
    """Each address once, sorted, and no more than a note can take."""
    responder = Responder("me")
    twins = [interface(1), interface(2, mac=interface(1).mac)]
    responder.on_interfaces(node(*twins), 0.0)
    assert responder.macs == (interface(1).mac,)
    responder.on_interfaces(node(*(interface(index) for index in range(1, 60))), 1.0)
    assert len(responder.macs) == MACS_MAX
