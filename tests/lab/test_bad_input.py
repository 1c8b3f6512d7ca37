"""Bad objects, bad frames, bad days of the API server: named, survived, nobody else touched.

A token that rotates is tried in `tests/shell/test_client.py`: the light lab's programs show
certificates.
"""

from __future__ import annotations

import random
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any

import pytest

from lab.errors import ApiError
from lab.observe import frames
from lab.observe.neighbour import SHADOW4, SHADOW6, SHADOW_MAC
from tests.lab.scene import BOTH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.scene import Scene

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]


@pytest.fixture
def served(scene: Scene, web: str) -> Scene:
    """Give a scene in which one service ``a`` has its addresses and is announced."""
    scene.pool(f"{scene.ip4()}-{scene.ip4(3)}", f"{scene.ip6()}/128")
    scene.advertise()
    key = scene.service(selector={"app": web}, **BOTH)
    scene.wait_addresses(key, [scene.ip4(), scene.ip6()])
    scene.wait_endpoints(key)
    scene.wait_owner(scene.ip4(), _owner(scene))
    return scene


@pytest.fixture
def undisturbed(served: Scene) -> Iterator[Scene]:
    """Give that scene, and check that no process died and the service kept all it had."""
    # One process, or two: while a program reads its kubeconfig file it has a helper besides.
    sizes = {"controller": 1, **{f"speaker-{node}": 2 for node in served.lab.nodes}}

    def pids() -> dict[str, set[int]]:
        return {name: {s.pid for s in served.lab.process(name).family()} for name in sizes}

    served.until(lambda: {name: len(found) for name, found in pids().items()} == sizes, "settled")
    before = pids()
    yield served
    assert pids() == before, "a process died"
    assert served.addresses(f"default/{served.name}-a") == [served.ip4(), served.ip6()]
    assert served.who(served.ip4()) == [_owner(served)]


def _owner(scene: Scene) -> str:
    return scene.ranking(scene.ip4())[0]


def _summary(scene: Scene, name: str = "controller") -> str:
    status = scene.state(name)
    return str(status.get("errorSummary", "")) if status.get("result") == "Invalid" else ""


BAD_POOLS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("no address", {"addresses": ["not-an-ip"]}, ["spec.addresses[0]", "not-an-ip"]),
    ("no length", {"addresses": ["192.168.111.9"]}, ["spec.addresses[0]", "192.168.111.9"]),
    ("long prefix", {"addresses": ["192.168.111.0/99"]}, ["spec.addresses[0]"]),
    ("reversed", {"addresses": ["10.9.0.9-10.9.0.1"]}, ["spec.addresses[0]"]),
    ("families", {"addresses": ["10.9.0.1-fd00::1"]}, ["spec.addresses[0]"]),
    ("nothing", {"addresses": []}, ["spec.addresses"]),
    (
        "selector",
        {
            "addresses": ["10.9.0.0/28"],
            "serviceAllocation": {
                "serviceSelectors": [{"matchExpressions": [{"key": "a", "operator": "Near"}]}]
            },
        },
        ["spec.serviceAllocation.serviceSelectors"],
    ),
]


@pytest.mark.parametrize(
    ("spec", "told"), [row[1:] for row in BAD_POOLS], ids=lambda x: str(x)[:40]
)
def test_an_invalid_pool_changes_nothing_and_is_named(
    undisturbed: Scene, spec: dict[str, Any], told: list[str]
) -> None:
    """Object and field are told by state and log; the last good configuration goes on."""
    scene = undisturbed
    bad = f"{scene.name}-bad"
    scene.pool(*spec["addresses"], name=bad, **{k: v for k, v in spec.items() if k != "addresses"})
    if not spec["addresses"]:
        path = f"/apis/metallb.io/v1beta1/namespaces/metallb/ipaddresspools/{bad}"
        scene.lab.api.merge(path, {"spec": {"addresses": []}})
    scene.until(lambda: _summary(scene), "controller says Invalid")
    text = _summary(scene)
    for part in [bad, *told]:
        assert part in text
    scene.until(lambda: bad in _summary(scene, "speaker-n1"), "speaker says Invalid")
    log = scene.lab.controller.log()
    assert any("config.rejected" in line and bad in line for line in log.splitlines())
    late = scene.service("late")
    assert scene.wait_addresses(late) == [scene.ip4(1)]
    scene.set_pool(bad, "10.9.1.0/28")
    if "serviceAllocation" in spec:
        path = f"/apis/metallb.io/v1beta1/namespaces/metallb/ipaddresspools/{bad}"
        scene.lab.api.merge(path, {"spec": {"serviceAllocation": None}})
    for name in ("controller", "speaker-n1"):
        scene.until(lambda name=name: scene.state(name).get("result") == "Valid", f"{name} Valid")


