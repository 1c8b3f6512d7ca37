"""What a speaker checks before it runs, and what its announcer is told (spec: speaker §1.1)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from mercurylb import __version__
from mercurylb.errors import ConfigError
from mercurylb.membership.swim.config import LAN, WAN
from mercurylb.speaker import start
from mercurylb.speaker.brain import run
from mercurylb.speaker.settings import parse_settings
from mercurylb.speaker.start import StartError, announcer_settings, read_secret, tell_start
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from pathlib import Path

    from mercurylb.announcer import AnnouncerSettings

MEMBER = ("--node-name=n1", "--ml-bindaddr=192.0.2.1", "--ml-labels=app=speaker")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give an empty folder that stands for /etc/metallb."""
    return tmp_path


def told(home: Path, *argv: str, **environ: str) -> AnnouncerSettings:
    """Give what the announcer is told."""
    return announcer_settings(
        parse_settings(argv, environ),
        environ,
        memberlist_file=home / "config.json",
        exclusion_file=home / "excludel2.yaml",
    )


def refused(home: Path, *argv: str, **environ: str) -> str:
    """Give why a speaker does not start."""
    with pytest.raises((StartError, ConfigError)) as caught:
        told(home, *argv, **environ)
    return str(caught.value)


@pytest.mark.rule("speaker-1.node-name")
def test_the_nodes_name_is_needed(home: Path) -> None:
    """Without it there is nothing to be."""
    assert refused(home) == "must specify --node-name or METALLB_NODE_NAME"
    assert told(home, METALLB_NODE_NAME="n1").node == "n1"


@pytest.mark.rule("speaker-1.bgp-type", "bgp-1.backend")
@pytest.mark.parametrize("backend", ["", "frrk8s", "Native"])
def test_an_unknown_backend_is_refused(home: Path, backend: str) -> None:
    """Only an absent variable is the default; an empty one is a mistake."""
    assert "unsupported bgp implementation type" in refused(
        home, "--node-name=n1", METALLB_BGP_TYPE=backend
    )


@pytest.mark.rule("speaker-1.bgp-type")
@pytest.mark.parametrize(
    "environ", [{}, *({"METALLB_BGP_TYPE": b} for b in ("native", "frr", "frr-k8s"))]
)
def test_known_backends_are_taken(home: Path, environ: dict[str, str]) -> None:
    """The three of the original, and none for the native one."""
    assert told(home, "--node-name=n1", **environ).node == "n1"


def test_only_the_native_backend_listens(home: Path) -> None:
    """With FRR the port is FRR's."""
    for backend, port in (("native", 1790), ("frr", 0), ("frr-k8s", 0)):
        environ = {"METALLB_BGP_TYPE": backend, "METALLB_BGP_LISTEN_PORT": "1790"}
        assert told(home, "--node-name=n1", **environ).bgp_listen_port == port


@pytest.mark.rule("speaker-1.passthrough", "bgp-1.passthrough")
@pytest.mark.parametrize(
    ("argv", "backend", "told_"),
    [
        ((), "native", "requires METALLB_BGP_TYPE=frr-k8s"),
        (("--frrk8s-namespace=x",), "frr", "requires METALLB_BGP_TYPE=frr-k8s"),
        ((), "frr-k8s", "requires --frrk8s-namespace to be set"),
    ],
)
def test_secrets_are_passed_to_frr_k8s_only(
    home: Path, argv: tuple[str, ...], backend: str, told_: str
) -> None:
    """Whoever passes them on has to say where to."""
    words = ("--node-name=n1", "--frrk8s-secret-passthrough", *argv)
    assert told_ in refused(home, *words, METALLB_BGP_TYPE=backend)
    told(home, *words, "--frrk8s-namespace=y", METALLB_BGP_TYPE="frr-k8s")


@pytest.mark.rule("membership-1.1.bind-port")
@pytest.mark.parametrize(("text", "port"), [("", 7946), ("7947", 7947), ("0", 0), ("65535", 65535)])
def test_the_membership_port(home: Path, text: str, port: int) -> None:
    """It is text; nothing at all is the library's own."""
    membership = told(home, *MEMBER, METALLB_ML_BIND_PORT=text).membership
    assert membership is not None
    assert (membership.bind_address, membership.bind_port) == ("192.0.2.1", port)


@pytest.mark.rule("membership-1.1.bind-port")
@pytest.mark.parametrize("text", ["x", "65536", "-1", "1 ", "99999999999999999999"])
def test_a_port_that_is_none_is_refused(home: Path, text: str) -> None:
    """But nobody looks at it while membership is off."""
    assert "is no port" in refused(home, *MEMBER, f"--ml-bindport={text}")
    assert told(home, "--node-name=n1", f"--ml-bindport={text}").membership is None


