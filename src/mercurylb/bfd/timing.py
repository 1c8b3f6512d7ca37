"""How often a session sends, and how long it bears silence (RFC 5880 section 6.8).

Intervals are negotiated in microseconds. A change that could make the other side believe that we
are silent, or us that it is, is in force only when a Poll Sequence has told it to the other side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mercurylb.bfd.packet import State

if TYPE_CHECKING:
    from mercurylb.bfd.packet import Packet
    from mercurylb.bfd.settings import BfdSettings

SLOW_US = 1_000_000
"""The least interval of a session that is not up (section 6.8.3)."""
UNKNOWN_RX_US = 1
"""What the other side is taken to receive before it says so (section 6.8.1)."""
_JITTER = 0.25
_JITTER_OF_ONE = 0.15
"""With a multiplier of 1 a packet comes at 75 to 90 % of the interval, else at 75 to 100 %."""
SLACK_S = 0.001
"""Packets may leave so much before they are due, together with others'."""


class Chance(Protocol):
    """What is needed of a source of randomness; `random.Random` is one."""

    def random(self) -> float:
        """Return a number in [0, 1)."""

    def getrandbits(self, count: int, /) -> int:
        """Return a number of so many bits."""


class Timing:
    """The intervals of both sides."""

    __slots__ = (
        "_rx_us",
        "_tx_us",
        "is_polling",
        "is_repoll_due",
        "multiplier",
        "remote_multiplier",
        "remote_rx_us",
        "remote_tx_us",
        "required_rx_us",
        "wanted_tx_us",
    )

    def __init__(self, settings: BfdSettings) -> None:
        self.multiplier = settings.detect_multiplier
        self.wanted_tx_us = settings.transmit_interval_ms * 1000
        self.required_rx_us = settings.receive_interval_ms * 1000
        self._tx_us = max(SLOW_US, self.wanted_tx_us)
        self._rx_us = self.required_rx_us
        self.remote_tx_us = 0
        self.remote_rx_us = UNKNOWN_RX_US
        self.remote_multiplier = 0
        self.is_polling = False
        self.is_repoll_due = False

    def desired_tx_us(self, state: State) -> int:
        """Return the interval that we tell the other side."""
        return self.wanted_tx_us if state is State.UP else max(SLOW_US, self.wanted_tx_us)

    @property
    def tx_s(self) -> float:
        """Return the interval in force between our packets, before jitter."""
        return max(self._tx_us, self.remote_rx_us) / 1e6

    @property
    def detection_s(self) -> float:
        """Return for how long the other side may be silent; 0 before its first packet."""
        return self.remote_multiplier * max(self._rx_us, self.remote_tx_us) / 1e6

    @property
    def remote_detection_s(self) -> float:
        """Return for how long the other side bears our silence."""
        return self.multiplier * self.tx_s

    def take_remote(self, packet: Packet) -> None:
        """Take over what the other side asks for."""
        self.remote_multiplier = packet.multiplier
        self.remote_tx_us = packet.desired_min_tx_us
        self.remote_rx_us = packet.required_min_rx_us

    def forget_remote(self) -> None:
        """Expect somebody of whom nothing is known."""
        self.remote_multiplier = 0
        self.remote_tx_us = 0
        self.remote_rx_us = UNKNOWN_RX_US

    def change(self, settings: BfdSettings, state: State) -> None:
        """Take over new settings, by a Poll Sequence if the session is up."""
        before = self.wanted_tx_us, self.required_rx_us
        self.multiplier = settings.detect_multiplier
        self.wanted_tx_us = settings.transmit_interval_ms * 1000
        self.required_rx_us = settings.receive_interval_ms * 1000
        if state is not State.UP:
            self.settle(state)
        elif before != (self.wanted_tx_us, self.required_rx_us):
            self._poll()

    def enter(self, state: State) -> None:
        """Follow a change of the state: what it changes of our intervals is polled when up."""
        self.is_polling = self.is_repoll_due = False
        if state is State.UP:
            self._poll()
        else:
            self.settle(state)

    def on_final(self, state: State) -> None:
        """Take note that the other side has answered our poll."""
        if not self.is_polling:
            return
        if self.is_repoll_due:  # It may have answered what we said before the latest change.
            self.is_repoll_due = False
            return
        self.is_polling = False
        self.settle(state)

    def settle(self, state: State) -> None:
        """Put into force what was told."""
        self._tx_us = self.desired_tx_us(state)
        self._rx_us = self.required_rx_us

    def _poll(self) -> None:
        self.is_repoll_due = self.is_polling
        self.is_polling = True
        self._tx_us = min(self._tx_us, self.wanted_tx_us)
        self._rx_us = max(self._rx_us, self.required_rx_us)

    def least_wait_s(self) -> float:
        """Return the least time between two of our packets."""
        return self.tx_s * (1 - _JITTER)

    def wait_s(self, chance: Chance) -> float:
        """Return when the next packet is due after one, at random (section 6.8.7)."""
        jitter = _JITTER_OF_ONE if self.multiplier == 1 else _JITTER
        return max(self.tx_s * (1 - _JITTER + jitter * chance.random()), self._soonest_s())

    def _soonest_s(self) -> float:
        return min(self.least_wait_s() + SLACK_S, self.tx_s)
