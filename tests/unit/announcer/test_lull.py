"""Who left on purpose, whether its host carries on, and what that means for the wire."""

from __future__ import annotations

from mercurylb.announcer.core import AnnouncerCore, Tell
from mercurylb.announcer.lull import PROBE_S, QUIET_MAX_S, UNANSWERED_MAX, Lull
from mercurylb.layer2 import arp
from mercurylb.layer2.effect import SendFrame
from mercurylb.layer2.interface import Interface, NodeInterfaces
from mercurylb.layer2.responder import Responder
from mercurylb.membership.member import DownReason, MemberDown, MemberHearsUs, MemberUp, ProbeKernel
from mercurylb.plan.desired import DesiredState, Layer2Service, Member
from tests.unit.announcer.scripted import ScriptedMembership

ETH0 = Interface(2, "eth0", b"\x02\x00\x00\x00\x00\x01", True, True, None)
LINKS = NodeInterfaces(("eth0",), (ETH0,), frozenset({ETH0.mac}))
YOU = Member("you", "10.0.0.2")
WANTED = DesiredState(
    5,
    layer2=(Layer2Service("a/b", ("10.0.0.1",), ("you", "me"), None),),
    members=(YOU,),
)


def second() -> tuple[AnnouncerCore, ScriptedMembership]:
    """Return the core of a node that is second, and its membership."""
    membership = ScriptedMembership("me")
    membership.alive = frozenset({"me", "you"})
    core = AnnouncerCore("me", membership, Responder("me"), lease_s=600.0)
    core.on_links(LINKS, 1.0)
    core.on_transport(1.0)
    core.on_brain_message(WANTED, 1.0)
    return core, membership


def leaves(
    core: AnnouncerCore, membership: ScriptedMembership, reason: DownReason = DownReason.LEAVING
) -> list[object]:
    """Let the first node go at 2.0; return what follows."""
    membership.alive = frozenset({"me"})
    membership.says = [MemberDown("you", reason)]
    return [*core.on_datagram("10.0.0.2", 7946, b"", 2.0)]


def rounds(effects: list[object]) -> int:
    """Count the gratuitous frames."""
    return sum(isinstance(effect, SendFrame) for effect in effects)


def run(core: AnnouncerCore, until: float, *, answering: bool) -> list[object]:
    """Let time pass, with a kernel that answers or not; return what followed."""
    effects: list[object] = []
    while (at := core.next_deadline()) is not None and at <= until:
        found = core.on_deadline(at)
        effects += found
        if answering and ProbeKernel("10.0.0.2") in found:
            effects += core.on_kernel_answer("10.0.0.2", at)
        core.validate()
    return effects


def test_a_successor_of_a_leaver_answers_but_invites_nobody() -> None:
    """It owns the address at once and announces nothing as long as the leaver's host lives."""
    core, membership = second()
    assert rounds(leaves(core, membership)) == 0
    assert [owned.service for owned in core.observation(2.0).owned] == ["a/b"]
    assert rounds(run(core, 60.0, answering=True)) == 0


def test_a_successor_of_a_dead_node_announces_at_once() -> None:
    """Whoever does not leave on purpose carries nothing any more."""
    core, membership = second()
    assert rounds(leaves(core, membership, DownReason.SILENT)) == 2


def test_a_host_that_stops_answering_is_replaced_at_once() -> None:
    """After some questions without an answer everybody is told, with a burst."""
    core, membership = second()
    leaves(core, membership)
    run(core, 10.0, answering=True)
    effects = run(core, 10.0 + (UNANSWERED_MAX + 2) * PROBE_S, answering=False)
    reason = "its host does not answer"
    assert Tell("layer2.taken_over", {"node": "you", "reason": reason}) in effects
    assert rounds(effects) == 2


def test_a_speaker_that_does_not_come_back_is_replaced_in_the_end() -> None:
    """The lull ends by itself, whatever the host does."""
    core, membership = second()
    leaves(core, membership)
    assert rounds(run(core, 2.0 + QUIET_MAX_S - 0.01, answering=True)) == 0
    effects = run(core, 2.0 + QUIET_MAX_S, answering=True)
    assert rounds(effects) == 2


def test_a_speaker_that_is_back_ends_the_lull() -> None:
    """Nothing is asked or announced any more, and its address is its own again."""
    core, membership = second()
    leaves(core, membership)
    membership.alive = frozenset({"me", "you"})
    membership.says = [MemberUp("you")]
    assert rounds([*core.on_datagram("10.0.0.2", 7946, b"", 5.0)]) == 0
    assert not core.observation(5.0).owned
    assert not [e for e in run(core, 300.0, answering=False) if isinstance(e, ProbeKernel)]


def test_others_that_return_do_not_end_the_lull() -> None:
    """A refresh for a third node leaves out what was left with the leaver's host."""
    core, membership = second()
    leaves(core, membership)
    membership.says = [MemberHearsUs("third")]
    assert rounds([*core.on_datagram("10.0.0.3", 7946, b"", 3.0)]) == 0


def test_a_leaver_that_goes_on_announcing_is_let_be() -> None:
    """A defence would call clients over; once the lull is over the address is defended again."""
    core, membership = second()
    leaves(core, membership)
    (claim, _) = arp.gratuitous(b"\x02\x00\x00\x00\x00\x02", b"\x0a\x00\x00\x01")
    broadcasts = [each for each in core.on_claim(2, claim, 2.5) if is_broadcast(each)]
    assert broadcasts == []
    run(core, 10.0, answering=False)
    assert any(is_broadcast(each) for each in core.on_claim(2, claim, 20.0))


def is_broadcast(effect: object) -> bool:
    """Tell whether everybody hears it."""
    return isinstance(effect, SendFrame) and effect.frame[:6] == b"\xff" * 6


def test_a_service_that_was_never_the_leavers_is_announced() -> None:
    """What changes hands for another reason in a lull is told at once."""
    core, membership = second()
    leaves(core, membership)
    mine = Layer2Service("a/c", ("10.0.0.9",), ("me", "you"), None)
    wanted = DesiredState(6, layer2=(*WANTED.layer2, mine), members=(YOU,))
    assert rounds([*core.on_brain_message(wanted, 3.0)]) == 2


def test_a_leaver_without_an_address_is_not_relied_upon() -> None:
    """Its host cannot be asked, so nothing is left with it."""
    lull = Lull()
    lull.on_membership([MemberDown("you", DownReason.LEAVING)], 1.0)
    assert not lull.nodes


def test_nothing_is_left_with_a_node_that_goes() -> None:
    """Whoever is cordoned or not Ready when its speaker stops may take its kernel along."""
    core, membership = second()
    going = Member("you", "10.0.0.2", carries_on=False)
    core.on_brain_message(DesiredState(6, layer2=WANTED.layer2, members=(going,)), 1.5)
    assert rounds(leaves(core, membership)) == 2


def test_only_hosts_that_carry_something_are_asked() -> None:
    """A host with which nothing was left is not bothered; asking anew begins from zero."""
    lull = Lull()
    lull.on_members([YOU])
    lull.on_membership([MemberDown("you", DownReason.LEAVING)], 1.0)
    assert lull.on_deadline(2.0) == ([], {})
    lull.watch({"you"}, 3.0)
    for count in range(UNANSWERED_MAX):
        assert lull.on_deadline(3.0 + count)[0] == ["10.0.0.2"]
    lull.watch(set(), 9.0)
    lull.watch({"you"}, 10.0)
    assert lull.on_deadline(10.0) == (["10.0.0.2"], {})
