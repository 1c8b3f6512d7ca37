"""ARP and NDP on real interfaces: what a kernel decides, and what neighbours see."""

from __future__ import annotations

import ctypes
import json
import os
import random
import socket
import struct
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from mercurylb.layer2 import arp, ndp
from mercurylb.net import bpf
from mercurylb.net.packet import attach_filter
from tests.lab.layer2_lab import (
    GROUP,
    V4,
    V6,
    Node,
    arp_frame,
    cpu_s,
    has_kind,
    ndp_frame,
    packed,
)
from tests.lab.wire_lab import inside, service, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs network namespaces"),
]

CLIENT4, CLIENT6 = "10.77.0.2", "fd77::2"
OTHER_MAC = bytes.fromhex("020000000abc")
SO_ATTACH_FILTER = 26


def needs(kind: str, *options: str) -> None:
    """Skip where the kernel has no such links."""
    if not has_kind(kind, *options):
        pytest.skip(f"this kernel has no links of the kind {kind}")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """Give a fresh LAN with one node and a client."""
    made = Node(tmp_path)
    try:
        yield made
    finally:
        made.close()


def counters(node: Node) -> dict[str, tuple[int, int]]:
    """Return requests and gratuitous frames by address, as the brain was told."""
    observed = node.lan.announcers[0].observation.counters
    return {c.address: (c.requests_received, c.gratuitous_sent) for c in observed}


def drops(node: Node) -> dict[str, int]:
    """Return the frames that were not answered by reason."""
    return {count.name: count.count for count in node.lan.announcers[0].observation.drops}


def groups(node: Node, interface: str) -> str:
    """Return the multicast groups of an interface of the node."""
    return node.host.ip("-6", "maddr", "show", "dev", interface)


# --- frames ------------------------------------------------------------------------------------


@pytest.mark.rule("layer2-6.gratuitous", "layer2-7.unsolicited", "layer2-8.first")
def test_gratuitous_frames_are_the_worked_ones(node: Node) -> None:
    """A burst begins with both ARP frames and one advertisement, byte for byte."""
    announcer = node.lan.announcer(node.host, "--exclude", "^lo$")
    node.asker.drain()
    node.want(announcer, service(V4, V6, ranking=("n1",)))
    first = node.first_announcement(V4)
    mac, vip = node.host.mac.hex(), packed(V4).hex()
    head = f"ffffffffffff {mac} 0806 0001 0800 06 04"
    tail = f"{mac} {vip} ffffffffffff {vip}" + "00" * 18
    assert first == bytes.fromhex(f"{head} 0001 {tail}")
    assert bytes.fromhex(f"{head} 0002 {tail}") in node.announcements(V4, 2.0)
    sent = node.announcements(V6, 2.0)[0]
    assert sent[21] == 255
    assert sent[54:56] + sent[58:] == bytes.fromhex(f"8800 20000000 {packed(V6).hex()} 0201 {mac}")
    assert ndp.checksum(sent[22:38], sent[38:54], sent[54:]) == 0


@pytest.mark.rule("layer2-6.reply", "layer2-6.reply.interface", "layer2-7.answer")
def test_answers_are_the_worked_ones(node: Node) -> None:
    """A reply goes to the ARP sender, fills 60 bytes, and an advertisement is solicited."""
    node.start()
    request = arp_frame(node.client.mac, CLIENT4, V4, source=OTHER_MAC)
    mac, asker = node.host.mac.hex(), node.client.mac.hex()
    assert node.answers(request) == [
        bytes.fromhex(
            f"{asker} {mac} 0806 0001 0800 06 04 0002 {mac} {packed(V4).hex()} "
            f"{asker} {packed(CLIENT4).hex()}" + "00" * 18
        )
    ]
    (answer,) = node.answers(ndp_frame(node.client.mac, CLIENT6, GROUP, V6))
    assert answer[:14] == node.client.mac + node.host.mac + ndp.ETHERTYPE
    assert answer[21] == 255
    assert answer[22:24] == b"\xfe\x80"
    assert answer[38:54] == packed(CLIENT6)
    assert answer[54:56] + answer[58:] == bytes.fromhex(
        f"8800 40000000 {packed(V6).hex()} 0201 {mac}"
    )


