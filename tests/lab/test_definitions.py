"""The definitions on a real API server: what it fills in, refuses and keeps from changing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from lab.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.apiclient import ApiClient
    from lab.light import LightLab

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(180),
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root"),
]

NAME = "definitions"
POOL = ("v1beta1", "ipaddresspools", "IPAddressPool")
PEER = ("v1beta2", "bgppeers", "BGPPeer")
BGP = ("v1beta1", "bgpadvertisements", "BGPAdvertisement")
L2 = ("v1beta1", "l2advertisements", "L2Advertisement")
BFD = ("v1beta1", "bfdprofiles", "BFDProfile")
COMMUNITY = ("v1beta1", "communities", "Community")
L2_STATUS = ("v1beta1", "servicel2statuses", "ServiceL2Status")
BGP_STATUS = ("v1beta1", "servicebgpstatuses", "ServiceBGPStatus")
STATE = ("v1beta1", "configurationstates", "ConfigurationState")
SELECTED = [{"matchLabels": {"a": "b"}}]

Kind = tuple[str, str, str]


class Objects:
    """Objects of one name, one of each kind, that go when the test is over."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self._made: dict[str, None] = {}

    def path(self, kind: Kind) -> str:
        """Give where the object of a kind is."""
        version, plural, _ = kind
        return f"/apis/metallb.io/{version}/namespaces/default/{plural}/{NAME}"

    def create(self, kind: Kind, spec: Any = None, **parts: Any) -> Any:
        """Create the object and give what was stored."""
        version, _, name = kind
        head = {"apiVersion": f"metallb.io/{version}", "kind": name, "metadata": {"name": NAME}}
        collection = self.path(kind).rpartition("/")[0]
        self._made[self.path(kind)] = None
        return self._api.post(collection, {**head, **parts} | ({"spec": spec} if spec else {}))

    def change(self, kind: Kind, subresource: str = "", **parts: Any) -> Any:
        """Merge parts into the object, or into a subresource of it."""
        return self._api.merge(self.path(kind) + subresource, parts)

    def refusal(self, kind: Kind, spec: Any) -> str:
        """Give what the API server says about a spec that it must not take."""
        with pytest.raises(ApiError) as refused:
            self.create(kind, spec)
        assert refused.value.reason == "Invalid"
        return str(refused.value)

    def clear(self) -> None:
        """Delete what was made."""
        for path in self._made:
            self._api.delete(path)


@pytest.fixture
def objects(bare_lab: LightLab) -> Iterator[Objects]:
    """Give a test its objects, on a control plane without our programs."""
    made = Objects(bare_lab.api)
    yield made
    made.clear()


@pytest.mark.rule("api-2.fields", "api-3.1.fields", "api-4.fields", "api-6.fields")
@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        (POOL, {"addresses": []}, {"addresses": [], "autoAssign": True, "avoidBuggyIPs": False}),
        (
            PEER,
            {"myASN": 0},
            {
                "myASN": 0,
                "peerPort": 179,
                "disableMP": False,
                "dualStackAddressFamily": False,
            },
        ),
        (BGP, {"peers": []}, {"peers": [], "aggregationLength": 32, "aggregationLengthV6": 128}),
        (BFD, {"minimumTtl": 254}, {"minimumTtl": 254}),
        (
            POOL,
            {"addresses": ["x"], "autoAssign": False, "nobody": 1},
            {"addresses": ["x"], "autoAssign": False, "avoidBuggyIPs": False},
        ),
    ],
    ids=["pool", "peer", "advertisement", "profile", "unknown field"],
)
def test_defaults(objects: Objects, kind: Kind, spec: Any, expected: Any) -> None:
    """What is left out is filled in, and only that; what nobody knows is dropped."""
    assert objects.create(kind, spec)["spec"] == expected


