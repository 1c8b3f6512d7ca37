"""What runs on a node: our announcer, or a speaker that knows gossip only, as MetalLB's does.

Both take facts and return effects, so that a node need not know which one it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from mercurylb.announcer.core import AnnouncerCore, CoreEffect
from mercurylb.layer2.interface import Interface, NodeInterfaces
from mercurylb.layer2.responder import Responder

if TYPE_CHECKING:
    from mercurylb.membership.member import Membership, StreamDecoder
    from mercurylb.plan.desired import BrainMessage

PORT = 7946
LINK_INDEX = 2


class Identity(msgspec.Struct, frozen=True):
    """Who a process is, as far as it is told from outside."""

    node: str
    address: str
    mac: bytes
    started_at_s: int
    """The calendar clock at its start, which can have gone back."""
    secret: bytes


class Process(Protocol):
    """A running program of a node."""

    @property
    def answered(self) -> frozenset[str]:
        """Return the services that it answers for."""

    @property
    def is_ready(self) -> bool:
        """Say whether it knows what it needs in order to own anything."""

    def on_start(self, *, has_carrier: bool, now: float) -> list[CoreEffect]:
        """Begin."""

    def on_carrier(self, has_carrier: bool, now: float) -> list[CoreEffect]:  # noqa: FBT001
        """Take over the carrier of the node's only link."""

    def on_brain_message(self, message: BrainMessage, now: float) -> list[CoreEffect]:
        """Take over what is wanted."""

    def on_datagram(self, source: str, port: int, payload: bytes, now: float) -> list[CoreEffect]:
        """Take in a datagram."""

    def on_refused(self, address: str, now: float) -> list[CoreEffect]:
        """Take in that nobody listens there."""

    def on_kernel_answer(self, address: str, now: float) -> list[CoreEffect]:
        """Take in that a kernel answered."""

    def stream_decoder(self) -> StreamDecoder:
        """Return what reads a connection."""

    def on_request(
        self, source: str, message: object, now: float
    ) -> tuple[list[CoreEffect], bytes | None]:
        """Take in a request."""

    def on_reply(self, exchange: int, message: object | None, now: float) -> list[CoreEffect]:
        """Take in a reply."""

    def on_announcement(self, frame: bytes, now: float) -> list[CoreEffect]:
        """Take in a gratuitous frame that the kernel filter let pass."""

    def is_answering(self, question: bytes) -> bool:
        """Ask for an address, as a client on the LAN does."""

    def on_stop(self, now: float) -> list[CoreEffect]:
        """Begin the planned stop."""

    def next_deadline(self) -> float | None:
        """Return when `on_deadline` wants to be called."""

    def on_deadline(self, now: float) -> list[CoreEffect]:
        """Do what is due."""

    def validate(self) -> None:
        """Assert the invariants."""

    def story(self) -> list[tuple[float, str]]:
        """Return the latest transitions of its machines, by its own clock."""


class Announcer:
    """Our announcer."""

    def __init__(
        self, identity: Identity, membership: Membership, *, lease_s: float, now: float
    ) -> None:
        self._identity = identity
        self.core = AnnouncerCore(
            identity.node, membership, Responder(identity.node, now=now), lease_s=lease_s
        )
        core = self.core
        self.on_brain_message = core.on_brain_message
        self.on_datagram = core.on_datagram
        self.on_refused = core.on_refused
        self.on_kernel_answer = core.on_kernel_answer
        self.stream_decoder = core.stream_decoder
        self.on_request = core.on_request
        self.on_reply = core.on_reply
        self.on_stop = core.on_stop
        self.next_deadline = core.next_deadline
        self.on_deadline = core.on_deadline
        self.validate = core.validate

    @property
    def answered(self) -> frozenset[str]:
        """Return the services of which it answers for an address."""
        return frozenset(
            owned.service
            for owned in self.core.responder.owned
            if len(owned.skipped) < len(owned.addresses)
        )

    @property
    def is_ready(self) -> bool:
        """Say whether it knows what it needs in order to own anything."""
        return self.core._has_desired and self.core._lease_until is not None

    def on_start(self, *, has_carrier: bool, now: float) -> list[CoreEffect]:
        """Find the links and open the sockets."""
        return [*self.on_carrier(has_carrier, now), *self.core.on_transport(now)]

    def on_carrier(self, has_carrier: bool, now: float) -> list[CoreEffect]:  # noqa: FBT001
        """Take over the carrier of the node's only link."""
        link_local = bytes((0xFE, 0x80, *[0] * 14))
        interface = Interface(LINK_INDEX, "eth0", self._identity.mac, has_carrier, True, link_local)
        found = NodeInterfaces(("eth0",), (interface,))
        return self.core.on_links(found, now, has_carrier=has_carrier)

    def on_announcement(self, frame: bytes, now: float) -> list[CoreEffect]:
        """Do what the packet socket does with a frame that the filter passed."""
        return self.core.on_frame(LINK_INDEX, frame, now)

    def is_answering(self, question: bytes) -> bool:
        """Ask for an IPv4 address."""
        return isinstance(self.core.responder.answer_arp(LINK_INDEX, question), bytes)

    def story(self) -> list[tuple[float, str]]:
        """Return the latest transitions of its machines, by its own clock."""
        told = list(getattr(self.core.membership, "story", ()))
        return sorted([*told, *self.core.responder.story])
