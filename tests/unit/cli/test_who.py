"""`mercurylb who`: what goes over the wire, what is read from it, and how it is told."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mercurylb.cli import asking, looking
from mercurylb.cli.asking import Answers, Machine, NotPermittedError
from mercurylb.cli.packing import pack
from mercurylb.cli.question import Claim, choose_links, question, read_claim
from mercurylb.cli.wire_text import age_of
from mercurylb.errors import LinkError
from mercurylb.layer2 import arp, ndp
from mercurylb.layer2.interface import Link
from tests.unit.cli.clusters import objects

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Run = Callable[..., Result]

UP = 0x1 | 0x2 | 0x40
MAC = bytes.fromhex("020000000009")
OWNER = bytes.fromhex("020000000001")
OTHER = bytes.fromhex("020000000002")
TARGET4 = bytes((192, 0, 2, 8))
TARGET6 = bytes.fromhex("20010db8000000000000000000000001")
LOCAL6 = bytes.fromhex("fe800000000000000000000000000009")
NEAR = ((bytes((192, 0, 2, 200)), 24), (bytes((192, 0, 3, 1)), 24))


def link(name: str, **parts: Any) -> Link:
    """Make a link that can ask."""
    given = {"index": 2, "flags": UP, "mac": MAC, "link_locals": (LOCAL6,), "addresses": NEAR}
    return Link(name=name, **{**given, **parts})


ETH0 = link("eth0")
FAR = link("eth1", addresses=((bytes((198, 51, 100, 1)), 24),))


def test_an_arp_question_names_the_asker() -> None:
    """It comes from the address in the target's network, so that no cache learns a lie."""
    frame = question(link("eth0", addresses=NEAR[::-1]), TARGET4)
    assert frame is not None
    packet = arp.decode(frame)
    assert (packet.operation, packet.destination) == (arp.REQUEST, arp.BROADCAST)
    assert (packet.sender_mac, packet.sender_ip) == (MAC, NEAR[0][0])
    assert packet.target_ip == TARGET4
    probe = question(link("eth0", addresses=()), TARGET4)
    assert probe is not None
    assert arp.decode(probe).sender_ip == bytes(4)


def test_a_solicitation_is_one_that_our_own_responder_takes() -> None:
    """It goes to the group of its target, from the link-local address, with the option."""
    frame = question(ETH0, TARGET6)
    assert frame is not None
    asked = ndp.decode(frame)
    assert (asked.source, asked.target, asked.source_link_layer) == (LOCAL6, TARGET6, MAC)
    assert asked.destination == ndp.solicited_node_group(TARGET6)
    assert (
        asked.destination_mac == b"\x33\x33" + TARGET6[12:13].replace(b"\0", b"\xff") + TARGET6[13:]
    )
    assert question(link("eth0", link_locals=()), TARGET6) is None


def arp_frame(operation: int, target_ip: bytes) -> bytes:
    """Make an ARP frame of the owner."""
    return arp.encode(arp.ArpPacket(MAC, OWNER, operation, OWNER, TARGET4, MAC, target_ip))


def test_claims_are_read() -> None:
    """Replies, announcements and neighbour advertisements claim; requests and noise do not."""
    claim = Claim(TARGET4, OWNER)
    assert read_claim(arp_frame(arp.REPLY, NEAR[0][0])) == claim
    assert read_claim(arp_frame(arp.REQUEST, TARGET4)) == claim
    assert read_claim(arp_frame(arp.REQUEST, NEAR[0][0])) is None
    frame = ndp.advertisement(
        destination_mac=MAC,
        destination=LOCAL6,
        mac=OWNER,
        link_local=LOCAL6,
        target=TARGET6,
        flags=ndp.FLAG_SOLICITED,
    )
    assert read_claim(frame) == Claim(TARGET6, OWNER)
    solicitation = question(ETH0, TARGET6)
    assert solicitation is not None
    assert read_claim(solicitation) is None


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", MAC + OWNER + b"\x86\xdd", MAC * 2 + b"\x08\x06"]),
)
def test_any_frame_is_a_claim_or_none(frame: bytes, head: bytes) -> None:
    """Nothing that is on the wire ends the program."""
    claim = read_claim(head + frame)
    assert claim is None or len(claim.mac) == 6


