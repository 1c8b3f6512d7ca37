"""The `frr` backend with a real FRR: reloads, what is refused, sessions, and the exporter."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING

import pytest

from lab.build.apt import ROUTER_PACKAGES, ensure_packages
from mercurylb.bgp.route import RouteGroup
from mercurylb.config.model import BFDProfile
from mercurylb.frr.configuration import frr_conf
from mercurylb.frr.vtysh import parse_bfd_peers, parse_neighbor, parse_neighbors, parse_routes
from mercurylb.frr_metrics.exporter import Exporter
from mercurylb.frr_metrics.families import Families
from mercurylb.frr_metrics.terminal import DAEMONS, Terminal
from mercurylb.plan.bgp_wanted import BgpWanted
from mercurylb.speaker.frr_backend import FrrBackend
from mercurylb.telemetry.metrics import Registry
from tests.lab.frr_pod import FrrPod, connect, wait_until
from tests.unit.frr.cases import CASES, intent, peer, timers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

ROUTER_CONF = """\
hostname router
router bgp 64600
 bgp router-id 192.0.2.2
 no bgp ebgp-requires-policy
 neighbor 192.0.2.1 remote-as 64512
 neighbor 192.0.2.1 passive
 neighbor 192.0.2.1 password open-sesame
 neighbor 192.0.2.1 bfd
 neighbor 2001:db8::1 remote-as 64512
 neighbor 2001:db8::1 passive
 address-family ipv4 unicast
  network 203.0.113.0/24
  no neighbor 2001:db8::1 activate
 exit-address-family
 address-family ipv6 unicast
  neighbor 192.0.2.1 activate
  neighbor 2001:db8::1 activate
 exit-address-family
exit
"""
UNNUMBERED_CONF = """\
hostname router
interface net0
 no ipv6 nd suppress-ra
 ipv6 nd ra-interval msec 500
exit
router bgp 64600
 bgp router-id 192.0.2.2
 no bgp ebgp-requires-policy
 neighbor net0 interface remote-as external
 address-family ipv6 unicast
  neighbor net0 activate
 exit-address-family
exit
"""
FAST_PROFILE = BFDProfile(name="fast", receive_interval_ms=100, transmit_interval_ms=100)
NOT_TAKEN_BY_FRR_8 = {
    "two_instances": "one BGP instance per VRF",
    "broken_timers": "a keepalive time above the hold time",
}
"""Cases that the configuration never lets through."""


@pytest.fixture(scope="module", autouse=True)
def _packages() -> None:
    if os.geteuid() != 0:
        pytest.skip("a lab needs root: it makes namespaces")
    ensure_packages(ROUTER_PACKAGES)


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrrPod]:
    """Start one FRR with a reloader."""
    with FrrPod(tmp_path_factory.mktemp("pod")) as made:
        made.start_reloader()
        yield made


@pytest.fixture
def clean(pod: FrrPod) -> FrrPod:
    """Give the FRR with nothing configured."""
    assert pod.reload(frr_conf(intent(), level="informational", hostname="node-1")) == "success"
    return pod


def conf(*sessions: object, **settings: object) -> str:
    """Render a configuration."""
    return frr_conf(intent(*sessions, **settings), level="informational", hostname="node-1")


@pytest.mark.rule("bgp-frr-A7.accepted")
@pytest.mark.parametrize("name", CASES)
def test_frr_takes_every_golden_configuration(clean: FrrPod, name: str) -> None:
    """A running FRR has every line of it afterwards that is not its default."""
    case = CASES[name]
    text = frr_conf(case.intent, level=case.level, hostname="node-1")
    if name in NOT_TAKEN_BY_FRR_8:
        assert clean.reload(text) == "failure"
        return
    assert clean.reload(text) == "success", clean.reloader_log
    assert missing(text, clean.running) == []


SAID_OTHERWISE = {
    "ebgp-multihop": "ebgp-multihop 255",
    "log stdout debugging": "log stdout",
    "debug bgp updates": "debug bgp updates in",
}
"""How FRR puts lines that it does not say back as they are."""
DEFAULTS = ("hostname", "# ")


def missing(text: str, running: str) -> list[str]:
    """Return the lines of a configuration that FRR does not have, apart from its defaults."""
    has = {line.strip() for line in running.splitlines()}
    wanted = [line.strip() for line in text.splitlines()]
    for short, said in SAID_OTHERWISE.items():
        wanted = [line[: -len(short)] + said if line.endswith(short) else line for line in wanted]
    return [
        line
        for line in wanted
        if line not in has and not line.startswith(DEFAULTS) and not line.endswith(" port 179")
    ]


# --- what is kept out -----------------------------------------------------------------------------


@pytest.mark.rule("bgp-frr-A8.reloader.test", "bgp-frr-A10.extras", "bgp-frr-A8.reloader.retract")
def test_a_configuration_that_frr_does_not_understand_changes_nothing(clean: FrrPod) -> None:
    """It is refused whole, and passwords in it are not in the reloader's log."""
    router = peer(password="open-sesame", peer_asn=64601)
    assert clean.reload(conf((router,))) == "success"
    before = clean.running
    broken = conf((peer(password="secret-two", peer_asn=64602),), extras="neighbour password two\n")
    assert clean.reload(broken) == "failure"
    assert clean.running == before
    assert "neighbour password <retracted>" in clean.reloader_log
    for secret in ("open-sesame", "secret-two"):
        assert secret not in clean.reloader_log
    assert clean.reload(conf((peer(peer_asn=64602),))) == "success"
    assert "remote-as 64602" in clean.running


