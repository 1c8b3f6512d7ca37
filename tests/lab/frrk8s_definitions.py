"""Definitions of the kinds of frr-k8s that the speaker deals with, as far as it does.

Fields have the names, types and defaults that frr-k8s gives them; what the speaker never says is
left out.
"""

from __future__ import annotations

from typing import Any, Final

GROUP: Final = "frrk8s.metallb.io"
TEXT: Final = {"type": "string"}
FLAG: Final = {"type": "boolean"}
TEXTS: Final = {"type": "array", "items": TEXT}


def number(low: int, high: int, **more: Any) -> dict[str, Any]:
    """Make a whole number with bounds."""
    return {"type": "integer", "format": "int64", "minimum": low, "maximum": high, **more}


def struct(**fields: Any) -> dict[str, Any]:
    """Make an object with fields."""
    return {"type": "object", "properties": fields}


def many(item: dict[str, Any]) -> dict[str, Any]:
    """Make a list."""
    return {"type": "array", "items": item}


ASN: Final = number(0, 4294967295)
ALLOWED: Final = struct(prefixes=TEXTS, mode={**TEXT, "default": "filtered"})
NEIGHBOR: Final = struct(
    asn=ASN,
    dynamicASN={**TEXT, "enum": ["internal", "external"]},
    localASN=ASN,
    sourceaddress=TEXT,
    address=TEXT,
    interface=TEXT,
    port=number(0, 16384, default=179),
    password=TEXT,
    passwordSecret=struct(name=TEXT, namespace=TEXT),
    holdTime=TEXT,
    keepaliveTime=TEXT,
    connectTime=TEXT,
    ebgpMultiHop=FLAG,
    bfdProfile=TEXT,
    enableGracefulRestart=FLAG,
    disableMP={**FLAG, "default": False},
    dualStackAddressFamily={**FLAG, "default": False},
    addressFamilies={**TEXTS, "default": ["unicast"]},
    toAdvertise=struct(
        allowed=ALLOWED,
        nextHop=struct(ipv4=TEXT, ipv6=TEXT),
        withLocalPref=many(struct(localPref=number(0, 4294967295), prefixes=TEXTS)),
        withCommunity=many(struct(community=TEXT, prefixes=TEXTS)),
        withAsPathPrepend=many(struct(asPathPrepend=number(0, 10), prefixes=TEXTS)),
    ),
    toReceive=struct(allowed=struct(mode={**TEXT, "default": "filtered"})),
)
PROFILE: Final = struct(
    name=TEXT,
    receiveInterval=number(10, 60000, default=300),
    transmitInterval=number(10, 60000, default=300),
    detectMultiplier=number(2, 255, default=3),
    echoInterval=number(10, 60000, default=50),
    minimumTtl=number(1, 254, default=254),
    echoMode=FLAG,
    passiveMode=FLAG,
)
ROUTER: Final = struct(asn=ASN, id=TEXT, vrf=TEXT, prefixes=TEXTS, neighbors=many(NEIGHBOR))
CONFIGURATION: Final = struct(
    spec=struct(
        bgp=struct(routers=many(ROUTER), bfdProfiles=many(PROFILE)),
        raw=struct(priority=number(0, 1000), rawConfig=TEXT),
        nodeSelector=struct(matchLabels={"type": "object", "additionalProperties": TEXT}),
    ),
    status=struct(),
)
SESSION_STATE: Final = struct(
    spec=struct(),
    status=struct(node=TEXT, peer=TEXT, vrf=TEXT, bgpStatus=TEXT, bfdStatus=TEXT),
)


def definition(kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Make the definition of a kind."""
    singular = kind.lower()
    names = {
        "kind": kind,
        "singular": singular,
        "plural": f"{singular}s",
        "listKind": f"{kind}List",
    }
    version = {
        "name": "v1beta1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{singular}s.{GROUP}",
            # The group is one of those that Kubernetes guards; this says that it is meant so.
            "annotations": {"api-approved.kubernetes.io": "unapproved, of a test"},
        },
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


DEFINITIONS: Final = (
    definition("FRRConfiguration", CONFIGURATION),
    definition("BGPSessionState", SESSION_STATE),
)
