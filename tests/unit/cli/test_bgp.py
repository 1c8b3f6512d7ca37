"""`mercurylb bgp`: what the speaker is asked, and how its answers are told."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import uuid
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import yaml
from click.testing import CliRunner

from mercurylb.bfd.report import BfdDetail, BfdReport
from mercurylb.bgp.report import MessageCounts, SessionReport
from mercurylb.cli import bgp as commands
from mercurylb.cli import desk
from mercurylb.cli.__main__ import command
from mercurylb.plan.desk import (
    AskPeers,
    AskRoutes,
    AskSession,
    DeskError,
    PeersAnswer,
    Question,
    RoutesAnswer,
    SessionAnswer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.testing import Result

    Run = Callable[..., Result]
    Reply = Callable[[Question], object]

UP = SessionReport(
    name="r1",
    peer="192.0.2.1:179",
    state="Established",
    since_s=7300.0,
    asn=64512,
    peer_asn=64513,
    local_address="192.0.2.10",
    remote_address="192.0.2.1",
    router_id="192.0.2.10",
    peer_router_id="10.0.0.1",
    hold_time_s=90,
    keepalive_time_s=30.0,
    families=("ipv4", "ipv6"),
    capabilities=("route refresh",),
    capabilities_offered=("route refresh", "extended message"),
    capabilities_received=("route refresh", "capability 99"),
    prefixes_sent=2,
    prefixes_pending=1,
    last_error="hold timer expired",
    flap_count=1,
    counts=MessageCounts(opens_sent=2, opens_received=2, updates_sent=5),
    bfd="Up",
)
TRYING = SessionReport(
    name="r2",
    peer="eth1:179",
    state="Active",
    since_s=12.0,
    last_error="connection refused",
    next_attempt_s=3.25,
)
BFD = BfdReport(
    peer="192.0.2.1",
    interface="eth0",
    state="Up",
    since_s=60.0,
    diagnostic="Control Detection Time Expired",
    transmit_interval_ms=50.0,
    detection_time_ms=150.0,
    packets_received=9,
    packets_sent=10,
    up_count=2,
    down_count=1,
    dropped_count=4,
)
DETAIL = BfdDetail(
    discriminator=77,
    remote_discriminator=88,
    remote_state="Up",
    remote_transmit_interval_ms=50.0,
    remote_receive_interval_ms=50.0,
    remote_multiplier=3,
    authentication="keyed SHA1",
    dropped={"ttl": 3, "path": 1},
)
MESSAGES = "OPEN 2/2, UPDATE 5/0, KEEPALIVE 0/0, NOTIFICATION 0/0, ROUTE-REFRESH 0/0"
ROUTES = tuple((f"198.51.100.{number}/32", "next hop 192.0.2.10") for number in range(5))


def reply(question: Question) -> object:
    """Answer as an announcer with the peers r1 and r2 does."""
    match question:
        case AskPeers():
            return PeersAnswer("n1", (UP, TRYING), (BFD,))
        case AskSession(peer="r1"):
            story = ((3700.0, "Connect"), (4.26, "Established"))
            return SessionAnswer("n1", UP, BFD, story, DETAIL, ((60.0, "Init -> Up"),))
        case AskSession(peer="r2"):
            return SessionAnswer("n1", TRYING, None, ())
        case AskRoutes(peer="r1", offset=offset):
            return RoutesAnswer("n1", "r1", 5, offset, ROUTES[offset : offset + 2])
        case AskRoutes(peer="r2"):
            return RoutesAnswer("n1", "r2", 0, 0, ())
        case _:
            return DeskError("there is no peer of this name", ("r1", "r2"))


def encoded(question: bytes) -> bytes:
    """Answer a line by a line."""
    return msgspec.json.encode(reply(msgspec.json.decode(question, type=Question))) + b"\n"


@contextlib.contextmanager
def answering(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[bytes], bytes | None]
) -> Iterator[list[bytes]]:
    """Be the announcer for a while; None keeps an asker waiting."""
    name = f"\0mercurylb-test-{os.getpid()}-{uuid.uuid4()}"
    monkeypatch.setattr(desk, "DESK_NAME", name)
    asked: list[bytes] = []
    kept: list[socket.socket] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(name)
        listener.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    asker, _ = listener.accept()
                    asked.append(asker.recv(4096))
                    said = answer(asked[-1])
                    if said is None:
                        kept.append(asker)
                        continue
                    asker.sendall(said)
                    asker.close()

        server = threading.Thread(target=serve)
        server.start()
        yield asked
        listener.shutdown(socket.SHUT_RDWR)
        server.join()
        for asker in kept:
            asker.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Run an announcer with the peers r1 and r2; give what it was asked."""
    with answering(monkeypatch, encoded) as asked:
        yield asked