@pytest.mark.rule("bgp-frr-A2.level-env", "bgp-frr-A8.reloader.apply")
def test_a_level_that_frr_does_not_know_is_refused(clean: FrrPod) -> None:
    """FRR keeps its level, and the reload counts as failed."""
    text = frr_conf(intent(), level="chatty", hostname="node-1")
    assert clean.reload(text) == "failure"
    assert "log stdout informational" in clean.running


def test_directives_that_frr_refuses_to_hear_twice_are_applied(clean: FrrPod) -> None:
    """FRR 8 fails the first attempt at `graceful-restart`; the second one finds it in place."""
    assert clean.reload(conf((peer(enable_graceful_restart=True),))) == "success"
    assert "neighbor 192.0.2.1 graceful-restart" in clean.running


@pytest.mark.rule("bgp-frr-A10.frr-restart")
def test_frr_starts_again_with_what_was_applied_last(clean: FrrPod) -> None:
    """The reload also wrote FRR's own file."""
    assert clean.reload(conf((peer(),))) == "success"
    clean.stop_frr()
    clean.start_frr()
    wait_until(lambda: "neighbor 192.0.2.1 remote-as 64600" in clean.running, "FRR has it again")


@pytest.mark.rule("bgp-frr-A8.reloader.queue")
def test_signals_during_a_reload_are_not_lost(clean: FrrPod) -> None:
    """What was written last is what runs in the end."""
    clean.forget_status()
    for number in range(64601, 64605):
        (clean.shared / "frr.conf").write_text(conf((peer(peer_asn=number),)))
        os.kill(int((clean.shared / "reloader.pid").read_text()), signal.SIGHUP)
    wait_until(lambda: "remote-as 64604" in clean.running, "the last one runs")
    wait_until(lambda: "success" in clean.status, "and is told")


@pytest.mark.rule("bgp-frr-A8.reloader.files", "bgp-frr-A8.reloader.stop")
def test_the_reloader_takes_its_files_along(tmp_path: Path) -> None:
    """It is found by its PID file while it runs, and only then."""
    with FrrPod(tmp_path) as pod:
        child = pod.start_reloader()
        names = {path.name for path in pod.shared.iterdir()}
        assert names == {"reloader.pid", "lock"}
        assert (pod.shared / "reloader.pid").read_text() == str(child.pid)
        child.terminate()
        assert child.wait(5) == 0
        assert list(pod.shared.iterdir()) == []


# --- the speaker's side ---------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def backend(pod: FrrPod, **settings: float) -> AsyncIterator[FrrBackend]:
    """Run the backend of a speaker beside an FRR."""
    made = FrrBackend(debounce="100", log_level="info", environ=pod.environ, **settings)
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def eventually(condition: object, what: str, timeout_s: float = 40.0) -> None:
    """Wait for a condition without stopping the loop."""
    await asyncio.to_thread(wait_until, condition, what, timeout_s)


