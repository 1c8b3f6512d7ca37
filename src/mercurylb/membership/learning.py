"""How a node that starts finds out who lives, without telling anybody of itself.

The listed peers are asked by a push/pull that brings no members. It is over when all have answered
or failed, `SETTLE_S` after the first answer, or after `grace_s`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.membership.member import Exchange
from mercurylb.membership.swim.message import PushPull, State
from mercurylb.membership.swim.stream import encode_stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mercurylb.membership.swim.packet import PacketCodec

SETTLE_S = 0.05
LESSONS_MAX = 6
"""Peers asked at the same time; each tells everything."""


class Learning:
    """One round of asking; the ids of its exchanges are negative."""

    def __init__(self, codec: PacketCodec, *, grace_s: float) -> None:
        self._codec = codec
        self._grace_s = grace_s
        self._last_id = 0
        self._asked: dict[int, str] = {}
        self._over_at: float | None = None
        self._has_answer = False
        self.alive: set[str] = set()
        """Names that anybody who answered holds for alive."""
        self.answered: list[str] = []
        """Addresses that answered."""

    def begin(self, addresses: Sequence[str], port: int, now: float) -> list[Exchange]:
        """Ask some peers; forget what was learned before."""
        self._asked.clear()
        self.alive.clear()
        self.answered.clear()
        self._has_answer = False
        self._over_at = now + self._grace_s
        exchanges: list[Exchange] = []
        for address in addresses[:LESSONS_MAX]:
            self._last_id -= 1
            self._asked[self._last_id] = address
            request = encode_stream(PushPull(nodes=(), is_join=False), self._codec)
            exchanges.append(Exchange(self._last_id, address, port, request, self._grace_s))
        return exchanges

    def on_reply(self, exchange: int, message: object | None, now: float) -> None:
        """Take in what a peer knows."""
        address = self._asked.pop(exchange, None)
        if address is None or not isinstance(message, PushPull):
            return
        self.answered.append(address)
        self.alive.update(
            state.name for state in message.nodes if state.state in (State.ALIVE, State.SUSPECT)
        )
        if not self._has_answer and self._over_at is not None:
            self._has_answer = True
            self._over_at = min(self._over_at, now + SETTLE_S)

    def next_deadline(self) -> float | None:
        """Return when it is over at the latest."""
        return self._over_at

    def is_over(self, now: float) -> bool:
        """Return whether there is nothing more to wait for."""
        return not self._asked or self._over_at is None or now >= self._over_at

    def end(self) -> None:
        """Wait for nothing more."""
        self._asked.clear()
        self._over_at = None
