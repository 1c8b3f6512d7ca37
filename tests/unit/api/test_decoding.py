"""Objects decode whatever the API leaves out, nulls or adds."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mercurylb.api.annotation import ALLOW_SHARED_IP, read_annotation
from mercurylb.api.community import Community
from mercurylb.api.configuration_state import Condition, ConfigurationState, summarize
from mercurylb.api.endpoint_slice import Endpoint, EndpointConditions, EndpointSlice
from mercurylb.api.ip_address_pool import IPAddressPool, IPAddressPoolStatus
from mercurylb.api.l2_advertisement import L2Advertisement
from mercurylb.api.meta import ObjectMeta
from mercurylb.api.namespace import Namespace
from mercurylb.api.node import Node
from mercurylb.api.pod import Pod
from mercurylb.api.secret import Secret
from mercurylb.api.service import Service
from mercurylb.api.service_l2_status import ServiceL2Status

KINDS = [
    Community,
    ConfigurationState,
    EndpointSlice,
    IPAddressPool,
    L2Advertisement,
    Namespace,
    Node,
    Pod,
    Secret,
    Service,
    ServiceL2Status,
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_decodes_from_nothing(kind: type[Any]) -> None:
    """Missing and null parts, and unknown fields, are no obstacle for any kind."""
    for body in (
        b'{"metadata":{"name":"a"}}',
        (
            b'{"kind":"X","apiVersion":"v9","metadata":{"name":"a","labels":null,"annotations":null,'
            b'"ownerReferences":null,"creationTimestamp":null,"managedFields":[{"x":1}]},'
            b'"status":null,"spec":null,"endpoints":null,"data":null,"unknown":{"deep":[1,2,{}]}}'
        ),
        b'{"metadata":{"name":"a"},"status":{},"spec":{},"data":{}}',
    ):
        assert msgspec.json.decode(body, type=kind).metadata.name == "a"


@pytest.mark.rule("api-9.service-read")
def test_field_names_are_the_api_s() -> None:
    """Irregular capitals are read: clusterIPs, loadBalancerIP, avoidBuggyIPs, podIP, ipMode."""
    service = msgspec.json.decode(
        b'{"metadata":{"name":"a"},"spec":{"clusterIP":"1","clusterIPs":["1"],"loadBalancerIP":"2",'
        b'"loadBalancerClass":"c","externalTrafficPolicy":"Local","ipFamilies":["IPv6"],'
        b'"ipFamilyPolicy":"P","ports":[{"port":80,"protocol":"UDP","targetPort":"http"}]},'
        b'"status":{"loadBalancer":{"ingress":[{"ip":"3","ipMode":"VIP","ports":[]}]}}}',
        type=Service,
    )
    spec = service.wish
    assert (spec.cluster_ip, spec.cluster_ips, spec.load_balancer_ip) == ("1", ("1",), "2")
    assert (spec.load_balancer_class, spec.external_traffic_policy) == ("c", "Local")
    assert (spec.ip_families, spec.ip_family_policy) == (("IPv6",), "P")
    assert spec.ports is not None
    assert (spec.ports[0].port, spec.ports[0].protocol) == (80, "UDP")
    assert (service.ingress[0].ip, service.ingress[0].ip_mode) == ("3", "VIP")
    pool = msgspec.json.decode(
        b'{"spec":{"addresses":["x"],"autoAssign":false,"avoidBuggyIPs":true,"serviceAllocation":'
        b'{"priority":3,"namespaces":["n"],"namespaceSelectors":[{"matchLabels":{"a":"b"}}],'
        b'"serviceSelectors":[{"matchExpressions":[{"key":"k","operator":"In","values":["v"]}]}]}}}',
        type=IPAddressPool,
    )
    assert pool.spec is not None
    assert (pool.spec.auto_assign, pool.spec.avoid_buggy_ips) == (False, True)
    assert pool.spec.service_allocation is not None
    assert pool.spec.service_allocation.priority == 3
    pod = msgspec.json.decode(
        b'{"spec":{"nodeName":"n"},"status":{"podIP":"1","podIPs":[{"ip":"1"}],"hostIP":"2",'
        b'"conditions":[{"type":"Ready","status":"True"}]}}',
        type=Pod,
    )
    assert (pod.node, pod.address, pod.is_ready) == ("n", "1", True)


def test_pool_counters_are_written_even_when_zero() -> None:
    """The API requires all four counters."""
    assert msgspec.json.encode(IPAddressPoolStatus()) == (
        b'{"assignedIPv4":0,"assignedIPv6":0,"availableIPv4":0,"availableIPv6":0}'
    )


@pytest.mark.parametrize(
    ("ready", "serving", "expected"),
    [
        (None, None, True),
        (True, None, True),
        (True, False, True),
        (False, None, False),
        (False, False, False),
        (False, True, True),
    ],
)
@pytest.mark.rule("api-10.endpoint-slice")
def test_servable(ready: bool | None, serving: bool | None, *, expected: bool) -> None:  # noqa: FBT001 (a table)
    """An endpoint takes traffic unless it is told unready and not serving."""
    assert Endpoint(conditions=EndpointConditions(ready, serving)).is_servable is expected
    assert Endpoint().is_servable


@pytest.mark.parametrize(
    ("status", "expected"), [("True", True), ("False", False), ("Unknown", False)]
)
@pytest.mark.rule("api-10.node-network")
def test_network_unavailable(status: str, *, expected: bool) -> None:
    """Only a condition that is True counts."""
    raw = {"status": {"conditions": [{"type": "NetworkUnavailable", "status": status}]}}
    assert msgspec.convert(raw, Node).is_network_unavailable is expected
    assert not Node().is_network_unavailable


@pytest.mark.rule("api-9.presence", "api-9.prefixes")
def test_the_current_annotation_hides_the_deprecated_one() -> None:
    """Presence decides, even of an empty value."""
    old = "metallb.universe.tf/allow-shared-ip"
    assert read_annotation({old: "x"}, ALLOW_SHARED_IP) == "x"
    assert read_annotation({old: "x", ALLOW_SHARED_IP: ""}, ALLOW_SHARED_IP) == ""
    assert read_annotation(None, ALLOW_SHARED_IP) is None


def test_secrets_do_not_print_themselves() -> None:
    """A secret in a message or a traceback shows its name only."""
    secret = Secret(metadata=ObjectMeta(name="a", namespace="b"), data={"password": "cGFzcw=="})
    assert repr(secret) == "Secret(b/a)"


@pytest.mark.rule("api-10.endpoint-slice")
def test_keys() -> None:
    """Objects are named by namespace and name; statuses and slices name their service by label."""
    assert ObjectMeta(name="n").key == "n"
    labels = {
        "metallb.io/node": "n1",
        "metallb.io/service-name": "web",
        "metallb.io/service-namespace": "d",
    }
    status = ServiceL2Status(metadata=ObjectMeta(labels=labels))
    assert (status.service_key, status.node) == ("d/web", "n1")
    assert ServiceL2Status().service_key is None
    slice_labels = {"kubernetes.io/service-name": "web"}
    assert (
        EndpointSlice(metadata=ObjectMeta(namespace="d", labels=slice_labels)).service_key
        == "d/web"
    )
    assert EndpointSlice().service_key == ""


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ((), ("Unknown", "")),
        ((("True", "Reconciled", ""), ("True", "Reconciled", "")), ("Valid", "")),
        ((("False", "ConfigurationError", "a"), ("True", "Reconciled", "")), ("Invalid", "a")),
        ((("False", "UnknownError", "a"),), ("Valid", "")),
        (
            (("False", "ConfigurationError", "a"), ("False", "ConfigurationError", "b")),
            ("Invalid", "a\nb"),
        ),
    ],
)
@pytest.mark.rule(
    "api-8.4.result-none",
    "api-8.4.result-valid",
    "api-8.4.result-invalid",
    "api-8.4.result-unknown-error",
    "api-8.4.case-missing",
    "api-8.4.case-empty",
    "api-8.4.case-true",
    "api-8.4.case-false",
)
def test_summary_of_conditions(conditions: Any, expected: tuple[str, str]) -> None:
    """Only configuration errors make a state invalid (spec: api §8.4)."""
    made = tuple(
        Condition(type=str(index), status=status, reason=reason, message=message)
        for index, (status, reason, message) in enumerate(conditions)
    )
    assert summarize(made) == expected
