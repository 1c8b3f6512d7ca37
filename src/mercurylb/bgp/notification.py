"""NOTIFICATION: why a session ends, in numbers and in words (RFC 4271 sections 4.5 and 6).

::

    0      19     20        21
    | header | code | subcode | data ... |

The data of an administrative shutdown or reset may be a text for the other operator: one octet of
length and UTF-8 (RFC 9003). Whatever a peer sends as data is kept; text that is none shows as such.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.bgp import message
from mercurylb.bgp.error import BgpError

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXT_MAX: Final = 255
"""Octets of a shutdown communication (RFC 9003)."""
_SHOWN_MAX: Final = 64
"""Octets of data shown in words."""
_FIXED: Final = 2


class Code(IntEnum):
    """Error codes."""

    HEADER = 1
    OPEN = 2
    UPDATE = 3
    HOLD_TIMER = 4
    FSM = 5
    CEASE = 6
    REFRESH = 7
    """RFC 7313."""
    SEND_HOLD_TIMER = 8
    """RFC 9687."""


class HeaderCode(IntEnum):
    """Subcodes of a bad header (section 6.1)."""

    NOT_SYNCHRONIZED = 1
    BAD_LENGTH = 2
    BAD_TYPE = 3


class OpenCode(IntEnum):
    """Subcodes of a bad OPEN (section 6.2)."""

    UNSPECIFIC = 0
    VERSION = 1
    BAD_PEER_AS = 2
    BAD_IDENTIFIER = 3
    PARAMETER = 4
    AUTHENTICATION = 5
    """Deprecated."""
    HOLD_TIME = 6
    CAPABILITY = 7
    """RFC 5492."""
    ROLE_MISMATCH = 11
    """RFC 9234."""


class UpdateCode(IntEnum):
    """Subcodes of a bad UPDATE (section 6.3)."""

    UNSPECIFIC = 0
    ATTRIBUTE_LIST = 1
    UNRECOGNIZED_WELL_KNOWN = 2
    MISSING_WELL_KNOWN = 3
    FLAGS = 4
    LENGTH = 5
    ORIGIN = 6
    ROUTING_LOOP = 7
    """Deprecated."""
    NEXT_HOP = 8
    OPTIONAL = 9
    NETWORK = 10
    AS_PATH = 11


class FsmCode(IntEnum):
    """In which state something came that does not belong there (RFC 6608)."""

    UNSPECIFIC = 0
    OPEN_SENT = 1
    OPEN_CONFIRM = 2
    ESTABLISHED = 3


class CeaseCode(IntEnum):
    """Why a session ends without an error (RFC 4486 and others)."""

    UNSPECIFIC = 0
    PREFIX_LIMIT = 1
    SHUTDOWN = 2
    DECONFIGURED = 3
    RESET = 4
    REJECTED = 5
    CONFIGURATION = 6
    COLLISION = 7
    RESOURCES = 8
    HARD_RESET = 9
    """RFC 8538: another code, subcode and data follow."""
    BFD_DOWN = 10
    """RFC 9384."""


class RefreshCode(IntEnum):
    """Subcodes of a bad ROUTE-REFRESH (RFC 7313)."""

    LENGTH = 1


WITH_TEXT: Final = frozenset({CeaseCode.SHUTDOWN, CeaseCode.RESET})

CODES: Final[Mapping[int, str]] = {
    Code.HEADER: "message header error",
    Code.OPEN: "OPEN message error",
    Code.UPDATE: "UPDATE message error",
    Code.HOLD_TIMER: "hold timer expired",
    Code.FSM: "finite state machine error",
    Code.CEASE: "cease",
    Code.REFRESH: "ROUTE-REFRESH message error",
    Code.SEND_HOLD_TIMER: "send hold timer expired",
}

SUBCODES: Final[Mapping[tuple[int, int], str]] = {
    (1, 1): "connection not synchronized",
    (1, 2): "bad message length",
    (1, 3): "bad message type",
    (2, 1): "unsupported version number",
    (2, 2): "bad peer AS",
    (2, 3): "bad BGP identifier",
    (2, 4): "unsupported optional parameter",
    (2, 5): "authentication failure",
    (2, 6): "unacceptable hold time",
    (2, 7): "unsupported capability",
    (2, 11): "role mismatch",
    (3, 1): "malformed attribute list",
    (3, 2): "unrecognized well-known attribute",
    (3, 3): "missing well-known attribute",
    (3, 4): "attribute flags error",
    (3, 5): "attribute length error",
    (3, 6): "invalid ORIGIN",
    (3, 7): "AS routing loop",
    (3, 8): "invalid NEXT_HOP",
    (3, 9): "optional attribute error",
    (3, 10): "invalid network field",
    (3, 11): "malformed AS_PATH",
    (5, 1): "unexpected message in state OpenSent",
    (5, 2): "unexpected message in state OpenConfirm",
    (5, 3): "unexpected message in state Established",
    (6, 1): "maximum number of prefixes reached",
    (6, 2): "administrative shutdown",
    (6, 3): "peer de-configured",
    (6, 4): "administrative reset",
    (6, 5): "connection rejected",
    (6, 6): "other configuration change",
    (6, 7): "connection collision resolution",
    (6, 8): "out of resources",
    (6, 9): "hard reset",
    (6, 10): "BFD down",
    (7, 1): "invalid message length",
}


class Notification(msgspec.Struct, frozen=True, gc=False):
    """What ends a session."""

    code: int
    subcode: int = 0
    data: bytes = b""

    @property
    def name(self) -> str:
        """Give code and subcode in words."""
        code = CODES.get(self.code, f"unknown code {self.code}")
        if not self.subcode:
            return code
        subcode = SUBCODES.get((self.code, self.subcode), f"unknown subcode {self.subcode}")
        return f"{code}: {subcode}"

    @property
    def text(self) -> str:
        """Give what the other operator wrote (RFC 9003); empty if nothing legible."""
        if self.code != Code.CEASE or self.subcode not in WITH_TEXT or not self.data:
            return ""
        octets = self.data[1 : 1 + self.data[0]]
        if len(octets) != self.data[0]:
            return ""
        text = octets.decode("utf-8", "replace")
        return "".join(letter if letter.isprintable() else "?" for letter in text)

    @property
    def hard(self) -> Notification | None:
        """Give what a hard reset encloses (RFC 8538)."""
        is_hard = self.code == Code.CEASE and self.subcode == CeaseCode.HARD_RESET
        if not is_hard or len(self.data) < _FIXED:
            return None
        return Notification(self.data[0], self.data[1], self.data[_FIXED:])

    def describe(self) -> str:
        """Give one line: words, numbers, and text or data if there is any."""
        line = f"{self.name} ({self.code}/{self.subcode})"
        if self.text:
            return f'{line}: "{self.text}"'
        enclosed = self.hard
        if enclosed is not None and (enclosed.code, enclosed.subcode) != (6, 9):
            return f"{line}, {enclosed.describe()}"
        if self.data:
            more = "..." if len(self.data) > _SHOWN_MAX else ""
            return f"{line}: {self.data[:_SHOWN_MAX].hex()}{more}"
        return line


def of(error: BgpError) -> Notification:
    """Give what tells a peer of its mistake."""
    return Notification(error.code, error.subcode, error.data)


def cease(subcode: int, text: str = "") -> Notification:
    """Give what ends a session without an error; text goes with a shutdown or reset only."""
    octets = text.encode()[:TEXT_MAX] if subcode in WITH_TEXT else b""
    if not octets:
        return Notification(Code.CEASE, subcode)
    octets = octets.decode(errors="ignore").encode()
    return Notification(Code.CEASE, subcode, bytes((len(octets),)) + octets)


def encode(notification: Notification) -> bytes:
    """Encode the whole message; data that would make it too long are cut."""
    room = message.MAX_LENGTH - message.HEADER_LENGTH - _FIXED
    body = bytes((notification.code, notification.subcode)) + notification.data[:room]
    return message.encode(message.MessageType.NOTIFICATION, body)


def decode(body: bytes) -> Notification:
    """Decode what follows the header; raises `BgpError` when it is too short."""
    if len(body) < _FIXED:
        raise BgpError(
            Code.HEADER,
            HeaderCode.BAD_LENGTH,
            f"a NOTIFICATION of {len(body)} octets",
            data=(message.HEADER_LENGTH + len(body)).to_bytes(2, "big"),
        )
    return Notification(body[0], body[1], body[_FIXED:])