@pytest.mark.rule("layer2-6.types", "layer2-6.senders", "layer2-6.destination")
def test_requests_of_every_shape(node: Node) -> None:
    """Odd types, missing padding, too much of it, probes and VLAN 0 are answered; others not."""
    node.start()
    good = arp_frame(node.client.mac, CLIENT4, V4)
    tagged = b"\x81\x00"
    answered = {
        "good": good,
        "odd types": good[:14] + b"\x00\x07\x86\xdd" + good[18:],
        "no padding": good[:42],
        "much padding": good + bytes(68),
        "a probe": arp_frame(node.client.mac, "0.0.0.0", V4),
        "to us alone": arp_frame(node.client.mac, CLIENT4, V4, destination=node.host.mac),
        "priority tag": good[:12] + tagged + b"\xe0\x00" + good[12:],
    }
    silent = {
        "another VLAN": good[:12] + tagged + b"\x00\x05" + good[12:],
        "another station": arp_frame(node.client.mac, CLIENT4, V4, destination=OTHER_MAC),
        "a reply": arp_frame(node.client.mac, CLIENT4, V4, operation=arp.REPLY),
        "another address": arp_frame(node.client.mac, CLIENT4, "10.77.0.101"),
        "cut off": good[:40],
    }
    heard = {name: len(node.answers(frame)) for name, frame in (answered | silent).items()}
    assert heard == dict.fromkeys(answered, 1) | dict.fromkeys(silent, 0)


@pytest.mark.rule("layer2-7.unicast")
def test_unicast_solicitations_are_answered(node: Node) -> None:
    """A neighbour that checks whether we are still there hears so, with the option or without."""
    node.start()
    to = {"destination_mac": node.host.mac}
    for options in (None, b""):
        frame = ndp_frame(node.client.mac, CLIENT6, V6, V6, options=options, **to)
        assert len(node.answers(frame)) == 1


@pytest.mark.rule("layer2-7.hop-limit", "layer2-7.no-source", "layer2-7.unparseable")
def test_bad_solicitations_are_dropped_and_counted(node: Node) -> None:
    """Each has its reason, and options of any kind harm nothing."""
    announcer = node.start()
    mac = node.client.mac
    bad = {
        "malformed": [
            ndp_frame(mac, CLIENT6, GROUP, V6, hop_limit=64),
            ndp_frame(mac, CLIENT6, GROUP, V6, options=b"\x01\x00" + bytes(6)),
            ndp_frame(mac, CLIENT6, GROUP, V6, options=b"\x01\x09" + bytes(6)),
            ndp_frame(mac, CLIENT6, GROUP, V6, options=b"\x01"),
        ],
        "checksum": [ndp_frame(mac, CLIENT6, GROUP, V6, checksum=7)],
        "noSourceLL": [ndp_frame(mac, CLIENT6, GROUP, V6, options=b"")],
    }
    for frames in bad.values():
        for frame in frames:
            assert node.answers(frame, 0.05) == []
    wait_until(
        lambda: all(drops(node).get(name, 0) >= len(frames) for name, frames in bad.items()),
        f"counted: {bad.keys()}",
    )
    chance = random.Random(5)
    for _ in range(3000):
        options = chance.randbytes(chance.choice((0, 1, 7, 8, 16, 255)))
        node.asker.ndp.send(ndp_frame(mac, CLIENT6, GROUP, V6, options=options))
    assert len(node.answers(ndp_frame(mac, CLIENT6, GROUP, V6), 0.5)) >= 1
    assert announcer.process.poll() is None


