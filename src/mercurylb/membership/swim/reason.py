"""Why bytes were refused, in words short and fixed enough to be counted by."""

from __future__ import annotations

import enum

from mercurylb.errors import WireError

PROTOCOL = "swim"


class Reason(enum.StrEnum):
    """What was wrong."""

    EMPTY = "empty"
    """No bytes, or an envelope with nothing in it."""
    TRUNCATED = "truncated"
    """It ends before it should."""
    OVERSIZED = "oversized"
    """More bytes, members or parts than we are willing to hold."""
    BOMB = "bomb"
    """Little that unpacks to more than we are willing to hold."""
    NESTING = "nesting"
    """Envelopes inside envelopes, deeper than anybody honest sends."""
    TYPE = "type"
    """A message type that is unknown, or has no business where it stands."""
    MALFORMED = "malformed"
    """No MessagePack, or not the map that a message is."""
    FIELD = "field"
    """A field is of the wrong type, or out of range."""
    NAME = "name"
    """A member's name is empty, too long, not UTF-8, or has characters that cannot be printed."""
    COMPRESSION = "compression"
    """Not the one known algorithm, or codes that it never makes."""
    CRC = "crc"
    LABEL = "label"
    """A label where none should be, none where one should be, or another one."""
    KEY = "key"
    """Not encrypted, or not with our key; of a datagram nobody can tell these apart."""
    PLAIN = "plain"
    """A connection that speaks in clear, and we have a key."""
    SEALED = "sealed"
    """A connection that speaks encrypted, and we have no key."""


def refusal(reason: Reason, message: str, *, offset: int = 0) -> WireError:
    """Return the error to raise."""
    return WireError(PROTOCOL, message, offset=offset, reason=reason.value)
