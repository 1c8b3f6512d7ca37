"""The configuration as a whole: who sees what, in which order, and how much is said of it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mercurylb.api.config_map import ConfigMap
from mercurylb.config.compilation import compile_config
from mercurylb.config.problem import DESCRIPTIONS, Code, clip, summarize
from mercurylb.config.resources import (
    FRR,
    FRR_K8S,
    NATIVE,
    Resources,
    for_controller,
    for_speaker,
    gather,
)
from tests.unit.config.objects import (
    bfd,
    bgp,
    community,
    config_of,
    peer,
    problems_of,
    secret,
    selector,
    told,
)
from tests.unit.plan.cluster import advertisement, namespace, node, on, pool

if TYPE_CHECKING:
    from mercurylb.errors import Problem

N1, N2 = node("n1", rack="a"), node("n2", rack="b")


def names(problems: tuple[Problem, ...]) -> list[str]:
    """Give the objects that have problems."""
    return sorted({problem.object.replace(" metallb/", "/") for problem in problems})


def extras(name: str, **data: str) -> ConfigMap:
    """Make a ConfigMap."""
    return msgspec.convert({"metadata": {"name": name}, "data": data or None}, ConfigMap)


@pytest.mark.rule("config-1.controller")
def test_the_controller_cares_for_pools_and_communities() -> None:
    """A wrong peer, advertisement, profile or secret never keeps addresses back."""
    wrong = (
        peer(myASN=None),
        bgp(aggregationLength=99),
        bfd(detectMultiplier=0),
        advertisement("l2", ipAddressPools=["x", "x"]),
        secret(),
    )
    fine = pool("p", "10.0.0.0/24"), namespace("ns")
    everything = gather((*wrong, *fine, N1))
    assert names(compile_config(everything)[1]) == [
        "BFDProfile/fast",
        "BGPAdvertisement/ad",
        "BGPPeer/p",
        "L2Advertisement/l2",
    ]
    assert compile_config(for_controller(everything))[1] == ()
    for bad in (pool("q", "x"), community(x="y")):
        assert compile_config(for_controller(gather((*fine, bad))))[1] != ()


@pytest.mark.rule("config-1.controller", "config-9.default")
def test_the_controller_knows_the_backend() -> None:
    """What concerns routers blocks no allocation, whatever speaks to them."""
    alias = community(x="large:1:2:3")
    for backend in (NATIVE, FRR, FRR_K8S):
        everything = gather((alias, peer(routerID="::1"), bgp(asPathPrepend=1)), backend=backend)
        resources = for_controller(everything)
        assert resources.backend == backend
        assert compile_config(resources)[1] == ()


@pytest.mark.rule("config-1.speaker")
def test_a_speaker_cares_for_its_own_peers_and_advertisements() -> None:
    """What is wrong for the nodes of one rack is nobody else's problem."""
    everything = gather(
        (
            peer("everywhere"),
            peer("a", myASN=None, nodeSelectors=[selector(rack="a")]),
            bgp("b", aggregationLength=99, nodeSelectors=[{}, *on("n9")]),
            bgp("c", aggregationLength=99, nodeSelectors=[selector(rack="b"), *on("n9")]),
            bfd(detectMultiplier=0),
            N1,
            N2,
        ),
        backend="",
    )
    both = ["BFDProfile/fast", "BGPAdvertisement/b"]
    assert names(compile_config(for_speaker(everything, N1))[1]) == [*both, "BGPPeer/a"]
    assert names(compile_config(for_speaker(everything, N2))[1]) == [
        "BFDProfile/fast",
        "BGPAdvertisement/b",
        "BGPAdvertisement/c",
    ]


@pytest.mark.rule("config-1.layer2")
def test_every_speaker_sees_every_l2_advertisement() -> None:
    """Candidates are compared among all nodes, so these are not filtered."""
    wrong = advertisement("l2", nodeSelectors=on("n9"), ipAddressPools=["x", "x"])
    for own in (N1, N2):
        assert compile_config(for_speaker(gather((wrong, N1, N2)), own))[1] != ()


