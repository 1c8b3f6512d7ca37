"""The life of a node among the members: from phase to phase, its doubts, and who is alive.

Whatever ends by time alone begins anew when this process stood still meanwhile: the answers may
have come and not been read.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

import msgspec

from mercurylb.membership.census import OURS, Census
from mercurylb.membership.fast.codec import Status
from mercurylb.membership.fast.detector import FastDetector
from mercurylb.membership.fast.effect import Proven, Stalled
from mercurylb.membership.isolation import Isolation
from mercurylb.membership.learning import Learning
from mercurylb.membership.member import (
    DownReason,
    Exchange,
    Left,
    MemberDown,
    MemberHearsUs,
    MemberNote,
    MembershipEffect,
    MemberUp,
)
from mercurylb.membership.pair import FIRST_JOINS, Pair, PairEffect
from mercurylb.membership.phase import ACTIVE, JOINED, Phase
from mercurylb.membership.rejoin import Rejoin
from mercurylb.membership.swim.machine import Swim

if TYPE_CHECKING:
    from mercurylb.membership.fast.patience import FastTiming
    from mercurylb.membership.seal import Chance
    from mercurylb.membership.swim.config import SwimConfig
    from mercurylb.membership.swim.packet import PacketCodec

GRACE_S = 1.0
"""How long a starting or isolated node waits for somebody to answer."""
LINGER_S = 1.0
FOREIGN_LINGER_S = 0.3
"""MetalLB's speakers do not say that they have acted; this is how long they are given."""
HEARD_S = 0.3
RETRY_LATENESS_S = 0.3
"""After a longer stall of our own, what was asked before is asked again."""
STORY_MAX = 64

_SESSION_BITS = 30


class Identity(msgspec.Struct, frozen=True):
    """What a process is from its start to its end."""

    node: str
    address: str
    port: int
    secret: bytes
    incarnation: int


