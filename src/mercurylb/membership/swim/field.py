"""How one field of a message is read: its type, its bounds, and what is made of nil.

A reader takes what MessagePack holds under a key, None when it holds nothing, and the key's name
for the error; it raises WireError, nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.membership.swim.reason import Reason, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

NAME_SIZE_MAX = 253
"""Kubernetes names are DNS subdomains."""
TEXT_SIZE_MAX = 1024
"""Bytes of an error message that are looked at."""


class Field:
    """One key of a map: what it is called here, and how its value is read."""

    __slots__ = ("attribute", "is_omitted", "is_signed", "key", "read", "wire_key")

    def __init__(
        self,
        key: str,
        attribute: str,
        read: Callable[[object, str], object],
        *,
        is_omitted: bool = False,
        is_signed: bool = False,
    ) -> None:
        self.key = key
        self.wire_key = key.encode()
        self.attribute = attribute
        self.read = read
        self.is_omitted = is_omitted
        """Left out when it is empty or zero."""
        self.is_signed = is_signed


def number_up_to(bound: int) -> Callable[[object, str], int]:
    """Return a reader of unsigned numbers; nil is 0."""

    def read(value: object, key: str) -> int:
        if value is None:
            return 0
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= bound:
            raise refusal(Reason.FIELD, f"{key} is no number of at most {bound}")
        return value

    return read


def read_flag(value: object, key: str) -> bool:
    """Read true or false; nil is false."""
    if value is None:
        return False
    if not isinstance(value, bool):
        raise refusal(Reason.FIELD, f"{key} is neither true nor false")
    return value


def read_bytes(value: object, key: str) -> bytes:
    """Read a string of bytes; nil is the empty one."""
    if value is None:
        return b""
    if not isinstance(value, bytes):
        raise refusal(Reason.FIELD, f"{key} is no string of bytes")
    return value


def bytes_up_to(size_max: int) -> Callable[[object, str], bytes]:
    """Return a reader of strings of bytes that have so many at the most."""

    def read(value: object, key: str) -> bytes:
        found = read_bytes(value, key)
        if len(found) > size_max:
            raise refusal(Reason.OVERSIZED, f"{key} has more than {size_max} bytes")
        return found

    return read


def read_address(value: object, key: str) -> bytes:
    """Read an IP address of 4 or 16 bytes."""
    found = read_bytes(value, key)
    if len(found) not in (4, 16):
        raise refusal(Reason.FIELD, f"{key} is no IP address")
    return found


def read_optional_address(value: object, key: str) -> bytes:
    """Read an IP address that may be missing."""
    return read_address(value, key) if read_bytes(value, key) else b""


def read_optional_name(value: object, key: str) -> str:
    """Read a name that may be empty; it is UTF-8 and can be printed."""
    found = read_bytes(value, key)
    try:
        name = found.decode()
    except UnicodeDecodeError as error:
        raise refusal(Reason.NAME, f"{key} is not UTF-8") from error
    if len(found) > NAME_SIZE_MAX or not name.isprintable():
        raise refusal(Reason.NAME, f"{key} is too long or cannot be printed")
    return name


def read_name(value: object, key: str) -> str:
    """Read the name of a member."""
    name = read_optional_name(value, key)
    if not name:
        raise refusal(Reason.NAME, f"{key} is empty")
    return name


def read_text(value: object, key: str) -> str:
    """Read a text for people; what is not UTF-8 in it is replaced."""
    return read_bytes(value, key)[:TEXT_SIZE_MAX].decode(errors="replace")