def wanted(*routes: RouteGroup, **settings: object) -> BgpWanted:
    """Want one router that is told routes."""
    router = peer("192.0.2.2", password="open-sesame", **timers(9, 3), **settings)
    profiles = (FAST_PROFILE,) if settings.get("bfd_profile") else ()
    return BgpWanted((router,), routes, profiles)


def group(*prefixes: str, **attributes: object) -> RouteGroup:
    """Make a group of routes for that router."""
    return RouteGroup(peers=("router",), prefixes=prefixes, **attributes)


def routes_of(router: FrrPod) -> dict[str, tuple[str, ...]]:
    """Return what a router has learnt, with the next hops."""
    found = parse_routes(router.vtysh("show bgp ipv4 unicast json"))
    return {r.prefix: r.next_hops for r in found.values() if r.prefix != "203.0.113.0/24"}


@pytest.mark.rule("bgp-frr-A8.signal", "bgp-frr-A5.inbound", "bgp-frr-A5.selected")
@pytest.mark.rule("bgp-frr-A9.neighbors", "bgp-frr-A9.bgp-metrics", "bgp-frr-A9.bfd-metrics")
async def test_a_router_learns_what_the_speaker_wants(tmp_path: Path) -> None:
    """Routes come, change and go at the router; it cannot make the node learn anything."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with (
        FrrPod(tmp_path / "a") as pod,
        FrrPod(tmp_path / "b", config=ROUTER_CONF, is_listening=True) as router,
    ):
        connect(pod, router)
        pod.start_reloader()
        async with backend(pod) as made:
            made.apply(wanted(group("198.51.100.1/32"), bfd_profile="fast"))
            one = {"198.51.100.1/32": ("192.0.2.1",)}
            await eventually(lambda: routes_of(router) == one, "the first route")
            assert bgp_up(pod)
            await eventually(lambda: bfd_is_up(pod), "BFD")
            await check_metrics(pod)
            more = group(
                "198.51.100.2/32", communities=(0xFC000064,), large_communities=((1, 2, 3),)
            )
            made.apply(wanted(group("198.51.100.1/32"), more, bfd_profile="fast"))
            two = one | {"198.51.100.2/32": ("192.0.2.1",)}
            await eventually(lambda: routes_of(router) == two, "the second route")
            shown = router.show("show bgp ipv4 unicast 198.51.100.2/32")["paths"][0]
            assert shown["community"]["string"] == "64512:100"
            assert shown["largeCommunity"]["string"] == "1:2:3"
            assert shown["origin"] == "IGP"
            made.apply(wanted(more, bfd_profile="fast"))
            del two["198.51.100.1/32"]
            await eventually(lambda: routes_of(router) == two, "the first one is gone")
            assert parse_routes(pod.vtysh("show bgp ipv4 unicast json")).keys() == {"198.51.100.2"}
            made.apply(BgpWanted())
            await eventually(lambda: "router bgp" not in pod.running, "nothing is configured")
            await eventually(lambda: routes_of(router) == {}, "the router has nothing")


def bgp_up(pod: FrrPod) -> bool:
    """Tell whether the node's one neighbour is established, as FRR says."""
    found = parse_neighbor(pod.vtysh("show bgp vrf default neighbors 192.0.2.2 json"))
    assert (found.hold_ms, found.keepalive_ms) == (9000, 3000)
    return found.is_connected and found.remote_as == 64600


def bfd_is_up(pod: FrrPod) -> bool:
    """Tell whether the BFD session of that neighbour is up."""
    found = parse_bfd_peers(pod.vtysh("show bfd vrf default peers json"))
    return [(item.peer, item.is_up) for item in found] == [("192.0.2.2", True)]


async def scraped(pod: FrrPod) -> str:
    """Scrape the exporter of an FRR."""
    registry = Registry()
    exporter = Exporter(Terminal(str(pod.root / "run/frr")), Families(registry))
    await exporter.refresh()
    assert await exporter.missing_daemons() == []
    return registry.render().decode()


