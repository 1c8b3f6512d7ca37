"""What the annotations of a Service ask for, under either prefix (spec: api §9, §10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mercurylb.plan.layer2 import Layer2Reason, plan_layer2
from mercurylb.plan.service import plan_service
from tests.unit.plan.cluster import (
    advertisement,
    apply,
    book_of,
    config_of,
    endpoints,
    node,
    pool,
    service,
)

if TYPE_CHECKING:
    from mercurylb.api.node import Node

PREFIXES = ["metallb.io", "metallb.universe.tf"]
AUTO = pool("auto", "192.0.2.0/30")
ASKED = pool("asked", "198.51.100.0/30", "2001:db8::/126", autoAssign=False)
WEB_LABEL = {"app": "web"}


def addresses_of(*written: dict[str, Any]) -> list[str]:
    """Give what services with these parts get, one after the other, from the same book."""
    book = book_of(AUTO, ASKED)
    decisions = [
        plan_service(service(f"s{index}", **parts), book=book)
        for index, parts in enumerate(written)
    ]
    return [" ".join(decision.addresses) for decision in decisions]


@pytest.mark.rule("api-9.address-pool", "api-9.prefixes")
@pytest.mark.parametrize("prefix", PREFIXES)
def test_address_pool(prefix: str) -> None:
    """Only the named pool is used, were it not for automatic use; an empty name names none."""
    key = f"{prefix}/address-pool"
    assert addresses_of({"annotations": {key: "asked"}}) == ["198.51.100.0"]
    assert addresses_of({"annotations": {key: ""}}) == ["192.0.2.0"]
    assert addresses_of({"annotations": {key: "nowhere"}}) == [""]


@pytest.mark.rule("api-9.address-pool")
def test_another_pool_means_another_address() -> None:
    """A service that asks for another pool than it has an address of moves."""
    book = book_of(AUTO, ASKED)
    before = service()
    settled = apply(before, plan_service(before, book=book).patch)
    raw = msgspec.to_builtins(settled)
    raw["metadata"]["annotations"]["metallb.io/address-pool"] = "asked"
    moved = plan_service(msgspec.convert(raw, type(settled)), book=book)
    assert moved.addresses == ("198.51.100.0",)


@pytest.mark.rule("api-9.load-balancer-ips", "api-9.prefixes")
@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("198.51.100.2", "198.51.100.2"),
        (" 198.51.100.2 ", "198.51.100.2"),
        ("198.51.100.2,198.51.100.3", ""),
        ("198.51.100.2,2001:db8::1", ""),
        ("", "192.0.2.0"),
    ],
)
def test_requested_addresses(prefix: str, text: str, expected: str) -> None:
    """One address for a service of one family; blanks are trimmed, an empty text asks for none."""
    assert addresses_of({"annotations": {f"{prefix}/loadBalancerIPs": text}}) == [expected]


@pytest.mark.rule("api-9.load-balancer-ips")
def test_two_requested_addresses() -> None:
    """One of each family for a service of both, with blanks around each trimmed."""
    dual = {"cluster": "10.0.0.1 fd00::1", "ipFamilyPolicy": "RequireDualStack"}
    asks = {"metallb.io/loadBalancerIPs": " 198.51.100.2 , 2001:db8::1 "}
    assert addresses_of({**dual, "annotations": asks}) == ["198.51.100.2 2001:db8::1"]


@pytest.mark.rule("api-9.load-balancer-ips")
def test_two_ways_to_request_exclude_each_other() -> None:
    """Annotation and field together are refused, even where they agree."""
    asks = {"metallb.io/loadBalancerIPs": "198.51.100.2"}
    assert addresses_of({"annotations": asks, "loadBalancerIP": "198.51.100.2"}) == [""]


@pytest.mark.rule("api-9.allow-shared-ip", "api-9.prefixes")
@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    ("first", "second", "is_shared"),
    [
        ("key", "key", True),
        ("k e\u00fc", "k e\u00fc", True),
        ("key", "other", False),
        ("", "", False),
    ],
)
def test_sharing_key(prefix: str, first: str, second: str, *, is_shared: bool) -> None:
    """Equal keys share an address on different ports; an empty key shares nothing."""
    key = f"{prefix}/allow-shared-ip"
    found = addresses_of(
        {"annotations": {key: first}, "loadBalancerIP": "192.0.2.1", "ports": "TCP/80"},
        {"annotations": {key: second}, "loadBalancerIP": "192.0.2.1", "ports": "TCP/81"},
    )
    assert found == ["192.0.2.1", "192.0.2.1" if is_shared else ""]


@pytest.mark.rule("api-9.presence")
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("address-pool", "asked", "198.51.100.0"),
        ("loadBalancerIPs", "192.0.2.3", "192.0.2.3"),
    ],
)
def test_presence_decides(name: str, value: str, expected: str) -> None:
    """An empty annotation of the current prefix hides what the deprecated one asks for."""
    current, deprecated = f"metallb.io/{name}", f"metallb.universe.tf/{name}"
    assert addresses_of({"annotations": {deprecated: value}}) == [expected]
    assert addresses_of({"annotations": {deprecated: value, current: ""}}) == ["192.0.2.0"]


@pytest.mark.rule("api-9.deprecated-event", "api-9.deprecated-prefix")
@pytest.mark.parametrize(
    ("key", "is_told"),
    [
        ("metallb.universe.tf/address-pool", True),
        ("metallb.universe.tf", True),
        ("metallb.universe.tfoo/x", True),
        ("metallb.universe.t/x", False),
        ("x.metallb.universe.tf/x", False),
        ("metallb.io/address-pool", False),
    ],
)
def test_deprecated_prefix(key: str, *, is_told: bool) -> None:
    """Whatever begins with the deprecated name is told when the service is written."""
    written = service(annotations={key: "auto"})
    decision = plan_service(written, book=book_of(AUTO))
    assert decision.patch is not None
    assert ("deprecatedAnnotation" in [event.reason for event in decision.events]) is is_told


def announced(annotations: dict[str, str], *, nodes: tuple[Node, ...] = ()) -> Any:
    """Decide about layer 2 for a service that an advertisement selects by its labels."""
    nodes = nodes or (node("n1"), node("n2"))
    config = config_of(
        AUTO,
        advertisements=(advertisement("ad", serviceSelectors=[{"matchLabels": WEB_LABEL}]),),
        nodes=nodes,
    )
    return plan_layer2(
        service(has="192.0.2.1", labels=WEB_LABEL, annotations=annotations),
        config=config,
        nodes={each.metadata.name: each for each in nodes},
        endpoint_slices=endpoints(("n1", {"ready": True})),
        speakers=frozenset({"n1", "n2"}),
        node="n1",
    )


@pytest.mark.rule("api-9.allow-shared-ip-l2", "api-5.service-selectors")
@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("key", ["key", ""])
@pytest.mark.rule("layer2-2.3", "speaker-6.5")
def test_a_sharing_service_is_not_selected(prefix: str, key: str) -> None:
    """The annotation alone, empty or not, keeps a service from advertisements with selectors."""
    assert announced({}).reason is None
    refused = announced({f"{prefix}/allow-shared-ip": key})
    assert refused.reason is Layer2Reason.SHARED_IP_WITH_SERVICE_SELECTOR


@pytest.mark.rule("api-10.no-node-annotations")
def test_annotations_of_nodes_mean_nothing() -> None:
    """A node may be annotated with anything."""
    said = {
        "metallb.io/address-pool": "x",
        "node.kubernetes.io/exclude-from-external-load-balancers": "true",
    }
    plain = (node("n1"), node("n2"))
    annotated = tuple(
        msgspec.structs.replace(
            each, metadata=msgspec.structs.replace(each.metadata, annotations=said)
        )
        for each in plain
    )
    assert announced({}, nodes=annotated) == announced({}, nodes=plain)