class Life:
    """Both machines, and when they run."""

    def __init__(
        self,
        identity: Identity,
        codec: PacketCodec,
        *,
        config: SwimConfig,
        chance: Chance,
        timing: FastTiming,
    ) -> None:
        self.phase = Phase.IDLE
        self.pair: Pair | None = None
        """Both machines; as long as we have joined."""
        self.learning = Learning(codec, grace_s=GRACE_S)
        self.isolation = Isolation(grace_s=GRACE_S)
        self.rejoin = Rejoin()
        self.census = Census(identity.node)
        self.peers: dict[str, str] | None = None
        """Addresses of the listed nodes, by name; None before the first list."""
        self.is_ready = False
        self.note = b""
        self.joining: set[int] = set()
        """Exchanges that are waited for until nothing is presumed any more."""
        self.live: frozenset[str] = frozenset()
        self.due_at: float | None = None
        self.story: collections.deque[tuple[float, str]] = collections.deque(maxlen=STORY_MAX)
        self._identity = identity
        self._codec = codec
        self._config = config
        self._chance = chance
        self._timing = timing
        self._incarnation = identity.incarnation
        salt = chance.randrange(1 << _SESSION_BITS)
        self._session = identity.incarnation << _SESSION_BITS | salt
        self.detector = self._make_detector()
        self._phase_until: float | None = None
        self._leave_from = 0.0
        self._settled_at = 0.0

    # --- phases ------------------------------------------------------------------------------

    def begin(self, now: float) -> list[PairEffect]:
        """Find out who lives, if we may begin; then become alive."""
        if self.phase is not Phase.IDLE or not self.is_ready or self.peers is None:
            return []
        self._go(Phase.LEARNING, now)
        return self._learn(now) + self.move_on(now)

    def _learn(self, now: float) -> list[PairEffect]:
        addresses = list(dict.fromkeys((self.peers or {}).values()))
        self._chance.shuffle(addresses)
        return [*self.learning.begin(addresses, self._identity.port, now)]

    def _start(self, now: float) -> list[PairEffect]:
        """Become alive, first for ourselves, then for the others."""
        self._go(Phase.JOINING, now)
        self.learning.end()
        self.census.presume(self.learning.alive)
        swim = Swim(
            self._identity.node,
            self._identity.address,
            self._identity.port,
            config=self._config,
            codec=self._codec,
            chance=self._chance,
            meta=OURS + self.note,
            incarnation=self._incarnation,
        )
        self.pair = Pair(
            self._codec,
            port=self._identity.port,
            swim=swim,
            detector=self.detector,
            census=self.census,
        )
        if not self.isolation.has_carrier:
            self.isolation.begin(now)
        self.rejoin.begin(now)
        effects = self.pair.start(list(dict.fromkeys((self.peers or {}).values())), now)
        return effects + self._join_first(now)

    def _join_first(self, now: float) -> list[PairEffect]:
        """Exchange everything with some, above all with those who answered before."""
        assert self.pair is not None
        addresses = list(dict.fromkeys([*self.learning.answered, *(self.peers or {}).values()]))
        effects = self.pair.join(addresses[:FIRST_JOINS], now)
        self.joining = {effect.id for effect in effects if isinstance(effect, Exchange)}
        self._phase_until = now + GRACE_S
        return effects

    def move_on(self, now: float) -> list[PairEffect]:
        """Enter the next phase if it is time."""
        effects: list[PairEffect] = []
        if self.phase is Phase.LEARNING and self.learning.is_over(now):
            effects += self._start(now)
        if self.phase is Phase.JOINING and self.pair is not None:
            is_over = self._phase_until is not None and now >= self._phase_until
            if is_over or not self.joining:
                self._go(Phase.UP, now)
                self._phase_until = None
                self.census.presume(())
                self.pair.is_stale = True
        return effects

    def leave(self, now: float) -> list[PairEffect]:
        """Begin a planned stop; `Left` follows."""
        if self.pair is None:
            self._go(Phase.LEFT, now)
            return [Left()]
        self._go(Phase.LEAVING, now)
        self.rejoin.end()
        self._phase_until = now + LINGER_S
        self._leave_from = now + (FOREIGN_LINGER_S if self.pair.foreign() else 0.0)
        return self.pair.leave(now)

    def stop_owning(self, now: float) -> list[PairEffect]:
        """Leave, without waiting for anybody: there is nothing to answer with any more."""
        if self.phase is Phase.LEARNING:
            self.learning.end()
            self._go(Phase.IDLE, now)
        if self.phase not in ACTIVE or self.pair is None:
            return []
        effects = self.pair.leave(now)
        self._incarnation = self.pair.swim.incarnation + 1
        self._session += 1
        self._end(Phase.IDLE, now)
        self.detector = self._make_detector()
        return [MemberDown(self._identity.node, DownReason.NOT_READY), *effects]

    def _consider_left(self, now: float) -> list[MembershipEffect]:
        if self.phase is not Phase.LEAVING or self.pair is None or self._phase_until is None:
            return []
        is_told = self.pair.is_known_to_all() and now >= self._leave_from
        if not is_told and now < self._phase_until:
            return []
        self._tell(now, "known to all" if is_told else "not known to all")
        self._end(Phase.LEFT, now)
        return [Left()]

    def _end(self, phase: Phase, now: float) -> None:
        self.detector.on_left()
        self.census.clear()
        self.rejoin.end()
        self.isolation.end()
        self.joining.clear()
        self.pair = None
        self._phase_until = None
        self.live = frozenset()
        self._go(phase, now)

    # --- doubting ourselves ------------------------------------------------------------------

    def notice_lateness(self, now: float) -> list[PairEffect]:
        """Draw the consequences of time in which we should have run and did not."""
        lateness_s = 0.0 if self.due_at is None else now - max(self.due_at, self._settled_at)
        if lateness_s < self._timing.lateness_min_s:
            return []
        self.isolation.on_late(lateness_s)
        effects: list[PairEffect] = []
        if self.phase is Phase.LEARNING and lateness_s >= RETRY_LATENESS_S:
            effects += self._learn(now)
        if self.pair is not None:
            effects += self.pair.take_fast(self.detector.on_late(lateness_s, now), now)
        if self.phase is Phase.JOINING and lateness_s >= RETRY_LATENESS_S:
            effects += self._join_first(now)
        return effects

    def isolate(self, now: float) -> list[PairEffect]:
        """Own nothing until somebody shows that we count as alive."""
        assert self.pair is not None
        self._tell(now, "isolated")
        self.isolation.begin(now)
        self.pair.is_stale = True
        effects = self._doubt(now)
        if not self.detector.has_contacts:
            effects += self.pair.join(self.pair.live_addresses(), now)
        return effects

    def _doubt(self, now: float) -> list[PairEffect]:
        """See whether we are still denied, or while isolated, ask."""
        assert self.pair is not None
        if self.phase is Phase.UP and not self.isolation.is_on and self._is_denied(now):
            return self.isolate(now)
        if not self.isolation.take_due_question(now):
            return []
        if self.isolation.is_alone(self.detector.heard_at, now):
            self.end_isolation(now)
        return self.pair.take_fast(self.detector.ask_all(), now)

    def _is_denied(self, now: float) -> bool:
        """Return whether all near us go on saying that we are dead: then nobody hears us."""
        assert self.pair is not None
        views = {
            contact.view_status
            for contact in self.detector.near()
            if contact.heard_at is not None and now - contact.heard_at < HEARD_S
        }
        is_denied = Status.DEAD in views and Status.ALIVE not in views
        return self.isolation.on_views(is_denied=is_denied and not self.pair.foreign(), now=now)

    def end_isolation(self, now: float) -> None:
        """Own again, unless the link is dead."""
        if self.isolation.is_on and self.isolation.has_carrier and self.pair is not None:
            self._tell(now, "not isolated any more")
            self.isolation.end()
            self.pair.is_stale = True

    # --- time --------------------------------------------------------------------------------

    def do_due(self, now: float) -> list[PairEffect]:
        """Do what is due in any part."""
        if self.pair is None:
            return self.move_on(now)
        effects: list[PairEffect] = []
        if self._can_gossip:
            effects += self.pair.take_swim(self.pair.swim.on_deadline(now), now)
        effects += self.pair.take_fast(self.detector.on_deadline(now), now)
        effects += self._doubt(now)
        effects += self._join_again(now)
        effects += self._take_echoes(now)
        return effects + self.move_on(now)

    def _earliest(self) -> float | None:
        deadlines = [self._phase_until]
        if self.phase is Phase.LEARNING:
            deadlines.append(self.learning.next_deadline())
        if self.pair is not None:
            deadlines += (
                self.detector.next_deadline(),
                self.pair.swim.next_deadline() if self._can_gossip else None,
                self.rejoin.next_deadline(),
                self.isolation.next_deadline(),
                *self.pair.echo_at.values(),
            )
            if self.phase is Phase.LEAVING and self.pair.is_known_to_all():
                deadlines.append(self._leave_from)
        return min((at for at in deadlines if at is not None), default=None)

    def _join_again(self, now: float) -> list[PairEffect]:
        assert self.pair is not None
        if not self.rejoin.take_due(now):
            return []
        listed = self.peers or {}
        self.pair.sweep(listed, now)
        missing = self.pair.missing(listed.values())
        self._chance.shuffle(missing)
        return self.pair.join(missing, now)

    def _take_echoes(self, now: float) -> list[PairEffect]:
        assert self.pair is not None
        over = [node for node, at in self.pair.echo_at.items() if now >= at]
        for node in over:
            del self.pair.echo_at[node]
        return [MemberHearsUs(node) for node in over]

    @property
    def _can_gossip(self) -> bool:
        """Whether SWIM's timers run: without a carrier nobody could answer it."""
        return self.isolation.has_carrier or self.phase is Phase.LEAVING

    # --- the sum -----------------------------------------------------------------------------

    def settle(self, effects: list[PairEffect], now: float) -> list[MembershipEffect]:
        """Put what changes the live nodes in front of what is sent."""
        changes: list[MembershipEffect] = []
        said: list[MembershipEffect] = []
        waiting = collections.deque(effects)
        while waiting:
            effect = waiting.popleft()
            match effect:
                case Stalled():
                    if self.phase in ACTIVE:
                        waiting += self.isolate(now)
                case Proven():
                    self.end_isolation(now)
                case MemberNote() | MemberDown():
                    changes.append(effect)
                case _:
                    said.append(effect)
        changes += self._take_live(now)
        said += self._consider_left(now)
        self.due_at, self._settled_at = self._earliest(), now
        return changes + said

    def _take_live(self, now: float) -> list[MembershipEffect]:
        if self.pair is None or not self.pair.is_stale:
            return []
        self.pair.is_stale = False
        before, self.live = self.live, self._count_live()
        changes: list[MembershipEffect] = []
        for node in sorted(self.live - before):
            self._tell(now, f"{node} up")
            changes.append(MemberUp(node))
        for node in sorted(before - self.live):
            is_self = node == self._identity.node
            reason = DownReason.ISOLATED if is_self else self.census.reason(node)
            self._tell(now, f"{node} down: {reason.value}")
            changes.append(MemberDown(node, reason))
        return changes

    def _count_live(self) -> frozenset[str]:
        assert self.pair is not None
        return self.census.live(self.pair.swim.members(), is_owning=not self.isolation.is_on)

    def validate(self) -> None:
        """Assert the invariants."""
        assert (self.pair is not None) == (self.phase in JOINED), self.phase
        assert self.due_at == self._earliest()
        if self.pair is None:
            assert not self.live
            return
        self.pair.validate()
        assert not self.pair.is_stale
        assert self.live == self._count_live()
        assert (self._identity.node in self.live) == (not self.isolation.is_on)

    def _make_detector(self) -> FastDetector:
        return FastDetector(
            self._identity.node,
            secret=self._identity.secret,
            session=self._session,
            incarnation=self._incarnation,
            timing=self._timing,
        )

    def _go(self, phase: Phase, now: float) -> None:
        self.phase = phase
        self._tell(now, phase.value)

    def _tell(self, now: float, what: str) -> None:
        self.story.append((now, what))
