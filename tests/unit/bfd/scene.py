"""One session and somebody on the other side who says what the test wants."""

from __future__ import annotations

import msgspec

from mercurylb.bfd import packet as wire
from mercurylb.bfd.effect import (
    Arrival,
    BfdChanged,
    BfdEffect,
    BfdKey,
    SendPacket,
)
from mercurylb.bfd.packet import Packet, State
from mercurylb.bfd.settings import BfdSettings
from mercurylb.bfd.table import BfdTable

KEY = BfdKey("192.0.2.1", interface="eth0")
FAST = BfdSettings(receive_interval_ms=50, transmit_interval_ms=50)
REMOTE = 7
"""The other side's discriminator."""


class Even:
    """Chance without surprises."""

    def __init__(self, share: float = 0.0) -> None:
        self.share = share
        self.bits = 100

    def random(self) -> float:
        return self.share

    def getrandbits(self, count: int, /) -> int:
        self.bits += 1
        return self.bits % (1 << count)


class Scene:
    """A table with one session, at a time that only the test moves."""

    def __init__(
        self, settings: BfdSettings = FAST, *, key: BfdKey = KEY, chance: Even | None = None
    ) -> None:
        self.key = key
        self.chance = chance or Even()
        self.table = BfdTable(self.chance)
        self.now = 100.0
        self.said: list[Packet] = []
        self.said_at: list[float] = []
        self.changes: list[BfdChanged] = []
        self.other: list[BfdEffect] = []
        self.answers = True
        """Whether the other side answers P with F."""
        self.hears = Packet(State.DOWN, 3, REMOTE, 0, 1_000_000, 50_000)
        """What it says, but for the state."""
        self.take(self.table.on_wanted({key: settings}, self.now))

    @property
    def discriminator(self) -> int:
        detail = self.table.detail(self.key, self.now)
        assert detail is not None
        return detail.discriminator

    @property
    def state(self) -> str:
        report = self.table.report(self.key, self.now)
        assert report is not None
        return report.state

    @property
    def dropped(self) -> dict[str, int]:
        detail = self.table.detail(self.key, self.now)
        assert detail is not None
        return detail.dropped

    def take(self, effects: list[BfdEffect]) -> None:
        for effect in effects:
            match effect:
                case SendPacket():
                    self.said.append(wire.decode(effect.octets))
                    self.said_at.append(self.now)
                case BfdChanged():
                    self.changes.append(effect)
                case _:
                    self.other.append(effect)
        self.table.validate()

    def arrival(self, octets: bytes, *, ttl: int = 255) -> Arrival:
        return Arrival(
            source=self.key.peer,
            octets=octets,
            ttl=ttl,
            interface=self.key.interface,
            vrf=self.key.vrf,
            is_multi_hop=self.key.is_multi_hop,
        )

    def packet(self, state: State, **differences: object) -> Packet:
        """Return what the other side would say in a state."""
        yours = self.discriminator if state > State.DOWN else 0
        said = msgspec.structs.replace(self.hears, state=state, your_discriminator=yours)
        return msgspec.structs.replace(said, **differences)

    def hear(self, state: State, *, ttl: int = 255, **differences: object) -> None:
        octets = wire.encode(self.packet(state, **differences))
        self.take(self.table.on_packet(self.arrival(octets, ttl=ttl), self.now))

    def run(self, seconds: float) -> None:
        """Let time pass, the timer always on time."""
        until = self.now + seconds
        while (at := self.table.next_deadline()) is not None and at <= until:
            self.now = max(self.now, at)
            self.take(self.table.on_deadline(self.now))
        self.now = until

    def bring_to(self, state: State) -> None:
        """Bring the session to a state, by what the other side says."""
        match state:
            case State.INIT:
                self.hear(State.DOWN)
            case State.UP:
                self.hear(State.INIT)
                if self.answers:
                    self.hear(State.UP, is_final=True, desired_min_tx_us=50_000)
            case State.ADMIN_DOWN:
                self.hear(State.DOWN)
                self.take(self.table.on_wanted({}, self.now))
            case _:
                pass
        self.said.clear()
        self.said_at.clear()
        self.changes.clear()
        self.other.clear()

    def converse(self, seconds: float, *, interval_s: float = 0.05) -> None:
        """Let the other side say in time that it is up."""
        for _ in range(round(seconds / interval_s)):
            self.run(interval_s)
            self.hear(State.UP, desired_min_tx_us=round(interval_s * 1e6))