@pytest.mark.usefixtures("asked")
def test_peers_are_a_table(run: Run) -> None:
    """Each peer is a row; a session that is not established makes the exit code 1."""
    result = run("bgp", "peers")
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "PEER  ADDRESS        AS     STATE        SINCE  BFD  PREFIXES        LAST ERROR",
        "r1    192.0.2.1:179  64513  Established  2 h    Up   2 (+1 pending)  hold timer expired",
        "r2    eth1:179       -      Active       12 s   -    0               connection refused",
    ]


@pytest.mark.usefixtures("asked")
def test_a_wide_table_has_more_columns(run: Run) -> None:
    """Local address, router id, hold time, families, flaps and VRF stand in it."""
    head, first, _ = run("bgp", "peers", "-o", "wide").output.splitlines()
    for column in ("LOCAL", "ROUTER ID", "HOLD", "FAMILIES", "FLAPS", "VRF"):
        assert column in head
    for cell in ("192.0.2.10", "10.0.0.1", "90 s", "ipv4+ipv6", "hold timer expired"):
        assert cell in first


@pytest.mark.usefixtures("asked")
def test_programs_get_everything(run: Run) -> None:
    """JSON and YAML hold the whole answer."""
    whole = json.loads(run("bgp", "peers", "-o", "json").output)
    assert whole == json.loads(json.dumps(msgspec.to_builtins(reply(AskPeers()))))
    assert yaml.safe_load(run("bgp", "peers", "-o", "yaml").output) == whole
    session = json.loads(run("bgp", "session", "r1", "-o", "json").output)
    assert session["bfd_detail"]["discriminator"] == 77


@pytest.mark.usefixtures("asked")
def test_routes_are_listed_by_peer(run: Run) -> None:
    """Every peer has its routes, however many answers they come in, and what is pending."""
    result = run("bgp", "routes")
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "r1 (192.0.2.1:179): 2 routes, 1 to be sent or withdrawn",
        *(f"  {prefix}  {attributes}" for prefix, attributes in ROUTES),
        "",
        "r2 (eth1:179, Active): no routes",
    ]


def test_routes_of_one_peer_are_asked_for_alone(run: Run, asked: list[bytes]) -> None:
    """With --peer nobody else is asked about."""
    result = run("bgp", "routes", "--peer", "r1", "-o", "json")
    assert [(each["peer"], len(each["routes"])) for each in json.loads(result.output)] == [
        ("r1", 5)
    ]
    assert not any(b"r2" in each or b"peers" in each for each in asked)


@pytest.mark.usefixtures("asked")
def test_a_session_is_told_whole(run: Run) -> None:
    """State, timers, capabilities, counters, BFD and both stories with ages are there."""
    result = run("bgp", "session", "r1")
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "Session: r1 is Established for 2 h, with 2 (+1 pending) prefixes.",
        "",
        "Peer       192.0.2.1:179, at 192.0.2.1, AS 64513, router id 10.0.0.1",
        "Here       n1, 192.0.2.10, AS 64512, router id 192.0.2.10",
        "Timers     hold 90 s, keepalive 30 s",
        "Families   ipv4, ipv6",
        "Both have  route refresh",
        "We offer   route refresh, extended message",
        "Peer has   route refresh, capability 99",
        "Prefixes   2 sent, 1 pending",
        f"Messages   {MESSAGES} (sent/received)",
        "Flaps      1",
        "Last error hold timer expired",
        "BFD        Up for 1 min, over one hop on eth0",
        "           a packet every 50 ms, silence borne for 150 ms",
        "           10 packets sent, 9 received, 4 dropped; ups 2, downs 1",
        "           was down last by: Control Detection Time Expired",
        "           discriminator 77",
        "           peer: Up, discriminator 88, sends every 50 ms x 3, receives every 50 ms",
        "           authenticated by keyed SHA1",
        "           dropped for: ttl 3, path 1",
        "Story           1 h ago  Connect",
        "              4.3 s ago  Established",
        "BFD story     1 min ago  Init -> Up",
    ]