@pytest.mark.parametrize(
    ("links", "names", "chosen"),
    [
        ([ETH0, FAR], (), ["eth0"]),
        ([FAR], (), ["eth1"]),
        ([ETH0, FAR], ("eth1",), ["eth1"]),
        ([ETH0, FAR], ("eth1", "eth0", "eth1"), ["eth1", "eth0"]),
        ([link("lo", flags=UP | 0x8), FAR], (), ["eth1"]),
        ([link("down", flags=0x2), FAR], (), ["eth1"]),
        ([link("port", has_master=True), FAR], (), ["eth1"]),
        ([link("tun", flags=UP | 0x80), link("ib", mac=bytes(20)), FAR], (), ["eth1"]),
    ],
)
def test_where_is_asked(links: list[Link], names: tuple[str, ...], chosen: list[str]) -> None:
    """On the interfaces named, else in the target's network, else everywhere it is possible."""
    assert [each.name for each in choose_links(links, TARGET4, names)] == chosen


@pytest.mark.parametrize(
    ("name", "told"), [("eth7", "is not there; those that can: eth0"), ("lo", "cannot be asked on")]
)
def test_a_wrong_interface_is_told(name: str, told: str) -> None:
    """With those that would do."""
    with pytest.raises(LinkError, match=told):
        choose_links([ETH0, link("lo", flags=UP | 0x8)], TARGET4, [name])


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, list[bytes]]:
    """Replace the sockets by a table of who answers for what; the machine asked from has eth0."""
    answering: dict[bytes, list[bytes]] = {}

    def ask(links: object, target: bytes, others: list[bytes], **options: Any) -> Answers:
        del links, options
        answers = Answers(at=10.0)
        for each in (target, *others):
            for mac in answering.get(each, []):
                machine = Machine(mac, "eth0", first_at=9.0015, last_at=9.5, asked_at=9.0, count=3)
                answers.machines.setdefault(each, {})["eth0", mac] = machine
        return answers

    monkeypatch.setattr(looking, "find_links", lambda: [ETH0])
    monkeypatch.setattr(looking, "ask", ask)
    return answering


@pytest.fixture
def cluster(tmp_path: Path) -> str:
    """Give the healthy cluster in a file: n1 announces 192.0.2.8."""
    path = tmp_path / "cluster.json"
    raws = objects("announced")
    for raw in raws:
        name = raw["metadata"]["name"]
        if raw["kind"] == "Node":
            address = f"192.0.2.{100 + int(name[1:])}"
            raw.setdefault("status", {})["addresses"] = [{"type": "InternalIP", "address": address}]
        if raw["kind"] == "ServiceL2Status":
            raw["metadata"]["creationTimestamp"] = "2026-03-01T10:00:00Z"
    path.write_bytes(pack(raws, is_yaml=False))
    return str(path)


def nodes_answer(wire: dict[bytes, list[bytes]]) -> None:
    """Let all three nodes tell their MAC addresses."""
    for number in (1, 2, 3):
        wire[bytes((192, 0, 2, 100 + number))] = [bytes((2, 0, 0, 0, 0, number))]


def test_the_right_one_answers(run: Run, wire: dict[bytes, list[bytes]], cluster: str) -> None:
    """Who, where, how often, how quickly, how long ago; who is to; and who says so since when."""
    nodes_answer(wire)
    wire[TARGET4] = [OWNER]
    result = run("who", "192.0.2.8", "--snapshot", cluster)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "Answer: node n1 answers for 192.0.2.8 (service default/web), as it is to."
    assert (
        "Heard    node n1 02:00:00:00:00:01 on eth0, 3 times, after 1.5 ms, last 0.5 s ago" in lines
    )
    assert "Node     1. n1, is to answer" in lines
    assert any(
        line.startswith("Says     n1 that it announces default/web by layer2, written ")
        for line in lines
    )


