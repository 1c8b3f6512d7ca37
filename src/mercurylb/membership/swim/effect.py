"""What the SWIM machine asks for and tells, and what it says of one member."""

from __future__ import annotations

import enum

import msgspec

from mercurylb.membership.member import Exchange, SendDatagram
from mercurylb.membership.swim.message import State

PMAX_INDEX = 1
"""Of a version vector: the highest protocol a member understands."""
PROTOCOL_TCP_PING = 3
PROTOCOL_NACK = 4
PROTOCOL_CRC = 5


class SwimMember(msgspec.Struct, frozen=True, gc=False):
    """One member as the table knows it."""

    name: str
    address: str
    """In canonical text."""
    port: int
    meta: bytes
    vsn: bytes
    """Six bytes."""
    incarnation: int
    state: State
    changed_at: float
    """When `state` became what it is."""
    addr: bytes
    """The address in 4 or 16 bytes."""

    @property
    def is_live(self) -> bool:
        """Whether it counts: a suspect does until it is found dead."""
        return self.state is State.ALIVE or self.state is State.SUSPECT

    def understands(self, protocol: int) -> bool:
        """Whether it knows what came with a version of the protocol."""
        return self.vsn[PMAX_INDEX] >= protocol


class SwimUp(msgspec.Struct, frozen=True):
    """A member, this one too, is there that was not, or was dead or gone."""

    node: str


class SwimDown(msgspec.Struct, frozen=True):
    """A member is dead, or has left."""

    node: str
    is_leave: bool


class SwimChanged(msgspec.Struct, frozen=True):
    """A live member has a higher incarnation, or is suspect."""

    node: str


class SwimLeft(msgspec.Struct, frozen=True):
    """Our leaving has been told often enough, or for as long as it may take."""


SwimEffect = SendDatagram | Exchange | SwimUp | SwimDown | SwimChanged | SwimLeft


class Refused(enum.StrEnum):
    """Why something that decoded was not believed or not done; counted by it."""

    NODE = "node"
    """A ping for somebody else."""
    ADDRESS = "address"
    """No address that a member can have."""
    CONFLICT = "conflict"
    """A name that is taken by another address."""
    VERSION = "version"
    """Versions that no member of ours could live with."""
    INCARNATION = "incarnation"
    """So near the end of the numbers that nobody can have come to it by steps."""
    MEMBERS = "members"
    """The table is full."""
    QUEUE = "queue"
    """More messages in a datagram than are handled."""
    RELAYS = "relays"
    """More indirect pings than are relayed at the same time."""
    EXCHANGES = "exchanges"
    """More connections of our own than are held at the same time."""
    MERGE = "merge"
    """A push/pull whose members cannot live together with ours."""
    REPLY = "reply"
    """A connection that ended without the reply it was for."""
    URGENT = "urgent"
    """News that were left to gossip, because there were too many to tell everybody at once."""