@pytest.mark.rule("config-1.selector")
def test_a_selector_that_nobody_understands_concerns_every_speaker() -> None:
    """It could have meant any node."""
    odd = [*on("n9"), {"matchExpressions": [{"key": "a", "operator": "Is"}]}]
    everything = gather((peer("odd", nodeSelectors=odd), bgp("odd", nodeSelectors=odd), N1, N2))
    for own in (N1, N2):
        found = compile_config(for_speaker(everything, own))[1]
        assert names(found) == ["BGPAdvertisement/odd", "BGPPeer/odd"]
        assert {problem.code for problem in found} == {"selector-invalid"}


@pytest.mark.rule("config-1.profiles")
def test_profiles_and_secrets_are_found_by_name() -> None:
    """A speaker takes all profiles, and the secrets of the one namespace."""
    everything = gather((peer(bfdProfile="fast", passwordSecret={"name": "s"}), N1))
    codes = [each.code for each in compile_config(for_speaker(everything, N1))[1]]
    assert codes == ["secret-missing", "bfd-profile-missing"]
    complete = gather(
        (peer(bfdProfile="fast", passwordSecret={"name": "s"}), N1, bfd(), secret(password="x")),
        backend=FRR_K8S,
    )
    assert compile_config(for_speaker(complete, N1))[1] == ()


@pytest.mark.rule("config-1.extras", "config-2.extras")
@pytest.mark.parametrize(
    ("maps", "expected"),
    [
        ((), ""),
        ((extras("bgpextras"),), ""),
        ((extras("bgpextras", other="x"),), ""),
        ((extras("other", extras="x"),), ""),
        ((extras("bgpextras", extras="log file"), extras("other", extras="x")), "log file"),
    ],
)
def test_extras_are_optional(maps: tuple[ConfigMap, ...], expected: str) -> None:
    """One key of one ConfigMap is handed on; neither has to be there."""
    assert config_of(*maps, backend=FRR).bgp_extras == expected


@pytest.mark.rule("config-2.all")
def test_every_kind_is_told_at_once() -> None:
    """All problems of all objects, not the first one; every one with a code and a field."""
    problems = problems_of(
        pool("p", "x"),
        advertisement("l2", nodeSelectors=[selector(a="x y")]),
        bgp(communities=["1:x"]),
        peer(peerAddress="x"),
        bfd(detectMultiplier=0),
        community(x="y"),
    )
    assert names(tuple(problems)) == [
        "BFDProfile/fast",
        "BGPAdvertisement/ad",
        "BGPPeer/p",
        "Community/c",
        "IPAddressPool/p",
        "L2Advertisement/l2",
    ]
    assert all(problem.field for problem in problems)


@pytest.mark.rule("config-1.order")
def test_the_order_of_objects_is_by_name() -> None:
    """Whatever order the API gives them in, the result and the messages are the same."""
    objects: list[Any] = [pool(name, "10.0.0.0/24") for name in "cab"]
    objects += [peer(name) for name in "cab"]
    objects += [bgp(name, localPref=ord(name)) for name in "cab"]
    objects += [advertisement(name) for name in "cab"]
    expected = told(*objects, N1)
    for seed in range(20):
        shuffled = random.Random(seed).sample(objects, len(objects))
        assert told(*shuffled, N1) == expected


@pytest.mark.rule("config-10.identical")
def test_configurations_are_compared_by_value() -> None:
    """Equal objects give an equal configuration; any difference shows."""
    objects = pool("p", "10.0.0.0/24"), bgp(), peer(password="x"), bfd(), N1
    again = pool("p", "10.0.0.0/24"), bgp(), peer(password="x"), bfd(), N1
    assert config_of(*objects) == config_of(*again)
    for other in (peer(password="y"), peer(vrf="red"), bgp(localPref=1), bfd(echoMode=True)):
        changed = [other if type(each) is type(other) else each for each in again]
        assert config_of(*objects) != config_of(*changed)
    text = extras("bgpextras", extras="x")
    assert config_of(*objects, backend=FRR) != config_of(*again, text, backend=FRR)


@pytest.mark.rule("config-12.nothing")
def test_what_nobody_checks() -> None:
    """Names that lead nowhere, odd interfaces, reserved addresses and the like are accepted."""
    config_of(
        pool("reserved", "0.0.0.0/8", "224.0.0.0/4", serviceAllocation={"priority": -5}),
        pool("tiny", "10.0.0.1/32"),
        advertisement(
            "l2",
            interfaces=["no such interface"],
            ipAddressPools=["gone"],
            preferredNodeSelectors=[{"weight": 100_000, "preference": {}}],
        ),
        bgp(ipAddressPools=["gone"], peers=["gone"]),
        peer(peerPort=0, passwordSecret={"name": "s", "namespace": "elsewhere"}),
        secret(password="x"),
    )