@pytest.mark.parametrize(
    ("macs", "expected"),
    [
        ([OWNER], ("right", 0)),
        ([OTHER], ("wrongNode", 1)),
        ([OWNER, OTHER], ("twoOwners", 1)),
        ([bytes.fromhex("020000000066")], ("stranger", 1)),
        ([], ("nobody", 3)),
    ],
)
def test_exit_codes(
    run: Run,
    wire: dict[bytes, list[bytes]],
    cluster: str,
    macs: list[bytes],
    expected: tuple[str, int],
) -> None:
    """0 when it is right, 1 when it is wrong, 3 when nobody answers; the JSON says it in words."""
    nodes_answer(wire)
    if macs:
        wire[TARGET4] = macs
    result = run("who", "192.0.2.8", "--snapshot", cluster, "--json")
    shown = json.loads(result.stdout)
    assert (shown["code"], result.exit_code) == expected
    assert shown["isFine"] is (expected[1] == 0)
    assert [each["mac"] for each in shown["answers"]] == [mac.hex(":") for mac in macs]


def test_a_node_that_cannot_be_asked_can_be_given(
    run: Run, wire: dict[bytes, list[bytes]], cluster: str
) -> None:
    """Without its MAC address nothing is proven; with it everything is."""
    wire[TARGET4] = [OWNER]
    result = run("who", "192.0.2.8", "--snapshot", cluster)
    assert (result.exit_code, "may be the right one" in result.stdout) == (1, True)
    assert "Note     did not tell their MAC addresses on this wire: n1, n2, n3" in result.stdout
    result = run("who", "192.0.2.8", "--snapshot", cluster, "--node", "n1=02-00-00-00-00-01")
    assert result.exit_code == 0


def test_without_a_cluster_the_wire_is_told(run: Run, wire: dict[bytes, list[bytes]]) -> None:
    """Nobody needs credentials to see two owners; their absence is a warning."""
    wire[TARGET4] = [OWNER]
    result = run("who", "192.0.2.8")
    assert result.exit_code == 0
    assert "warning: without a cluster only the wire is told" in result.stderr
    assert "Answer: 02:00:00:00:00:01 answers for 192.0.2.8" in result.stdout
    wire[TARGET4] = [OWNER, OTHER]
    result = run("who", "192.0.2.8", "--no-cluster")
    assert (result.exit_code, result.stderr) == (1, "")


def test_asked_from_the_owner_itself(
    run: Run, wire: dict[bytes, list[bytes]], cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node cannot hear its own announcer, and is told to ask elsewhere."""
    own = link("eth0", addresses=((bytes((192, 0, 2, 101)), 24),))
    monkeypatch.setattr(looking, "find_links", lambda: [own])
    assert wire == {}
    result = run("who", "192.0.2.8", "--snapshot", cluster)
    assert result.exit_code == 3
    assert "To do: ask from another machine of the same network." in result.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["192.0.2.300"], "invalid IP address"),
        (["192.0.2.8", "--node", "n1"], "is not like n1="),
        (["192.0.2.8", "--count", "0"], "is not in the range"),
        (["192.0.2.8", "--timeout", "1e9"], "is not in the range"),
        ([], "Missing argument"),
    ],
)
def test_called_wrongly(run: Run, words: list[str], told: str) -> None:
    """The exit code is that of every command."""
    result = run("who", *words)
    assert result.exit_code == 2
    assert told in result.stderr


def test_a_machine_that_may_not_ask_is_told_what_to_do(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's refusal is no traceback."""

    def socket(*_arguments: object) -> object:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(looking, "find_links", lambda: [ETH0])
    monkeypatch.setattr(asking.socket, "socket", socket)
    result = run("who", "192.0.2.8", "--no-cluster")
    assert result.exit_code == 1
    assert "sudo mercurylb who" in result.stderr
    assert "NET_RAW" in result.stderr
    with contextlib.suppress(NotPermittedError):
        asking.ask([ETH0], TARGET4)


def test_without_any_interface_it_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence would look like an answer."""
    monkeypatch.setattr(looking, "find_links", lambda: [link("eth0", link_locals=())])
    result = run("who", "2001:db8::1", "--no-cluster")
    assert result.exit_code == 1
    assert "no interface is up that could ask" in result.stderr


@pytest.mark.parametrize(
    ("since", "age"),
    [
        ("2026-03-01T10:00:00Z", "5 s"),
        ("2026-03-01T09:58:00Z", "2 min"),
        ("2026-03-01T07:00:00Z", "3 h"),
        ("2026-02-20T07:00:00Z", "9 d"),
        ("2027-01-01T00:00:00Z", "0 s"),
        ("", ""),
        ("yesterday", ""),
    ],
)
def test_ages(since: str, age: str) -> None:
    """One unit is enough."""
    assert age_of(since, 1772359205.0) == age