def test_duplicate_address_detection_finds_the_owner(node: Node) -> None:
    """A kernel that tries to take an announced address learns that it is taken."""
    node.start()
    node.calm()  # A burst would tell it as well.
    node.client.ip("addr", "del", f"{CLIENT6}/64", "dev", "eth0")
    run = ["ip", "netns", "exec", node.client.namespace, "sysctl", "-qw"]
    options = ["net.ipv6.conf.eth0.accept_dad=1", "net.ipv6.conf.eth0.dad_transmits=1"]
    assert os.spawnvp(os.P_WAIT, "ip", [*run, *options]) == 0
    node.client.ip("-6", "addr", "add", f"{V6}/64", "dev", "eth0")
    wait_until(
        lambda: "dadfailed" in node.client.ip("-6", "addr", "show", "dev", "eth0"),
        "the kernel gives the address up",
    )


# --- interfaces --------------------------------------------------------------------------------


@pytest.mark.rule("layer2-4.4", "layer2-5.late-group", "layer2-4.withdraw")
def test_groups_follow_addresses_and_interfaces(node: Node) -> None:
    """Each interface with IPv6 is a listener while the address is announced, also a late one."""
    announcer = node.start(service(V4, V6, ranking=("n1",), interfaces=("eth0",)))
    wait_until(lambda: GROUP in groups(node, "eth0"), "joined")
    node.host.add_link("eth1", bytes.fromhex("020000000101"))
    wait_until(lambda: GROUP in groups(node, "eth1"), "joined on the late one, though not chosen")
    node.host.ip("link", "set", "eth1", "down")
    node.host.ip("link", "set", "eth1", "up")
    wait_until(lambda: GROUP in groups(node, "eth1"), "joined after a flap")
    node.want(announcer)
    wait_until(lambda: GROUP not in groups(node, "eth0") + groups(node, "eth1"), "left")


@pytest.mark.rule("layer2-5.mac", "layer2-13.5.interface")
def test_answers_follow_the_selected_interface_and_its_mac_address(node: Node) -> None:
    """Another choice of interface moves the answer, and a new MAC address is told at once."""
    second = bytes.fromhex("020000000101")
    node.host.add_link("eth1", second)
    announcer = node.start(service(V4, V6, ranking=("n1",), interfaces=("eth0",)))
    assert node.asker.who(V4) == {node.host.mac}
    node.want(announcer, service(V4, V6, ranking=("n1",), interfaces=("eth1",)))
    wait_until(lambda: node.asker.who(V4, 0.03) == {second}, "moved to eth1")
    node.calm()
    changed = bytes.fromhex("020000000102")
    node.host.ip("link", "set", "eth1", "address", changed.hex(":"))
    assert node.first_announcement(V4)[6:12] == changed
    assert node.asker.who(V4) == {changed}
    assert node.answers(ndp_frame(node.client.mac, CLIENT6, GROUP, V6))[0][-6:] == changed


def test_flap_is_told_to_the_neighbours(node: Node) -> None:
    """A carrier that comes back is followed by a gratuitous round at once."""
    announcer = node.start()
    node.calm()
    node.host.cut()
    wait_until(lambda: not announcer.owned, "the loss is known")
    node.asker.drain()
    node.host.heal()
    healed = time.monotonic()
    assert node.first_announcement(V4, 4.0)[6:12] == node.host.mac
    assert node.asker.who(V4) == {node.host.mac}
    assert time.monotonic() - healed < 4.0


@pytest.mark.rule("layer2-5.7", "layer2-5.8")
def test_families_are_those_the_interface_has(node: Node) -> None:
    """Without a link-local address there is no NDP; with it again both families are told."""
    node.start()
    link_local = next(
        word
        for word in node.host.ip("-6", "addr", "show", "dev", "eth0", "scope", "link").split()
        if word.startswith("fe80")
    )
    ask = ndp_frame(node.client.mac, CLIENT6, GROUP, V6)
    assert len(node.answers(ask)) == 1
    node.host.ip("-6", "addr", "del", link_local, "dev", "eth0")
    wait_until(lambda: node.answers(ask, 0.05) == [], "no NDP without it")
    assert node.asker.who(V4) == {node.host.mac}
    node.asker.drain()
    node.host.ip("-6", "addr", "add", link_local, "dev", "eth0", "nodad")
    assert node.first_announcement(V6)[6:12] == node.host.mac
    wait_until(lambda: len(node.answers(ask, 0.05)) == 1, "NDP again")