# --- bounds --------------------------------------------------------------------------------------


def test_every_code_is_described() -> None:
    """Programs that sort problems by code find a sentence for each."""
    assert set(DESCRIPTIONS) == set(Code)
    assert all(text.endswith(".") for text in DESCRIPTIONS.values())


def test_a_summary_is_bounded() -> None:
    """The first problems are told and the rest is counted."""
    problems = problems_of(pool("p", *(f"bad{index}" for index in range(5000))))
    assert len(problems) == 5000
    lines = summarize(problems, 3).splitlines()
    assert len(lines) == 4
    assert lines[0].startswith('IPAddressPool metallb/p: spec.addresses[0]: invalid CIDR "bad0"')
    assert lines[3] == "and 4997 more problems"
    assert summarize(problems[:4], 3).endswith("\nand 1 more problem")
    assert "more" not in summarize(problems[:3], 3)
    assert summarize((), 3) == ""


HUGE = "x" * 1_000_000
HOSTILE = [
    pytest.param(pool("p", HUGE, f"{HUGE}-{HUGE}"), id="address"),
    pytest.param(pool("p\n\x1b[2J", "x"), id="name of an object"),
    pytest.param(
        peer(peerAddress=HUGE, dynamicASN=HUGE, bfdProfile=HUGE, holdTime=HUGE), id="peer"
    ),
    pytest.param(bgp(communities=[HUGE, f"large:{HUGE}:1:2", "1:\u202e2"]), id="communities"),
    pytest.param(community(**{HUGE: HUGE, "a\nb": "c\nd"}), id="aliases"),
    pytest.param(advertisement("ad", nodeSelectors=[selector(**{HUGE: HUGE})] * 2), id="labels"),
    pytest.param(
        bgp(
            serviceSelectors=[
                {
                    "matchLabels": {f"k{index}\u0000": HUGE[:1000] for index in range(2000)},
                    "matchExpressions": [
                        {"key": "k", "operator": "In", "values": ["\ud800", "v"] * 5000}
                    ]
                    * 2,
                }
            ]
            * 2
        ),
        id="selectors",
    ),
    pytest.param(
        peer(nodeSelectors=[{"matchExpressions": [{"key": HUGE, "operator": HUGE}]}]), id="operator"
    ),
]


@pytest.mark.parametrize("item", HOSTILE)
def test_hostile_objects_give_readable_problems(item: Any) -> None:
    """Each problem is one printable line of bounded length, whatever the object holds."""
    problems = problems_of(item)
    assert problems
    for problem in problems:
        assert len(str(problem)) < 8000
        assert str(problem).isprintable()
        str(problem).encode()


def test_clipping_keeps_what_fits() -> None:
    """Short printable texts stay as they are."""
    assert clip("pool-a") == "pool-a"
    assert clip("a\nb") == "a\\nb"
    assert clip("x" * 300) == "x" * 255 + "…"


@pytest.mark.timeout(20)
def test_large_configurations_compile() -> None:
    """10 000 addresses in one pool, 100 pools of hundreds of ranges, and all of them wrong."""
    addresses = [f"10.{index >> 8}.{index & 255}.0/24" for index in range(10_000)]
    assert len(config_of(pool("big", *addresses)).pools[0].prefixes) == 10_000
    pools = [
        pool(f"p{index}", *(f"10.{index}.{n}.1-10.{index}.{n}.9" for n in range(200)))
        for index in range(100)
    ]
    ads = [bgp(f"a{index}") for index in range(100)]
    l2 = [advertisement(f"l{index}") for index in range(100)]
    peers = [
        peer(f"n{index}", peerAddress=f"10.9.{index >> 8}.{index & 255}") for index in range(500)
    ]
    nodes = [node(f"n{index}") for index in range(200)]
    config = config_of(*pools, *ads, *l2, *peers, *nodes)
    assert len(config.peers) == 500
    assert len(problems_of(pool("a", *addresses), pool("b", *addresses))) == 10_000


def test_resources_are_empty_at_first() -> None:
    """Nothing configured is a configuration."""
    assert compile_config(Resources()) == (config_of(), ())
