"""The kinds of objects that our programs read and write, as resources."""

from __future__ import annotations

from typing import Final

from mercurylb.api.bfd_profile import BFDProfile
from mercurylb.api.bgp_advertisement import BGPAdvertisement
from mercurylb.api.bgp_peer import BGPPeer
from mercurylb.api.bgp_session import BGPSession
from mercurylb.api.community import Community
from mercurylb.api.config_map import ConfigMap
from mercurylb.api.configuration_state import ConfigurationState
from mercurylb.api.endpoint_slice import EndpointSlice
from mercurylb.api.ip_address_pool import IPAddressPool
from mercurylb.api.l2_advertisement import L2Advertisement
from mercurylb.api.namespace import Namespace
from mercurylb.api.node import Node
from mercurylb.api.password_secret import PasswordSecret
from mercurylb.api.pod import Pod
from mercurylb.api.secret import Secret
from mercurylb.api.service import Service
from mercurylb.api.service_bgp_status import ServiceBGPStatus
from mercurylb.api.service_l2_status import ServiceL2Status
from mercurylb.kube.resource import Resource

GROUP: Final = "metallb.io"
OWN_GROUP: Final = "mercurylb.io"
"""Of kinds that MetalLB has not."""

SERVICES: Final = Resource("", "v1", "services", "Service", Service)
NODES: Final = Resource("", "v1", "nodes", "Node", Node, namespaced=False)
NAMESPACES: Final = Resource("", "v1", "namespaces", "Namespace", Namespace, namespaced=False)
PODS: Final = Resource("", "v1", "pods", "Pod", Pod)
SECRETS: Final = Resource("", "v1", "secrets", "Secret", Secret)
PASSWORD_SECRETS: Final = Resource("", "v1", "secrets", "Secret", PasswordSecret)
CONFIG_MAPS: Final = Resource("", "v1", "configmaps", "ConfigMap", ConfigMap)
ENDPOINT_SLICES: Final = Resource(
    "discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", EndpointSlice
)
IP_ADDRESS_POOLS: Final = Resource(
    GROUP, "v1beta1", "ipaddresspools", "IPAddressPool", IPAddressPool
)
L2_ADVERTISEMENTS: Final = Resource(
    GROUP, "v1beta1", "l2advertisements", "L2Advertisement", L2Advertisement, is_dispensable=True
)
BGP_PEERS: Final = Resource(GROUP, "v1beta2", "bgppeers", "BGPPeer", BGPPeer, is_dispensable=True)
BGP_ADVERTISEMENTS: Final = Resource(
    GROUP, "v1beta1", "bgpadvertisements", "BGPAdvertisement", BGPAdvertisement, is_dispensable=True
)
BFD_PROFILES: Final = Resource(
    GROUP, "v1beta1", "bfdprofiles", "BFDProfile", BFDProfile, is_dispensable=True
)
COMMUNITIES: Final = Resource(
    GROUP, "v1beta1", "communities", "Community", Community, is_dispensable=True
)
SERVICE_L2_STATUSES: Final = Resource(
    GROUP, "v1beta1", "servicel2statuses", "ServiceL2Status", ServiceL2Status, is_dispensable=True
)
SERVICE_BGP_STATUSES: Final = Resource(
    GROUP,
    "v1beta1",
    "servicebgpstatuses",
    "ServiceBGPStatus",
    ServiceBGPStatus,
    is_dispensable=True,
)
CONFIGURATION_STATES: Final = Resource(
    GROUP,
    "v1beta1",
    "configurationstates",
    "ConfigurationState",
    ConfigurationState,
    is_dispensable=True,
)
BGP_SESSIONS: Final = Resource(
    OWN_GROUP, "v1alpha1", "bgpsessions", "BGPSession", BGPSession, is_dispensable=True
)
