"""Who was heard answering for an address, and everything that is said about it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from mercurylb.plan.testimony import Dispute


class AnswerCode(StrEnum):
    """What there is to say about who answers; a code never changes its meaning."""

    RIGHT = "right"
    ANSWERED = "answered"
    """One machine answers, and there is nothing to compare that with."""
    NOT_OURS = "notOurs"
    """One machine answers for an address that is in no pool and of no service."""

    WRONG_NODE = "wrongNode"
    NOT_WANTED = "notWanted"
    """A node answers although no node is to."""
    TWO_OWNERS = "twoOwners"
    STRANGER = "stranger"
    """A machine answers that is no node of the cluster."""
    UNPROVEN = "unproven"
    """Who answers may be the right node: its MAC address could not be learnt."""

    NOBODY = "nobody"


FINE: Final = frozenset((AnswerCode.RIGHT, AnswerCode.ANSWERED, AnswerCode.NOT_OURS))


class Heard(msgspec.Struct, frozen=True):
    """A machine that answers."""

    mac: str
    """Lower case with colons."""
    interface: str
    """Where it was heard."""
    count: int = 1
    age_s: float = 0.0
    """Since its last answer."""
    latency_ms: float | None = None
    """From the question to its first answer."""
    node: str = ""
    """The cluster's node that has this MAC address; empty if none is known."""


class Said(msgspec.Struct, frozen=True):
    """A node whose speaker wrote that it announces a service."""

    node: str
    service: str
    since: str = ""
    """When it wrote so, RFC 3339; empty if not told."""


class Report(msgspec.Struct, frozen=True):
    """Everything there is to say about who answers."""

    address: str
    code: AnswerCode
    sentence: str
    advice: str = ""
    answers: tuple[Heard, ...] = ()
    services: tuple[str, ...] = ()
    """That have the address."""
    expected: tuple[str, ...] = ()
    """The node that is to announce it; several only if services that share it rank differently."""
    ranking: tuple[str, ...] = ()
    said: tuple[Said, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    """Who else claims it, as the announcing speaker sees it."""
    missed: dict[str, dict[str, str]] = {}
    """Nodes of the ranking that other speakers miss: by node, the word of each other node."""
    unlearnt: tuple[str, ...] = ()
    """Nodes that did not tell their MAC address on this wire."""

    @property
    def is_fine(self) -> bool:
        """Tell whether exactly who should answers."""
        return self.code in FINE


class Wire(msgspec.Struct, frozen=True):
    """What was heard."""

    answers: tuple[Heard, ...]
    macs: dict[str, str] = {}
    """Node by MAC address."""
    unlearnt: tuple[str, ...] = ()
    here: str = ""
    """The node from which was asked, if it is one: its own announcer does not hear it."""
