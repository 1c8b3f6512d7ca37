"""What every membership machine takes and gives.

Addresses are IP addresses in canonical text. Times are seconds on one monotonic clock.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOTE_SIZE_MAX = 400
"""Bytes a member may say about itself: it travels in a member's metadata, which holds 512."""


class DownReason(enum.Enum):
    """Why a member does not count as alive any more."""

    SILENT = "silent"
    """Neither its speaker nor its kernel answers anybody."""
    GONE = "gone"
    """Its kernel says that nobody listens on the membership port."""
    ILL = "ill"
    """Its kernel answers, its speaker has not for longer than any stall is waited for."""
    RESTARTED = "restarted"
    """Another process speaks for it, which has not joined yet."""
    LEAVING = "leaving"
    NOT_READY = "notReady"
    TOLD = "told"
    """Somebody else of the members found it dead."""
    ISOLATED = "isolated"
    """Of this node only: its own way to the others is down, or it stood still for too long."""


class SendDatagram(msgspec.Struct, frozen=True):
    """Send bytes to a UDP port of an address."""

    address: str
    payload: bytes
    port: int = 0
    """0 is the membership port of this node's own settings."""


class Exchange(msgspec.Struct, frozen=True):
    """Open a TCP connection, send the request, and hand the one reply to `on_reply`.

    Connection, request and reply together may take `timeout_s`. An empty reply that is expected is
    none: whatever fails is told as None.
    """

    id: int
    address: str
    port: int
    request: bytes
    timeout_s: float


class ProbeKernel(msgspec.Struct, frozen=True):
    """Ask the kernel that has an address whether it lives, by one ARP request or solicitation.

    What it answers comes back as `on_kernel_answer`. Where there is no common link nothing comes.
    """

    address: str


class MemberUp(msgspec.Struct, frozen=True):
    """A node counts as alive from now on."""

    node: str


class MemberDown(msgspec.Struct, frozen=True):
    """A node does not count as alive any more."""

    node: str
    reason: DownReason


class MemberNote(msgspec.Struct, frozen=True):
    """What a node says about itself is another thing now; see `Membership.on_note`."""

    node: str
    note: bytes


class MemberHearsUs(msgspec.Struct, frozen=True):
    """A node that came up knows of us too: it has acted on our being alive."""

    node: str


class Left(msgspec.Struct, frozen=True):
    """Our leaving is known to everybody who matters, or the linger bound has passed: be silent."""


MembershipEffect = (
    SendDatagram
    | Exchange
    | ProbeKernel
    | MemberUp
    | MemberDown
    | MemberNote
    | MemberHearsUs
    | Left
)


class Peer(Protocol):
    """Where another node's membership machine is reached."""

    @property
    def node(self) -> str:
        """Name of the node."""

    @property
    def address(self) -> str:
        """IP address in canonical text."""


class MemberView(msgspec.Struct, frozen=True):
    """How one member looks from here, for people."""

    node: str
    address: str
    state: str
    """`up`, `suspect`, `down`, `left`."""
    reason: str = ""
    """A value of `DownReason`, of members that are not up."""
    is_ours: bool = True
    """It is one of our announcers, watched by the fast detector; False: by gossip alone."""
    silent_s: float | None = None
    """Since anything was heard from it directly, or how long nothing had been when this node found
    it dead; None if nothing ever was or need be, and if others found it dead."""


class StreamDecoder(Protocol):
    """Takes the bytes of one TCP connection of the membership as they come."""

    def feed(self, data: bytes) -> object | None:
        """Return the message once it is whole; raise WireError when it can be none."""

    def refusal(self) -> bytes:
        """Return what the peer is told before closing, after `feed` raised; empty for nothing."""


class Membership(Protocol):
    """A machine that knows who is alive.

    `MemberUp` and `MemberDown` speak of this node as well: it is up once it may own addresses.
    Effects are to be carried out in the order given: what follows from a member's going down must
    be done before the datagrams behind it, which tell that member that it may be silent.
    """

    def on_peers(self, peers: Sequence[Peer], now: float) -> list[MembershipEffect]:
        """Take over the list of the other nodes to talk to; the first call starts the grace."""

    def on_ready(self, is_ready: bool, now: float) -> list[MembershipEffect]:  # noqa: FBT001
        """Take over whether this node is able to own addresses; until then it does not join."""

    def on_note(self, note: bytes, now: float) -> list[MembershipEffect]:
        """Take over what this node says about itself to all members: at most `NOTE_SIZE_MAX`."""

    def on_carrier(self, has_carrier: bool, now: float) -> list[MembershipEffect]:  # noqa: FBT001
        """Take over whether the link that carries the membership has its carrier."""

    def on_datagram(
        self, source: str, port: int, payload: bytes, now: float
    ) -> list[MembershipEffect]:
        """Take in what came from an address; anything that does not decode is counted only."""

    def on_refused(self, address: str, now: float) -> list[MembershipEffect]:
        """Take in that a kernel said: nobody listens on the membership port of this address."""

    def on_kernel_answer(self, address: str, now: float) -> list[MembershipEffect]:
        """Take in that the kernel of an address answered a probe."""

    def stream_decoder(self) -> StreamDecoder:
        """Return what reads one connection, accepted or opened."""

    def on_request(
        self, source: str, message: object, now: float
    ) -> tuple[list[MembershipEffect], bytes | None]:
        """Take in the request of an accepted connection; return also the reply, None to close."""

    def on_reply(self, exchange: int, message: object | None, now: float) -> list[MembershipEffect]:
        """Take in how an `Exchange` ended; None is without a readable reply."""

    def on_leave(self, now: float) -> list[MembershipEffect]:
        """Begin a planned stop; `Left` follows, at once or later."""

    def next_deadline(self) -> float | None:
        """Return when `on_deadline` wants to be called."""

    def on_deadline(self, now: float) -> list[MembershipEffect]:
        """Do what is due."""

    def live(self) -> frozenset[str] | None:
        """Return the nodes that may own, this one included when it may; None means all."""

    def views(self, now: float) -> tuple[MemberView, ...]:
        """Return every known member but this one, sorted by name."""

    def counts(self) -> Mapping[str, int]:
        """Return what was refused or happened, by a short fixed name, since the start."""

    def validate(self) -> None:
        """Assert the invariants."""
