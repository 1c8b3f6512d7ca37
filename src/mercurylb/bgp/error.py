"""What a peer's octets can be wrong in: always something that a NOTIFICATION can say."""

from __future__ import annotations

from mercurylb.errors import WireError


class BgpError(WireError):
    """The peer sent what ends the session (RFC 4271 section 6).

    `code`, `subcode` and `data` are those of the NOTIFICATION that it is to get.
    """

    def __init__(self, code: int, subcode: int, message: str, *, data: bytes = b"") -> None:
        super().__init__("bgp", message, reason=f"{code}/{subcode}")
        self.code = int(code)
        self.subcode = int(subcode)
        self.data = data
        self.message = message

    def __str__(self) -> str:
        """Give the message alone: offsets mean nothing here."""
        return self.message
