"""Pings on behalf of others, and the numbers that all our pings have.

Who gets no answer from a member asks us to try. The answer goes back under the number of the one
who asks; if none comes within the probe timeout, a nack goes back where that is wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.membership.swim.message import Ack, IndirectPing, Nack, Ping

if TYPE_CHECKING:
    from mercurylb.membership.seal import Chance
    from mercurylb.membership.swim.config import SwimConfig
    from mercurylb.membership.swim.outbox import Outbox
    from mercurylb.membership.swim.rules import Rules

RELAYS_MAX = 256
_SEQUENCE_END = 1 << 32


class Sequence:
    """The numbers that tell which ping an ack is for; they begin anywhere."""

    def __init__(self, chance: Chance) -> None:
        self._last = chance.randrange(_SEQUENCE_END)

    def next(self) -> int:
        """Return the next number."""
        self._last = (self._last + 1) % _SEQUENCE_END
        return self._last


class _Relay:
    """A ping on somebody's behalf."""

    __slots__ = ("address", "end_at", "port", "seq", "wants_nack")

    def __init__(
        self, address: str, port: int, seq: int, *, wants_nack: bool, end_at: float
    ) -> None:
        self.address = address
        self.port = port
        self.seq = seq
        self.wants_nack = wants_nack
        self.end_at = end_at


class Relays:
    """The indirect pings that others have asked us for, the oldest first."""

    def __init__(
        self, *, config: SwimConfig, rules: Rules, outbox: Outbox, sequence: Sequence
    ) -> None:
        self._config = config
        self._rules = rules
        self._outbox = outbox
        self._sequence = sequence
        self._relays: dict[int, _Relay] = {}

    @property
    def is_full(self) -> bool:
        """Whether no more are taken."""
        return len(self._relays) >= RELAYS_MAX

    def begin(
        self, ping: IndirectPing, target: str, requester: tuple[str, int], now: float
    ) -> None:
        """Ping a target and remember for whom."""
        me, seq = self._rules.me, self._sequence.next()
        address, port = requester
        end_at = now + self._config.probe_timeout_s
        self._relays[seq] = _Relay(address, port, ping.seq, wants_nack=ping.nack, end_at=end_at)
        self._outbox.say(
            target,
            ping.port or me.port,
            Ping(seq, ping.node, me.addr, me.port, me.name),
        )

    def on_ack(self, seq: int, now: float) -> None:
        """Pass an answer on, if it was to one of these pings and in time."""
        relay = self._relays.pop(seq, None)
        if relay is not None and now < relay.end_at:
            self._outbox.say(relay.address, relay.port, Ack(relay.seq))

    def next_deadline(self) -> float | None:
        """Return when the oldest is given up."""
        return next((relay.end_at for relay in self._relays.values()), None)

    def on_deadline(self, now: float) -> None:
        """Give up what is too old, and say so where that is wanted."""
        while self._relays:
            seq, relay = next(iter(self._relays.items()))
            if now < relay.end_at:
                return
            del self._relays[seq]
            if relay.wants_nack:
                self._outbox.say(relay.address, relay.port, Nack(relay.seq))

    def shift(self, by_s: float) -> None:
        """Let time that nobody could use not count."""
        for relay in self._relays.values():
            relay.end_at += by_s

    def validate(self) -> None:
        """Assert the invariants."""
        assert len(self._relays) <= RELAYS_MAX
        ends = [relay.end_at for relay in self._relays.values()]
        assert ends == sorted(ends)
