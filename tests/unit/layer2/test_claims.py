"""Frames by which somebody else speaks for an address that is announced here."""

from __future__ import annotations

import pytest

from mercurylb.layer2 import arp, conflict, ndp
from mercurylb.layer2.drop import Drop
from mercurylb.layer2.effect import ChangeFilter, ConflictFound
from mercurylb.layer2.responder import Responder
from tests.unit.layer2.scene import (
    LINK_LOCAL,
    MEMBER_MAC,
    STRANGER_MAC,
    V4,
    V4B,
    V6,
    Service,
    advertisement,
    announcing,
    arp_frame,
    frames,
    interface,
    node,
    packed,
    probe,
    solicitation,
)

OWN_MAC = interface(1).mac
REQUEST_FROM_IT = arp_frame(sender=V4, target="10.0.0.254")
GRATUITOUS_REQUEST = arp_frame(sender=V4, target=V4)
GRATUITOUS_REPLY = arp_frame(operation=arp.REPLY, sender=V4, target=V4)
DEFENCE = [(1, arp.gratuitous(OWN_MAC, packed(V4))[0])]
NDP_DEFENCE = [(1, ndp.unsolicited(mac=OWN_MAC, link_local=LINK_LOCAL, target=packed(V6)))]


@pytest.fixture
def responder() -> Responder:
    """Return a machine that announces both families on both interfaces, before `other`."""
    made = announcing(Service("a", (V4, V6), ("me", "other")))
    made.on_member_macs({MEMBER_MAC: "other"}, 0.0)
    return made


@pytest.mark.parametrize(
    "frame", [REQUEST_FROM_IT, GRATUITOUS_REPLY], ids=["a request from it", "a reply"]
)
def test_stranger_s_arp_is_a_claim_and_defended(responder: Responder, frame: bytes) -> None:
    """Any operation claims; one announcement goes out where it was heard, and people hear."""
    assert responder.answer_arp(1, frame) is Drop.CLAIM
    effects = responder.on_claim(1, frame, 1.0)
    assert frames(effects) == DEFENCE
    (found,) = [effect for effect in effects if isinstance(effect, ConflictFound)]
    assert found.is_stranger
    assert (found.conflict.address, found.conflict.interface) == (V4, "eth0")
    assert found.conflict.mac == STRANGER_MAC.hex(":")
    assert frames(responder.on_claim(1, frame, 2.0)) == []
    assert responder.conflicts(3.0)[0].count == 2


@pytest.mark.rule("layer2-6.senders")
def test_gratuitous_request_is_answered_as_well(responder: Responder) -> None:
    """Whoever asks is told, also one who claims at the same time."""
    effects = responder.on_frame(1, GRATUITOUS_REQUEST, 1.0)
    answer = arp.reply(GRATUITOUS_REQUEST, arp.reply_template(OWN_MAC, packed(V4)))
    assert frames(effects) == [(1, answer), *DEFENCE]


@pytest.mark.rule("layer2-6.senders")
def test_arp_probe_claims_nothing_and_is_answered(responder: Responder) -> None:
    """Who probes (RFC 5227 §2.1) learns that the address is taken."""
    assert isinstance(responder.answer_arp(1, arp_frame(target=V4)), bytes)
    assert responder.conflicts(1.0) == ()


@pytest.mark.parametrize(
    "frame",
    [
        arp_frame(sender=V4, target=V4, mac=interface(2).mac),
        arp_frame(operation=arp.REPLY, sender=V4, mac=b"\x02\x00\x00\x00\x00\x77"),
    ],
    ids=["another interface", "an excluded link"],
)
def test_own_frames_are_no_claims(responder: Responder, frame: bytes) -> None:
    """Interfaces in one LAN hear each other, and so do bonds, VLANs and their parents."""
    found = node(interface(1), interface(2))
    found = type(found)(found.names, found.interfaces, frozenset({b"\x02\x00\x00\x00\x00\x77"}))
    responder.on_interfaces(found, 1.0)
    assert responder.answer_arp(1, frame) is Drop.OWN_MESSAGE
    assert responder.conflicts(2.0) == ()


