"""The custom resource definitions, field by field.

Each table lists every field of a schema: its path, its type (`[]` is a list, `selector` a label
selector), `!` when it is required within its parent, and its constraints. The comparison is exact,
so a field that appears, vanishes or changes its bounds is seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SCALARS = "format default minimum maximum minItems minLength maxLength enum"
ASN = "format=int64 minimum=0 maximum=4294967295"
MS = "format=int32 minimum=10 maximum=60000"

PEER_V1BETA1 = f"""
bfdProfile string
ebgpMultiHop boolean
holdTime string
keepaliveTime string
myASN integer ! {ASN}
nodeSelectors []object
nodeSelectors.matchExpressions []object
nodeSelectors.matchExpressions.key string !
nodeSelectors.matchExpressions.operator string !
nodeSelectors.matchExpressions.values []string ! minItems=1
nodeSelectors.matchLabels map
password string
peerASN integer ! {ASN}
peerAddress string !
peerPort integer minimum=0 maximum=16384
routerID string
sourceAddress string
"""
PEER_V1BETA2 = f"""
bfdProfile string
connectTime string
disableMP boolean default=False
dualStackAddressFamily boolean default=False
dynamicASN string enum=internal,external
ebgpMultiHop boolean
enableGracefulRestart boolean
holdTime string
interface string
keepaliveTime string
localASN integer format=int64 minimum=1 maximum=4294967295
myASN integer ! {ASN}
nodeSelectors []selector
password string
passwordSecret object
passwordSecret.name string
passwordSecret.namespace string
peerASN integer {ASN}
peerAddress string
peerPort integer default=179 minimum=1 maximum=16384
routerID string
sourceAddress string
vrf string
"""
SPECS = {
    ("IPAddressPool", "v1beta1"): """
addresses []string !
autoAssign boolean default=True
avoidBuggyIPs boolean default=False
serviceAllocation object
serviceAllocation.namespaceSelectors []selector
serviceAllocation.namespaces []string
serviceAllocation.priority integer
serviceAllocation.serviceSelectors []selector
""",
    ("BGPPeer", "v1beta1"): PEER_V1BETA1,
    ("BGPPeer", "v1beta2"): PEER_V1BETA2,
    ("BGPAdvertisement", "v1beta1"): """
aggregationLength integer format=int32 default=32 minimum=1
aggregationLengthV6 integer format=int32 default=128
asPathPrepend integer minimum=1 maximum=10
communities []string
ipAddressPoolSelectors []selector
ipAddressPools []string
localPref integer format=int32
nodeSelectors []selector
peers []string
serviceSelectors []selector
""",
    ("L2Advertisement", "v1beta1"): """
interfaces []string
ipAddressPoolSelectors []selector
ipAddressPools []string
nodeSelectors []selector
preferredNodeSelectors []object
preferredNodeSelectors.preference selector !
preferredNodeSelectors.weight integer ! format=int32 minimum=1 maximum=100
serviceSelectors []selector
""",
    ("BFDProfile", "v1beta1"): f"""
detectMultiplier integer format=int32 minimum=2 maximum=255
echoInterval integer {MS}
echoMode boolean
minimumTtl integer format=int32 minimum=1 maximum=254
passiveMode boolean
receiveInterval integer {MS}
transmitInterval integer {MS}
""",
    ("Community", "v1beta1"): """
communities []object
communities.name string
communities.value string
""",
    ("ServiceL2Status", "v1beta1"): "",
    ("ServiceBGPStatus", "v1beta1"): "",
}
STATUSES = {
    ("IPAddressPool", "v1beta1"): """
assignedIPv4 integer ! format=int64
assignedIPv6 integer ! format=int64
availableIPv4 integer ! format=int64
availableIPv6 integer ! format=int64
""",
    ("ServiceL2Status", "v1beta1"): """
interfaces []object
interfaces.name string
node string
serviceName string
serviceNamespace string
""",
    ("ServiceBGPStatus", "v1beta1"): """
node string
peers []string
serviceName string
serviceNamespace string
""",
    ("ConfigurationState", "v1beta1"): """
