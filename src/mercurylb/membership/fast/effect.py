"""What the detector tells the machine around it, besides what is to be sent."""

from __future__ import annotations

import msgspec

from mercurylb.membership.member import DownReason, ProbeKernel, SendDatagram


class Found(msgspec.Struct, frozen=True):
    """A node is dead, or says that it leaves, as of this incarnation."""

    node: str
    incarnation: int
    reason: DownReason
    is_leave: bool = False
    is_told: bool = False
    """Somebody else tells everybody."""


class Accused(msgspec.Struct, frozen=True):
    """Somebody holds us for dead as of this incarnation."""

    incarnation: int
    by: str


class HearsUs(msgspec.Struct, frozen=True):
    """A node that came up, or that we came up for, shows that it holds us for alive."""

    node: str


class Proven(msgspec.Struct, frozen=True):
    """A node holds us for alive, and said so in answer to what we asked since we were in doubt."""

    node: str


class Greet(msgspec.Struct, frozen=True):
    """A node shows that it does not know that we are alive: tell it what SWIM tells."""

    node: str


class Reached(msgspec.Struct, frozen=True):
    """A node that we hold for dead can be heard again."""

    node: str


class Stranger(msgspec.Struct, frozen=True):
    """One of ours that SWIM has not told of speaks to us."""

    node: str
    address: str


class Answer(msgspec.Struct, frozen=True):
    """A beat is due to a node once everything before is done."""

    node: str
    address: str
    """Where to, if it is a stranger."""


class Stalled(msgspec.Struct, frozen=True):
    """We ourselves stood still for so long that we may have been replaced."""

    seconds: float


FastEffect = (
    SendDatagram
    | ProbeKernel
    | Found
    | Accused
    | HearsUs
    | Proven
    | Greet
    | Reached
    | Stranger
    | Answer
    | Stalled
)