@pytest.mark.rule("membership-2.every-address")
def test_who_listens_everywhere_tells_the_host_s_address(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first private one; without any, and for `::`, the flag has to be more precise."""
    everywhere = ("--node-name=n1", "--ml-labels=a=b", "--ml-bindaddr=0.0.0.0")
    monkeypatch.setattr(start, "first_private_ipv4", lambda: "10.1.2.3")
    membership = told(home, *everywhere).membership
    assert membership is not None
    assert (membership.bind_address, membership.own_address) == ("0.0.0.0", "10.1.2.3")
    monkeypatch.setattr(start, "first_private_ipv4", lambda: "")
    assert "no interface has a private IPv4 address" in refused(home, *everywhere)
    assert "give the node's own address" in refused(home, *everywhere[:2], "--ml-bindaddr=::")


def test_a_bind_address_that_is_none_is_refused(home: Path) -> None:
    """By name of the flag, before any socket is opened."""
    assert "'n1.example' is no IP address" in refused(home, *MEMBER, "--ml-bindaddr=n1.example")


@pytest.mark.rule("membership-1.3.raw")
def test_the_secret_is_taken_as_it_is(home: Path) -> None:
    """Neither trimmed nor decoded, out of the folder that the flag names."""
    (home / "secretkey").write_bytes(b" a2V5\n")
    membership = told(home, *MEMBER, f"--ml-secret-key-path={home}").membership
    assert membership is not None
    assert membership.secret == b" a2V5\n"
    assert read_secret(str(home / "secretkey")) == b" a2V5\n"


@pytest.mark.rule("membership-1.1.secret")
def test_a_secret_that_cannot_be_read_is_refused(home: Path) -> None:
    """A key that was meant to be there is not left out, not even while membership is off."""
    wanted = f"--ml-secret-key-path={home}"
    assert "failed to read memberlist secret key file" in refused(home, *MEMBER, wanted)
    assert "failed to read" in refused(home, "--node-name=n1", wanted)


def spoken(
    home: Path, capsys: pytest.CaptureFixture[str], *argv: str, **environ: str
) -> list[dict[str, Any]]:
    """Give the lines that a start logs."""
    log.configure(log.Level.INFO)
    settings = parse_settings(argv, environ)
    tell_start(settings, told(home, *argv, **environ), environ)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.rule("membership-1.3.plaintext")
def test_no_key_is_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a path nor an empty file protects anything, and the log says so."""
    (home / "secretkey").write_bytes(b"")
    for path in ("", str(home)):
        (line,) = spoken(home, capsys, *MEMBER, f"--ml-secret-key-path={path}")
        assert (line["level"], line["event"]) == ("warn", "speaker.membership_in_plaintext")
    (home / "secretkey").write_bytes(b"key")
    assert spoken(home, capsys, *MEMBER, f"--ml-secret-key-path={home}") == []


@pytest.mark.rule("membership-1.2.disabled")
def test_membership_that_is_off_is_told_in_two_lines(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is missing, and what follows from it."""
    first, second = spoken(home, capsys, "--node-name=n1", "--ml-bindaddr=192.0.2.1")
    assert (first["level"], first["missing"]) == ("info", ["--ml-labels"])
    assert (second["level"], second["event"]) == ("info", "speaker.every_node_is_a_candidate")


@pytest.mark.rule("speaker-1.bgp-type")
def test_the_frr_mode_is_deprecated(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is taken, with a warning."""
    (line, *_) = spoken(home, capsys, "--node-name=n1", METALLB_BGP_TYPE="frr")
    assert (line["level"], line["event"]) == ("warn", "speaker.backend_deprecated")


@pytest.mark.rule("speaker-1.wan", "membership-1.1.wan")
@pytest.mark.parametrize(("argv", "expected"), [((), LAN), (("--ml-wan-config",), WAN)])
def test_the_kind_of_network(home: Path, argv: tuple[str, ...], expected: object) -> None:
    """A flag chooses the wide one."""
    membership = told(home, *MEMBER, *argv).membership
    assert membership is not None
    assert membership.swim == expected


CONFIG = {
    "TCPTimeout": "5s",
    "IndirectChecks": 2,
    "RetransmitMult": 4,
    "SuspicionMult": 3,
    "SuspicionMaxTimeoutMult": 6,
    "PushPullInterval": "20s",
    "ProbeTimeout": "400ms",
    "ProbeInterval": "900ms",
    "DisableTcpPings": False,
    "AwarenessMaxMultiplier": 8,
    "GossipNodes": 3,
    "GossipInterval": "150ms",
    "GossipToTheDeadTime": "30s",
    "GossipVerifyIncoming": True,
    "GossipVerifyOutgoing": True,
    "EnableCompression": True,
    "HandoffQueueDepth": 1024,
    "UDPBufferSize": 1400,
    "QueueCheckInterval": "30s",
}


@pytest.mark.rule("membership-1.4.file")
def test_a_file_replaces_the_kind_of_network(home: Path) -> None:
    """It counts whatever the flag says, and what is missing in it is named."""
    file = home / "config.json"
    file.write_text(json.dumps(CONFIG))
    first = told(home, *MEMBER).membership
    second = told(home, *MEMBER, "--ml-wan-config").membership
    assert first is not None
    assert first == second
    assert first.swim not in (LAN, WAN)
    file.write_text(json.dumps({**CONFIG, "ProbeInterval": ""}))
    assert "ProbeInterval" in refused(home, *MEMBER)
    file.unlink()
    file.mkdir()
    assert "cannot be read" in refused(home, *MEMBER)


@pytest.mark.rule("speaker-1.1.exclusions")
@pytest.mark.rule("layer2-5.file")
def test_a_wrong_exclusion_file_is_refused(home: Path) -> None:
    """An interface that was to be left out is not used by mistake."""
    (home / "excludel2.yaml").write_text('announcedInterfacesToExclude: ["("]')
    assert "announcedInterfacesToExclude[0]" in refused(home, "--node-name=n1")
    (home / "excludel2.yaml").write_text('announcedInterfacesToExclude: ["^veth"]')
    (pattern,) = told(home, "--node-name=n1").excluded_interfaces
    assert pattern.search("veth0")


@pytest.mark.rule("layer2-8.periodic.log", "layer2-8.periodic.flag")
@pytest.mark.parametrize(("argv", "told_"), [((), []), (("--gratuitous-arp-interval=30",), [30])])
def test_periodic_announcements_are_told(
    home: Path, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], told_: list[int]
) -> None:
    """They are off unless asked for, and then the log says how often."""
    lines = spoken(home, capsys, "--node-name=n1", *argv)
    found = [line for line in lines if line["event"] == "speaker.announces_periodically"]
    assert [line["interval_s"] for line in found] == told_
    assert told(home, "--node-name=n1", *argv).gratuitous_interval_s == (told_ or [0])[0]


@pytest.mark.rule("speaker-1.1.order")
def test_the_first_mistake_is_told(home: Path) -> None:
    """They are looked for in the original's order, so that both say the same."""
    (home / "excludel2.yaml").write_text("announcedInterfacesToExclude: 7")
    node, secret = "--node-name=n1", f"--ml-secret-key-path={home / 'none'}"
    membership = ("--ml-bindaddr=192.0.2.1", "--ml-labels=a", "--ml-bindport=x")
    wrong = ["--frrk8s-secret-passthrough", *membership, secret]
    assert "node-name" in refused(home, *wrong)
    assert "secret key file" in refused(home, node, *wrong)
    assert "is no port" in refused(home, node, *wrong[:-1])
    assert "announcedInterfacesToExclude" in refused(home, node, wrong[0])
    (home / "excludel2.yaml").unlink()
    assert "requires METALLB_BGP_TYPE" in refused(home, node, wrong[0])


@pytest.mark.rule("speaker-10.restart")
def test_what_was_read_at_the_start_stays(home: Path) -> None:
    """Files that change later count from the next start on."""
    (home / "secretkey").write_bytes(b"one")
    argv = (*MEMBER, f"--ml-secret-key-path={home}")
    first = told(home, *argv)
    (home / "secretkey").write_bytes(b"two")
    (home / "excludel2.yaml").write_text('announcedInterfacesToExclude: ["^veth"]')
    assert first.membership is not None
    assert (first.membership.secret, first.excluded_interfaces) == (b"one", ())
    assert told(home, *argv) != first


@pytest.mark.rule("speaker-1.1.version")
def test_the_first_line_tells_the_version() -> None:
    """And a start that fails ends with 1 after saying why, as a line of the log."""
    done = subprocess.run(
        [sys.executable, "-m", "mercurylb.speaker"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    first, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert (first["event"], first["version"]) == ("speaker.starting", __version__)
    assert (last["event"], last["level"]) == ("speaker.start_refused", "error")
    assert "must specify --node-name" in last["error"]


@pytest.mark.parametrize(
    ("argv", "told_"),
    [
        pytest.param(
            ["--tls-min-version=TLS13"],
            "unknown version",
            marks=pytest.mark.rule("speaker-1.tls-min-version"),
        ),
        pytest.param(
            ["--tls-cipher-suites=AES"],
            "unknown suite",
            marks=pytest.mark.rule("speaker-1.tls-cipher-suites"),
        ),
        pytest.param(
            ["--tls-curve-preferences=29,29"],
            "duplicate",
            marks=pytest.mark.rule("speaker-1.curves"),
        ),
        pytest.param([], "namespace", marks=pytest.mark.rule("speaker-1.namespace")),
        pytest.param(
            ["--namespace=x"], "own pod is not known", marks=pytest.mark.rule("speaker-1.pod-name")
        ),
    ],
)
def test_what_the_brain_cannot_go_on_with_ends_with_one(
    argv: list[str],
    told_: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """It is told before anything is asked of the API server."""
    config = tmp_path / "kubeconfig"
    server = "{name: c, cluster: {server: 'https://127.0.0.1:1'}}"
    config.write_text(
        f"{{clusters: [{server}], users: [{{name: u, user: {{token: t}}}}],"
        " contexts: [{name: x, context: {cluster: c, user: u}}], current-context: x}"
    )
    monkeypatch.setenv("KUBECONFIG", str(config))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert run(parse_settings(["--node-name=n1", *argv], {}), theirs) == 1
    assert told_ in capsys.readouterr().out
