"""One session (RFC 5880 section 6; RFC 5881 over one hop, RFC 5883 over several).

::

              AdminDown, Down        Init, Up
     Down ──────── Down ─────► Init ───────────► Up
      ▲ ▲                       │                │
      │ └──AdminDown, expired───┘                │
      └───────────AdminDown, Down, expired───────┘        (what is received names the arrows;
     Down ──────── Init ─────────────────────► Up          where none is, the state stays)

Only the asynchronous mode is spoken: no echo packets of ours, no demand mode.

Before a silence is believed the sockets are read once more: this process may have stood still since
it read them last, and packets may be waiting. So a verdict waits for `LOOK_S`, and if our timer was
late, which proves a standstill, for `SETTLE_S`, a bounded number of times.

Invariants: a passive session that knows nobody is silent; below Up nothing leaves more often than
once a second, but for news; every packet with P is answered by one with F; P and F never meet.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from mercurylb.bfd import packet as wire
from mercurylb.bfd.auth import TYPE_NAMES, Signer
from mercurylb.bfd.effect import BfdChanged, BfdEffect, SendPacket
from mercurylb.bfd.packet import STATE_NAMES, Diagnostic, Packet, Refusal, State, name_diagnostic
from mercurylb.bfd.report import BfdDetail, BfdReport
from mercurylb.bfd.timing import SLACK_S, Timing

if TYPE_CHECKING:
    from mercurylb.bfd.effect import Arrival, BfdKey
    from mercurylb.bfd.settings import BfdSettings
    from mercurylb.bfd.timing import Chance

STORY_MAX = 64
LOOK_S = 0.002
"""Long enough for the loop to come round and read its sockets."""
LATE_S = 0.005
"""Whose timer is later than this stood still."""
SETTLE_S = 0.03
"""So long are waiting packets looked for then; there may be many."""
SETTLES_MAX = 3
"""The settling may be late itself, on a starved machine; whoever is silent is found in the end."""
FAREWELL_MAX_S = 10.0
"""However long the other side would bear our silence."""

_NEXT = {
    (State.DOWN, State.DOWN): State.INIT,
    (State.DOWN, State.INIT): State.UP,
    (State.INIT, State.ADMIN_DOWN): State.DOWN,
    (State.INIT, State.INIT): State.UP,
    (State.INIT, State.UP): State.UP,
    (State.UP, State.ADMIN_DOWN): State.DOWN,
    (State.UP, State.DOWN): State.DOWN,
}
"""By our state and the received one (section 6.8.6); everything else changes nothing."""


class BfdSession:
    """The machine; created Down, ended by `on_unwanted` and `is_over`."""

    def __init__(
        self,
        key: BfdKey,
        settings: BfdSettings,
        *,
        discriminator: int,
        chance: Chance,
        now: float,
    ) -> None:
        self.key = key
        self.settings = settings
        self.discriminator = discriminator
        self._chance = chance
        self._signer = self._make_signer()
        self._timing = Timing(settings)
        self._state = State.DOWN
        self._changed_at = now
        self._diagnostic = Diagnostic.NONE
        self._fault = ""
        self._leaves_at: float | None = None

        self._remote_discriminator = 0
        self._remote_state = State.DOWN
        self._remote_diagnostic = Diagnostic.NONE
        self._is_remote_demand = False
        self._heard_at: float | None = None
        self._sequence_known_until = now
        """Replayed packets are known as such until then (section 6.8.1)."""
        self._settles_at: float | None = None
        self._settle_count = 0

        self._sent_at: float | None = None
        self._due_at: float | None = now + self._chance.random() * 0.1
        """Many sessions that begin at once do not speak at once."""

        self.dropped: collections.Counter[str] = collections.Counter()
        self.story: collections.deque[tuple[float, str]] = collections.deque(maxlen=STORY_MAX)
        self._received_count = self._sent_count = self._up_count = self._down_count = 0
        self._send_error = ""
        self._note(now, "begun")

    # --- what is wanted ----------------------------------------------------------------------

    def on_settings(self, settings: BfdSettings, now: float) -> list[BfdEffect]:
        """Take over new settings, without an interruption; begin anew if it was ending."""
        before, self.settings = self.settings, settings
        if settings.authentication != before.authentication:
            self._signer = self._make_signer()
        effects: list[BfdEffect] = []
        if self._leaves_at is not None:
            self._leaves_at = None
            self._diagnostic = Diagnostic.NONE
            self._note(now, "wanted again")
            effects = self._enter(State.DOWN, now)
        if settings != before:
            self._note(now, "new settings")
            self._timing.change(settings, self._state)
            self._schedule_sooner(now)
        return effects

    def on_unwanted(self, now: float) -> list[BfdEffect]:
        """Tell the other side AdminDown, for as long as it bears silence (section 6.8.16)."""
        if self._leaves_at is not None:
            return []
        if not self._remote_discriminator:
            self._leaves_at = now
            return []
        # Three packets, say, at the pace in force: at one a second a single lost one would make
        # the other side believe that the path failed.
        wait_s = min(self._timing.tx_s, 1.0)
        patience_s = max(self._timing.remote_detection_s, 3 * wait_s)
        self._leaves_at = now + min(patience_s, FAREWELL_MAX_S)
        self._state, self._changed_at = State.ADMIN_DOWN, now
        self._diagnostic = Diagnostic.ADMIN_DOWN
        self._timing.is_polling = self._timing.is_repoll_due = False
        self._note(now, "not wanted any more: AdminDown")
        return [*self._send(now), self._changed("")]

    @property
    def is_leaving(self) -> bool:
        """Return whether it is not wanted any more."""
        return self._leaves_at is not None

    def is_over(self, now: float) -> bool:
        """Return whether it may be forgotten."""
        return self._leaves_at is not None and now >= self._leaves_at

    def on_send_failed(self, reason: str, now: float) -> None:
        """Take note that what was sent did not leave."""
        if reason != self._send_error:
            self._send_error = reason
            self._note(now, f"cannot send: {reason}")

    # --- packets -----------------------------------------------------------------------------

    def on_packet(self, packet: Packet, arrival: Arrival, now: float) -> list[BfdEffect]:
        """Take in a packet that is for this session (section 6.8.6)."""
        refusal = self._refusal(packet, arrival, now)
        if refusal:
            self.dropped[refusal] += 1
            return []
        self._received_count += 1
        self._heard_at = now
        self._settles_at, self._settle_count = None, 0
        if packet.my_discriminator != self._remote_discriminator:
            self._note(now, f"peer has discriminator {packet.my_discriminator}")
        self._remote_discriminator = packet.my_discriminator
        self._remote_state = packet.state
        self._remote_diagnostic = packet.diagnostic
        self._is_remote_demand = packet.is_demand
        self._timing.take_remote(packet)
        self._sequence_known_until = now + 2 * self._timing.detection_s
        if packet.is_final:
            self._timing.on_final(self._state)
        if self._state is State.ADMIN_DOWN:
            self.dropped[Refusal.ADMIN_DOWN] += 1
            return []
        effects = self._follow(packet, now)
        self._schedule_sooner(now)
        if packet.is_poll:
            effects += self._send(now, is_final=True)
        return effects

    def _refusal(self, packet: Packet, arrival: Arrival, now: float) -> str:
        key = self.key
        if arrival.is_multi_hop and arrival.ttl < self.settings.minimum_ttl:
            return Refusal.TTL
        if (
            arrival.is_multi_hop != key.is_multi_hop
            or arrival.source != key.peer
            or arrival.vrf != key.vrf
            or (key.interface and arrival.interface != key.interface)
            or (key.local_address and arrival.destination not in ("", key.local_address))
        ):
            return Refusal.PATH
        if self._signer is None:
            return Refusal.AUTHENTICATION if packet.authentication else ""
        if now > self._sequence_known_until:
            self._signer.forget()
        is_proven = packet.authentication and self._signer.verify(packet, arrival.octets)
        return "" if is_proven else Refusal.AUTHENTICATION

    def _follow(self, packet: Packet, now: float) -> list[BfdEffect]:
        state = _NEXT.get((self._state, packet.state))
        if state is None:
            return []
        if state is State.DOWN:
            self._diagnostic = Diagnostic.NEIGHBOR_DOWN
            why = name_diagnostic(packet.diagnostic) or "no diagnostic"
            self._note(now, f"peer says {STATE_NAMES[packet.state]}: {why}")
        is_failure = self._state is State.UP and packet.state is not State.ADMIN_DOWN
        return self._enter(state, now, is_failure=is_failure)

    # --- time --------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Return when something is due."""
        moments = self._due(), self._verdict_at(), self._leaves_at
        return min((moment for moment in moments if moment is not None), default=None)

    def on_deadline(self, now: float) -> list[BfdEffect]:
        """Do what is due by now, or within `SLACK_S`."""
        effects: list[BfdEffect] = []
        verdict_at = self._verdict_at()
        if verdict_at is not None and now >= verdict_at:
            late_s = now - (self.next_deadline() or now)
            effects = self._expire(now, late_s=late_s)
        due = self._due()
        if due is not None and now >= due - SLACK_S:
            effects += self._send(now)
        return effects

    def _due(self) -> float | None:
        """Return when the next periodic packet is to leave (section 6.8.7)."""
        if self._remote_discriminator == 0 and self.settings.is_passive:
            return None
        if self._timing.remote_rx_us == 0:
            return None
        is_quiet = (
            self._is_remote_demand
            and self._state is State.UP
            and self._remote_state is State.UP
            and not self._timing.is_polling
        )
        return None if is_quiet else self._due_at

    def _verdict_at(self) -> float | None:
        if self._remote_discriminator == 0 or self._heard_at is None:
            return None
        if self._settles_at is not None:
            return self._settles_at
        return self._heard_at + self._timing.detection_s

    def _expire(self, now: float, *, late_s: float) -> list[BfdEffect]:
        """Believe in the other side's silence, or look once more whether packets are waiting."""
        has_stood_still = late_s > LATE_S
        if self._settle_count < (SETTLES_MAX if has_stood_still else 1):
            self._settle_count += 1
            self._settles_at = now + (SETTLE_S if has_stood_still else LOOK_S)
            return []
        silent_s = now - self._heard_at if self._heard_at is not None else 0.0
        self._settles_at, self._settle_count = None, 0
        self._remote_discriminator = 0
        self._is_remote_demand = False
        self._timing.forget_remote()
        if self._state not in (State.INIT, State.UP):
            self._note(now, f"peer is gone, silent for {silent_s * 1000:.0f} ms")
            return []
        self._diagnostic = Diagnostic.EXPIRED
        self._note(now, f"nothing heard for {silent_s * 1000:.0f} ms")
        return self._enter(State.DOWN, now, is_failure=self._state is State.UP)

    # --- doing -------------------------------------------------------------------------------

    def _enter(self, state: State, now: float, *, is_failure: bool = False) -> list[BfdEffect]:
        was, self._state, self._changed_at = self._state, state, now
        self._timing.enter(state)
        self._note(now, f"{STATE_NAMES[was]} -> {STATE_NAMES[state]}")
        why = ""
        if state is State.UP:
            self._up_count += 1
            self._diagnostic = Diagnostic.NONE
        elif state is State.DOWN:
            why = name_diagnostic(self._diagnostic)
            self._fault = why or self._fault
            self._down_count += was is State.UP
        return [*self._send(now), self._changed(why, is_failure=is_failure)]

    def _changed(self, why: str, *, is_failure: bool = False) -> BfdChanged:
        return BfdChanged(self.key, STATE_NAMES[self._state], why, is_failure)

    def _send(self, now: float, *, is_final: bool = False) -> list[BfdEffect]:
        """Send a packet now, the next periodic one an interval later; nothing if silence is due."""
        due = self._due()
        if due is None and not is_final:
            return []
        if not is_final:
            # What left late makes the next one early, within the bounds of the jitter.
            late_s = max(0.0, now - due) if due is not None else 0.0
            least_s = self._timing.least_wait_s()
            self._due_at = now + max(self._timing.wait_s(self._chance) - late_s, least_s)
        self._sent_at = now
        self._sent_count += 1
        timing = self._timing
        packet = Packet(
            state=self._state,
            multiplier=timing.multiplier,
            my_discriminator=self.discriminator,
            your_discriminator=self._remote_discriminator,
            desired_min_tx_us=timing.desired_tx_us(self._state),
            required_min_rx_us=timing.required_rx_us,
            required_min_echo_rx_us=self.settings.echo_interval_ms * 1000,
            diagnostic=self._diagnostic,
            is_poll=timing.is_polling and not is_final,
            is_final=is_final,
        )
        octets = wire.encode(packet) if self._signer is None else self._signer.sign(packet)
        return [SendPacket(self.key, octets)]

    def _schedule_sooner(self, now: float) -> None:
        """Let the next packet leave sooner if the interval in force became shorter."""
        if self._due_at is not None and self._due_at > now + self._timing.tx_s:
            self._due_at = now + self._timing.wait_s(self._chance)

    def _make_signer(self) -> Signer | None:
        authentication = self.settings.authentication
        return Signer(authentication, self._chance.getrandbits(32)) if authentication else None

    # --- looking -----------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Return where it is."""
        return self._state

    def report(self, now: float) -> BfdReport:
        """Return how it is."""
        key, timing = self.key, self._timing
        return BfdReport(
            peer=key.peer,
            vrf=key.vrf,
            interface=key.interface,
            local_address=key.local_address,
            is_multi_hop=key.is_multi_hop,
            state=STATE_NAMES[self._state],
            since_s=max(0.0, now - self._changed_at),
            diagnostic=self._fault,
            remote_diagnostic=name_diagnostic(self._remote_diagnostic),
            transmit_interval_ms=timing.tx_s * 1000,
            detection_time_ms=timing.detection_s * 1000,
            packets_received=self._received_count,
            packets_sent=self._sent_count,
            up_count=self._up_count,
            down_count=self._down_count,
            dropped_count=self.dropped.total(),
        )

    def detail(self, now: float) -> BfdDetail:
        """Return what else is known."""
        timing, authentication = self._timing, self.settings.authentication
        return BfdDetail(
            discriminator=self.discriminator,
            remote_discriminator=self._remote_discriminator,
            remote_state=STATE_NAMES[self._remote_state] if self._remote_discriminator else "",
            remote_transmit_interval_ms=timing.remote_tx_us / 1000,
            remote_receive_interval_ms=timing.remote_rx_us / 1000,
            remote_multiplier=timing.remote_multiplier,
            is_polling=timing.is_polling,
            is_passive=self.settings.is_passive,
            authentication=TYPE_NAMES[authentication.type] if authentication else "",
            silent_s=None if self._heard_at is None else max(0.0, now - self._heard_at),
            dropped=dict(sorted(self.dropped.items())),
            send_error=self._send_error,
        )

    def validate(self) -> None:
        """Assert the invariants."""
        assert 0 < self.discriminator < 1 << 32
        assert self._state is not State.ADMIN_DOWN or self._leaves_at is not None
        assert self._state in (State.DOWN, State.ADMIN_DOWN) or self._remote_discriminator
        assert not self._timing.is_polling or self._state is State.UP
        assert self._settle_count <= SETTLES_MAX
        assert len(self.story) <= STORY_MAX

    def _note(self, now: float, what: str) -> None:
        self.story.append((now, what))