def test_overlapping_pools_are_refused_and_named(undisturbed: Scene) -> None:
    """The later pool is named with its field; fixing it puts it into force."""
    scene = undisturbed
    other = scene.pool(f"{scene.ip4(2)}-{scene.ip4(6)}", name=f"{scene.name}-overlap")
    scene.until(lambda: _summary(scene), "controller says Invalid")
    text = _summary(scene)
    assert other in text
    assert f"{scene.name}-pool" in text
    assert "spec.addresses[0]" in text
    assert scene.wait_addresses(scene.service("late")) == [scene.ip4(1)]
    scene.set_pool(other, f"{scene.ip4(5)}-{scene.ip4(6)}")
    scene.until(lambda: scene.state().get("result") == "Valid")
    asks = {"metallb.io/address-pool": other}
    scene.wait_addresses(scene.service("new", annotations=asks), [scene.ip4(5)])


ODD_ANNOTATIONS: list[tuple[dict[str, str], str]] = [
    ({"metallb.io/loadBalancerIPs": "nonsense"}, "nonsense"),
    ({"metallb.io/loadBalancerIPs": "192.168.111.9,,"}, "invalid"),
    ({"metallb.io/loadBalancerIPs": "198.51.100.1"}, "198.51.100.1"),
    ({"metallb.io/address-pool": "no-such-pool"}, "no-such-pool"),
    ({"metallb.io/address-pool": "\u00fc" * 3000}, "\u00fc"),
]


@pytest.mark.parametrize(("annotations", "told"), ODD_ANNOTATIONS, ids=["1", "2", "3", "4", "5"])
def test_an_odd_service_is_told_and_waits(
    undisturbed: Scene, annotations: dict[str, str], told: str
) -> None:
    """A service that asks for nonsense gets an event and nothing else; the next one is served."""
    scene = undisturbed
    odd = scene.service("odd", annotations=annotations)
    event = scene.wait_event(odd, "AllocationFailed")
    assert told in event["message"]
    assert scene.wait_addresses(scene.service("late")) == [scene.ip4(1)]
    assert scene.addresses(odd) == []


def test_odd_but_valid_pools_work(undisturbed: Scene) -> None:
    """White space around a range's ends and a negative priority are taken as they are meant."""
    scene = undisturbed
    pin = {"priority": -5, "namespaces": ["default"]}
    ranges = f" {scene.ip4(6)} - {scene.ip4(6)} "
    scene.pool(ranges, name=f"{scene.name}-odd", serviceAllocation=pin)
    scene.until(lambda: scene.pool_status(f"{scene.name}-odd"), "the pool is in force")
    scene.wait_addresses(scene.service("late"), [scene.ip4(6)])
    assert scene.state()["result"] == "Valid"


def test_garbage_on_the_wire_is_dropped(undisturbed: Scene) -> None:
    """Truncated, wrong and tagged ARP and NDP frames kill nobody and stop no answer."""
    scene = undisturbed
    host = scene.lab.client
    with host.inside():
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        raw.bind(("eth0", 0))
    with raw, scene.lab.observe.owner(scene.ip4()) as watch:
        scene.owner_watch_ready(watch)
        for frame in _garbage(scene.ip4(), scene.ip6()):
            raw.send(frame)
        scene.quiet(watch, 0.5)
    assert watch.report().owners == (scene.lab.site.plan.node(_owner(scene)).mac,)
    assert watch.report().longest_gap_s < 0.2
    assert scene.who(scene.ip6()) == [_owner(scene)]
    for node in scene.lab.nodes:
        assert "Traceback" not in scene.lab.speaker(node).log()


def _garbage(ip4: str, ip6: str) -> list[bytes]:
    """Make every truncation, many mutations and tagged forms of two good questions."""
    dice = random.Random(3)
    good = [
        frames.arp_request(SHADOW_MAC, SHADOW4, ip4),
        frames.neighbour_solicitation(SHADOW_MAC, SHADOW6, ip6),
    ]
    found = []
    for frame in good:
        found += [frame[:length] for length in range(14, len(frame))]
        found += [frame + bytes(1000)]
        for _ in range(300):
            wrong = bytearray(frame)
            for _ in range(dice.randint(1, 4)):
                wrong[dice.randrange(14, len(wrong))] = dice.randrange(256)
            found.append(bytes(wrong))
        for tag in (0, 5, 0xFFFF):
            found.append(frame[:12] + struct.pack("!HH", frames.ETH_VLAN, tag) + frame[12:])
            found.append(frame[:12] + struct.pack("!HH", frames.ETH_VLAN, tag) * 2 + frame[12:])
    ndp = good[1]
    for length in (0, 1, 255):  # the option's length field
        found.append(ndp[:-7] + bytes([length]) + ndp[-6:])
    return found


