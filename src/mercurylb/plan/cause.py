"""The one true cause of a service's state, and what to do about it.

Codes are for machines and for tests, sentences for people. A code never changes its meaning.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class CauseCode(StrEnum):
    """What a service's state comes from; the first three are no fault."""

    ANNOUNCED = "announced"
    NOT_LOAD_BALANCER = "notLoadBalancer"
    OTHER_CLASS = "otherClass"

    CLUSTER_IP_MISSING = "clusterIPMissing"
    HEADLESS = "headless"
    CLUSTER_IPS_INVALID = "clusterIPsInvalid"
    NOT_ENOUGH_CLUSTER_IPS = "notEnoughClusterIPs"
    POLICY_NOT_DUAL_STACK = "policyNotDualStack"
    REQUEST_IN_TWO_WAYS = "requestInTwoWays"
    REQUEST_NOT_AN_ADDRESS = "requestNotAnAddress"
    REQUEST_TOO_MANY = "requestTooMany"
    REQUEST_SAME_FAMILY = "requestSameFamily"
    REQUEST_WRONG_FAMILY = "requestWrongFamily"

    NO_POOLS = "noPools"
    POOL_IN_WRONG_NAMESPACE = "poolInWrongNamespace"
    CONFIGURATION_REJECTED = "configurationRejected"
    POOL_UNKNOWN = "poolUnknown"
    POOL_FOR_OTHER_NAMESPACES = "poolForOtherNamespaces"
    POOL_FOR_OTHER_SERVICES = "poolForOtherServices"
    POOL_FOR_NOBODY = "poolForNobody"
    POOL_NOT_AUTOMATIC = "poolNotAutomatic"
    POOL_LACKS_FAMILY = "poolLacksFamily"
    POOL_EXHAUSTED = "poolExhausted"
    POOL_ALL_AVOIDED = "poolAllAvoided"
    NO_POOL_FITS = "noPoolFits"
    ADDRESS_IN_NO_POOL = "addressInNoPool"
    ADDRESS_AVOIDED = "addressAvoided"
    ADDRESSES_IN_TWO_POOLS = "addressesInTwoPools"
    ADDRESS_IN_OTHER_POOL = "addressInOtherPool"
    ADDRESS_TAKEN = "addressTaken"
    SHARING_KEY_DIFFERS = "sharingKeyDiffers"
    BACKEND_DIFFERS = "backendDiffers"
    PORT_TAKEN = "portTaken"
    CONTROLLER_NOT_RUNNING = "controllerNotRunning"
    NOT_YET_WRITTEN = "notYetWritten"

    SPEAKER_CONFIGURATION_REJECTED = "speakerConfigurationRejected"
    ADVERTISEMENT_IN_WRONG_NAMESPACE = "advertisementInWrongNamespace"
    NOT_ADVERTISED = "notAdvertised"
    BGP_ONLY = "bgpOnly"
    ADVERTISED_FOR_OTHER_SERVICES = "advertisedForOtherServices"
    ADVERTISED_ON_NO_NODE = "advertisedOnNoNode"
    SHARED_BUT_SELECTED = "sharedButSelected"
    NO_ENDPOINTS = "noEndpoints"
    NO_LOCAL_ENDPOINTS = "noLocalEndpoints"
    NODES_EXCLUDED = "nodesExcluded"
    NODES_WITHOUT_NETWORK = "nodesWithoutNetwork"
    NODES_WITHOUT_SPEAKER = "nodesWithoutSpeaker"
    SPEAKERS_NOT_RUNNING = "speakersNotRunning"
    INTERFACE_MISSING = "interfaceMissing"
    ADVERTISEMENTS_CONFLICT = "advertisementsConflict"
    TOO_MANY_COMMUNITIES = "tooManyCommunities"
    PEERS_UNKNOWN = "peersUnknown"
    PEERS_ON_OTHER_NODES = "peersOnOtherNodes"
    PEERS_LACK_FAMILY = "peersLackFamily"
    SESSIONS_DOWN = "sessionsDown"
    NOT_YET_ANNOUNCED = "notYetAnnounced"
    ADDRESS_CONFLICT = "addressConflict"


HEALTHY: Final = frozenset(
    (CauseCode.ANNOUNCED, CauseCode.NOT_LOAD_BALANCER, CauseCode.OTHER_CLASS)
)


class Cause(msgspec.Struct, frozen=True):
    """Why a service is as it is."""

    code: CauseCode
    sentence: str
    """Complete, names the objects."""
    advice: str = ""
    """What to do; empty when there is nothing to be done."""

    @property
    def is_healthy(self) -> bool:
        """Tell whether nothing is wrong."""
        return self.code in HEALTHY
