"""Why a received frame is not answered."""

from __future__ import annotations

import enum


class Drop(enum.Enum):
    """The reason a frame gets no answer; the value is what counters and logs say."""

    MALFORMED = "malformed"
    """Not a whole ARP packet or neighbour solicitation: truncated, wrong lengths, VLAN tag …"""
    CHECKSUM = "checksum"
    ARP_REPLY = "arpReply"
    """The operation is not a request."""
    ETHERNET_DESTINATION = "ethernetDestination"
    """Neither to everybody nor to the interface."""
    MESSAGE_TYPE = "messageType"
    """Not a neighbour solicitation."""
    NO_SOURCE_LL = "noSourceLL"
    """No source link-layer address option, as in probes for duplicate addresses."""
    OWN_MESSAGE = "ownMessage"
    """From one of this node's own interfaces, perhaps heard on another one."""
    ANNOUNCE_IP = "announceIP"
    """No service announced here has the target."""
    NOT_MATCHING_INTERFACE = "notMatchingInterface"
    """The target is announced, but not on this interface."""
    CLAIM = "claim"
    """Somebody else speaks for an announced address: not answered by the hot path, but a matter for
    `Responder.on_claim`."""
    CLAIM_FLOOD = "claimFlood"
    """A claim that is not looked at, because there were too many."""