def _wait_api(scene: Scene) -> None:
    scene.until(scene.lab.api.is_ready, "API server", 60)


def test_an_api_server_that_restarts_is_met_again(undisturbed: Scene) -> None:
    """After a kill and a start a new service gets its address; nobody's was swapped."""
    scene = undisturbed
    server = scene.lab.process("kube-apiserver")
    server.kill()
    server.start()
    _wait_api(scene)
    late = scene.service("late")
    scene.wait_addresses(late, [scene.ip4(1)])
    scene.wait_endpoints(late)
    scene.wait_owner(scene.ip4(1), scene.ranking(scene.ip4(1))[0])


def test_a_watch_whose_version_is_gone_starts_anew(undisturbed: Scene) -> None:
    """Versions compacted away while the API server was down (410): lists again, misses nothing."""
    scene = undisturbed
    gone = scene.service("gone")
    scene.wait_addresses(gone, [scene.ip4(1)])
    server = scene.lab.process("kube-apiserver")
    controller, speakers = scene.lab.controller, [scene.lab.speaker(n) for n in scene.lab.nodes]
    for process in (controller, *speakers):
        process.pause()
    try:
        scene.delete(gone)
        late = scene.service("late")
        for number in range(20):
            scene.patch(late, {"metadata": {"labels": {"round": str(number)}}})
        server.kill()
        _compact(scene)
        server.start()
        _wait_api(scene)
    finally:
        for process in (controller, *speakers):
            process.cont()
    scene.wait_addresses(late, [scene.ip4(1)])
    scene.wait_endpoints(late)
    scene.wait_owner(scene.ip4(1), scene.ranking(scene.ip4(1))[0])


def _compact(scene: Scene) -> None:
    """Make etcd forget all versions but the present one, over its HTTP gateway."""
    cp = scene.lab.control_plane
    script = (
        "import json,urllib.request as u;"
        "ask=lambda p,b:json.load(u.urlopen(u.Request('http://127.0.0.1:2379/v3/kv/'+p,"
        "json.dumps(b).encode())));"
        "now=ask('range',{'key':'AA=='})['header']['revision'];"
        "print(ask('compaction',{'revision':now,'physical':True}))"
    )
    assert "revision" in cp.run([sys.executable, "-c", script]).stdout


def test_a_very_big_object_is_taken_in(undisturbed: Scene) -> None:
    """A pool of more than a megabyte is read or named, and services are served meanwhile."""
    scene = undisturbed
    big = f"{scene.name}-big"
    ranges = [f"10.{64 + n // 65536}.{n // 256 % 256}.{n % 256}/32" for n in range(0, 130_000, 2)]
    try:
        scene.pool(*ranges, name=big)
    except ApiError as refused:
        pytest.fail(f"the API server did not take the pool: {refused}")
    late = scene.service("late", annotations={"metallb.io/address-pool": f"{scene.name}-pool"})
    scene.wait_addresses(late, [scene.ip4(1)])
    scene.until(
        lambda: big in _summary(scene) or scene.pool_status(big).get("availableIPv4"),
        "the pool is in force, or named",
        30,
    )


@pytest.mark.parametrize(
    "spec",
    [
        {"nodeSelectors": [{"matchExpressions": [{"key": "a", "operator": "Near"}]}]},
        {"ipAddressPoolSelectors": [{"matchLabels": {"bad key!": "x"}}]},
    ],
)
def test_an_invalid_advertisement_is_named_by_the_speakers(
    undisturbed: Scene, spec: dict[str, Any]
) -> None:
    """Object and field are told; what was announced stays announced."""
    scene = undisturbed
    bad = scene.advertise(name=f"{scene.name}-bad", **spec)
    scene.until(lambda: bad in _summary(scene, "speaker-n2"), "speaker says Invalid")
    assert "spec." in _summary(scene, "speaker-n2")
    assert scene.who(scene.ip4()) == [_owner(scene)]
