"""The header of all messages, and the stream taken apart (RFC 4271 sections 4.1 and 6.1, RFC 8654).

::

    0                     16       18     19
    | marker, all ones    | length | type | body ... |

The length counts the header. A message has at most 4096 octets, or 65535 once both sides have said
so; OPEN and KEEPALIVE never have more than 4096. What is wrong in a header ends the session, since
nobody knows where the next message begins.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from mercurylb.bgp.error import BgpError

HEADER_LENGTH: Final = 19
MAX_LENGTH: Final = 4096
EXTENDED_MAX_LENGTH: Final = 65535
MARKER: Final = b"\xff" * 16

_HEADER_ERROR: Final = 1
_NOT_SYNCHRONIZED: Final = 1
_BAD_LENGTH: Final = 2
_BAD_TYPE: Final = 3


class MessageType(IntEnum):
    """What the last octet of the header says."""

    OPEN = 1
    UPDATE = 2
    NOTIFICATION = 3
    KEEPALIVE = 4
    ROUTE_REFRESH = 5


_UPDATE_MIN: Final = 23
_UPDATE: Final = int(MessageType.UPDATE)
_SHORTEST: Final = {
    MessageType.OPEN: 29,
    MessageType.UPDATE: _UPDATE_MIN,
    MessageType.NOTIFICATION: 21,
    MessageType.KEEPALIVE: HEADER_LENGTH,
    MessageType.ROUTE_REFRESH: HEADER_LENGTH,
}
"""Which refresh is too short is said by the code of its own (RFC 7313), see `refresh.decode`."""
_NEVER_EXTENDED: Final = frozenset({MessageType.OPEN, MessageType.KEEPALIVE})


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message as the stream has it."""

    type: int
    """One of `MessageType`."""
    body: bytes
    """What follows the header."""


def encode(type_: int, body: bytes = b"") -> bytes:
    """Put the header before a body."""
    length = HEADER_LENGTH + len(body)
    return b"".join((MARKER, length.to_bytes(2, "big"), bytes((type_,)), body))


KEEPALIVE: Final = encode(MessageType.KEEPALIVE)


class MessageSplitter:
    """Finds the messages in a stream of octets.

    It holds what was fed and not yet taken: less than one message when `take` gave None.
    """

    def __init__(self) -> None:
        self.has_extended = False
        """Whether both sides have extended messages; to be set as soon as that is known."""
        self._octets: bytes | bytearray = b""
        self._position = 0

    def __len__(self) -> int:
        """Count the octets that wait for more."""
        return len(self._octets) - self._position

    def feed(self, octets: bytes) -> None:
        """Add what came; the buffer is copied only where a message is in pieces."""
        if self._position == len(self._octets):
            self._octets = octets
        elif isinstance(self._octets, bytearray):
            del self._octets[: self._position]
            self._octets += octets
        else:
            self._octets = bytearray(self._octets[self._position :])
            self._octets += octets
        self._position = 0

    def take(self) -> Message | None:
        """Give the next whole message, None if there is none yet; raises `BgpError`.

        A header that is wrong is told as soon as it is there.
        """
        start = self._position
        octets = self._octets
        waiting = len(octets) - start
        if waiting < HEADER_LENGTH:
            _check_marker(octets[start : start + len(MARKER)])
            return None
        if not octets.startswith(MARKER, start):
            raise _not_synchronized()
        length = octets[start + 16] << 8 | octets[start + 17]
        type_ = octets[start + 18]
        if type_ != _UPDATE or not _UPDATE_MIN <= length <= MAX_LENGTH:
            self._check_length(length, type_)
        if waiting < length:
            return None
        self._position = start + length
        return Message(type_, bytes(octets[start + HEADER_LENGTH : start + length]))

    def _check_length(self, length: int, type_: int) -> None:
        longest = MAX_LENGTH
        if self.has_extended and type_ not in _NEVER_EXTENDED:
            longest = EXTENDED_MAX_LENGTH
        shortest = _SHORTEST.get(type_, HEADER_LENGTH)  # type: ignore[call-overload]
        is_exact = type_ == MessageType.KEEPALIVE
        if not shortest <= length <= longest or (is_exact and length != shortest):
            raise BgpError(
                _HEADER_ERROR,
                _BAD_LENGTH,
                f"a message of type {type_} says that it has {length} octets",
                data=length.to_bytes(2, "big"),
            )
        if type_ not in _SHORTEST:
            raise BgpError(_HEADER_ERROR, _BAD_TYPE, f"message type {type_}", data=bytes((type_,)))


def _check_marker(marker: bytes | bytearray) -> None:
    if not MARKER.startswith(marker):
        raise _not_synchronized()


def _not_synchronized() -> BgpError:
    return BgpError(_HEADER_ERROR, _NOT_SYNCHRONIZED, "the marker is not all ones")
