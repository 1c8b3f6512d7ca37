"""Bad surroundings: each program says in one line what it lacks, and goes on with what works.

One lab has it all: definitions of an older version, a node whose speaker may not open raw sockets,
a node without IPv6, and a wrong certificate for the metrics.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from lab import Lab, binaries
from lab.light import CRDS
from mercurylb.telemetry.selfsigned import make_pem
from tests.lab.scene import BOTH, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.process import Process

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

Json = dict[str, Any]
MISSING = ("communities", "bgpadvertisements", "servicebgpstatuses", "bgpsessions")
PATIENCE_S = 90.0


def older_definitions(folder: Path) -> Path:
    """Write definitions without some kinds, and without a field of pools."""
    for file in sorted(CRDS.glob("*.yaml")):
        if file.stem in MISSING:
            continue
        definition = yaml.safe_load(file.read_text())
        if file.stem == "ipaddresspools":
            schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
            del schema["properties"]["spec"]["properties"]["avoidBuggyIPs"]
        (folder / file.name).write_text(yaml.safe_dump(definition))
    return folder


def wrong_certificate(folder: Path) -> Path:
    """Write a certificate with the key of another one."""
    (folder / "tls.crt").write_bytes(make_pem())
    (folder / "tls.key").write_bytes(make_pem())
    return folder


def without_raw_sockets(folder: Path) -> Path:
    """Write a speaker that is not given the capability NET_RAW."""
    program = folder / "speaker"
    own = binaries.own("mercurylb-speaker")
    dropped = "--bounding-set=-net_raw --inh-caps=-net_raw"
    program.write_text(f'#!/bin/sh\nexec setpriv {dropped} {own} "$@"\n')
    program.chmod(0o755)
    return program


@pytest.fixture
def bad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Bring up two nodes in such surroundings."""
    if os.geteuid() != 0:
        pytest.skip("a lab needs root: it makes network namespaces")
    make = tmp_path_factory.mktemp
    with Lab.light(
        name=f"s{os.environ.get('PYTEST_XDIST_WORKER', '')}{os.getpid()}",
        nodes=2,
        crds=str(older_definitions(make("crds"))),
        speakers={"n1": str(without_raw_sockets(make("bin")))},
        speaker_args=(f"--metrics-cert-dir={wrong_certificate(make('tls'))}",),
    ) as lab:
        lab.host("n2").run(["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"])
        scene = Scene(lab)
        yield scene
        scene.close()


def told(process: Process, event: str) -> list[Json]:
    """Give the lines of an event."""
    return [line for line in process.lines() if line["event"] == event]


def test_every_lack_is_one_line_and_the_rest_works(bad: Scene) -> None:
    """A service gets its addresses and is announced where that can be; each lack is told once."""
    scene = bad
    lab = scene.lab
    controller = lab.controller
    n1, n2 = lab.speaker("n1"), lab.speaker("n2")
    lab.web("web", "n1", labels={"app": "web"})
    scene.pool(f"{scene.ip4()}/32", f"{scene.ip6()}/128")
    scene.advertise()
    key = scene.service(selector={"app": "web"}, **BOTH)
    scene.wait_addresses(key, [scene.ip4(), scene.ip6()], timeout_s=PATIENCE_S)
    scene.wait_endpoints(key)
    scene.wait_owner(scene.ip4(), "n2", timeout_s=PATIENCE_S)

    scene.until(lambda: told(n2, "layer2.no_ipv6"), "n2 tells", PATIENCE_S)
    scene.until(lambda: told(controller, "config.definitions_differ"), "differ", PATIENCE_S)
    (raw,) = told(n1, "layer2.impossible")
    assert "NET_RAW" in raw["todo"]
    assert not told(n2, "layer2.impossible")
    (family,) = told(n2, "layer2.no_ipv6")
    assert family["ips"] == [scene.ip6()]
    (differ,) = told(controller, "config.definitions_differ")
    assert differ["lacking"] == ["ipaddresspools.metallb.io v1beta1 spec.avoidBuggyIPs"]
    assert "communities.metallb.io v1beta1" in differ["missing"]
    for process in (n1, n2):
        (certificate,) = told(process, "metrics.certificate_refused")
        assert certificate["error"] == "tls.key is not the key of tls.crt"
        kinds = [line["resource"].partition(".")[0] for line in told(process, "kube.kind_missing")]
        assert sorted(kinds) == ["bgpadvertisements", "communities", "servicebgpstatuses"]
    (kind,) = told(controller, "kube.kind_missing")
    assert kind["resource"].startswith("communities.")
    for process in (controller, n1, n2):
        assert process.is_alive
        assert not told(process, "daemon.broken")
        assert "Traceback" not in process.log()
