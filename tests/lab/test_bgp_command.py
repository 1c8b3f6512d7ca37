"""`mercurylb bgp` beside a real announcer and a real router: it tells what the router has."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from lab import binaries
from mercurylb.bfd.settings import BfdSettings
from tests.lab.bgp_lab import BgpLab, group, has_frr, is_established, peer, session
from tests.lab.wire_lab import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces"),
    pytest.mark.skipif(not has_frr(), reason="needs FRR"),
]

R1, R2 = "10.77.0.2", "10.77.0.3"
P1, P2 = "203.0.113.1/32", "203.0.113.2/32"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[BgpLab]:
    """Give a LAN with the node on it."""
    made = BgpLab(tmp_path)
    yield made
    made.close()


def mercurylb(lab: BgpLab, *words: str, code: int = 0) -> str:
    """Run `mercurylb bgp` on the node, and return what it says."""
    argv = ["ip", "netns", "exec", lab.host.namespace, binaries.own("mercurylb"), "bgp", *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def asked(lab: BgpLab, *words: str, code: int = 0) -> Any:
    """Give what it says as values."""
    return json.loads(mercurylb(lab, *words, "-o", "json", code=code))


def test_sessions_and_routes_are_told_as_they_are(lab: BgpLab) -> None:
    """State, BFD, routes and story of a session with FRR, and of one with nobody."""
    router = lab.router("r1", "bfd")
    announcer = lab.start()
    wanted = (peer("r1", R1, BfdSettings(100, 100)), peer("r2", R2))
    both = group(P1, P2, peers=("r1", "r2"), communities=(0xFC000001,))
    lab.want(announcer, wanted, both)
    wait_until(lambda: router.has_routes(P1, P2), "both routes", 40.0)
    wait_until(lambda: getattr(session(announcer), "bfd", "") == "Up", "BFD is up", 30.0)

    table = mercurylb(lab, "peers", code=1).splitlines()
    assert [line.split()[0] for line in table] == ["PEER", "r1", "r2"]
    assert table[1].split()[2:4] == ["64513", "Established"]
    assert "Up" in table[1]
    assert "Established" not in table[2]

    told = asked(lab, "routes", "--peer", "r1")[0]["routes"]
    assert [each["prefix"] for each in told] == sorted(router.routes())
    assert all("64512:1" in each["attributes"] for each in told)

    whole = asked(lab, "session", "r1")
    assert whole["session"]["remote_address"] == R1
    for side in ("capabilities_offered", "capabilities_received"):
        assert "route refresh" in whole["session"][side]
    assert whole["bfd"]["state"] == "Up"
    assert whole["bfd_detail"]["remote_state"] == "Up"
    assert whole["story"]
    assert whole["bfd_story"]
    text = mercurylb(lab, "session", "r1")
    assert text.startswith("Session: r1 is Established for ")
    assert "Story" in text

    assert "known here: r1, r2" in mercurylb(lab, "session", "r9", code=1)
    lab.want(announcer, wanted[:1], group(P1))
    wait_until(lambda: router.has_routes(P1), "one is gone", 20.0)
    assert mercurylb(lab, "peers").splitlines()[1].split()[0] == "r1"
    assert is_established(announcer)


def test_where_no_speaker_runs_that_is_told(lab: BgpLab) -> None:
    """The command ends at once, with a reason."""
    assert "no speaker answers in this network namespace" in mercurylb(lab, "peers", code=1)
