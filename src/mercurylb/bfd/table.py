"""All sessions of a node: whom a packet is for, and who is due next.

A packet with our discriminator goes to its session, one without to the session with its sender
(RFC 5880 section 6.3). Whatever is for nobody ends after a look into a dictionary.

Deadlines are in a heap in which a session stands once, with a moment that is never too late: what
a session has put off since is found out when its turn comes. So a packet costs no sorting.
"""

from __future__ import annotations

import collections
import heapq
from typing import TYPE_CHECKING

from mercurylb.bfd import packet as wire
from mercurylb.bfd.effect import BfdEffect, ClosePort, OpenPort
from mercurylb.bfd.packet import Refusal
from mercurylb.bfd.session import BfdSession
from mercurylb.bfd.timing import SLACK_S
from mercurylb.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mercurylb.bfd.effect import Arrival, BfdKey
    from mercurylb.bfd.packet import Packet
    from mercurylb.bfd.report import BfdDetail, BfdReport
    from mercurylb.bfd.settings import BfdSettings
    from mercurylb.bfd.timing import Chance

SINGLE_HOP_TTL = 255
_DISCRIMINATOR_BITS = 32


class BfdTable:
    """The sessions of a node."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._sessions: dict[BfdKey, BfdSession] = {}
        self._by_discriminator: dict[int, BfdSession] = {}
        self._by_source: dict[tuple[str, str, bool], list[BfdSession]] = {}
        self._heap: list[tuple[float, int]] = []
        """Moment and discriminator."""
        self._queued: dict[int, float] = {}
        """Where in the heap a session stands; other entries of it are void."""
        self.refused: collections.Counter[str] = collections.Counter()
        """Packets that were for no session, by reason (`bfd.packet.Refusal`)."""

    # --- what is wanted ----------------------------------------------------------------------

    def on_wanted(self, wanted: Mapping[BfdKey, BfdSettings], now: float) -> list[BfdEffect]:
        """Begin, change and end sessions until there are just these.

        New settings are negotiated without an interruption. A session that is not wanted any more
        says AdminDown for a detection time before its port is closed.
        """
        effects: list[BfdEffect] = []
        for key in [key for key in self._sessions if key not in wanted]:
            session = self._sessions[key]
            effects += session.on_unwanted(now)
            effects += self._look_at(session, now)
        for key in sorted(wanted):
            present = self._sessions.get(key)
            if present is None:
                effects.append(OpenPort(key))
                self._look_at(self._begin(key, wanted[key], now), now)
            elif present.is_leaving or present.settings != wanted[key]:
                effects += present.on_settings(wanted[key], now)
                self._look_at(present, now)
        return effects

    def on_stop(self, now: float) -> list[BfdEffect]:
        """End all sessions on purpose: the others hear AdminDown, which is no failure."""
        return self.on_wanted({}, now)

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is left to be done: no session, and none that is ending."""
        return not self._sessions

    def _begin(self, key: BfdKey, settings: BfdSettings, now: float) -> BfdSession:
        discriminator = 0
        while discriminator == 0 or discriminator in self._by_discriminator:
            discriminator = self._chance.getrandbits(_DISCRIMINATOR_BITS)
        session = BfdSession(
            key, settings, discriminator=discriminator, chance=self._chance, now=now
        )
        self._sessions[key] = self._by_discriminator[discriminator] = session
        same = self._by_source.setdefault((key.peer, key.vrf, key.is_multi_hop), [])
        same.append(session)
        same.sort(key=_closeness)
        return session

    def _end(self, session: BfdSession) -> None:
        key = session.key
        del self._sessions[key], self._by_discriminator[session.discriminator]
        self._queued.pop(session.discriminator, None)
        source = key.peer, key.vrf, key.is_multi_hop
        self._by_source[source].remove(session)
        if not self._by_source[source]:
            del self._by_source[source]

    # --- packets -----------------------------------------------------------------------------

    def on_packet(self, arrival: Arrival, now: float) -> list[BfdEffect]:
        """Take in a datagram; whatever it holds, this costs little and raises nothing."""
        if not arrival.is_multi_hop and arrival.ttl != SINGLE_HOP_TTL:
            self.refused[Refusal.TTL] += 1
            return []
        try:
            packet = wire.decode(arrival.octets)
        except WireError as error:
            self.refused[error.reason] += 1
            return []
        session = self._session_of(packet, arrival)
        if session is None:
            yours = packet.your_discriminator
            self.refused[Refusal.YOUR_DISCRIMINATOR if yours else Refusal.STRANGER] += 1
            return []
        effects = session.on_packet(packet, arrival, now)
        self._queue(session)
        return effects

    def on_send_failed(self, key: BfdKey, reason: str, now: float) -> list[BfdEffect]:
        """Take note that the port cannot be opened, or that a packet could not be sent."""
        if key in self._sessions:
            self._sessions[key].on_send_failed(reason, now)
        return []

    def _session_of(self, packet: Packet, arrival: Arrival) -> BfdSession | None:
        if packet.your_discriminator:
            return self._by_discriminator.get(packet.your_discriminator)
        source = arrival.source, arrival.vrf, arrival.is_multi_hop
        for session in self._by_source.get(source, ()):
            key = session.key
            if key.interface in ("", arrival.interface) and (
                not key.local_address or arrival.destination in ("", key.local_address)
            ):
                return session
        return None

    # --- time --------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Return when `on_deadline` wants to be called."""
        heap = self._heap
        while heap and self._queued.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def on_deadline(self, now: float) -> list[BfdEffect]:
        """Send what is due, and find out who has fallen silent.

        A silence is believed only if sockets had the chance to be read since it was due: when this
        is called late, the verdict waits for a moment. So the driver need only read its sockets
        before it looks at its timer again.
        """
        due: list[BfdSession] = []
        while (at := self.next_deadline()) is not None and at <= now + SLACK_S:
            _, discriminator = heapq.heappop(self._heap)
            del self._queued[discriminator]
            due.append(self._by_discriminator[discriminator])
        effects: list[BfdEffect] = []
        for session in due:
            effects += session.on_deadline(now)
            effects += self._look_at(session, now)
        return effects

    def _look_at(self, session: BfdSession, now: float) -> list[BfdEffect]:
        """Forget a session that is over, or see to it that its turn comes."""
        if session.is_over(now):
            self._end(session)
            return [ClosePort(session.key)]
        self._queue(session)
        return []

    def _queue(self, session: BfdSession) -> None:
        deadline = session.next_deadline()
        if deadline is None:
            return
        queued = self._queued.get(session.discriminator)
        if queued is None or deadline < queued:
            self._queued[session.discriminator] = deadline
            heapq.heappush(self._heap, (deadline, session.discriminator))

    # --- looking -----------------------------------------------------------------------------

    def reports(self, now: float) -> tuple[BfdReport, ...]:
        """Return how every wanted session is, by key."""
        return tuple(
            self._sessions[key].report(now)
            for key in sorted(self._sessions)
            if not self._sessions[key].is_leaving
        )

    def report(self, key: BfdKey, now: float) -> BfdReport | None:
        """Return how a session is; None if there is no such."""
        session = self._sessions.get(key)
        return session.report(now) if session is not None else None

    def detail(self, key: BfdKey, now: float) -> BfdDetail | None:
        """Return what else is known of a session."""
        session = self._sessions.get(key)
        return session.detail(now) if session is not None else None

    def story(self, key: BfdKey) -> tuple[tuple[float, str], ...]:
        """Return when what happened to a session, oldest first; bounded."""
        session = self._sessions.get(key)
        return tuple(session.story) if session is not None else ()

    def validate(self) -> None:
        """Assert the invariants."""
        for key, session in self._sessions.items():
            session.validate()
            assert session.key == key
            assert self._by_discriminator[session.discriminator] is session
            deadline, queued = session.next_deadline(), self._queued.get(session.discriminator)
            assert deadline is None or (queued is not None and queued <= deadline)
        assert len(self._by_discriminator) == len(self._sessions)
        assert sum(map(len, self._by_source.values())) == len(self._sessions)
        assert len(self._heap) <= 8 * len(self._sessions) + 64, "void entries pile up"


def _closeness(session: BfdSession) -> tuple[bool, bool]:
    """Order sessions with one peer so that the most specific is asked first."""
    return session.key.interface == "", session.key.local_address == ""
