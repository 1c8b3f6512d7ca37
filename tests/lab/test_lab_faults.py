"""Faults do what they say, and observers see it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from lab import netns
from lab.status import who_answers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.light import LightLab
    from lab.observe.report import OwnerReport
    from lab.observe.watch import Watch

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]


@pytest.fixture(name="lab")
def _lab(bare_lab: LightLab) -> Iterator[LightLab]:
    yield bare_lab
    bare_lab.faults.heal()


def _reaches(lab: LightLab, source: str, target: str) -> bool:
    argv = ["ping", "-c1", "-W1", lab.host(target).ipv4]
    return lab.host(source).run(argv, check=False).returncode == 0


def _answers(watch: Watch[OwnerReport]) -> int:
    return watch.report().answered


def _until(lab: LightLab, condition: Callable[[], object]) -> None:
    lab.wait_for(condition, timeout_s=10)


def test_a_cut_node_is_alone_until_healed(lab: LightLab) -> None:
    """Its cable has no carrier, nobody reaches it, and healing brings it back."""
    lab.faults.cut("n2")
    carrier = netns.ip_json(lab.nodes["n2"].namespace, "link", "show", "eth0")[0]
    assert "NO-CARRIER" in carrier["flags"]
    assert not _reaches(lab, "client", "n2")
    lab.faults.heal("n2")
    _until(lab, lambda: _reaches(lab, "client", "n2"))
    assert lab.faults.state().cut == []


def test_groups_reach_only_themselves(lab: LightLab) -> None:
    """A partition splits the named hosts; the others reach everybody."""
    lab.faults.partition(["n1", "n2"], ["n3"])
    _until(lab, lambda: _reaches(lab, "n1", "n2"))
    assert not _reaches(lab, "n1", "n3")
    assert not _reaches(lab, "n3", "n2")
    _until(lab, lambda: _reaches(lab, "cp", "n3"))
    lab.faults.heal()
    _until(lab, lambda: _reaches(lab, "n1", "n3"))


def test_a_blocked_path_is_blocked_one_way(lab: LightLab) -> None:
    """Datagrams pass in one direction and not in the other."""
    lab.faults.block("n1", "n2")
    with lab.observe.capture(host="n2", only="icmp") as seen:
        assert not _reaches(lab, "n1", "n2")
        assert not _reaches(lab, "n2", "n1")
        arrived = [x for x in seen.lines() if x["kind"] == "icmp" and x["dir"] == "in"]
    # A question that waited for ARP in the test before may come from another host.
    assert [x for x in arrived if x["src"] == lab.host("n1").ipv4] == []


def test_the_lottery_loses_about_the_share(lab: LightLab) -> None:
    """Half of the questions to a node are lost when half of its frames to it are."""
    lab.faults.drop("n1", 0.5, direction="to", match="ether type arp")
    with lab.observe.owner(lab.nodes["n1"].ipv4, interval_ms=5) as watch:
        _until(lab, lambda: watch.report().asked >= 400)
    seen = watch.report()
    assert 0.35 < seen.answered / seen.asked < 0.65


def test_delay_holds_frames_back_both_ways(lab: LightLab) -> None:
    """A round trip takes twice the delay, and ends with the fault."""
    lab.faults.delay("n1", 0.05)
    ping = ["ping", "-c3", "-i0.2", "-W2", lab.nodes["n1"].ipv4]
    _until(lab, lambda: _reaches(lab, "client", "n1"))
    assert _slowest_ms(lab.client.run(ping).stdout) >= 100
    lab.faults.heal("n1")
    assert _slowest_ms(lab.client.run(ping).stdout) < 50


def _slowest_ms(output: str) -> float:
    times = [
        line.rsplit("time=", 1)[1].split()[0] for line in output.splitlines() if "time=" in line
    ]
    return max(float(t) for t in times)


@pytest.mark.parametrize(
    ("address", "claimed"),
    [("192.168.111.103", "192.168.111.103"), ("fd00:111::103", "fd00:111::103")],
)
def test_a_foreign_claim_makes_two_owners(lab: LightLab, address: str, claimed: str) -> None:
    """The observer sees both owners at once, names them, and sees the claim end."""
    plan = lab.site.plan
    with lab.observe.owner(address) as watch:
        _until(lab, lambda: _answers(watch) > 20)
        foreign = lab.faults.claim(claimed)
        begin = time.monotonic()
        _until(lab, lambda: foreign.mac in watch.report().owners)
        _until(lab, lambda: time.monotonic() > begin + 0.5)
        lab.faults.release()
    seen = watch.report()
    assert set(seen.owners) == {plan.node("n3").mac, foreign.mac}
    assert 0.3 < seen.two_owners_s < 5
    assert who_answers(lab.site, address) == ["n3"]


def test_a_gap_in_the_answers_is_measured(lab: LightLab) -> None:
    """Cut and healed cable: one gap of about that length, on the machine's own clock."""
    address = lab.nodes["n2"].ipv4
    with lab.observe.owner(address) as watch:
        _until(lab, lambda: _answers(watch) > 20)
        begin = time.monotonic()
        lab.faults.cut("n2")
        _until(lab, lambda: time.monotonic() > begin + 0.5)
        lab.faults.heal("n2")
        end = time.monotonic()
        _until(lab, lambda: watch.lines()[-1]["t"] > end + 0.3)
    gap = max(watch.report().gaps, key=lambda gap: gap.length_s)
    assert begin - 0.1 < gap.begin
    assert gap.length_s > 0.4
    assert not gap.open


