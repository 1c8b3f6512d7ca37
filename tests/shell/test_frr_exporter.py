"""The exporter, with stand-ins for FRR's daemons."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from mercurylb.errors import LinkError
from mercurylb.frr_metrics.exporter import Exporter, ExporterServer
from mercurylb.frr_metrics.families import Families
from mercurylb.frr_metrics.settings import ExporterSettings, parse_settings
from mercurylb.frr_metrics.terminal import DAEMONS, Terminal
from mercurylb.telemetry.metrics import Registry
from mercurylb.telemetry.tls import TlsOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

STATS = {
    "opensSent": 1,
    "opensRecv": 2,
    "notificationsSent": 3,
    "updatesSent": 4,
    "updatesRecv": 5,
    "keepalivesSent": 6,
    "keepalivesRecv": 7,
    "routeRefreshSent": 8,
    "totalSent": 9,
    "totalRecv": 10,
}
UP = {
    "bgpState": "Established",
    "portForeign": 179,
    "messageStats": STATS,
    "addressFamilyInfo": {"ipv4Unicast": {"sentPrefixCounter": 3}, "ipv6Unicast": {}},
}
BGPD: dict[str, object] = {
    "show bgp vrfs json": {"vrfs": {"red": {}, "default": {}}},
    "show bgp vrf default neighbors json": {"192.0.2.1": UP, "net0": {"portForeign": -1}},
    "show bgp vrf red neighbors json": {"2001:db8::1": {"portForeign": 1179}},
}
COUNTERS = {
    "peer": "192.0.2.1",
    "control-packet-input": 1,
    "control-packet-output": 2,
    "echo-packet-input": 3,
    "echo-packet-output": 4,
    "session-up": 5,
    "session-down": 6,
    "zebra-notifications": 7,
}
BFDD: dict[str, object] = {
    "show bfd vrf default peers json": [{"peer": "192.0.2.1", "status": "up"}],
    "show bfd vrf default peers counters json": [COUNTERS],
    "show bfd vrf red peers json": [{"peer": "192.0.2.9", "status": "down"}],
    "show bfd vrf red peers counters json": [],
}


class Daemon:
    """Answers questions on a socket as FRR's daemons do."""

    def __init__(self, answers: dict[str, object]) -> None:
        self.answers = answers
        self.questions: list[str] = []
        self.is_mute = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                question = (await reader.readuntil(b"\0"))[:-1].decode()
                if self.is_mute and question != "enable":
                    break
                answer, code = self._answer(question)
                # In two pieces, with the end torn apart.
                writer.write(answer + b"\0")
                await writer.drain()
                writer.write(b"\0\0" + bytes([code]))
        writer.close()

    def _answer(self, question: str) -> tuple[bytes, int]:
        if question == "enable":
            return b"", 0
        self.questions.append(question)
        if question not in self.answers:
            return b"% Unknown command\n", 2
        return json.dumps(self.answers[question]).encode(), 0


class Frr:
    """A folder of daemons."""

    def __init__(self, folder: Path) -> None:
        self.daemons = {name: Daemon({}) for name in DAEMONS}
        self.daemons["bgpd"].answers = dict(BGPD)
        self.daemons["bfdd"].answers = dict(BFDD)
        self.servers: dict[str, asyncio.Server] = {}
        self._folder = folder
        self.registry = Registry()
        self.exporter = Exporter(Terminal(str(folder), timeout_s=2.0), Families(self.registry))

    async def start(self) -> None:
        """Open every socket."""
        for name, daemon in self.daemons.items():
            path = self._folder / f"{name}.vty"
            self.servers[name] = await asyncio.start_unix_server(daemon.serve, path)

    async def scrape(self) -> set[str]:
        """Ask, and give the series."""
        await self.exporter.refresh()
        lines = self.registry.render().decode().splitlines()
        return {line for line in lines if not line.startswith("#")}


@pytest.fixture
async def frr(tmp_path: Path) -> AsyncIterator[Frr]:
    """Run every daemon."""
    made = Frr(tmp_path)
    await made.start()
    yield made
    for server in made.servers.values():
        server.close()


@pytest.mark.rule("bgp-frr-A9.bgp-metrics", "bgp-frr-A9.bfd-metrics", "bgp-frr-A9.vrfs")
async def test_every_family_has_its_series(frr: Frr) -> None:
    """Names, labels and values, to the letter."""
    up, red = 'peer="192.0.2.1:179",vrf="default"', 'peer="2001:db8::1:1179",vrf="red"'
    found = await frr.scrape()
    assert {line for line in found if up in line} == {
        f"metallb_bgp_session_up{{{up}}} 1",
        f"metallb_bgp_announced_prefixes_total{{{up}}} 3",
        f"metallb_bgp_opens_sent{{{up}}} 1",
        f"metallb_bgp_opens_received{{{up}}} 2",
        f"metallb_bgp_notifications_sent{{{up}}} 3",
        f"metallb_bgp_updates_total{{{up}}} 4",
        f"metallb_bgp_updates_total_received{{{up}}} 5",
        f"metallb_bgp_keepalives_sent{{{up}}} 6",
        f"metallb_bgp_keepalives_received{{{up}}} 7",
        f"metallb_bgp_route_refresh_sent{{{up}}} 8",
        f"metallb_bgp_total_sent{{{up}}} 9",
        f"metallb_bgp_total_received{{{up}}} 10",
    }
    assert f"metallb_bgp_session_up{{{red}}} 0" in found
    bfd = 'peer="192.0.2.1",vrf="default"'
    assert {line for line in found if "metallb_bfd" in line} == {
        f"metallb_bfd_session_up{{{bfd}}} 1",
        f"metallb_bfd_control_packet_input{{{bfd}}} 1",
        f"metallb_bfd_control_packet_output{{{bfd}}} 2",
        f"metallb_bfd_echo_packet_input{{{bfd}}} 3",
        f"metallb_bfd_echo_packet_output{{{bfd}}} 4",
        f"metallb_bfd_session_up_events{{{bfd}}} 5",
        f"metallb_bfd_session_down_events{{{bfd}}} 6",
        f"metallb_bfd_zebra_notifications{{{bfd}}} 7",
        'metallb_bfd_session_up{peer="192.0.2.9",vrf="red"} 0',
    }