@pytest.mark.parametrize(
    ("kind", "spec", "told"),
    [
        (POOL, {"autoAssign": True}, "spec.addresses: Required value"),
        (POOL, {"addresses": "x"}, "spec.addresses: Invalid value"),
        (PEER, {"peerASN": 1}, "spec.myASN: Required value"),
        (PEER, {"myASN": 2**32}, "spec.myASN: Invalid value"),
        (PEER, {"myASN": -1}, "spec.myASN: Invalid value"),
        (PEER, {"myASN": 1, "localASN": 0}, "spec.localASN: Invalid value"),
        (PEER, {"myASN": 1, "peerPort": 16385}, "spec.peerPort: Invalid value"),
        (PEER, {"myASN": 1, "peerPort": 0}, "spec.peerPort: Invalid value"),
        (PEER, {"myASN": 1, "dynamicASN": "both"}, "spec.dynamicASN: Unsupported value"),
        (
            PEER,
            {"myASN": 1, "connectTime": "0s"},
            "connect time should be between 1 seconds to 65535",
        ),
        (
            PEER,
            {"myASN": 1, "connectTime": "65536s"},
            "connect time should be between 1 seconds to 65535",
        ),
        (
            PEER,
            {"myASN": 1, "connectTime": "1500ms"},
            "connect time should contain a whole number of seconds",
        ),
        (BGP, {"aggregationLength": 0}, "spec.aggregationLength: Invalid value"),
        (BGP, {"asPathPrepend": 11}, "spec.asPathPrepend: Invalid value"),
        (
            BGP,
            {"serviceSelectors": SELECTED, "aggregationLength": 31},
            "serviceSelectors and aggregationLength are mutually exclusive",
        ),
        (
            BGP,
            {"serviceSelectors": SELECTED, "aggregationLengthV6": 127},
            "serviceSelectors and aggregationLength are mutually exclusive",
        ),
        (
            L2,
            {"preferredNodeSelectors": [{"weight": 0, "preference": {}}]},
            "spec.preferredNodeSelectors[0].weight: Invalid value",
        ),
        (
            L2,
            {"preferredNodeSelectors": [{"weight": 1}]},
            "spec.preferredNodeSelectors[0].preference: Required value",
        ),
        (
            L2,
            {"nodeSelectors": [{"matchExpressions": [{"key": "a"}]}]},
            "spec.nodeSelectors[0].matchExpressions[0].operator: Required value",
        ),
        (BFD, {"receiveInterval": 9}, "spec.receiveInterval: Invalid value"),
        (BFD, {"echoInterval": 60001}, "spec.echoInterval: Invalid value"),
        (BFD, {"detectMultiplier": 1}, "spec.detectMultiplier: Invalid value"),
        (BFD, {"minimumTtl": 255}, "spec.minimumTtl: Invalid value"),
        (COMMUNITY, {"communities": [{"name": 1}]}, "spec.communities[0].name: Invalid value"),
    ],
)
def test_refusals(objects: Objects, kind: Kind, spec: Any, told: str) -> None:
    """What breaks a bound or a rule is refused, with the field and the original's words."""
    assert told in objects.refusal(kind, spec)


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        (PEER, {"myASN": 1, "connectTime": "1s"}),
        (PEER, {"myASN": 1, "connectTime": "18h12m15s"}),
        (BGP, {"serviceSelectors": SELECTED}),
        (BGP, {"serviceSelectors": SELECTED, "aggregationLength": 32, "aggregationLengthV6": 128}),
        (BGP, {"serviceSelectors": [], "aggregationLength": 24}),
        (BFD, {"receiveInterval": 10, "transmitInterval": 60000, "detectMultiplier": 255}),
    ],
)
def test_edges_are_taken(objects: Objects, kind: Kind, spec: Any) -> None:
    """What is just within the bounds and rules is stored as it is written."""
    stored = objects.create(kind, spec)["spec"]
    assert {name: stored[name] for name in spec} == spec


@pytest.mark.rule("api-1.spec-required")
@pytest.mark.parametrize("kind", [PEER, BGP, L2, BFD, COMMUNITY, L2_STATUS, BGP_STATUS, STATE])
def test_a_spec_may_be_left_out(objects: Objects, kind: Kind) -> None:
    """All kinds but the pool may be created of a name alone."""
    assert objects.create(kind)["kind"] == kind[2]


@pytest.mark.rule("api-3.1.graceful-restart")
def test_graceful_restart_is_set_once(objects: Objects) -> None:
    """Once it is there it stays as it is; setting it later, or removing it, changes no value."""
    objects.create(PEER, {"myASN": 1})
    objects.change(PEER, spec={"enableGracefulRestart": False})
    with pytest.raises(ApiError, match="EnableGracefulRestart cannot be changed after creation"):
        objects.change(PEER, spec={"enableGracefulRestart": True})
    objects.change(PEER, spec={"enableGracefulRestart": None})


@pytest.mark.rule(
    "api-8.2.fields", "api-8.3.fields", "api-8.2.two-steps", "api-1.status-subresource"
)
@pytest.mark.parametrize("kind", [L2_STATUS, BGP_STATUS])
def test_a_service_status_stays_with_its_service(objects: Objects, kind: Kind) -> None:
    """A creation drops the status; once it is written, node and service cannot be changed."""
    said = {"node": "n", "serviceName": "web", "serviceNamespace": "default"}
    assert "status" not in objects.create(kind, status=said)
    assert objects.change(kind, "/status", status=said)["status"] == said
    for field in said:
        with pytest.raises(ApiError, match="Value is immutable"):
            objects.change(kind, "/status", status={field: "other"})


@pytest.mark.rule("api-2.status-fields")
def test_counters_come_together(objects: Objects) -> None:
    """A pool's status has all four counters, each of up to 63 bits."""
    objects.create(POOL, {"addresses": []})
    said = dict.fromkeys(
        ["assignedIPv4", "assignedIPv6", "availableIPv4", "availableIPv6"], 2**63 - 1
    )
    assert objects.change(POOL, "/status", status=said)["status"] == said
    with pytest.raises(ApiError, match=r"status\.assignedIPv4: Required value"):
        objects.change(POOL, "/status", status={"assignedIPv4": None})


@pytest.mark.rule("api-8.4.fields")
def test_conditions_have_the_apis_limits(objects: Objects) -> None:
    """A condition is whole, and a state has one of each type."""
    objects.create(STATE)
    condition = {
        "type": "poolReconcilerValid",
        "status": "False",
        "reason": "ConfigurationError",
        "message": "x" * 32768,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    status = {"result": "Invalid", "errorSummary": "x", "conditions": [condition]}
    assert objects.change(STATE, "/status", status=status)["status"] == status
    for wrong in (
        {"conditions": [condition, condition]},
        {"conditions": [condition | {"message": "x" * 32769}]},
        {"conditions": [condition | {"reason": ""}]},
        {"conditions": [condition | {"status": "Maybe"}]},
        {"conditions": [condition | {"lastTransitionTime": "now"}]},
        {"conditions": [{"type": "poolReconcilerValid"}]},
        {"result": "Perhaps"},
    ):
        with pytest.raises(ApiError, match="is invalid"):
            objects.change(STATE, "/status", status=wrong)