def test_claims_of_addresses_announced_elsewhere_are_not_ours() -> None:
    """On an interface where an address is not announced anybody may have it."""
    responder = announcing(Service("a", (V4,), interfaces=("eth0",)))
    frame = arp_frame(sender=V4, target=V4B)
    assert responder.answer_arp(2, frame) is Drop.ANNOUNCE_IP
    assert responder.on_frame(2, frame, 1.0) == []
    assert responder.on_claim(2, GRATUITOUS_REPLY, 1.0) == []


def test_option_says_who_claims(responder: Responder) -> None:
    """An advertisement may be sent on behalf of another station, which is the one to name."""
    frame = advertisement(options=b"\x02\x01" + MEMBER_MAC)
    responder.on_frame(1, frame, 1.0)
    responder.on_frame(1, frame, 4.0)
    (found,) = responder.conflicts(4.0)
    assert (found.mac, found.node) == (MEMBER_MAC.hex(":"), "other")


@pytest.mark.parametrize(
    ("ranking", "is_answered"), [(("me", "other"), True), (("other", "me"), False)]
)
def test_member_s_claim_is_settled_by_the_ranking(
    ranking: tuple[str, ...],
    is_answered: bool,  # noqa: FBT001 (a parameter of the table)
) -> None:
    """The better ranked announces with a whole round; the other waits for word of the return."""
    responder = announcing(Service("a", (V4,), ranking))
    responder.on_live({"me"}, 0.0)
    responder.on_member_macs({MEMBER_MAC: "other"}, 0.0)
    frame = arp_frame(sender=V4, target=V4, mac=MEMBER_MAC, operation=arp.REPLY)
    effects = responder.on_frame(1, frame, 1.0)
    sent = [(1, frame) for frame in arp.gratuitous(OWN_MAC, packed(V4))]
    assert frames(effects) == (sent if is_answered else [])
    assert not any(isinstance(effect, ConflictFound) for effect in effects)


def test_two_members_do_not_answer_each_other_for_ever() -> None:
    """However claims cross, what one node says in answer gets no answer from the other."""
    ranking = ("me", "other")
    first, second = Responder("me"), Responder("other")
    own = interface(1), interface(1, mac=MEMBER_MAC)
    for machine, mine, node_ in ((first, own[0], "me"), (second, own[1], "other")):
        machine.on_interfaces(node(mine), 0.0)
        machine.on_live({node_}, 0.0)
        machine.on_member_macs({OWN_MAC: "me", MEMBER_MAC: "other"}, 0.0)
    heard = frames(second.on_desired([Service("a", (V4,), ranking)], 0.0))
    first.on_desired([Service("a", (V4,), ranking)], 0.0)
    said = [sent for _, f in heard for sent in frames(first.on_frame(1, f, 1.0))]
    announced = [sent for sent in said if sent[1][:6] == arp.BROADCAST]
    assert len(announced) == 2
    assert all(frames(second.on_frame(1, f, 1.1))[1:] == [] for _, f in announced)


def test_stranger_s_advertisement_is_defended(responder: Responder) -> None:
    """A neighbour advertisement for our address is a claim, answered with an overriding one."""
    frame = advertisement()
    assert responder.answer_ndp(1, frame) is Drop.CLAIM
    effects = responder.on_claim(1, frame, 1.0)
    assert frames(effects) == NDP_DEFENCE
    assert isinstance(effects[-1], ConflictFound)
    assert effects[-1].conflict.mac == STRANGER_MAC.hex(":")


def test_solicitation_from_our_address_is_a_claim_and_answered(responder: Responder) -> None:
    """Who asks under an address of ours says that it is his."""
    responder.on_desired([Service("a", (V6, "2001:db8::2"), ("me", "other"))], 0.5)
    frame = solicitation(source=packed(V6), target="2001:db8::2")
    effects = responder.on_frame(1, frame, 1.0)
    assert [sent[1][:6] for sent in frames(effects)] == [frame[6:12], ndp.ALL_NODES_MAC]
    assert responder.conflicts(1.0)[0].address == V6


@pytest.mark.parametrize(
    "frame",
    [
        advertisement("2001:db8::7"),
        advertisement(hop_limit=64),
        advertisement(checksum=1),
        advertisement(options=b"\x02\x00" + bytes(6)),
        advertisement(flags=ndp.FLAG_SOLICITED),
        advertisement(kind=b"\x88\x01"),
    ],
    ids=["another target", "forwarded", "checksum", "option", "solicited to a group", "code"],
)
def test_advertisement_that_proves_nothing_is_ignored(responder: Responder, frame: bytes) -> None:
    """Frames that RFC 4861 §7.1.2 discards claim nothing."""
    assert responder.on_frame(1, frame, 1.0) == []
    assert responder.conflicts(1.0) == ()


