"""ARP and NDP: bytes from anywhere, and the responder as a machine against its own promises."""

from __future__ import annotations

import contextlib
import ipaddress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mercurylb.errors import WireError
from mercurylb.layer2 import arp, conflict, ndp
from mercurylb.layer2.ability import Unable, unable_for
from mercurylb.layer2.drop import Drop
from mercurylb.layer2.effect import (
    ChangeFilter,
    CloseInterface,
    ConflictFound,
    JoinGroup,
    Layer2Effect,
    LeaveGroup,
    OpenInterface,
    SendFrame,
)
from mercurylb.layer2.interface import NodeInterfaces
from mercurylb.layer2.responder import Responder
from tests.property.test_net import spoiled
from tests.unit.layer2.scene import (
    LINK_LOCAL,
    MEMBER_MAC,
    STRANGER_MAC,
    V4,
    V6,
    Service,
    advertisement,
    announcing,
    arp_frame,
    interface,
    probe,
    solicitation,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.layer2.interface import Interface

REQUEST, CLAIM = arp_frame(sender="10.0.0.9"), arp_frame(operation=2, sender=V4)
FRAMES = [REQUEST, CLAIM, solicitation(), probe(), advertisement()]


@pytest.mark.parametrize(
    ("decode", "good"),
    [(arp.decode, REQUEST), (ndp.decode, FRAMES[2]), (ndp.decode_advertisement, FRAMES[4])],
    ids=["arp", "solicitation", "advertisement"],
)
@given(data=st.data())
def test_decoders_raise_only_wire_errors(decode: object, good: bytes, data: st.DataObject) -> None:
    """Whatever comes in, it decodes or it is a WireError."""
    with contextlib.suppress(WireError):
        decode(data.draw(spoiled(good)))


@pytest.mark.rule("layer2-6.error", "layer2-7.unparseable")
@given(frame=st.one_of([spoiled(good) for good in FRAMES]))
def test_responder_answers_or_names_a_reason(frame: bytes) -> None:
    """Any frame on any path gets a whole answer or a reason, and a claim is looked at safely."""
    machine = announcing(Service("a", (V4, V6)))
    for answer in (machine.answer_arp, machine.answer_ndp):
        reply = answer(1, frame)
        assert isinstance(reply, Drop) or len(reply) >= 60
        assert reply is not Drop.CLAIM or machine.on_claim(1, frame, 1.0) is not None
    assert machine.on_claim(1, frame, 1.0) is not None
    machine.validate()


@given(
    packet=st.builds(
        arp.ArpPacket,
        destination=st.binary(min_size=6, max_size=6),
        source=st.binary(min_size=6, max_size=6),
        operation=st.integers(0, 65535),
        sender_mac=st.binary(min_size=6, max_size=6),
        sender_ip=st.binary(min_size=4, max_size=4),
        target_mac=st.binary(min_size=6, max_size=6),
        target_ip=st.binary(min_size=4, max_size=4),
    )
)
def test_arp_round_trip(packet: arp.ArpPacket) -> None:
    """Every packet decodes to itself."""
    assert arp.decode(arp.encode(packet)) == packet


@given(
    mac=st.binary(min_size=6, max_size=6),
    target=st.binary(min_size=16, max_size=16).filter(lambda a: a[0] != 0xFF),
)
def test_advertisement_round_trip(mac: bytes, target: bytes) -> None:
    """What is sent is what RFC 4861 lets a receiver take, and says the same."""
    frame = ndp.unsolicited(mac=mac, link_local=LINK_LOCAL, target=target)
    heard = ndp.decode_advertisement(frame)
    assert (heard.source, heard.target, heard.target_link_layer) == (LINK_LOCAL, target, mac)
    assert (heard.destination, heard.flags) == (ndp.ALL_NODES, 0x20)


# --- the responder as a machine ----------------------------------------------------------------

NODES = ("me", "other", "third")
ADDRESSES = ("10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8:1::1", "2001:db8::2")
NAMES = ("eth0", "eth1", "eth2")

some_services = st.lists(
    st.builds(
        Service,
        service=st.sampled_from(["ns/a", "ns/b", "ns/c"]),
        addresses=st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=3, unique=True).map(
            tuple
        ),
        ranking=st.lists(st.sampled_from(NODES), max_size=3, unique=True).map(tuple),
        interfaces=st.none() | st.lists(st.sampled_from(NAMES), max_size=2, unique=True).map(tuple),
    ),
    max_size=3,
    unique_by=lambda service: service.service,
)
some_interface = st.builds(
    lambda index, mac, is_running, has_arp, link_local, notices: interface(
        index,
        mac=mac,
        is_running=is_running,
        has_arp=has_arp or link_local is None,
        link_local=link_local,
        notices=notices,
    ),
    index=st.integers(1, 3),
    mac=st.sampled_from([b"\x02\0\0\0\0\1", b"\x02\0\0\0\0\2"]),
    is_running=st.booleans(),
    has_arp=st.booleans(),
    link_local=st.sampled_from([None, LINK_LOCAL, LINK_LOCAL[:-1] + b"\x07"]),
    notices=st.integers(0, 1),
)
some_unable = st.one_of(
    st.just(Unable()),
    st.just(Unable(is_all=True)),
    st.lists(st.sampled_from(["ns/a", "ns/b"]), max_size=2).map(unable_for),
)


