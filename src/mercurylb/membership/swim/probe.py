"""The failure detector: one member is probed at a time, directly, through others, and by TCP.

::

    tick ── ping ──► no ack within the probe timeout ── indirect pings ──► no ack, no TCP answer
      │      │                                          and a TCP ping      until the end of the
      │      └ ack: healthier                                               interval: suspect
      └ every probe interval; while a probe lasts longer, the next one follows it at once

The interval of one probe is stretched by our own health (`awareness`), the timeout is not. Who is
asked for an indirect ping says so when it gets no answer either (nack): nacks that do not come hint
at ourselves being cut off.

We do the same for others: `relay`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.membership.swim.effect import (
    PROTOCOL_NACK,
    PROTOCOL_TCP_PING,
    SwimMember,
)
from mercurylb.membership.swim.message import IndirectPing, Ping, State, Suspect

if TYPE_CHECKING:
    from mercurylb.membership.seal import Chance
    from mercurylb.membership.swim.awareness import Awareness
    from mercurylb.membership.swim.config import SwimConfig
    from mercurylb.membership.swim.outbox import Outbox
    from mercurylb.membership.swim.relay import Sequence
    from mercurylb.membership.swim.rules import Rules
    from mercurylb.membership.swim.table import Table


class _Probe:
    """A probe under way."""

    __slots__ = (
        "ask_at",
        "end_at",
        "exchange",
        "has_asked",
        "is_reached",
        "nack_count",
        "nacks_wanted",
        "seq",
        "target",
    )

    def __init__(self, target: SwimMember, seq: int, *, ask_at: float, end_at: float) -> None:
        self.target = target
        self.seq = seq
        self.ask_at = min(ask_at, end_at)
        self.end_at = end_at
        self.has_asked = False
        self.nacks_wanted = 0
        self.nack_count = 0
        self.exchange: int | None = None
        self.is_reached = False
        """By TCP."""


class Prober:
    """Probes the members one after the other."""

    def __init__(  # noqa: PLR0913 (the parts of the machine that a probe touches)
        self,
        *,
        config: SwimConfig,
        table: Table,
        rules: Rules,
        awareness: Awareness,
        outbox: Outbox,
        sequence: Sequence,
        chance: Chance,
    ) -> None:
        self._config = config
        self._table = table
        self._rules = rules
        self._awareness = awareness
        self._outbox = outbox
        self._sequence = sequence
        self._chance = chance
        self._tick_at: float | None = None
        self._probe: _Probe | None = None

    def start(self, now: float) -> None:
        """Begin at a random moment of the first interval."""
        if self._config.probe_interval_s > 0:
            self._tick_at = now + self._config.probe_interval_s * self._chance.random()

    def next_deadline(self) -> float | None:
        """Return when `on_deadline` has something to do."""
        probe = self._probe
        if probe is None:
            return self._tick_at
        # A tick that comes meanwhile changes nothing before the end.
        return probe.end_at if probe.has_asked else probe.ask_at

    def on_deadline(self, now: float) -> None:
        """Go on with the probe, or begin the next one."""
        probe = self._probe
        if probe is not None:
            if not probe.has_asked and now >= probe.ask_at:
                self._ask_others(probe, now)
            if now >= probe.end_at:
                self._judge(probe, now)
        self._take_ticks(now)

    def on_ack(self, seq: int, now: float) -> bool:
        """Take in an answer; return whether it was for us."""
        probe = self._probe
        if probe is None or probe.seq != seq or now >= probe.end_at:
            return False
        self._succeed(now)
        return True

    def on_nack(self, seq: int, now: float) -> None:
        """Take in that somebody else got no answer either."""
        probe = self._probe
        if probe is not None and probe.seq == seq and now < probe.end_at:
            probe.nack_count = min(probe.nack_count + 1, self._config.indirect_checks + 1)

    def on_tcp_reply(self, exchange: int, seq: int | None) -> None:
        """Take in how a connection ended, if it was that of the probe."""
        probe = self._probe
        if probe is not None and probe.exchange == exchange and probe.seq == seq:
            probe.is_reached = True

    def shift(self, by_s: float) -> None:
        """Let time that nobody could use not count."""
        if self._probe is not None:
            self._probe.ask_at += by_s
            self._probe.end_at += by_s

    def _take_ticks(self, now: float) -> None:
        """Begin a probe if it is time and none is under way; missed ticks count as one."""
        if self._tick_at is None or self._probe is not None or now < self._tick_at:
            return
        interval_s = self._config.probe_interval_s
        self._tick_at += interval_s * (1 + (now - self._tick_at) // interval_s)
        self._begin(now)

    def _begin(self, now: float) -> None:
        me = self._rules.me
        keep_s = self._config.gossip_to_the_dead_time_s
        target = self._table.next_turn(me.name, now=now, keep_s=keep_s)
        if target is None:
            return
        self._probe = probe = _Probe(
            target,
            self._sequence.next(),
            ask_at=now + self._config.probe_timeout_s,
            end_at=now + self._awareness.scale(self._config.probe_interval_s),
        )
        ping = self._ping(probe)
        if target.state is State.ALIVE:
            self._outbox.say(target.address, target.port, ping)
        else:
            suspect = Suspect(target.incarnation, target.name, me.name)
            self._outbox.tell(target, (ping, suspect))

    def _ask_others(self, probe: _Probe, now: float) -> None:
        probe.has_asked = True
        me, target = self._rules.me, probe.target
        helpers = self._table.pick(
            self._config.indirect_checks,
            lambda member: (
                member.state is State.ALIVE and member.name not in (me.name, target.name)
            ),
        )
        for helper in helpers:
            has_nack = helper.understands(PROTOCOL_NACK)
            probe.nacks_wanted += has_nack
            self._outbox.say(
                helper.address,
                helper.port,
                IndirectPing(
                    seq=probe.seq,
                    target=target.addr,
                    port=target.port,
                    node=target.name,
                    nack=has_nack,
                    source_addr=me.addr,
                    source_port=me.port,
                    source_node=me.name,
                ),
            )
        left_s = probe.end_at - now
        can_tcp = not self._config.disable_tcp_pings and target.understands(PROTOCOL_TCP_PING)
        if can_tcp and left_s > 0:
            probe.exchange = self._outbox.exchange(
                target.address, target.port, self._outbox.request(self._ping(probe)), left_s
            )

    def _judge(self, probe: _Probe, now: float) -> None:
        if probe.is_reached:
            self._succeed(now)
            return
        self._probe = None
        missing = max(0, probe.nacks_wanted - probe.nack_count)
        self._awareness.add(missing if probe.nacks_wanted else 1)
        target = probe.target
        self._rules.suspect(Suspect(target.incarnation, target.name, self._rules.me.name), now)

    def _succeed(self, now: float) -> None:
        self._probe = None
        self._awareness.add(-1)
        self._take_ticks(now)

    def _ping(self, probe: _Probe) -> Ping:
        me = self._rules.me
        return Ping(probe.seq, probe.target.name, me.addr, me.port, me.name)

    def validate(self) -> None:
        """Assert the invariants."""
        probe = self._probe
        assert probe is None or probe.ask_at <= probe.end_at
