"""What the webhooks decide about one change (spec: config §11.1, §11.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mercurylb.config.admission import Admission, Change, Operation, admit, reads
from mercurylb.config.resources import FRR, FRR_K8S, NATIVE, gather
from tests.unit.config.objects import HOME, bfd, bgp, community, peer, selector
from tests.unit.plan.cluster import advertisement, node, on, pool

if TYPE_CHECKING:
    from collections.abc import Sequence

CREATE, UPDATE, DELETE = Operation.CREATE, Operation.UPDATE, Operation.DELETE
KINDS = [
    pool("x", "10.9.0.0/24"),
    advertisement("x"),
    bgp("x"),
    peer("x"),
    bfd("x"),
    community("x", a="1:2"),
]
NODES = (node("n1"), node("n2"))


def ask(
    change: Change, existing: Sequence[Any] = (), *, backend: str = FRR_K8S, home: str = HOME
) -> Admission:
    """Decide, with existing objects of any kinds."""
    return admit(change, existing=gather(existing, backend=backend), namespace=home)


def created(new: Any, *existing: Any, backend: str = FRR_K8S) -> list[str]:
    """Give the codes of what is wrong with a new object."""
    answer = ask(Change(CREATE, new=new), existing, backend=backend)
    return [problem.code for problem in answer.problems]


def updated(old: Any, new: Any, *existing: Any, backend: str = FRR_K8S) -> list[str]:
    """Give the codes of what is wrong with an edit; the old object exists."""
    change = Change(UPDATE, new=new, old=old)
    answer = ask(change, (old, *existing), backend=backend)
    return [problem.code for problem in answer.problems]


# --- common handling -----------------------------------------------------------------------------


@pytest.mark.rule("config-11.1.namespace", "config-11.2.cases")
@pytest.mark.parametrize("new", KINDS, ids=lambda item: type(item).__name__)
@pytest.mark.rule("api-1.foreign-namespace")
def test_objects_are_created_in_one_namespace(new: Any) -> None:
    """Every kind is refused elsewhere; a change of what is elsewhere already is not."""
    answer = ask(Change(CREATE, new=new), home="other")
    (problem,) = answer.problems
    assert (problem.field, problem.value) == ("metadata.namespace", "metallb")
    assert problem.message == "resource must be created in other namespace"
    assert ask(Change(CREATE, new=new)).is_allowed
    assert ask(Change(UPDATE, new=new, old=new), home="other").is_allowed


@pytest.mark.rule("config-11.1.delete")
@pytest.mark.parametrize("old", KINDS, ids=lambda item: type(item).__name__)
def test_objects_may_be_deleted(old: Any) -> None:
    """Nothing but a BFD profile in use is kept from going, from wherever."""
    assert ask(Change(DELETE, old=old), KINDS).is_allowed
    assert ask(Change(DELETE, old=old), KINDS, home="other").is_allowed


@pytest.mark.rule("config-11.1.bfd-delete")
def test_a_profile_in_use_stays() -> None:
    """Each peer that uses it is told."""
    users = peer("b", bfdProfile="fast"), peer("a", bfdProfile="fast"), peer("c", bfdProfile="slow")
    answer = ask(Change(DELETE, old=bfd("fast")), users)
    assert [problem.message for problem in answer.problems] == [
        "failed to delete BFDProfile fast, used by BGPPeer a",
        "failed to delete BFDProfile fast, used by BGPPeer b",
    ]


@pytest.mark.rule("config-11.1.disable-mp")
@pytest.mark.rule("api-3.1.disable-mp")
def test_disable_mp_is_allowed_with_a_warning() -> None:
    """A new peer with it is not looked at any further; a changed one is."""
    odd = peer(disableMP=True, peerAddress="nonsense")
    answer = ask(Change(CREATE, new=odd), home="other")
    assert answer == Admission(
        warnings=("disable mp is deprecated and has no effect since it's the default behavior now",)
    )
    assert updated(peer(), odd) == ["peer-address"]


@pytest.mark.rule("config-11.1.replace")
def test_the_incoming_object_takes_the_place_of_its_namesake() -> None:
    """An edited pool does not overlap with itself, and a new one has a place of its own."""
    old = pool("a", "10.0.0.0/24")
    assert updated(old, pool("a", "10.0.0.0/25")) == []
    assert created(pool("b", "10.0.0.0/25"), old) == ["pool-overlap"]


# --- the kinds, and what they are validated with -------------------------------------------------

FOUR = pool("p", "10.0.0.0/28")
WRONG = [
    pytest.param(
        pool("b", "10.0.0.1-10.0.0.2"),
        (FOUR,),
        "pool-overlap",
        id="overlapping range",
        marks=pytest.mark.rule("config-11.1.pool", "config-11.2.cases"),
    ),
    pytest.param(
        pool("b", "10.0.0.0/8"),
        (FOUR,),
        "pool-overlap",
        id="overlapping prefix",
        marks=pytest.mark.rule("config-11.1.pool", "config-11.2.cases"),
    ),
    pytest.param(
        bgp(aggregationLength=26),
        (FOUR,),
        "aggregation-pool",
        id="length 26 over a /28",
        marks=pytest.mark.rule("config-11.1.bgp-advertisement", "config-11.2.cases"),
    ),
    pytest.param(
        bgp(localPref=2),
        (FOUR, bgp("other", localPref=1), *NODES),
        "local-pref-conflict",
        id="another localPref",
        marks=pytest.mark.rule("config-11.1.bgp-advertisement"),
    ),
    pytest.param(
        advertisement("ad", ipAddressPools=["p", "p"]),
        (FOUR,),
        "value-duplicate",
        id="pool named twice",
        marks=pytest.mark.rule("config-11.1.l2-advertisement"),
    ),
    pytest.param(
        peer(peerAddress="1.2.3"),
        (),
        "peer-address",
        id="bad address",
        marks=pytest.mark.rule("config-11.1.peer", "config-11.2.cases"),
    ),
    pytest.param(
        peer("b"),
        (peer("a"), *NODES),
        "backend-duplicate-peer",
        id="same address, same nodes",
        marks=pytest.mark.rule("config-11.1.peer", "config-11.2.cases"),
    ),
    pytest.param(
        community(x="99999999:1"),
        (),
        "community-value",
        id="99999999:1",
        marks=pytest.mark.rule("config-11.1.community", "config-11.2.cases"),
    ),
    pytest.param(
        community(x="lar:123:9999:123"),
        (),
        "community-value",
        id="lar:123:9999:123",
        marks=pytest.mark.rule("config-11.1.community", "config-11.2.cases"),
    ),
    pytest.param(
        community("b", x="1:2"),
        (community("a", x="1:2"),),
        "community-duplicate",
        id="alias in two objects",
        marks=pytest.mark.rule("config-11.1.community", "config-11.2.cases"),
    ),
]


@pytest.mark.parametrize(("new", "existing", "code"), WRONG)
def test_wrong_objects_are_refused(new: Any, existing: tuple[Any, ...], code: str) -> None:
    """Created or changed, what is wrong with the object is told."""
    assert created(new, *existing) == [code]
    harmless = msgspec.structs.replace(new, spec=None)
    if not isinstance(new, type(peer())):
        assert updated(harmless, new, *existing) == [code]


@pytest.mark.rule("config-11.2.cases")
def test_the_same_alias_in_one_object() -> None:
    """The second of the two is told."""
    entry = {"name": "x", "value": "1:2"}
    document = {"metadata": {"name": "c", "namespace": HOME}, "spec": {"communities": [entry] * 2}}
    assert created(msgspec.convert(document, type(community()))) == ["community-duplicate"]


@pytest.mark.rule("config-11.2.cases", "config-11.1.peer")
def test_the_same_address_on_other_nodes_is_allowed() -> None:
    """Disjoint node selectors keep two peers of one address apart."""
    other = peer("a", nodeSelectors=on("n1"))
    assert created(peer("b", nodeSelectors=on("n2")), other, *NODES) == []
    assert created(peer("b", nodeSelectors=on("n2", "n1")), other, *NODES) == [
        "backend-duplicate-peer"
    ]


# --- references ----------------------------------------------------------------------------------

FREE = [
    pytest.param(peer(bfdProfile="later"), id="profile"),
    pytest.param(peer(passwordSecret={"name": "later"}), id="secret"),
    pytest.param(bgp(communities=["later"]), id="alias"),
    pytest.param(bgp(ipAddressPools=["later"]), id="pool"),
    pytest.param(bgp(peers=["later"]), id="peer"),
    pytest.param(advertisement("ad", ipAddressPools=["later"]), id="pool of layer 2"),
]


@pytest.mark.rule("config-11.2.strip")
@pytest.mark.parametrize("new", FREE)
def test_the_order_of_creation_is_free(new: Any) -> None:
    """Nothing is refused for want of what it refers to."""
    assert created(new, FOUR, *NODES) == []


@pytest.mark.rule("config-11.2.strip")
@pytest.mark.parametrize("text", ["1:2:3", "1:99999999", "lar:1:2:3"])
def test_a_community_with_a_colon_is_a_value(text: str) -> None:
    """It is refused if it is none, even where there is an alias of that name."""
    code = "community-unknown" if text == "1:2:3" else "community-value"
    assert created(bgp(communities=[text]), community(**{text: "1:2"})) == [code]


# --- what MetalLB finds only later ---------------------------------------------------------------

ECHO = bfd("echo", echoMode=True)
LATER = [
    pytest.param(
        pool("p", "10.0.0.0/24"), pool("p", "10.0.0.0/28"), (bgp(aggregationLength=26),), FRR_K8S,
        "aggregation-pool", id="pool shrinks below an aggregate",
    ),
    pytest.param(
        pool("p", "10.0.0.0/24"), pool("p", "10.0.0.0/24", "2001:db8::/64"),
        (bgp(), peer(bfdProfile="echo"), ECHO), FRR_K8S, "bfd-echo-ipv6",
        id="IPv6 for a peer with echo",
    ),
    pytest.param(
        pool("p", "10.0.0.0/24"), pool("p", "10.0.0.0/24", labels={"tier": "x"}),
        (
            bgp("a", localPref=1, ipAddressPools=["p"]),
            bgp("b", localPref=2, ipAddressPoolSelectors=[selector(tier="x")]),
        ), FRR_K8S, "local-pref-conflict", id="a label brings a second local preference",
    ),
    pytest.param(
        bgp(peers=["other"]), bgp(), (pool("p", "2001:db8::/64"), peer(bfdProfile="echo"), ECHO),
        FRR_K8S, "bfd-echo-ipv6", id="advertisement reaches a peer with echo",
    ),
    pytest.param(
        peer(), peer(bfdProfile="echo"), (pool("p", "2001:db8::/64"), bgp(), ECHO), FRR_K8S,
        "bfd-echo-ipv6", id="peer gets echo",
    ),
    pytest.param(
        peer(), peer(localASN=200), (), NATIVE, "peer-asn", id="native peer shows the peer's ASN",
    ),
    pytest.param(
        peer(), peer(routerID="::1"), (), NATIVE, "peer-address", id="native peer gets a wide ID",
    ),
    pytest.param(
        bgp(), bgp(asPathPrepend=1), (), FRR, "backend-feature", id="prepending for FRR",
    ),
    pytest.param(
        None, ECHO, (pool("p", "2001:db8::/64"), bgp(), peer(bfdProfile="echo")), FRR_K8S,
        "bfd-echo-ipv6", id="profile with echo that a peer waits for",
    ),
    pytest.param(
        None, bfd(detectMultiplier=1), (), FRR_K8S, "value-range", id="profile out of range"
    ),
]  # fmt: skip


@pytest.mark.rule("config-11.1.later")
@pytest.mark.parametrize(("old", "new", "existing", "backend", "code"), LATER)
def test_what_speakers_would_refuse_is_refused(
    old: Any, new: Any, existing: tuple[Any, ...], backend: str, code: str
) -> None:
    """An edit that turns an accepted configuration into one that is not does not pass."""
    assert created(new, *existing, *NODES, backend=backend) == [code]
    if old is not None:
        assert created(old, *existing, *NODES, backend=backend) == []
        assert updated(old, new, *existing, *NODES, backend=backend) == [code]
        assert updated(new, old, *existing, *NODES, backend=backend) == []


@pytest.mark.rule("config-11.1.later")
def test_an_advertisement_on_no_node_holds_up_nobody_else() -> None:
    """No speaker has it, so no speaker would refuse; it is refused when it is written itself."""
    nowhere = bgp(aggregationLength=26, nodeSelectors=on("n9"))
    assert created(FOUR, nowhere, *NODES) == []
    assert created(nowhere, FOUR, *NODES) == ["aggregation-pool"]
    somewhere = bgp(aggregationLength=26, nodeSelectors=on("n2"))
    assert created(FOUR, somewhere, *NODES) == ["aggregation-pool"]


# --- what was wrong before -----------------------------------------------------------------------

BROKEN = (
    pool("bad", "nonsense"),
    pool("twin1", "10.5.0.0/24"),
    pool("twin2", "10.5.0.0/25"),
    peer("lame", myASN=None),
    community("odd", x="1:x"),
    bgp("wide", aggregationLength=20, ipAddressPools=["twin1"]),
)


@pytest.mark.rule("config-11.1.others")
@pytest.mark.parametrize("new", KINDS, ids=lambda item: type(item).__name__)
def test_others_mistakes_are_not_held_against_an_object(new: Any) -> None:
    """In a configuration that is rejected already, only what a change adds counts."""
    if isinstance(new, type(peer())):
        new = peer("x", peerAddress="10.9.9.9", bfdProfile=None)
    assert created(new, *BROKEN, *NODES) == []
    assert updated(new, new, *BROKEN, *NODES) == []


@pytest.mark.rule("config-11.1.others")
def test_new_mistakes_count_among_old_ones() -> None:
    """A third overlapping pool is one problem more."""
    assert created(pool("z", "10.5.0.9/32"), *BROKEN) == ["pool-overlap"]
    assert created(pool("a", "10.5.0.9/32"), *BROKEN) == ["pool-overlap", "pool-overlap"]


REPAIRS = [
    pytest.param(BROKEN[0], pool("bad", "10.6.0.0/24"), id="bad address"),
    pytest.param(BROKEN[1], pool("twin1", "10.6.0.0/16"), id="first of two overlapping"),
    pytest.param(BROKEN[2], pool("twin2", "10.6.0.0/16"), id="second of two overlapping"),
    pytest.param(BROKEN[3], peer("lame"), id="peer"),
    pytest.param(BROKEN[4], community("odd", x="1:2"), id="community"),
    pytest.param(BROKEN[5], bgp("wide", ipAddressPools=["twin1"]), id="advertisement"),
]


@pytest.mark.rule("config-11.1.repair")
@pytest.mark.parametrize(("old", "new"), REPAIRS)
def test_a_repair_is_accepted(old: Any, new: Any) -> None:
    """Correcting one of many mistakes passes, whatever else is wrong."""
    others = [item for item in BROKEN if item is not old]
    assert updated(old, new, *others, *NODES) == []


@pytest.mark.rule("config-11.1.repair")
def test_half_a_repair_is_accepted_and_another_mistake_is_not() -> None:
    """What was wrong may stay for now, were it at another place of the list; new may not come."""
    old = pool("a", "bad-one", "10.0.0.0/24", "bad-two")
    assert updated(old, pool("a", "10.0.0.0/24", "bad-two")) == []
    assert updated(old, pool("a", "10.0.0.0/24", "bad-three")) == ["pool-address"]
    labelled = pool("a", "bad-one", "10.0.0.0/24", "bad-two", labels={"a": "b"})
    assert updated(old, labelled) == []


# --- the caller ----------------------------------------------------------------------------------

EVERYTHING_BGP = {"IPAddressPool", "BGPAdvertisement", "BGPPeer", "BFDProfile", "Node"}
READS = [
    ("IPAddressPool", CREATE, EVERYTHING_BGP),
    ("BGPAdvertisement", CREATE, EVERYTHING_BGP),
    ("BGPPeer", UPDATE, EVERYTHING_BGP),
    ("BFDProfile", CREATE, EVERYTHING_BGP),
    ("Community", CREATE, {"Community"}),
    ("L2Advertisement", CREATE, set()),
    ("BFDProfile", DELETE, {"BGPPeer"}),
    ("IPAddressPool", DELETE, set()),
    ("Sandwich", CREATE, set()),
]


@pytest.mark.rule("config-11.1.live")
@pytest.mark.parametrize(("kind", "operation", "kinds"), READS)
def test_what_the_caller_reads(kind: str, operation: Operation, kinds: set[str]) -> None:
    """Only what the decision depends on is asked for."""
    assert set(reads(kind, operation)) == kinds


@pytest.mark.parametrize("change", [Change(CREATE), Change(UPDATE), Change(DELETE)])
def test_a_change_of_nothing_is_allowed(change: Change) -> None:
    """An incomplete question does not raise."""
    assert ask(change).is_allowed
