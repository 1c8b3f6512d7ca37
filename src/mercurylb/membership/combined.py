"""The membership that announcers run: SWIM says who is a member, the fast detector who is dead.

Both share one port; the first byte of a datagram tells whose it is. A member of ours says so in its
metadata and is watched by the detector too, whose verdicts SWIM spreads to MetalLB's speakers as
well (`pair`). Nothing is decided twice: whoever is found dead is dead as of an incarnation, in
SWIM's table as well as in the `census`, and comes back with a higher one.

The life of this node::

    idle ──ready──► learning ──► joining ──► up ──stop──► leaving ──► left
      ▲              who lives?   tell them   │
      └───────────not ready any more──────────┘

* **Idle**: nothing is sent; our own announcers are told, if they ask, that this process is new.
* **Learning**: the listed peers are asked for what they know, without telling them of us. So when
  this node becomes alive it knows exactly what it owns, answers for it first, and tells the others
  afterwards: make before break.
* **Joining, up**: alive, unless `isolation` says otherwise. While joining, whoever was said to live
  is presumed to, until all have answered.
* **Leaving**: we go on answering until everybody of ours has acted on it.

What a change means for the addresses comes first in every list of effects, then what is sent.
"""

from __future__ import annotations

import collections
import enum
from typing import TYPE_CHECKING

from mercurylb.membership.census import OURS, Census
from mercurylb.membership.fast.codec import MAGIC, Status
from mercurylb.membership.fast.detector import FastDetector
from mercurylb.membership.fast.effect import Answer, Proven, Stalled
from mercurylb.membership.fast.patience import FastTiming
from mercurylb.membership.isolation import Isolation
from mercurylb.membership.learning import Learning
from mercurylb.membership.member import (
    NOTE_SIZE_MAX,
    DownReason,
    Exchange,
    Left,
    MemberDown,
    MemberHearsUs,
    MemberNote,
    MembershipEffect,
    MemberUp,
    MemberView,
    Peer,
)
from mercurylb.membership.pair import Pair, PairEffect
from mercurylb.membership.rejoin import Rejoin
from mercurylb.membership.swim.machine import Swim
from mercurylb.membership.swim.packet import PacketCodec
from mercurylb.membership.swim.stream import StreamDecoder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mercurylb.membership.seal import Chance, Seal
    from mercurylb.membership.swim.config import SwimConfig

GRACE_S = 1.0
"""How long a starting or isolated node waits for somebody to answer."""
LINGER_S = 1.0
FOREIGN_LINGER_S = 0.3
"""MetalLB's speakers do not say that they have acted; this is how long they are given."""
HEARD_S = 0.3
STORY_MAX = 64

_MAGIC = bytes((MAGIC,))
_SESSION_BITS = 30


class Phase(enum.Enum):
    """Where in its life this node is."""

    IDLE = "idle"
    LEARNING = "learning"
    JOINING = "joining"
    UP = "up"
    LEAVING = "leaving"
    LEFT = "left"


_JOINED = (Phase.JOINING, Phase.UP, Phase.LEAVING)