conditions []object
conditions.lastTransitionTime string ! format=date-time
conditions.message string ! maxLength=32768
conditions.observedGeneration integer format=int64 minimum=0
conditions.reason string ! minLength=1 maxLength=1024
conditions.status string ! enum=True,False,Unknown
conditions.type string ! maxLength=316
errorSummary string
result string enum=Valid,Invalid,Unknown
""",
}
NAMES = {
    "IPAddressPool": ("ipaddresspools", "ipaddresspool"),
    "BGPPeer": ("bgppeers", "bgppeer"),
    "BGPAdvertisement": ("bgpadvertisements", "bgpadvertisement"),
    "L2Advertisement": ("l2advertisements", "l2advertisement"),
    "BFDProfile": ("bfdprofiles", "bfdprofile"),
    "Community": ("communities", "community"),
    "ServiceL2Status": ("servicel2statuses", "servicel2status"),
    "ServiceBGPStatus": ("servicebgpstatuses", "servicebgpstatus"),
    "ConfigurationState": ("configurationstates", "configurationstate"),
}
POOL_COLUMNS = [
    ("IPAddressPools", "string", ".spec.ipAddressPools", 0),
    ("IPAddressPool Selectors", "string", ".spec.ipAddressPoolSelectors", 0),
]
NODES_COLUMN = ("Node Selectors", "string", ".spec.nodeSelectors", 10)
COLUMNS = {
    "IPAddressPool": [
        ("Auto Assign", "boolean", ".spec.autoAssign", 0),
        ("Avoid Buggy IPs", "boolean", ".spec.avoidBuggyIPs", 0),
        ("Addresses", "string", ".spec.addresses", 0),
    ],
    "BGPPeer": [
        ("Address", "string", ".spec.peerAddress", 0),
        ("ASN", "string", ".spec.peerASN", 0),
        ("BFD Profile", "string", ".spec.bfdProfile", 0),
        ("Multi Hops", "string", ".spec.ebgpMultiHop", 0),
    ],
    "BGPAdvertisement": [*POOL_COLUMNS, ("Peers", "string", ".spec.peers", 0), NODES_COLUMN],
    "L2Advertisement": [
        *POOL_COLUMNS,
        ("Interfaces", "string", ".spec.interfaces", 0),
        NODES_COLUMN,
    ],
    "BFDProfile": [
        ("Passive Mode", "boolean", ".spec.passiveMode", 0),
        ("Transmit Interval", "integer", ".spec.transmitInterval", 0),
        ("Receive Interval", "integer", ".spec.receiveInterval", 0),
        ("Multiplier", "integer", ".spec.detectMultiplier", 0),
    ],
    "Community": [],
    "ServiceL2Status": [
        ("Allocated Node", "string", ".status.node", 0),
        ("Service Name", "string", ".status.serviceName", 0),
        ("Service Namespace", "string", ".status.serviceNamespace", 0),
    ],
    "ServiceBGPStatus": [
        ("Node", "string", ".status.node", 0),
        ("Service Name", "string", ".status.serviceName", 0),
        ("Service Namespace", "string", ".status.serviceNamespace", 0),
    ],
    "ConfigurationState": [
        ("Result", "string", ".status.result", 0),
        ("ErrorSummary", "string", ".status.errorSummary", 0),
        ("Age", "date", ".metadata.creationTimestamp", 0),
    ],
}
IMMUTABLE = [("self == oldSelf", "Value is immutable")]
RULES = {
    "BGPPeer v1beta2 spec.connectTime": [
        (
            "duration(self).getSeconds() >= 1 && duration(self).getSeconds() <= 65535",
            "connect time should be between 1 seconds to 65535",
        ),
        (
            "duration(self).getMilliseconds() % 1000 == 0",
            "connect time should contain a whole number of seconds",
        ),
    ],
    "BGPPeer v1beta2 spec.enableGracefulRestart": [
        ("self == oldSelf", "EnableGracefulRestart cannot be changed after creation")
    ],
    "BGPAdvertisement v1beta1 spec": [
        (
            (
                "!has(self.serviceSelectors) || self.serviceSelectors.size() == 0 || "
                "((!has(self.aggregationLength) || self.aggregationLength == 32) && "
                "(!has(self.aggregationLengthV6) || self.aggregationLengthV6 == 128))"
            ),
            (
                "serviceSelectors and aggregationLength are mutually exclusive, can only be used "
                "together with default aggregationLength (32) and aggregationLengthV6 (128)"
            ),
        )
    ],
    **{
        f"{kind} v1beta1 status.{field}": IMMUTABLE
        for kind in ("ServiceL2Status", "ServiceBGPStatus")
        for field in ("node", "serviceName", "serviceNamespace")
    },
}
SELECTOR = {
    "type": "object",
    "properties": {
        "matchExpressions": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "key": {"type": "string"},
                    "operator": {"type": "string"},
                    "values": {
                        "type": "array",
                        "items": {"type": "string"},
                        "x-kubernetes-list-type": "atomic",
                    },
                },
                "required": ["key", "operator"],
            },
            "x-kubernetes-list-type": "atomic",
        },
        "matchLabels": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "x-kubernetes-map-type": "atomic",
}


def without_text(schema: Any) -> Any:
    """Return a schema without its descriptions."""
    if isinstance(schema, dict):
        return {
            key: without_text(value)
            for key, value in schema.items()
            if key != "description" or not isinstance(value, str)
        }
    return schema


def type_name(schema: dict[str, Any]) -> str:
    """Return the short name of a schema's type."""
    if schema["type"] == "array":
        return "[]" + type_name(schema["items"])
    if without_text(schema) == SELECTOR:
        return "selector"
    if "additionalProperties" in schema:
        assert schema["additionalProperties"] == {"type": "string"}
        return "map"
    return str(schema["type"])


