"""What an operator's command asks an announcer on its own node, and what it is told.

One JSON line with a question, one JSON line with the answer, over the abstract socket `DESK_NAME`,
which lives in the network namespace of the announcer and so is reached from the host, from inside
the pod and from a lab alike.
"""

from __future__ import annotations

import msgspec

from mercurylb.bfd.report import BfdDetail, BfdReport
from mercurylb.bgp.report import SessionReport

DESK_NAME = "\0mercurylb/announcer"
ROUTES_MAX = 1000
"""Routes in one answer."""


class AskPeers(msgspec.Struct, frozen=True, tag_field="ask", tag="peers"):
    """All sessions."""


class AskSession(msgspec.Struct, frozen=True, tag_field="ask", tag="session"):
    """One session, and what happened with it."""

    peer: str
    """Name of the BGPPeer object."""


class AskRoutes(msgspec.Struct, frozen=True, tag_field="ask", tag="routes"):
    """What a peer has been sent; ask again from where the answer ended until all is told."""

    peer: str
    offset: int = 0
    limit: int = ROUTES_MAX


Question = AskPeers | AskSession | AskRoutes


class PeersAnswer(msgspec.Struct, frozen=True):
    """To `AskPeers`."""

    node: str
    sessions: tuple[SessionReport, ...]
    """By name."""
    bfd: tuple[BfdReport, ...]


class SessionAnswer(msgspec.Struct, frozen=True):
    """To `AskSession`."""

    node: str
    session: SessionReport
    bfd: BfdReport | None
    """None without BFD."""
    story: tuple[tuple[float, str], ...]
    """How many seconds ago, and what; the latest last."""
    bfd_detail: BfdDetail | None = None
    bfd_story: tuple[tuple[float, str], ...] = ()


class RoutesAnswer(msgspec.Struct, frozen=True):
    """To `AskRoutes`."""

    node: str
    peer: str
    count: int
    """Of all routes that the peer has now."""
    offset: int
    routes: tuple[tuple[str, str], ...]
    """Prefix, and its attributes in words."""


class DeskError(msgspec.Struct, frozen=True):
    """To a question that has no answer."""

    error: str
    known: tuple[str, ...] = ()
    """Names of all peers, when it was asked for one that there is not."""