def test_own_advertisements_are_no_claims(responder: Responder) -> None:
    """What the other interface says is heard on this one, if both are in one LAN."""
    frame = advertisement(mac=interface(2).mac)
    assert responder.answer_ndp(1, frame) is Drop.OWN_MESSAGE


@pytest.mark.rule("layer2-7.no-source")
def test_probe_for_a_duplicate_address_is_answered_to_all(responder: Responder) -> None:
    """The probe counts as one without a source, and all nodes are told whose the address is."""
    assert frames(responder.on_frame(1, probe(), 1.0)) == NDP_DEFENCE
    assert frames(responder.on_frame(1, probe(), 1.1)) == NDP_DEFENCE
    assert responder.drops[Drop.NO_SOURCE_LL] == 2
    assert responder.conflicts(2.0) == ()
    assert responder.on_frame(1, probe("2001:db8::7"), 2.0) == []


def test_flood_of_claims_closes_the_kernel_filter_for_a_second(responder: Responder) -> None:
    """Beyond the bound the kernel drops claims, requests are answered, and the second ends."""
    responder.on_deadline(10.0)
    for _ in range(conflict.CLAIMS_PER_S):
        responder.on_frame(1, GRATUITOUS_REPLY, 20.0)
    closing = responder.on_frame(1, GRATUITOUS_REPLY, 20.0)
    assert [(e.interface, e.has_claims) for e in closing] == [(1, False), (2, False)]
    assert responder.answer_arp(1, GRATUITOUS_REPLY) is Drop.ARP_REPLY
    assert isinstance(responder.answer_arp(1, GRATUITOUS_REQUEST), bytes)
    assert responder.answer_ndp(1, probe()) is Drop.NO_SOURCE_LL
    assert responder.answer_ndp(1, advertisement()) is Drop.MESSAGE_TYPE
    assert responder.drops[Drop.CLAIM_FLOOD] == 4
    changed = responder.on_desired([Service("a", (V4,))], 20.5)
    assert all(not e.has_claims for e in changed if isinstance(e, ChangeFilter))
    assert responder.next_deadline() == 21.0
    opening = [e for e in responder.on_deadline(21.0) if isinstance(e, ChangeFilter)]
    assert [(e.interface, e.has_claims) for e in opening] == [(1, True), (2, True)]
    assert responder.answer_arp(1, GRATUITOUS_REPLY) is Drop.CLAIM


def test_claim_behind_a_closed_interface_is_forgotten(responder: Responder) -> None:
    """A frame that waited while its interface went away changes nothing."""
    responder.on_interfaces(node(interface(2)), 1.0)
    assert responder.on_claim(1, GRATUITOUS_REPLY, 1.0) == []


FUZZED = bytes.fromhex(
    "333300fffffffbffff00000208066100000000203afffe80000000000000000000000000000001ff0200000008060000"
    "00000000000001880028622000000020010db80000000000000000000001020102000000000002"
)
"""An advertisement behind the ethertype of ARP, found by fuzzing."""


@pytest.mark.parametrize("frame", [FUZZED, FUZZED[:41], b"", arp_frame(sender=V4)[:30]])
def test_frame_that_is_no_claim_is_looked_at_safely(responder: Responder, frame: bytes) -> None:
    """Whatever is handed over as a claim, nothing is raised and nothing believed."""
    assert responder.answer_ndp(1, frame) is not Drop.CLAIM
    assert responder.on_claim(1, frame, 1.0) == []


def test_defences_count_as_gratuitous(responder: Responder) -> None:
    """One frame against a stranger in either family is one frame of the metric."""
    before = {c.address: c.gratuitous_sent for c in responder.counts()}
    responder.on_frame(1, GRATUITOUS_REPLY, 1.0)
    responder.on_frame(1, advertisement(), 1.0)
    after = {c.address: c.gratuitous_sent for c in responder.counts()}
    assert {address: after[address] - before[address] for address in after} == {V4: 1, V6: 1}
