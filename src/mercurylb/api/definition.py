"""The nine kinds of `metallb.io` by name, and one of ours: what definitions say beside the fields.

The fields are in the structs; `crd` puts both together. Daemons do not import this: it is for
`scripts/crds.py` and for commands.
"""

from __future__ import annotations

from typing import Final

import msgspec

from mercurylb.api.bfd_profile import BFDProfile
from mercurylb.api.bgp_advertisement import BGPAdvertisement
from mercurylb.api.bgp_peer import BGPPeer
from mercurylb.api.bgp_peer_v1beta1 import BGPPeerV1Beta1
from mercurylb.api.bgp_session import BGPSession
from mercurylb.api.community import Community
from mercurylb.api.configuration_state import ConfigurationState
from mercurylb.api.ip_address_pool import IPAddressPool
from mercurylb.api.l2_advertisement import L2Advertisement
from mercurylb.api.meta import GROUP, OWN_GROUP
from mercurylb.api.service_bgp_status import ServiceBGPStatus
from mercurylb.api.service_l2_status import ServiceL2Status


class Column(msgspec.Struct, frozen=True, rename="camel"):
    """What `kubectl get` prints; columns with a priority only with `-o wide`."""

    name: str
    json_path: str
    type: str = "string"
    priority: int = 0


class Version(msgspec.Struct, frozen=True):
    """One version of a kind; all versions are served."""

    name: str
    struct: type[msgspec.Struct]
    is_storage: bool = True
    deprecation: str = ""
    """What whoever uses it is told; empty while it is not deprecated."""


class ConversionWebhook(msgspec.Struct, frozen=True):
    """Who converts between the versions, as reviews of which versions."""

    namespace: str
    """Where the service is; the chart puts its own namespace here."""
    service: str
    path: str
    review_versions: tuple[str, ...]


class Definition(msgspec.Struct, frozen=True):
    """One kind; all are namespaced, without short names, with the status subresource."""

    kind: str
    plural: str
    columns: tuple[Column, ...]
    versions: tuple[Version, ...]
    conversion: ConversionWebhook | None = None
    group: str = GROUP

    @property
    def singular(self) -> str:
        """Give the name for one object, as typed on a command line."""
        return self.kind.lower()


_POOLS: Final = Column("IPAddressPools", ".spec.ipAddressPools")
_POOL_SELECTORS: Final = Column("IPAddressPool Selectors", ".spec.ipAddressPoolSelectors")
_NODE_SELECTORS: Final = Column("Node Selectors", ".spec.nodeSelectors", priority=10)
_SERVICE: Final = (
    Column("Service Name", ".status.serviceName"),
    Column("Service Namespace", ".status.serviceNamespace"),
)

DEFINITIONS: Final = (
    Definition(
        "BFDProfile",
        "bfdprofiles",
        (
            Column("Passive Mode", ".spec.passiveMode", "boolean"),
            Column("Transmit Interval", ".spec.transmitInterval", "integer"),
            Column("Receive Interval", ".spec.receiveInterval", "integer"),
            Column("Multiplier", ".spec.detectMultiplier", "integer"),
        ),
        (Version("v1beta1", BFDProfile),),
    ),
    Definition(
        "BGPAdvertisement",
        "bgpadvertisements",
        (_POOLS, _POOL_SELECTORS, Column("Peers", ".spec.peers"), _NODE_SELECTORS),
        (Version("v1beta1", BGPAdvertisement),),
    ),
    Definition(
        "BGPPeer",
        "bgppeers",
        (
            Column("Address", ".spec.peerAddress"),
            Column("ASN", ".spec.peerASN"),
            Column("BFD Profile", ".spec.bfdProfile"),
            Column("Multi Hops", ".spec.ebgpMultiHop"),
        ),
        (
            Version(
                "v1beta1",
                BGPPeerV1Beta1,
                is_storage=False,
                deprecation="v1beta1 is deprecated, please use v1beta2",
            ),
            Version("v1beta2", BGPPeer),
        ),
        ConversionWebhook(
            "metallb-system", "metallb-webhook-service", "/convert", ("v1beta1", "v1beta2")
        ),
    ),
    Definition("Community", "communities", (), (Version("v1beta1", Community),)),
    Definition(
        "ConfigurationState",
        "configurationstates",
        (
            Column("Result", ".status.result"),
            Column("ErrorSummary", ".status.errorSummary"),
            Column("Age", ".metadata.creationTimestamp", "date"),
        ),
        (Version("v1beta1", ConfigurationState),),
    ),
    Definition(
        "IPAddressPool",
        "ipaddresspools",
        (
            Column("Auto Assign", ".spec.autoAssign", "boolean"),
            Column("Avoid Buggy IPs", ".spec.avoidBuggyIPs", "boolean"),
            Column("Addresses", ".spec.addresses"),
        ),
        (Version("v1beta1", IPAddressPool),),
    ),
    Definition(
        "L2Advertisement",
        "l2advertisements",
        (_POOLS, _POOL_SELECTORS, Column("Interfaces", ".spec.interfaces"), _NODE_SELECTORS),
        (Version("v1beta1", L2Advertisement),),
    ),
    Definition(
        "ServiceBGPStatus",
        "servicebgpstatuses",
        (Column("Node", ".status.node"), *_SERVICE),
        (Version("v1beta1", ServiceBGPStatus),),
    ),
    Definition(
        "ServiceL2Status",
        "servicel2statuses",
        (Column("Allocated Node", ".status.node"), *_SERVICE),
        (Version("v1beta1", ServiceL2Status),),
    ),
    Definition(
        "BGPSession",
        "bgpsessions",
        (
            Column("Node", ".status.node"),
            Column("Peer", ".status.peer"),
            Column("Address", ".status.address"),
            Column("State", ".status.state"),
            Column("BFD", ".status.bfd"),
            Column("Prefixes", ".status.prefixes", "integer"),
            Column("Since", ".status.since", "date"),
            Column("Age", ".metadata.creationTimestamp", "date", priority=1),
            Column("Reason", ".status.reason", priority=1),
        ),
        (Version("v1alpha1", BGPSession),),
        group=OWN_GROUP,
    ),
)