async def check_metrics(pod: FrrPod) -> None:
    """See the session in the exporter's answer."""
    text = await scraped(pod)
    bgp, bfd = 'peer="192.0.2.2:179",vrf="default"', 'peer="192.0.2.2",vrf="default"'
    assert f"metallb_bgp_session_up{{{bgp}}} 1\n" in text
    assert f"metallb_bgp_announced_prefixes_total{{{bgp}}} 1\n" in text
    assert f"metallb_bgp_opens_sent{{{bgp}}} 0\n" not in text
    assert f"metallb_bfd_session_up{{{bfd}}} 1\n" in text
    assert f"metallb_bfd_session_up_events{{{bfd}}} " in text
    assert f"metallb_bfd_control_packet_input{{{bfd}}} 0\n" not in text


@pytest.mark.rule("bgp-frr-A9.unnumbered")
async def test_an_unnumbered_neighbour_is_shown_with_the_others(tmp_path: Path) -> None:
    """A neighbour that is an interface is in the metrics, and empties nobody else's."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with (
        FrrPod(tmp_path / "a") as pod,
        FrrPod(tmp_path / "b", config=UNNUMBERED_CONF, is_listening=True) as router,
    ):
        connect(pod, router)
        pod.start_reloader()
        async with backend(pod) as made:
            unnumbered = peer(interface="net0", dynamic_asn="external")
            other = peer("192.0.2.2", name="other")
            told = RouteGroup(("router",), ("198.51.100.1/32", "2001:db8:1::1/128"))
            made.apply(BgpWanted((other, unnumbered), (told,)))
            await eventually(lambda: "198.51.100.1/32" in routes_of(router), "the route", 60)
        text = await scraped(pod)
        assert 'metallb_bgp_session_up{peer="net0:179",vrf="default"} 1\n' in text
        assert 'metallb_bgp_announced_prefixes_total{peer="net0:179",vrf="default"} 2\n' in text
        assert 'metallb_bgp_session_up{peer="192.0.2.2:179",vrf="default"} 0\n' in text
        names = {
            item.peer for item in parse_neighbors(pod.vtysh("show bgp vrf default neighbors json"))
        }
        assert names == {"net0", "192.0.2.2"}


@pytest.mark.rule("bgp-frr-A8.retry", "bgp-frr-A10.no-sidecar")
async def test_a_speaker_that_is_there_first_waits_for_the_reloader(
    tmp_path: Path,
) -> None:
    """What is wanted comes into force once the reloader is up."""
    with FrrPod(tmp_path) as pod:
        pod.shared.mkdir()
        async with backend(pod) as made:
            made.apply(wanted())
            await eventually((pod.shared / "frr.conf").exists, "the file")
            pod.start_reloader()
            await eventually(lambda: "neighbor 192.0.2.2" in pod.running, "it is in force")


@pytest.mark.rule("bgp-frr-A8.use-old", "bgp-frr-A10.reload-failure")
async def test_a_failed_reload_is_asked_for_again(tmp_path: Path) -> None:
    """FRR was away for a moment: the same configuration comes into force without a change."""
    with FrrPod(tmp_path) as pod:
        pod.start_reloader()
        pod.stop_frr()
        async with backend(pod, status_interval_s=0.5) as made:
            made.apply(wanted())
            await eventually(lambda: "failure" in pod.status, "the first attempt")
            await asyncio.to_thread(pod.start_frr)
            await eventually(lambda: "neighbor 192.0.2.2" in pod.running, "it is in force")
            await eventually(lambda: "success" in pod.status, "and is told")


@pytest.mark.rule("bgp-frr-A9.livez")
async def test_liveness_names_the_daemons_that_do_not_answer(tmp_path: Path) -> None:
    """All of FRR's daemons count, as vtysh counts them."""
    with FrrPod(tmp_path) as pod:
        exporter = Exporter(Terminal(str(pod.root / "run/frr")), Families(Registry()))
        assert await exporter.missing_daemons() == []
        assert set(pod.vtysh("show daemons").split()) == set(DAEMONS)
        pod.stop_frr()
        assert await exporter.missing_daemons() == list(DAEMONS)
