"""What a service claims, as its object says (spec: allocator §1, §7, §14)."""

from __future__ import annotations

from typing import Any

import pytest

from mercurylb.allocator.claim import Refusal, ServiceFamily, Stacking, format_port
from mercurylb.errors import ParseError
from mercurylb.plan.claim import (
    cluster_ips,
    read_claim,
    read_family,
    read_requested,
    read_requested_pool,
    read_stacking,
)
from mercurylb.values.address import IPV4, IPV6
from tests.unit.plan.cluster import service

SHARE, OLD_SHARE = "metallb.io/allow-shared-ip", "metallb.universe.tf/allow-shared-ip"
IPS, OLD_IPS = "metallb.io/loadBalancerIPs", "metallb.universe.tf/loadBalancerIPs"
LOCAL = {"externalTrafficPolicy": "Local"}
V4 = ServiceFamily.IPV4


@pytest.mark.rule("allocator-1.key", "allocator-1.port")
def test_key_and_ports() -> None:
    """Who it is, and the ports that clients see; target and node ports do not count."""
    written = service("web", namespace="shop", ports="TCP/80 UDP/53 SCTP/9")
    claim = read_claim(written, V4)
    assert (claim.service, claim.namespace) == ("shop/web", "shop")
    assert claim.ports == {("TCP", 80), ("UDP", 53), ("SCTP", 9)}
    assert format_port(("TCP", 80)) == "TCP/80"


@pytest.mark.rule("allocator-1.sharing-key")
@pytest.mark.parametrize(
    ("annotations", "key"),
    [
        (None, ""),
        ({SHARE: "a"}, "a"),
        ({OLD_SHARE: "b"}, "b"),
        ({SHARE: "a", OLD_SHARE: "b"}, "a"),
        ({SHARE: "", OLD_SHARE: "b"}, ""),
    ],
)
def test_sharing_key(annotations: dict[str, str] | None, key: str) -> None:
    """The key of today wins by being there, even if it is empty."""
    assert read_claim(service(annotations=annotations), V4).share_key[0] == key


@pytest.mark.rule("allocator-1.backend-key")
@pytest.mark.parametrize(
    ("spec", "key"),
    [
        ({"selector": {"a": "b"}}, ""),
        ({"selector": {"a": "b"}, "externalTrafficPolicy": "Cluster"}, ""),
        ({"selector": {"b": "2", "a": "1"}, **LOCAL}, "a=1,b=2"),
        ({"selector": {}, **LOCAL}, ""),
        ({**LOCAL}, ""),
    ],
)
def test_backend_key(spec: dict[str, Any], key: str) -> None:
    """Only policy Local ties a shared address to the pods behind it."""
    assert read_claim(service(**spec), V4).share_key[1] == key


@pytest.mark.rule("allocator-7.family", "allocator-7.family-fallback")
@pytest.mark.parametrize(
    ("spec", "family"),
    [
        ({"cluster": "10.0.0.1"}, V4),
        ({"cluster": "fd00::1"}, ServiceFamily.IPV6),
        ({"cluster": "10.0.0.1 fd00::1"}, ServiceFamily.DUAL),
        ({"cluster": "fd00::1 10.0.0.1"}, ServiceFamily.DUAL),
        ({"cluster": "", "clusterIP": "fd00::1"}, ServiceFamily.IPV6),
        ({"cluster": "10.0.0.1", "clusterIP": "fd00::1"}, V4),
    ],
)
def test_family(spec: dict[str, Any], family: ServiceFamily) -> None:
    """The cluster IPs decide; the single field only where there is no list."""
    assert read_family(cluster_ips(service(**spec).wish)) is family