def test_the_observer_does_not_touch_the_clients_neighbour_cache(lab: LightLab) -> None:
    """Watching an address must not refresh the cache whose staleness matters."""
    address = lab.nodes["n3"].ipv4
    outdated = "02:00:00:00:00:99"
    entry = ["dev", "eth0", "lladdr", outdated, "nud", "stale"]
    lab.client.run(["ip", "neighbour", "replace", address, *entry])
    try:
        with lab.observe.owner(address) as watch:
            # A kernel keeps an entry for a second (locktime) before another MAC may replace it.
            _until(lab, lambda: _answers(watch) > 150)
        assert outdated in lab.client.run(["ip", "neighbour", "show", "to", address]).stdout
    finally:
        lab.client.run(["ip", "neighbour", "flush", "to", address])


def test_http_probes_tell_the_gap_of_a_frozen_server(lab: LightLab) -> None:
    """Tries go on in their rhythm while one hangs, and the gap is reported once."""
    placed = lab.web("frozen", "n1", labels={"app": "frozen"})
    process = lab.process("pod-frozen")
    url = f"http://{placed.ipv4}:8080/"
    try:
        _until(lab, lambda: lab.nodes["n2"].http_get(url))
        with lab.observe.http(url, host="n2", interval_ms=20, timeout_ms=300) as watch:
            _until(lab, lambda: watch.report().succeeded > 10)
            process.pause()
            _until(lab, lambda: watch.report().errors.get("timeout", 0) > 5)
            process.cont()
            resumed = watch.report().succeeded
            _until(lab, lambda: watch.report().succeeded > resumed + 10)
        seen = watch.report()
        assert seen.longest_gap_s > 0.3
        assert seen.by_pod.keys() == {"frozen"}
    finally:
        lab.pods.remove("frozen")


def test_udp_probes_count_losses(lab: LightLab) -> None:
    """Lost datagrams are lost tries; the others name the pod."""
    placed = lab.web("udp", "n1", labels={"app": "udp"})
    try:
        _until(lab, lambda: lab.nodes["n2"].udp_ask(placed.ipv4, 8080))
        lab.faults.drop("n1", 0.3, direction="to", match="udp dport 8080")
        with lab.observe.udp(placed.ipv4, 8080, host="n2", interval_ms=5) as watch:
            _until(lab, lambda: watch.report().tried > 150)
        seen = watch.report()
        assert 0.5 < seen.succeeded / seen.tried < 0.9
        assert seen.by_pod.keys() == {"udp"}
    finally:
        lab.pods.remove("udp")
