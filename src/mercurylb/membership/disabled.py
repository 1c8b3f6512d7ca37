"""No membership: every node counts as alive, as when MetalLB 0.16 has no bind address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.errors import WireError
from mercurylb.membership.member import (
    DownReason,
    Left,
    MemberDown,
    MembershipEffect,
    MemberUp,
    MemberView,
    Peer,
    StreamDecoder,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class DeafDecoder:
    """Refuses whatever a connection brings."""

    def feed(self, data: bytes) -> object | None:
        """Raise WireError."""
        raise WireError("stream", f"{len(data)} bytes, but connections are not in use")

    def refusal(self) -> bytes:
        """Say nothing."""
        return b""


class DisabledMembership:
    """Take everybody for alive, for ever; a dead node is not replaced."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._is_ready = False

    def on_peers(self, peers: Sequence[Peer], now: float) -> list[MembershipEffect]:
        """Need no peers."""
        del peers, now
        return []

    def on_ready(self, is_ready: bool, now: float) -> list[MembershipEffect]:  # noqa: FBT001 (Membership)
        """Be alive when ready."""
        del now
        if is_ready == self._is_ready:
            return []
        self._is_ready = is_ready
        if is_ready:
            return [MemberUp(self._node)]
        return [MemberDown(self._node, DownReason.NOT_READY)]

    def on_datagram(
        self, source: str, port: int, payload: bytes, now: float
    ) -> list[MembershipEffect]:
        """Expect no datagrams."""
        del source, port, payload, now
        return []

    def on_note(self, note: bytes, now: float) -> list[MembershipEffect]:
        """Have nobody to tell it."""
        del note, now
        return []

    def on_carrier(self, has_carrier: bool, now: float) -> list[MembershipEffect]:  # noqa: FBT001 (Membership)
        """Draw no conclusion."""
        del has_carrier, now
        return []

    def on_refused(self, address: str, now: float) -> list[MembershipEffect]:
        """Draw no conclusion."""
        del address, now
        return []

    def on_kernel_answer(self, address: str, now: float) -> list[MembershipEffect]:
        """Draw no conclusion."""
        del address, now
        return []

    def stream_decoder(self) -> StreamDecoder:
        """Read nothing from connections."""
        return DeafDecoder()

    def on_request(
        self, source: str, message: object, now: float
    ) -> tuple[list[MembershipEffect], bytes | None]:
        """Answer no request."""
        del source, message, now
        return [], None

    def on_reply(self, exchange: int, message: object | None, now: float) -> list[MembershipEffect]:
        """Expect no replies."""
        del exchange, message, now
        return []

    def views(self, now: float) -> tuple[MemberView, ...]:
        """Return nobody."""
        del now
        return ()

    def counts(self) -> Mapping[str, int]:
        """Return nothing."""
        return {}

    def on_leave(self, now: float) -> list[MembershipEffect]:
        """Leave at once: there is nobody to tell."""
        del now
        self._is_ready = False
        return [Left()]

    def next_deadline(self) -> float | None:
        """Want no timer."""
        return None

    def on_deadline(self, now: float) -> list[MembershipEffect]:
        """Have nothing to do."""
        del now
        return []

    def live(self) -> frozenset[str] | None:
        """Return None for everybody, or nobody while this node is not ready."""
        return None if self._is_ready else frozenset()

    def validate(self) -> None:
        """Have nothing to assert."""