@pytest.mark.usefixtures("asked")
def test_a_session_that_is_not_established_says_why_first(run: Run) -> None:
    """The first line has the reason, and the exit code is 1."""
    result = run("bgp", "session", "r2")
    assert result.exit_code == 1
    assert result.output.startswith("Session: r2 is Active for 12 s: connection refused.\n")
    assert "Next       attempt in 3.2 s" in result.output


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("words", [["session", "r9"], ["routes", "--peer", "r9"]])
def test_an_unknown_peer_is_told_with_the_known_ones(run: Run, words: list[str]) -> None:
    """Whoever mistypes a name sees which there are."""
    result = run("bgp", *words)
    assert result.exit_code == 1
    assert result.stderr == "Error: there is no peer of this name; known here: r1, r2\n"


def test_no_speaker_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none runs, that is said, and where to ask instead."""
    monkeypatch.setattr(desk, "DESK_NAME", f"\0mercurylb-test-{uuid.uuid4()}")
    result = run("bgp", "peers")
    assert result.exit_code == 1
    assert "no speaker answers in this network namespace" in result.stderr


@pytest.mark.parametrize(
    ("said", "told"),
    [
        pytest.param(None, "has not answered for 0.1 s", id="nothing"),
        pytest.param(b"", "does not answer this user", id="refused"),
        pytest.param(b'{"node": "n1"', "broke off", id="half"),
        pytest.param(b"[]\n", "not understood", id="another shape"),
        pytest.param(b'{"node": 7}\n', "not understood", id="another type"),
        pytest.param(b"\xff\n", "not understood", id="garbage"),
    ],
)
def test_a_speaker_that_does_not_answer_well_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, said: bytes | None, told: str
) -> None:
    """Waiting is bounded, and whatever comes is told in one line."""
    with answering(monkeypatch, lambda _question: said):
        result = run("bgp", "peers", "--timeout", "0.1" if said is None else "30")
    assert result.exit_code == 1
    assert told in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_answer_without_end_is_cut_off(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is read than any honest answer has."""
    monkeypatch.setattr(desk, "ANSWER_SIZE_MAX", 1000)
    with answering(monkeypatch, lambda _question: b"x" * 2000):
        result = run("bgp", "peers")
    assert "longer than 1000 bytes" in result.stderr


def test_a_peers_words_do_not_reach_the_terminal_raw(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Escape sequences in a shutdown message are shown, not obeyed."""
    rude = msgspec.structs.replace(TRYING, last_error="bye\x1b[2J\nnow")
    line = msgspec.json.encode(PeersAnswer("n1", (rude,), ())) + b"\n"
    with answering(monkeypatch, lambda _question: line):
        output = run("bgp", "peers").output
    assert "\x1b" not in output
    assert output.splitlines()[-1].endswith("bye\ufffd[2J\ufffdnow")


def test_all_established_is_fine(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code says whether anything is wrong: a session, or BFD below it."""
    for bfd, code in (("", 0), ("Up", 0), ("Down", 1)):
        report = msgspec.structs.replace(UP, bfd=bfd)
        line = msgspec.json.encode(PeersAnswer("n1", (report,), ())) + b"\n"
        with answering(monkeypatch, lambda _question, line=line: line):  # type: ignore[misc]
            assert run("bgp", "peers").exit_code == code


def test_a_node_without_peers_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty table would be no answer."""
    line = msgspec.json.encode(PeersAnswer("n1", (), ())) + b"\n"
    with answering(monkeypatch, lambda _question: line):
        result = run("bgp", "peers")
    assert (result.exit_code, result.output) == (0, "Node n1 has no BGP peers.\n")


def completed(words: str) -> str:
    """Return what a shell is offered."""
    environment: dict[str, Any] = {
        "_MERCURYLB_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - (not words.endswith(" "))),
    }
    return CliRunner().invoke(command(), [], env=environment, prog_name="mercurylb").output


@pytest.mark.usefixtures("asked")
def test_shells_complete_the_names_of_peers() -> None:
    """The speaker is asked for them."""
    assert completed("mercurylb bgp session ").split() == ["plain,r1", "plain,r2"]
    assert completed("mercurylb bgp routes --peer r2").split() == ["plain,r2"]


def test_shells_complete_nothing_without_a_speaker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Completion neither fails nor makes anybody wait."""
    monkeypatch.setattr(desk, "DESK_NAME", f"\0mercurylb-test-{uuid.uuid4()}")
    assert completed("mercurylb bgp session ").strip() == ""
    assert commands.COMPLETION_TIMEOUT_S <= 1