class Kernel:
    """What the effects have made of the node: sockets, filters, groups."""

    def __init__(self) -> None:
        self.open: dict[int, Interface] = {}
        self.filters: dict[int, ChangeFilter] = {}
        self.groups: dict[int, set[bytes]] = {}

    def perform(self, effects: Iterable[Layer2Effect]) -> None:
        """Carry effects out, each of which must be possible where it stands."""
        for effect in effects:
            match effect:
                case OpenInterface(interface=made):
                    assert made.index not in self.open
                    self.open[made.index] = made
                    self.filters[made.index] = ChangeFilter(made.index, (), ())
                    self.groups[made.index] = set()
                case CloseInterface(interface=index):
                    del self.open[index], self.filters[index], self.groups[index]
                case ChangeFilter(interface=index):
                    assert index in self.open
                    self.filters[index] = effect
                case JoinGroup(interface=index, group=group):
                    assert group not in self.groups[index]
                    self.groups[index].add(group)
                case LeaveGroup(interface=index, group=group):
                    self.groups[index].remove(group)
                case SendFrame(interface=index):
                    assert index in self.open
                case ConflictFound():
                    pass


class ResponderMachine(RuleBasedStateMachine):
    """Facts in any order; after each the kernel's state must be what the facts demand."""

    @initialize(periodic=st.sampled_from([0.0, 7.0]))
    def start(self, periodic: float) -> None:
        """Begin with nothing known."""
        self.now = 0.0
        self.machine = Responder("me", periodic_interval_s=periodic)
        self.kernel = Kernel()
        self.services: list[Service] = []
        self.interfaces: tuple[Interface, ...] = ()

    def take(self, effects: Iterable[Layer2Effect]) -> None:
        """Carry out what the machine wants."""
        self.kernel.perform(effects)

    @rule(services=some_services)
    def desired(self, services: list[Service]) -> None:
        """Somebody wants other services."""
        self.services = services
        self.take(self.machine.on_desired(services, self.now))

    @rule(
        live=st.none() | st.frozensets(st.sampled_from(NODES)),
        unable=st.dictionaries(st.sampled_from(NODES), some_unable),
    )
    def live(self, live: frozenset[str] | None, unable: dict[str, Unable]) -> None:
        """Other nodes are alive, or able."""
        self.take(self.machine.on_live(live, self.now, unable=unable))

    @rule(found=st.lists(some_interface, max_size=3, unique_by=lambda i: i.index))
    def links(self, found: list[Interface]) -> None:
        """Interfaces come, go, change."""
        self.interfaces = tuple(sorted(found, key=lambda i: i.index))
        names = tuple(i.name for i in self.interfaces)
        self.take(self.machine.on_interfaces(NodeInterfaces(names, self.interfaces), self.now))

    @rule(seconds=st.sampled_from([0.01, 0.5, 1.1, 20.0]))
    def time_passes(self, seconds: float) -> None:
        """Every deadline on the way is kept, and there are not too many of them."""
        ends_at = self.now + seconds
        for _ in range(200):
            deadline = self.machine.next_deadline()
            if deadline is None or deadline > ends_at:
                break
            self.now = max(self.now, deadline)
            self.take(self.machine.on_deadline(self.now))
        else:
            raise AssertionError("a deadline that does not pass")
        self.now = ends_at

    @rule(
        index=st.integers(1, 4),
        frame=st.one_of(
            st.builds(
                arp_frame,
                operation=st.integers(1, 2),
                sender=st.sampled_from(["0.0.0.0", "10.0.0.9", *ADDRESSES[:2]]),
                target=st.sampled_from(ADDRESSES[:2]),
                mac=st.sampled_from([MEMBER_MAC, STRANGER_MAC, b"\x02\0\0\0\0\1"]),
            ),
            st.builds(solicitation, target=st.sampled_from(ADDRESSES[2:])),
            st.builds(probe, st.sampled_from(ADDRESSES[2:])),
            st.builds(advertisement, st.sampled_from(ADDRESSES[2:])),
        ),
        count=st.sampled_from([1, 1, 1, 100]),
    )
    def frames(self, index: int, frame: bytes, count: int) -> None:
        """Frames come in, now and then a flood of them."""
        announced = 0
        for _ in range(count):
            effects = self.machine.on_frame(index, frame, self.now)
            announced += sum(
                isinstance(e, SendFrame) and e.frame[:6] in (arp.BROADCAST, ndp.ALL_NODES_MAC)
                for e in effects
            )
            self.take(effects)
        assert announced <= 2 * conflict.CLAIMS_PER_S

    @rule(
        macs=st.dictionaries(st.just(MEMBER_MAC), st.sampled_from(NODES[1:])),
        has_unknown=st.booleans(),
    )
    def members(self, macs: dict[bytes, str], has_unknown: bool) -> None:  # noqa: FBT001 (drawn)
        """Members tell their addresses."""
        self.take(self.machine.on_member_macs(macs, self.now, has_unknown_members=has_unknown))

    @rule()
    def refresh(self) -> None:
        """Announce anew because a member came back."""
        self.take(self.machine.refresh(self.now))

    @invariant()
    def holds(self) -> None:
        """Tables follow from facts, and the kernel passes and listens to exactly what they say."""
        if not hasattr(self, "machine"):
            return
        self.machine.validate()
        assert set(self.kernel.open) == {i.index for i in self.interfaces}
        announced = self.announced()
        for each in self.interfaces:
            speaks = {4: each.has_arp, 16: each.link_local is not None}
            packed = [
                ipaddress.ip_address(text).packed
                for text, names in announced.items()
                if names is None or each.name in names
            ]
            targets = {address for address in packed if speaks[len(address)]}
            current = self.kernel.filters[each.index]
            assert set(current.arp) | set(current.ndp) == targets
            groups = {
                ndp.solicited_node_group(ipaddress.ip_address(text).packed)
                for text in announced
                if ":" in text and each.link_local is not None
            }
            assert self.kernel.groups[each.index] == groups

    def announced(self) -> dict[str, set[str] | None]:
        """Return where each address is announced, by the owned services and nothing else."""
        found: dict[str, set[str] | None] = {}
        by_name = {service.service: service for service in self.services}
        for owned in self.machine.owned:
            chosen = by_name[owned.service].interfaces
            for text in owned.addresses:
                if text in owned.skipped:
                    continue
                if chosen is None or found.get(text, set()) is None:
                    found[text] = None
                else:
                    found[text] = (found.get(text) or set()) | set(chosen)
        return found


TestResponderMachine = ResponderMachine.TestCase
TestResponderMachine.settings = settings(stateful_step_count=25, max_examples=150)
TestResponderMachine.pytestmark = pytest.mark.rule(
    "layer2-4.3", "layer2-4.4", "layer2-9.count", "layer2-13.4.merge"
)
