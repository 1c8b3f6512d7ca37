"""The control packet (RFC 5880 section 4.1).

::

     0            1         2            3         4                 8
    | ver | diag | S PFCADM | multiplier | length  | my discriminator | your discriminator
    12 desired min TX     16 required min RX    20 required min echo RX (all three in microseconds)
    24 authentication section, if A is set

Decoding applies the rules of section 6.8.6 that need no session; the others are `session`'s.
"""

from __future__ import annotations

import enum
import struct

import msgspec

from mercurylb.errors import WireError

VERSION = 1
SIZE = 24
AUTHENTICATED_SIZE_MIN = 26

POLL = 0x20
FINAL = 0x10
INDEPENDENT = 0x08
AUTHENTICATED = 0x04
DEMAND = 0x02
MULTIPOINT = 0x01

_FIXED = struct.Struct("!BBBBIIIII")


class State(enum.IntEnum):
    """Of a session (section 4.1)."""

    ADMIN_DOWN = 0
    DOWN = 1
    INIT = 2
    UP = 3


STATE_NAMES = {
    State.ADMIN_DOWN: "AdminDown",
    State.DOWN: "Down",
    State.INIT: "Init",
    State.UP: "Up",
}

_STATES = tuple(State)


class Diagnostic:
    """Why a session changed its state last (section 4.1)."""

    NONE = 0
    EXPIRED = 1
    ECHO_FAILED = 2
    NEIGHBOR_DOWN = 3
    FORWARDING_RESET = 4
    PATH_DOWN = 5
    CONCATENATED_DOWN = 6
    ADMIN_DOWN = 7
    REVERSE_CONCATENATED_DOWN = 8


_DIAGNOSTICS = (
    "",
    "Control Detection Time Expired",
    "Echo Function Failed",
    "Neighbor Signaled Session Down",
    "Forwarding Plane Reset",
    "Path Down",
    "Concatenated Path Down",
    "Administratively Down",
    "Reverse Concatenated Path Down",
)


class Refusal:
    """Why a packet is not believed; the words that are counted."""

    TTL = "ttl"
    VERSION = "version"
    LENGTH = "length"
    MULTIPLIER = "multiplier"
    MULTIPOINT = "multipoint"
    MY_DISCRIMINATOR = "my discriminator"
    YOUR_DISCRIMINATOR = "your discriminator"
    """Zero in a state in which the sender knows ours, or nobody's."""
    STRANGER = "stranger"
    """From somebody with whom there is no session."""
    PATH = "path"
    """With the right discriminator, but from elsewhere than the session's peer."""
    AUTHENTICATION = "authentication"
    ADMIN_DOWN = "administratively down"


class Packet(msgspec.Struct, frozen=True, gc=False):
    """A control packet; its authentication section is kept as it is."""

    state: State
    multiplier: int
    my_discriminator: int
    your_discriminator: int
    desired_min_tx_us: int
    required_min_rx_us: int
    required_min_echo_rx_us: int = 0
    diagnostic: int = Diagnostic.NONE
    is_poll: bool = False
    is_final: bool = False
    is_independent: bool = False
    """The sender's BFD does not share the fate of its control plane."""
    is_demand: bool = False
    authentication: bytes = b""


def name_diagnostic(diagnostic: int) -> str:
    """Return a diagnostic in the RFC's words; empty for none."""
    if diagnostic < len(_DIAGNOSTICS):
        return _DIAGNOSTICS[diagnostic]
    return f"Diagnostic {diagnostic}"


def encode(packet: Packet) -> bytes:
    """Encode; the authentication section goes in as it is."""
    flags = (
        packet.state << 6
        | packet.is_poll * POLL
        | packet.is_final * FINAL
        | packet.is_independent * INDEPENDENT
        | bool(packet.authentication) * AUTHENTICATED
        | packet.is_demand * DEMAND
    )
    return (
        _FIXED.pack(
            VERSION << 5 | packet.diagnostic,
            flags,
            packet.multiplier,
            SIZE + len(packet.authentication),
            packet.my_discriminator,
            packet.your_discriminator,
            packet.desired_min_tx_us,
            packet.required_min_rx_us,
            packet.required_min_echo_rx_us,
        )
        + packet.authentication
    )


def decode(octets: bytes) -> Packet:
    """Decode what came in one datagram; raise WireError, its `reason` one of `Refusal`."""
    if len(octets) < SIZE:
        raise WireError("bfd", "too short", reason=Refusal.LENGTH)
    head, flags, multiplier, length, mine, yours, tx_us, rx_us, echo_us = _FIXED.unpack_from(octets)
    if head >> 5 != VERSION:
        raise WireError("bfd", f"version {head >> 5}", reason=Refusal.VERSION)
    least = AUTHENTICATED_SIZE_MIN if flags & AUTHENTICATED else SIZE
    if not least <= length <= len(octets):
        raise WireError("bfd", f"length {length}", offset=3, reason=Refusal.LENGTH)
    if multiplier == 0:
        raise WireError("bfd", "multiplier 0", offset=2, reason=Refusal.MULTIPLIER)
    if flags & MULTIPOINT:
        raise WireError("bfd", "multipoint", offset=1, reason=Refusal.MULTIPOINT)
    if mine == 0:
        raise WireError("bfd", "discriminator 0", offset=4, reason=Refusal.MY_DISCRIMINATOR)
    state = _STATES[flags >> 6]
    if yours == 0 and state > State.DOWN:
        raise WireError("bfd", "no discriminator", offset=8, reason=Refusal.YOUR_DISCRIMINATOR)
    return Packet(
        state=state,
        multiplier=multiplier,
        my_discriminator=mine,
        your_discriminator=yours,
        desired_min_tx_us=tx_us,
        required_min_rx_us=rx_us,
        required_min_echo_rx_us=echo_us,
        diagnostic=head & 0x1F,
        is_poll=bool(flags & POLL),
        is_final=bool(flags & FINAL),
        is_independent=bool(flags & INDEPENDENT),
        is_demand=bool(flags & DEMAND),
        authentication=octets[SIZE:length] if flags & AUTHENTICATED else b"",
    )
