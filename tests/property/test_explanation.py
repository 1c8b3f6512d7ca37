"""Explanations under garbage: whatever a snapshot holds, there is a cause and no crash."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mercurylb.cli.documents import parse_documents
from mercurylb.cli.explanation_text import to_builtins, to_lines
from mercurylb.cli.gathering import gather
from mercurylb.cli.inventory import take_inventory
from mercurylb.cli.redaction import redact
from mercurylb.plan.cause import CauseCode
from mercurylb.plan.explanation import explain_service

HOME = "metallb-system"
LABELS = {"app.kubernetes.io/name": "metallb", "app.kubernetes.io/component": "speaker"}
TEXTS = st.sampled_from(["", "None", "192.0.2.1", "192.0.2.9", "2001:db8::1", "x", "main", "n1"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 70_000) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["args", "env", "name", "value", "matchLabels", "ip", "items", "a/b"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
ADDRESSES = st.lists(
    st.sampled_from(["192.0.2.0/31", "192.0.2.0/24", "2001:db8::/127", "192.0.2.9-192.0.2.9", "x"]),
    max_size=2,
)
SELECTORS = st.lists(
    st.fixed_dictionaries({"matchLabels": st.dictionaries(st.just("a"), TEXTS, max_size=1)}),
    max_size=1,
)


def named(kind: str, spec: st.SearchStrategy[Any], version: str) -> st.SearchStrategy[Any]:
    """Make objects of a kind, in the right namespace or another."""
    return st.fixed_dictionaries(
        {
            "apiVersion": st.just(version),
            "kind": st.just(kind),
            "metadata": st.fixed_dictionaries(
                {
                    "name": st.sampled_from(["main", "other"]),
                    "namespace": st.sampled_from([HOME, HOME, "default"]),
                },
                optional={"labels": st.just(LABELS)},
            ),
            "spec": spec,
        }
    )


METALLB = "metallb.io/v1beta1"
OBJECTS = st.one_of(
    named("IPAddressPool", st.fixed_dictionaries({"addresses": ADDRESSES}), METALLB),
    named("L2Advertisement", st.fixed_dictionaries({"nodeSelectors": SELECTORS}), METALLB),
    named("L2Advertisement", st.fixed_dictionaries({"serviceSelectors": SELECTORS}), METALLB),
    named("BGPAdvertisement", st.just({}), METALLB),
    named("Node", VALUES, "v1"),
    named("Pod", st.fixed_dictionaries({"nodeName": TEXTS, "containers": VALUES}), "v1"),
    named("Deployment", VALUES, "apps/v1"),
    named("Event", VALUES, "v1"),
    named("ConfigurationState", VALUES, METALLB),
    named("ServiceL2Status", VALUES, METALLB),
)
KEYS = st.sampled_from(
    ["metallb.io/loadBalancerIPs", "metallb.io/address-pool", "metallb.io/allow-shared-ip"]
)


def service(name: str) -> st.SearchStrategy[Any]:
    """Make services that ask for this and that, and have some of it."""
    return st.fixed_dictionaries(
        {
            "apiVersion": st.just("v1"),
            "kind": st.just("Service"),
            "metadata": st.fixed_dictionaries(
                {
                    "name": st.just(name),
                    "namespace": st.just("default"),
                    "annotations": st.dictionaries(KEYS, TEXTS, max_size=2),
                }
            ),
            "spec": st.fixed_dictionaries(
                {
                    "type": st.sampled_from(["LoadBalancer", "LoadBalancer", "ClusterIP"]),
                    "clusterIPs": st.lists(TEXTS, max_size=2),
                    "ipFamilyPolicy": st.sampled_from(["PreferDualStack", "RequireDualStack", "x"]),
                    "externalTrafficPolicy": st.sampled_from(["Local", "Cluster"]),
                }
            ),
            "status": st.fixed_dictionaries(
                {
                    "loadBalancer": st.fixed_dictionaries(
                        {"ingress": st.lists(st.fixed_dictionaries({"ip": TEXTS}), max_size=2)}
                    )
                }
            ),
        }
    )


@given(service("web"), service("other"), st.lists(OBJECTS, max_size=6))
def test_every_service_of_every_cluster_has_a_cause(
    web: dict[str, Any], other: dict[str, Any], objects: list[dict[str, Any]]
) -> None:
    """There is one cause with a sentence; a redacted snapshot has the same; all of it prints."""
    raws = [web, other, *objects]
    explanations = []
    for form in (raws, [redact(raw) for raw in raws]):
        documents = parse_documents(
            msgspec.json.encode({"apiVersion": "v1", "kind": "List", "items": form}), source="f"
        )
        found = explain_service(gather(take_inventory(documents), namespace=HOME), "default/web")
        assert found is not None
        explanations.append(found)
        assert found.cause.code in CauseCode
        assert found.cause.sentence
        assert all(line for kind, line in to_lines(found) if kind)
        assert msgspec.json.encode(to_builtins(found))
    assert explanations[0].cause.code is explanations[1].cause.code