@pytest.mark.rule("layer2-5.1", "layer2-5.5")
def test_port_of_a_bridge_gives_way_to_the_bridge(node: Node) -> None:
    """An enslaved interface falls silent and its master answers; excluded ones never do."""
    port, bridge, hidden = (bytes.fromhex(f"0200000001{n:02x}") for n in (1, 2, 3))
    node.host.add_link("eth1", port)
    node.host.add_link("cali7", hidden)
    announcer = node.start(exclude="^(lo|eth0|cali.*)$")
    assert node.asker.who(V4) == {port}
    assert "layer2.interface_closed" not in announcer.events()
    node.host.ip("link", "add", "br1", "address", bridge.hex(":"), "type", "bridge")
    node.host.ip("link", "set", "br1", "up")
    node.host.ip("link", "set", "eth1", "master", "br1")
    wait_until(lambda: node.asker.who(V4, 0.05) == {bridge}, "the bridge alone answers", 8.0)
    assert "layer2.interface_closed" in announcer.events()
    node.host.ip("link", "set", "eth1", "nomaster")
    wait_until(lambda: node.asker.who(V4, 0.05) == {port}, "the port answers again")


def test_macvlan_is_an_interface_of_its_own(node: Node) -> None:
    """Parent and child answer with their own addresses, and unicast reaches one of them alone."""
    needs("macvlan", "mode", "bridge")
    child = bytes.fromhex("020000000103")
    add = f"link add link eth0 name mv0 address {child.hex(':')} type macvlan mode bridge"
    node.host.ip(*add.split())
    node.host.ip("link", "set", "mv0", "up")
    node.start()
    wait_until(lambda: node.asker.who(V4, 0.05) == {node.host.mac, child}, "both answer")
    for mac in (node.host.mac, child):
        node.asker.drain()
        node.asker.ask(V4, destination=mac)
        assert node.asker.answers(V4) == [mac]


def test_filter_knows_the_interface_a_frame_belongs_to(node: Node) -> None:
    """A socket on a parent is shown what came in for its child, unless the filter says no.

    So it is with a VLAN and its parent for all frames, with a macvlan for unicast ones.
    """
    needs("macvlan", "mode", "bridge")
    child = bytes.fromhex("020000000103")
    add = f"link add link eth0 name mv0 address {child.hex(':')} type macvlan mode bridge"
    node.host.ip(*add.split())
    node.host.ip("link", "set", "mv0", "up")
    index = {link["ifname"]: link["ifindex"] for link in json.loads(node.host.ip("-j", "link"))}

    def count(frame: bytes, device: str, interface: int) -> int:
        with inside(node.host.namespace):
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            attach_filter(sock, bpf.arp_filter([packed(V4)], interface=interface))
            sock.bind((device, 0x0806))
        with sock:
            sock.setblocking(False)
            node.asker.sock.send(frame)
            return len(node.heard(sock, 0.1))

    to_child = arp_frame(node.client.mac, CLIENT4, V4, destination=child)
    assert count(to_child, "eth0", 0) == 1
    assert count(to_child, "eth0", index["eth0"]) == 0
    assert count(to_child, "mv0", index["mv0"]) == 1
    assert count(arp_frame(node.client.mac, CLIENT4, V4), "eth0", index["eth0"]) == 1


def test_vlan_is_an_interface_of_its_own(node: Node) -> None:
    """A tagged request is answered on the VLAN alone, though the parent's socket sees it too."""
    needs("vlan", "id", "5")
    for host in (node.host, node.client):
        host.ip("link", "add", "link", "eth0", "name", "eth0.5", "type", "vlan", "id", "5")
        host.ip("link", "set", "eth0.5", "up")
    announcer = node.start(service(V4, V6, ranking=("n1",), interfaces=("eth0.5",)))
    good = arp_frame(node.client.mac, CLIENT4, V4)
    assert node.asker.who(V4) == set(), "not on the untagged LAN"
    assert len(node.answers(good[:12] + b"\x81\x00\x00\x05" + good[12:])) == 1
    node.want(announcer, service(V4, V6, ranking=("n1",), interfaces=("eth0",)))
    wait_until(lambda: node.asker.who(V4, 0.05) == {node.host.mac}, "on the untagged LAN")
    assert node.answers(good[:12] + b"\x81\x00\x00\x05" + good[12:]) == []