class CombinedMembership:
    """SWIM and the fast detector as one `Membership`."""

    def __init__(  # noqa: PLR0913 (what a node is, and what it is given from outside)
        self,
        node: str,
        address: str,
        port: int,
        *,
        secret: bytes,
        seal: Seal | None,
        config: SwimConfig,
        chance: Chance,
        timing: FastTiming | None = None,
        incarnation: int = 1,
    ) -> None:
        """Take the incarnation from a clock, in seconds: then a restart is believed at once."""
        self._node = node
        self._address = address
        self._port = port
        self._secret = secret
        self._config = config
        self._chance = chance
        self._timing = timing or FastTiming()
        self._codec = PacketCodec(
            seal,
            chance,
            is_compressed=config.enable_compression,
            verifies_incoming=config.gossip_verify_incoming,
            encrypts_outgoing=config.gossip_verify_outgoing,
        )
        self._incarnation = incarnation
        self._session = incarnation << _SESSION_BITS | chance.randrange(1 << _SESSION_BITS)
        self._census = Census(node)
        self._detector = self._make_detector()
        self._pair: Pair | None = None
        """Both machines; as long as we have joined."""
        self._learning = Learning(self._codec, grace_s=GRACE_S)
        self._isolation = Isolation(grace_s=GRACE_S)
        self._rejoin = Rejoin()
        self._phase = Phase.IDLE
        self._peers: dict[str, str] | None = None
        self._is_ready = False
        self._note = b""
        self._joining: set[int] = set()
        self._phase_until: float | None = None
        self._leave_from = 0.0
        self._live: frozenset[str] = frozenset()
        self._due_at: float | None = None
        self._counted_until = 0.0
        self._counts: collections.Counter[str] = collections.Counter()
        self.story: collections.deque[tuple[float, str]] = collections.deque(maxlen=STORY_MAX)

    # --- facts about this node ---------------------------------------------------------------

    def on_peers(self, peers: Sequence[Peer], now: float) -> list[MembershipEffect]:
        """Take over the list of the other nodes to talk to."""
        before = self._peers
        self._peers = {peer.node: peer.address for peer in peers if peer.node != self._node}
        if before != self._peers and self._phase in (Phase.JOINING, Phase.UP):
            self._rejoin.begin(now)
        return self._settle(self._consider_start(now), now)

    def on_ready(self, is_ready: bool, now: float) -> list[MembershipEffect]:  # noqa: FBT001 (Membership)
        """Take over whether this node is able to own addresses."""
        self._is_ready = is_ready
        effects = self._consider_start(now) if is_ready else self._stop_owning(now)
        return self._settle(effects, now)

    def on_note(self, note: bytes, now: float) -> list[MembershipEffect]:
        """Take over what this node says about itself to all members."""
        assert len(note) <= NOTE_SIZE_MAX, len(note)
        if note == self._note:
            return []
        self._note = note
        if self._pair is None or self._phase is Phase.LEAVING:
            return []
        return self._settle(self._pair.change_note(note, now), now)

    def on_carrier(self, has_carrier: bool, now: float) -> list[MembershipEffect]:  # noqa: FBT001 (Membership)
        """Take over whether the link that carries the membership has its carrier."""
        if has_carrier == self._isolation.has_carrier:
            return []
        self._isolation.has_carrier = has_carrier
        self._detector.on_hearing(is_deaf=not has_carrier, now=now)
        is_up = self._phase in (Phase.JOINING, Phase.UP)
        return self._settle(self._isolate(now) if is_up else [], now)

    def on_leave(self, now: float) -> list[MembershipEffect]:
        """Begin a planned stop; `Left` follows."""
        if self._phase in (Phase.LEAVING, Phase.LEFT):
            return []
        if self._pair is None:
            self._go(Phase.LEFT, now)
            return self._settle([Left()], now)
        self._go(Phase.LEAVING, now)
        self._rejoin.end()
        self._phase_until = now + LINGER_S
        self._leave_from = now + (FOREIGN_LINGER_S if self._pair.foreign() else 0.0)
        return self._settle(self._pair.leave(now), now)

    # --- facts from outside ------------------------------------------------------------------

    def on_datagram(
        self, source: str, port: int, payload: bytes, now: float
    ) -> list[MembershipEffect]:
        """Take in what came from an address; anything that is not believed is counted only."""
        if self._pair is None:
            return self._settle(self._be_idle(source, payload, now), now)
        effects = self._notice_lateness(now)
        if payload[:1] == _MAGIC:
            said = self._detector.on_datagram(source, payload, now)
            effects += self._pair.take_fast(said, now)
        else:
            heard = self._pair.swim.on_datagram(source, port, payload, now)
            effects += self._pair.take_swim(heard, now)
        return self._settle(effects, now)

    def on_refused(self, address: str, now: float) -> list[MembershipEffect]:
        """Take in that a kernel said: nobody listens on the membership port there."""
        if self._pair is None:
            return []
        said = self._detector.on_refused(address, now)
        return self._settle(self._pair.take_fast(said, now), now)

    def on_kernel_answer(self, address: str, now: float) -> list[MembershipEffect]:
        """Take in that the kernel of an address answered a probe."""
        self._detector.on_kernel_answer(address, now)
        return []

    def stream_decoder(self) -> StreamDecoder:
        """Return what reads one connection, accepted or opened."""
        return StreamDecoder(self._codec)

    def on_request(
        self, source: str, message: object, now: float
    ) -> tuple[list[MembershipEffect], bytes | None]:
        """Take in the request of an accepted connection; before we have joined none is answered."""
        if self._pair is None:
            self._counts["idle"] += 1
            return [], None
        said, reply = self._pair.swim.on_request(source, message, now)
        return self._settle(self._pair.take_swim(said, now), now), reply

    def on_reply(self, exchange: int, message: object | None, now: float) -> list[MembershipEffect]:
        """Take in how an `Exchange` ended."""
        effects: list[PairEffect] = []
        if exchange < 0:
            self._learning.on_reply(exchange, message, now)
        elif self._pair is not None:
            said = self._pair.swim.on_reply(exchange, message, now)
            effects += self._pair.take_swim(said, now)
            self._joining.discard(exchange)
            if message is not None and not self._detector.has_contacts:
                self._end_isolation(now)
        return self._settle(effects + self._move_on(now), now)

    # --- time --------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Return when `on_deadline` wants to be called."""
        return self._due_at

    def _earliest(self) -> float | None:
        deadlines = [self._phase_until]
        if self._phase is Phase.LEARNING:
            deadlines.append(self._learning.next_deadline())
        if self._pair is not None:
            deadlines += (
                self._detector.next_deadline(),
                self._pair.swim.next_deadline() if self._can_gossip else None,
                self._rejoin.next_deadline(),
                self._isolation.next_deadline(),
                *self._pair.echo_at.values(),
            )
            if self._phase is Phase.LEAVING and self._pair.is_known_to_all():
                deadlines.append(self._leave_from)
        return min((at for at in deadlines if at is not None), default=None)

    def on_deadline(self, now: float) -> list[MembershipEffect]:
        """Do what is due."""
        effects: list[PairEffect] = []
        if self._pair is not None:
            effects += self._notice_lateness(now)
            if self._can_gossip:
                effects += self._pair.take_swim(self._pair.swim.on_deadline(now), now)
            effects += self._pair.take_fast(self._detector.on_deadline(now), now)
            effects += self._doubt(now)
            effects += self._join_again(now)
            effects += self._take_echoes(now)
        return self._settle(effects + self._move_on(now), now)

    # --- what it knows -----------------------------------------------------------------------

    def live(self) -> frozenset[str] | None:
        """Return the nodes that may own, this one included when it may."""
        return self._live

    def views(self, now: float) -> tuple[MemberView, ...]:
        """Return every known member but this one, sorted by name."""
        members = {} if self._pair is None else self._pair.swim.members()
        views = self._census.views(members, self._detector, now)
        for name, address in (self._peers or {}).items():
            if name not in members:
                state = "up" if name in self._live else "down"
                views.append(MemberView(name, address, state, is_ours=False))
        return tuple(sorted(views, key=lambda view: view.node))

    def counts(self) -> Mapping[str, int]:
        """Return what was refused or happened, by a short fixed name."""
        counts = dict(self._counts)
        if self._pair is not None:
            counts |= {f"swim.{why}": count for why, count in self._pair.swim.refused.items()}
        counts |= {f"part.{why}": count for why, count in self._codec.skipped.items()}
        counts |= {f"fast.{why}": count for why, count in self._detector.refused.items()}
        return counts

    def validate(self) -> None:
        """Assert the invariants."""
        assert (self._pair is not None) == (self._phase in _JOINED), self._phase
        assert self._due_at == self._earliest()
        if self._pair is None:
            assert not self._live
            return
        self._pair.validate()
        assert not self._pair.is_stale
        assert self._live == self._count_live()
        assert (self._node in self._live) == (not self._isolation.is_on)

    # --- beginning ---------------------------------------------------------------------------

    def _be_idle(self, source: str, payload: bytes, now: float) -> list[PairEffect]:
        """Before we have joined, answer only to ours, and only that this process is new."""
        self._counts["idle"] += 1
        if payload[:1] != _MAGIC or self._phase is Phase.LEFT:
            return []
        return [
            self._detector.answer(said.node, said.address)
            for said in self._detector.on_datagram(source, payload, now)
            if isinstance(said, Answer)
        ]

    def _consider_start(self, now: float) -> list[PairEffect]:
        if self._phase is not Phase.IDLE or not self._is_ready or self._peers is None:
            return []
        addresses = list(dict.fromkeys(self._peers.values()))
        self._chance.shuffle(addresses)
        self._go(Phase.LEARNING, now)
        effects: list[PairEffect] = list(self._learning.begin(addresses, self._port, now))
        return effects + self._move_on(now)

    def _start(self, now: float) -> list[PairEffect]:
        """Become alive, first for ourselves, then for the others."""
        self._go(Phase.JOINING, now)
        self._learning.end()
        self._census.presume(self._learning.alive)
        self._phase_until = now + GRACE_S
        swim = Swim(
            self._node,
            self._address,
            self._port,
            config=self._config,
            codec=self._codec,
            chance=self._chance,
            meta=OURS + self._note,
            incarnation=self._incarnation,
        )
        self._pair = Pair(
            self._codec, port=self._port, swim=swim, detector=self._detector, census=self._census
        )
        if not self._isolation.has_carrier:
            self._isolation.begin(now)
        self._rejoin.begin(now)
        listed = (self._peers or {}).values()
        addresses = list(dict.fromkeys([*self._learning.answered, *listed]))
        effects = self._pair.start(addresses, now)
        self._joining = {effect.id for effect in effects if isinstance(effect, Exchange)}
        return effects

    def _move_on(self, now: float) -> list[PairEffect]:
        """Enter the next phase if it is time."""
        effects: list[PairEffect] = []
        if self._phase is Phase.LEARNING and self._learning.is_over(now):
            effects += self._start(now)
        if self._phase is Phase.JOINING and self._pair is not None:
            is_over = self._phase_until is not None and now >= self._phase_until
            if is_over or not self._joining:
                self._go(Phase.UP, now)
                self._phase_until = None
                self._census.presume(())
                self._pair.is_stale = True
        return effects

    def _join_again(self, now: float) -> list[PairEffect]:
        assert self._pair is not None
        if not self._rejoin.take_due(now):
            return []
        listed = self._peers or {}
        self._pair.sweep(listed, now)
        missing = self._pair.missing(listed.values())
        self._chance.shuffle(missing)
        return self._pair.join(missing, now)

    def _take_echoes(self, now: float) -> list[PairEffect]:
        assert self._pair is not None
        over = [node for node, at in self._pair.echo_at.items() if now >= at]
        for node in over:
            del self._pair.echo_at[node]
        return [MemberHearsUs(node) for node in over]

    # --- ending ------------------------------------------------------------------------------

    def _stop_owning(self, now: float) -> list[PairEffect]:
        """Leave, without waiting for anybody: there is nothing to answer with any more."""
        if self._phase is Phase.LEARNING:
            self._learning.end()
            self._go(Phase.IDLE, now)
        if self._phase not in (Phase.JOINING, Phase.UP) or self._pair is None:
            return []
        effects = self._pair.leave(now)
        self._incarnation = self._pair.swim.incarnation + 1
        self._session += 1
        self._end(Phase.IDLE, now)
        self._detector = self._make_detector()
        return [MemberDown(self._node, DownReason.NOT_READY), *effects]

    def _consider_left(self, now: float) -> list[MembershipEffect]:
        if self._phase is not Phase.LEAVING or self._pair is None or self._phase_until is None:
            return []
        is_told = self._pair.is_known_to_all() and now >= self._leave_from
        if not is_told and now < self._phase_until:
            return []
        self._tell(now, "known to all" if is_told else "not known to all")
        self._end(Phase.LEFT, now)
        return [Left()]

    def _end(self, phase: Phase, now: float) -> None:
        self._detector.on_left()
        self._census.clear()
        self._rejoin.end()
        self._isolation.end()
        self._joining.clear()
        self._pair = None
        self._phase_until = None
        self._live = frozenset()
        self._go(phase, now)

    # --- doubting ourselves ------------------------------------------------------------------

    def _notice_lateness(self, now: float) -> list[PairEffect]:
        """Count time in which we should have run and did not."""
        if self._due_at is None or self._pair is None:
            return []
        lateness_s = now - max(self._due_at, self._counted_until)
        if lateness_s <= 0:
            return []
        self._counted_until = now
        return self._pair.take_fast(self._detector.on_late(lateness_s, now), now)

    def _isolate(self, now: float) -> list[PairEffect]:
        """Own nothing until somebody shows that we count as alive."""
        assert self._pair is not None
        self._tell(now, "isolated")
        self._isolation.begin(now)
        self._pair.is_stale = True
        effects = self._doubt(now)
        if not self._detector.has_contacts:
            effects += self._pair.join(self._pair.live_addresses(), now)
        return effects

    def _doubt(self, now: float) -> list[PairEffect]:
        """See whether we are still denied, or while isolated, ask."""
        assert self._pair is not None
        if self._phase is Phase.UP and not self._isolation.is_on and self._is_denied(now):
            return self._isolate(now)
        if not self._isolation.take_due_question(now):
            return []
        if self._isolation.is_alone(self._detector.heard_at, now):
            self._end_isolation(now)
        return self._pair.take_fast(self._detector.ask_all(), now)

    def _is_denied(self, now: float) -> bool:
        """Return whether all near us go on saying that we are dead: then nobody hears us."""
        assert self._pair is not None
        views = {
            contact.view_status
            for contact in self._detector.near()
            if contact.heard_at is not None and now - contact.heard_at < HEARD_S
        }
        is_denied = Status.DEAD in views and Status.ALIVE not in views
        return self._isolation.on_views(is_denied=is_denied and not self._pair.foreign(), now=now)

    def _end_isolation(self, now: float) -> None:
        if self._isolation.is_on and self._isolation.has_carrier and self._pair is not None:
            self._tell(now, "not isolated any more")
            self._isolation.end()
            self._pair.is_stale = True

    @property
    def _can_gossip(self) -> bool:
        """Whether SWIM's timers run: without a carrier nobody could answer it."""
        return self._isolation.has_carrier or self._phase is Phase.LEAVING

    # --- the sum -----------------------------------------------------------------------------

    def _settle(self, effects: list[PairEffect], now: float) -> list[MembershipEffect]:
        """Put what changes the live nodes in front of what is sent."""
        changes: list[MembershipEffect] = []
        said: list[MembershipEffect] = []
        waiting = collections.deque(effects)
        while waiting:
            effect = waiting.popleft()
            match effect:
                case Stalled():
                    if self._phase in (Phase.JOINING, Phase.UP):
                        waiting += self._isolate(now)
                case Proven():
                    self._end_isolation(now)
                case MemberNote() | MemberDown():
                    changes.append(effect)
                case _:
                    said.append(effect)
        changes += self._take_live(now)
        said += self._consider_left(now)
        self._due_at = self._earliest()
        return changes + said

    def _take_live(self, now: float) -> list[MembershipEffect]:
        if self._pair is None or not self._pair.is_stale:
            return []
        self._pair.is_stale = False
        before, self._live = self._live, self._count_live()
        changes: list[MembershipEffect] = []
        for node in sorted(self._live - before):
            self._tell(now, f"{node} up")
            changes.append(MemberUp(node))
        for node in sorted(before - self._live):
            is_self = node == self._node
            reason = DownReason.ISOLATED if is_self else self._census.reason(node)
            self._tell(now, f"{node} down: {reason.value}")
            changes.append(MemberDown(node, reason))
        return changes

    def _count_live(self) -> frozenset[str]:
        assert self._pair is not None
        return self._census.live(self._pair.swim.members(), is_owning=not self._isolation.is_on)

    def _make_detector(self) -> FastDetector:
        return FastDetector(
            self._node,
            secret=self._secret,
            session=self._session,
            incarnation=self._incarnation,
            timing=self._timing,
        )

    def _go(self, phase: Phase, now: float) -> None:
        self._phase = phase
        self._tell(now, phase.value)

    def _tell(self, now: float, what: str) -> None:
        self.story.append((now, what))