def lines(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield one line of the tables' form for each field below a schema."""
    for name, field in schema.get("properties", {}).items():
        kind = type_name(field)
        words = [prefix + name, kind]
        if name in schema.get("required", ()):
            words.append("!")
        for key in SCALARS.split():
            value = field.get(key)
            if value is not None:
                words.append(f"{key}={','.join(value) if key == 'enum' else value}")
        yield " ".join(words)
        if not kind.endswith("selector"):
            inner = field["items"] if field["type"] == "array" else field
            yield from lines(inner, f"{prefix}{name}.")


def rules(schema: dict[str, Any], path: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield the rules of a schema and of everything in it, by path."""
    if found := schema.get("x-kubernetes-validations"):
        yield path, [(rule["rule"], rule["message"]) for rule in found]
    for name, field in schema.get("properties", {}).items():
        yield from rules(field, f"{path}.{name}" if path[-1:] != " " else path + name)
    if "items" in schema:
        yield from rules(schema["items"], path)


def schema_of(definitions: Any, kind: str, version: str) -> dict[str, Any]:
    """Return the schema of one version of a kind."""
    (found,) = [v for v in definitions[kind]["spec"]["versions"] if v["name"] == version]
    schema: dict[str, Any] = found["schema"]["openAPIV3Schema"]
    return schema


def check(definitions: Any, key: tuple[str, str], part: str, table: str) -> None:
    """Compare one part of a schema with its table."""
    schema = schema_of(definitions, *key)["properties"][part]
    assert sorted(lines(schema)) == sorted(table.split("\n")[1:-1])


@pytest.mark.parametrize("key", SPECS, ids=" ".join)
def test_the_specification_has_exactly_these_fields(definitions: Any, key: Any) -> None:
    """Every field of MetalLB's API exists, with its type, default and bounds, and no other."""
    check(definitions, key, "spec", SPECS[key])


@pytest.mark.parametrize("kind", NAMES)
def test_the_status_has_exactly_these_fields(definitions: Any, kind: str) -> None:
    """Every field of the status exists; the kinds that report nothing have an empty one."""
    for version in definitions[kind]["spec"]["versions"]:
        key = (kind, version["name"])
        check(definitions, key, "status", STATUSES.get(key, ""))


@pytest.mark.parametrize("kind", NAMES)
def test_names_scope_and_subresource(definitions: Any, kind: str) -> None:
    """Each kind is namespaced, has its names and keeps its status apart."""
    plural, singular = NAMES[kind]
    crd = definitions[kind]
    assert crd["metadata"] == {"name": f"{plural}.metallb.io"}
    spec = crd["spec"]
    assert spec["group"] == "metallb.io"
    assert spec["scope"] == "Namespaced"
    assert spec["names"] == {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": singular,
    }
    for version in spec["versions"]:
        assert version["subresources"] == {"status": {}}


def test_these_are_all_kinds(definitions: Any) -> None:
    """No kind is missing and none is left over."""
    assert set(definitions) == set(NAMES)


@pytest.mark.parametrize("kind", NAMES)
def test_versions_are_served_and_stored(definitions: Any, kind: str) -> None:
    """Only BGPPeer has an older version: served, deprecated, not stored."""
    versions = [
        (
            v["name"],
            v["served"],
            v["storage"],
            v.get("deprecated", False),
            v.get("deprecationWarning"),
        )
        for v in definitions[kind]["spec"]["versions"]
    ]
    newest = "v1beta2" if kind == "BGPPeer" else "v1beta1"
    expected = [(newest, True, True, False, None)]
    if kind == "BGPPeer":
        warning = "v1beta1 is deprecated, please use v1beta2"
        expected.insert(0, ("v1beta1", True, False, True, warning))
    assert versions == expected


@pytest.mark.parametrize("kind", NAMES)
def test_only_a_pool_must_have_a_specification(definitions: Any, kind: str) -> None:
    """A pool without specification is a mistake; ConfigurationState has no specification at all."""
    for version in definitions[kind]["spec"]["versions"]:
        schema = version["schema"]["openAPIV3Schema"]
        assert schema.get("required", []) == (["spec"] if kind == "IPAddressPool" else [])
        assert ("spec" in schema["properties"]) == (kind != "ConfigurationState")


@pytest.mark.parametrize("kind", NAMES)
def test_printed_columns(definitions: Any, kind: str) -> None:
    """`kubectl get` shows the columns that documentation and scripts expect."""
    for version in definitions[kind]["spec"]["versions"]:
        columns = [
            (c["name"], c["type"], c["jsonPath"], c.get("priority", 0))
            for c in version.get("additionalPrinterColumns", [])
        ]
        assert columns == COLUMNS[kind]


def test_the_rules_that_the_api_server_evaluates(definitions: Any) -> None:
    """Mistakes that the API server can see are refused with MetalLB's messages."""
    found = {}
    for kind, crd in definitions.items():
        for version in crd["spec"]["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            found.update(rules(schema, f"{kind} {version['name']} "))
    assert found == RULES


def test_conditions_are_merged_by_type(definitions: Any) -> None:
    """Two writers of one list of conditions do not overwrite each other."""
    status = schema_of(definitions, "ConfigurationState", "v1beta1")["properties"]["status"]
    conditions = status["properties"]["conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    reason = conditions["items"]["properties"]["reason"]
    assert reason["pattern"] == "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"


def test_a_password_reference_is_one_value(definitions: Any) -> None:
    """Whoever sets a reference sets it wholly."""
    spec = schema_of(definitions, "BGPPeer", "v1beta2")["properties"]["spec"]
    assert spec["properties"]["passwordSecret"]["x-kubernetes-map-type"] == "atomic"


def test_peers_are_converted_by_the_controllers_webhook(definitions: Any) -> None:
    """Whoever asks for the older version gets what the controller makes of the stored one."""
    conversion = definitions["BGPPeer"]["spec"]["conversion"]
    assert conversion["strategy"] == "Webhook"
    assert conversion["webhook"]["clientConfig"]["service"]["path"] == "/convert"


def test_every_field_is_described(definitions: Any) -> None:
    """`kubectl explain` says something about every field."""

    def silent(schema: dict[str, Any], path: str) -> Iterator[str]:
        for name, field in schema.get("properties", {}).items():
            if not field.get("description") and (path, name) != ("", "metadata"):
                yield f"{path}.{name}"
            yield from silent(field, f"{path}.{name}")
        if "items" in schema:
            yield from silent(schema["items"], path)

    for crd in definitions.values():
        for version in crd["spec"]["versions"]:
            assert not list(silent(version["schema"]["openAPIV3Schema"], ""))