def test_bond_failover_is_told_to_the_neighbours(node: Node) -> None:
    """Slaves are silent, the bond answers, and another active slave means a gratuitous round."""
    needs("bond")
    node.host.ip("link", "add", "bond0", "type", "bond", "mode", "active-backup", "miimon", "50")
    for number in (1, 2):
        node.host.add_link(f"eth{number}", bytes((2, 0, 0, 0, 1, number)))
        node.host.ip("link", "set", f"eth{number}", "down")
        node.host.ip("link", "set", f"eth{number}", "master", "bond0")
        node.host.ip("link", "set", f"eth{number}", "up")
    node.host.ip("link", "set", "bond0", "up")
    node.start(exclude="^(lo|eth0)$")
    wait_until(lambda: len(node.asker.who(V4, 0.05)) == 1, "the bond answers")
    node.calm()
    node.host.ip("link", "set", "bond0", "type", "bond", "active_slave", "eth2")
    assert node.first_announcement(V4)


def test_dummy_and_loopback_announce_nothing(node: Node) -> None:
    """Interfaces without ARP or broadcast are known by name and nothing else."""
    needs("dummy")
    node.host.ip("link", "add", "dum0", "type", "dummy")
    node.host.ip("link", "set", "dum0", "up")
    announcer = node.start(exclude="^nothing$")
    assert {"lo", "dum0", "eth0"} <= set(announcer.observation.interfaces)
    log = (announcer.folder / "log").read_text()
    assert '"interface":"eth0"' in log.replace(" ", "")
    assert "dum0" not in log


def test_filters_fit_into_little_socket_memory(node: Node) -> None:
    """With thousands of scattered addresses a filter can be replaced where 20 KiB are allowed.

    Negative constants, as the kernel sees addresses above 128.0.0.0, take the most room.
    """
    limit = ["ip", "netns", "exec", node.host.namespace, "sysctl", "-qw"]
    if subprocess.run([*limit, "net.core.optmem_max=20480"], check=False).returncode != 0:
        pytest.skip("this kernel has one limit for all network namespaces")
    chance = random.Random(1)
    ipv4 = [bytes((192 + chance.randrange(30), *chance.randbytes(3))) for _ in range(3000)]
    ipv6 = [packed("2001:db8::")[:4] + chance.randbytes(12) for _ in range(3000)]
    programs = (
        bpf.arp_filter(ipv4, interface=3, has_claims=True),
        bpf.ndp_filter(ipv6, interface=3, has_claims=True),
    )
    for program in programs:
        with inside(node.host.namespace):
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        code = ctypes.create_string_buffer(bpf.encode(program))
        argument = struct.pack("HL", len(program), ctypes.addressof(code))
        with sock:
            for _ in range(3):
                sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, argument)


# --- floods ------------------------------------------------------------------------------------


def test_storms_cost_little_and_stop_nothing(node: Node) -> None:
    """Foreign requests are dropped in the kernel; a storm for us is answered, then all is calm."""
    announcer = node.start()
    node.calm()
    foreign = [arp_frame(node.client.mac, CLIENT4, "10.77.0.101")]
    foreign.append(ndp_frame(node.client.mac, CLIENT6, "ff02::1:ff00:101", "fd77::101"))
    before = cpu_s(announcer.process.pid)
    assert node.flood(foreign, rate=20_000, seconds=2.0) > 10_000
    assert cpu_s(announcer.process.pid) - before < 0.2
    own = [arp_frame(node.client.mac, CLIENT4, V4), ndp_frame(node.client.mac, CLIENT6, GROUP, V6)]
    node.flood(own, rate=20_000, seconds=2.0)
    wait_until(lambda: node.asker.who(V4, 0.1) == {node.host.mac}, "answers after the storm")
    wait_until(lambda: counters(node)[V4][0] > 5_000, "counted")