@pytest.mark.rule("bgp-frr-A9.unnumbered")
async def test_an_interface_is_a_neighbour_like_any_other(frr: Frr) -> None:
    """Its series are there, with those of all others."""
    found = await frr.scrape()
    assert 'metallb_bgp_session_up{peer="net0:179",vrf="default"} 0' in found
    assert len([line for line in found if line.startswith("metallb_bgp_session_up")]) == 3


@pytest.mark.rule("bgp-frr-A9.one-vrf")
async def test_a_vrf_that_cannot_be_asked_costs_the_others_nothing(
    frr: Frr, capsys: pytest.CaptureFixture[str]
) -> None:
    """What could be asked is shown, the rest is logged."""
    del frr.daemons["bgpd"].answers["show bgp vrf red neighbors json"]
    frr.daemons["bfdd"].answers["show bfd vrf red peers json"] = {"no": "list"}
    found = await frr.scrape()
    assert any('peer="192.0.2.1:179"' in line for line in found)
    assert not any('vrf="red"' in line for line in found)
    assert capsys.readouterr().out.count("metrics.frr_question_failed") == 2


async def test_what_is_gone_has_no_series(frr: Frr) -> None:
    """FRR is asked anew each time."""
    assert await frr.scrape()
    frr.daemons["bgpd"].answers["show bgp vrfs json"] = {"vrfs": {}}
    assert await frr.scrape() == set()


@pytest.mark.rule("bgp-frr-A9.livez")
@pytest.mark.rule("metrics-1.2.livez")
async def test_each_daemon_counts(frr: Frr) -> None:
    """One that does not answer is named."""
    assert await frr.exporter.missing_daemons() == []
    frr.servers["staticd"].close()
    assert await frr.exporter.missing_daemons() == ["staticd"]
    for server in frr.servers.values():
        server.close()
    assert await frr.exporter.missing_daemons() == list(DAEMONS)


async def test_a_daemon_that_hangs_up_is_an_error(frr: Frr) -> None:
    """So is one that does not understand, and one that is silent."""
    terminal = Terminal(str(frr.exporter._terminal._folder), timeout_s=0.2)
    with pytest.raises(LinkError, match="Unknown command"):
        await terminal.ask("bgpd", "sing")
    frr.daemons["bgpd"].is_mute = True
    with pytest.raises(LinkError, match="hung up"):
        await terminal.ask("bgpd", "show bgp vrfs json")

    async def be_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_unix_server(be_silent, terminal._folder / "silent.vty")
    with pytest.raises(LinkError, match="no answer in time"):
        await terminal.ask("silent", "show version")
    silent.close()


@pytest.mark.rule("bgp-frr-A9.flags")
@pytest.mark.rule("metrics-1.2.sidecar-flags")
def test_the_flags_are_those_of_the_original() -> None:
    """Names and defaults."""
    assert parse_settings([], {}) == ExporterSettings(
        metrics_port=9121,
        metrics_bind_address="0.0.0.0",
        metrics_path="/metrics",
        tls_cert_file="",
        tls_private_key_file="",
        tls_cipher_suites="",
        tls_curve_preferences="",
        tls_min_version="",
        vty_socket_dir="/var/run/frr",
    )
    words: list[Any] = ["--metrics-port=1", "-metrics-path=/m", "--tls-cert-file", "c"]
    found = parse_settings(words, {})
    assert (found.metrics_port, found.metrics_path, found.tls_cert_file) == (1, "/m", "c")


async def authorize(token: str) -> int:
    """Know one token."""
    return 200 if token == "good" else 401


@pytest.mark.rule("bgp-frr-A9.livez", "bgp-frr-A9.https")
async def test_who_may_see_what(frr: Frr, background: Any) -> None:
    """Series by HTTPS for who may read them; liveness for everybody, with its three answers."""
    server = ExporterServer(
        "127.0.0.1", 0, frr.registry, authorize=authorize, options=TlsOptions(), path="/series"
    )
    server.exporter = frr.exporter
    async with background(server.run()):
        await server.started.wait()
        base = f"https://127.0.0.1:{server.port}"
        assert (await get(f"{base}/series"))[0] == 401
        status, text = await get(f"{base}/series", "Bearer good")
        assert status == 200
        assert 'metallb_bgp_session_up{peer="192.0.2.1:179",vrf="default"} 1\n' in text
        assert (await get(f"{base}/metrics", "Bearer good"))[0] == 404
        assert await get(f"{base}/livez") == (200, "ok")
        frr.servers.pop("bfdd").close()
        assert await get(f"{base}/livez") == (404, "not running: bfdd\n")
        for daemon in frr.servers.values():
            daemon.close()
        assert (await get(f"{base}/livez"))[0] == 500
        status, text = await get(f"{base}/series", "Bearer good")
        assert (status, text) == (200, "")


async def get(url: str, token: str = "") -> tuple[int, str]:
    """Give status and text of an answer."""
    headers = {"Authorization": token} if token else {}
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers=headers, ssl=False) as answer,
    ):
        return answer.status, await answer.text()