@pytest.mark.rule("allocator-7.family-invalid")
@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["None"], 'IPFamilyForAddresses: Invalid address ["None"]'),
        (["10.0.0.1", ""], 'IPFamilyForAddresses: Invalid address ["10.0.0.1" ""]'),
        (
            ["10.0.0.1", "10.0.0.2"],
            'IPFamilyForAddresses: same address family ["10.0.0.1" "10.0.0.2"]',
        ),
        ([], "IPFamilyForAddresses: invalid ips length 0 []"),
        (
            ["10.0.0.1", "fd00::1", "fd00::2"],
            'IPFamilyForAddresses: invalid ips length 3 ["10.0.0.1" "fd00::1" "fd00::2"]',
        ),
    ],
)
def test_no_family(texts: list[str], message: str) -> None:
    """What makes no family is refused in the original's words."""
    with pytest.raises(ParseError) as caught:
        read_family(texts)
    assert str(caught.value) == message


@pytest.mark.rule("allocator-7.policy-default", "allocator-8.5.primary")
def test_policy_and_primary_family() -> None:
    """Unset or unknown is SingleStack; IPv4 is first unless ipFamilies begins with IPv6."""
    assert read_stacking(service().wish) is Stacking.SINGLE
    assert read_stacking(service(ipFamilyPolicy="x").wish) is Stacking.SINGLE
    assert read_stacking(service(ipFamilyPolicy="PreferDualStack").wish) is Stacking.PREFER_DUAL
    assert read_claim(service(), V4).primary == IPV4
    assert read_claim(service(ipFamilies=["IPv6", "IPv4"]), V4).primary == IPV6
    assert read_claim(service(ipFamilies=["IPv4", "IPv6"]), V4).primary == IPV4


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({}, ""),
        ({"annotations": {IPS: ""}}, ""),
        pytest.param(
            {"annotations": {IPS: " 1.2.3.4 ,\t1000::4 "}},
            "1.2.3.4 1000::4",
            marks=pytest.mark.rule("allocator-14.split", "allocator-14.count"),
        ),
        ({"annotations": {IPS: "1000::4,1.2.3.4"}}, "1000::4 1.2.3.4"),
        pytest.param(
            {"loadBalancerIP": "1.2.3.4"}, "1.2.3.4", marks=pytest.mark.rule("allocator-14.field")
        ),
        pytest.param(
            {"annotations": {OLD_IPS: "1.2.3.4,x"}},
            'invalid metallb.io/loadBalancerIPs: "1.2.3.4,x"',
            marks=pytest.mark.rule("allocator-14.invalid"),
        ),
        ({"annotations": {IPS: "1.2.3.4,"}}, 'invalid metallb.io/loadBalancerIPs: "1.2.3.4,"'),
        ({"annotations": {IPS: "1.2.3.04"}}, 'invalid metallb.io/loadBalancerIPs: "1.2.3.04"'),
        pytest.param(
            {"loadBalancerIP": "1.2.3.4,1000::4"},
            'invalid spec.loadBalancerIP "1.2.3.4,1000::4"',
            marks=pytest.mark.rule("allocator-14.field"),
        ),
        pytest.param(
            {"loadBalancerIP": "1.2.3.4", "annotations": {OLD_IPS: "1.2.3.4"}},
            "service can not have both metallb.io/loadBalancerIPs and svc.Spec.LoadBalancerIP",
            marks=pytest.mark.rule("allocator-14.both"),
        ),
        ({"loadBalancerIP": "1.2.3.4", "annotations": {IPS: ""}}, "1.2.3.4"),
    ],
)
def test_requested(written: dict[str, Any], expected: str) -> None:
    """Addresses asked for, in their order, or the original's sentence."""
    found = read_requested(service(**written))
    text = found.message if isinstance(found, Refusal) else " ".join(map(str, found))
    assert text == expected


def test_requested_pool() -> None:
    """The annotation of today hides the deprecated one, even if it is empty."""
    old, new = "metallb.universe.tf/address-pool", "metallb.io/address-pool"
    assert read_requested_pool(service()) == ""
    assert read_requested_pool(service(annotations={old: "a"})) == "a"
    assert read_requested_pool(service(annotations={old: "a", new: ""})) == ""
