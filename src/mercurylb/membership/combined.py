"""The membership that announcers run: SWIM says who is a member, the fast detector who is dead.

Both share one port; the first byte of a datagram tells whose it is. A member of ours says so in its
metadata (`OURS`, then its note) and is watched by the detector too, whose verdicts SWIM spreads to
MetalLB's speakers as well. Nothing is decided twice: whoever is found dead is dead as of an
incarnation, in SWIM's table as well as here, and comes back with a higher one.

The life of this node::

    idle ──ready──► learning ──► joining ──► up ──stop──► leaving ──► left
      ▲              who lives?   tell them   │
      └───────────not ready any more──────────┘

* **Idle**: nothing is sent; our own announcers are told, if they ask, that this process is new.
* **Learning**: the listed peers are asked for what they know, without telling them of us (for
  MetalLB that is a push/pull of nobody). So when this node becomes alive it knows exactly what it
  owns, answers for it first, and tells the others afterwards: make before break.
* **Up**, unless **isolated**: this process stood still for so long that it may have been replaced,
  or its link has no carrier, or everybody who is heard insists that we are dead. An isolated node
  owns nothing until somebody shows that we count as alive, or nobody is heard any more.
* **Leaving**: we go on answering until everybody of ours has acted on it.

What a change means for the addresses comes first in every list of effects, then what is sent.
"""

from __future__ import annotations

import collections
import enum
from typing import TYPE_CHECKING

from mercurylb.membership.fast.codec import MAGIC, Status
from mercurylb.membership.fast.detector import FastDetector
from mercurylb.membership.fast.effect import (
    Accused,
    Answer,
    FastEffect,
    Found,
    Greet,
    HearsUs,
    Proven,
    Reached,
    Stalled,
    Stranger,
)
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
    ProbeKernel,
    SendDatagram,
)
from mercurylb.membership.rejoin import JOINS_MAX, Rejoin
from mercurylb.membership.swim.effect import (
    SwimChanged,
    SwimDown,
    SwimEffect,
    SwimLeft,
    SwimUp,
)
from mercurylb.membership.swim.machine import Swim
from mercurylb.membership.swim.message import State
from mercurylb.membership.swim.packet import PacketCodec
from mercurylb.membership.swim.stream import StreamDecoder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mercurylb.membership.seal import Chance, Seal
    from mercurylb.membership.swim.config import SwimConfig
    from mercurylb.membership.swim.effect import SwimMember

OURS = b"mlb1"
"""What the metadata of our own announcers begins with."""

GRACE_S = 1.0
"""How long a starting or isolated node waits for somebody to answer."""
LINGER_S = 1.0
FOREIGN_LINGER_S = 0.3
"""MetalLB's speakers do not say that they have acted; this is how long they are given."""
FOREIGN_ECHO_S = 0.5
STRANGER_INTERVAL_S = 0.5
STRANGERS_MAX = 256
HEARD_S = 0.3
STORY_MAX = 64


class Phase(enum.Enum):
    """Where in its life this node is."""

    IDLE = "idle"
    LEARNING = "learning"
    JOINING = "joining"
    UP = "up"
    LEAVING = "leaving"
    LEFT = "left"


_JOINED = (Phase.JOINING, Phase.UP, Phase.LEAVING)
_LEAVING = DownReason.LEAVING
_MAGIC = bytes((MAGIC,))


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
        self._session = incarnation << 30 | chance.randrange(1 << 30)
        self._swim: Swim | None = None
        self._detector = self._make_detector()
        self._learning = Learning(self._codec, grace_s=GRACE_S)
        self._isolation = Isolation(grace_s=GRACE_S)
        self._rejoin = Rejoin()
        self._phase = Phase.IDLE
        self._peers: dict[str, str] | None = None
        self._is_ready = False
        self._note = b""
        self._presumed: frozenset[str] = frozenset()
        """Taken for alive while we join, because somebody said so."""
        self._joining: set[int] = set()
        self._phase_until: float | None = None
        self._leave_from = 0.0
        self._has_swim_left = False
        self._found: dict[str, tuple[int, DownReason]] = {}
        """Who was found dead, as of which incarnation; nobody of these counts as alive."""
        self._reasons: dict[str, DownReason] = {}
        self._notes: dict[str, bytes] = {}
        self._foreign_echo_at: dict[str, float] = {}
        self._greeted: dict[str, float] = {}
        self._live: frozenset[str] = frozenset()
        self._is_stale = False
        self._due_at: float | None = None
        self._counted_until = 0.0
        self._counts: collections.Counter[str] = collections.Counter()
        self.story: collections.deque[tuple[float, str]] = collections.deque(maxlen=STORY_MAX)

    # --- facts about this node ---------------------------------------------------------------

    def on_peers(self, peers: Sequence[Peer], now: float) -> list[MembershipEffect]:
        """Take over the list of the other nodes to talk to."""
        before = self._peers
        self._peers = {peer.node: peer.address for peer in peers if peer.node != self._node}
        if self._phase is Phase.IDLE:
            return self._settle(self._consider_start(now), now)
        if before != self._peers and self._phase in _JOINED:
            self._rejoin.begin(now)
        return self._settle([], now)

    def on_ready(self, is_ready: bool, now: float) -> list[MembershipEffect]:  # noqa: FBT001 (Membership)
        """Take over whether this node is able to own addresses."""
        self._is_ready = is_ready
        if is_ready:
            return self._settle(self._consider_start(now), now)
        return self._settle(self._stop_owning(now), now)

    def on_note(self, note: bytes, now: float) -> list[MembershipEffect]:
        """Take over what this node says about itself to all members."""
        assert len(note) <= NOTE_SIZE_MAX, len(note)
        if note == self._note:
            return []
        self._note = note
        if self._swim is None or self._phase is Phase.LEAVING:
            return []
        said = self._swim.on_meta(OURS + note, now)
        self._detector.on_incarnation(self._swim.incarnation)
        return self._settle(self._take_swim(said, now), now)

    def on_carrier(self, has_carrier: bool, now: float) -> list[MembershipEffect]:  # noqa: FBT001 (Membership)
        """Take over whether the link that carries the membership has its carrier."""
        if has_carrier == self._isolation.has_carrier:
            return []
        self._isolation.has_carrier = has_carrier
        self._detector.on_hearing(is_deaf=not has_carrier, now=now)
        if self._phase not in (Phase.JOINING, Phase.UP):
            return []
        return self._settle(self._isolate(now), now)

    def on_leave(self, now: float) -> list[MembershipEffect]:
        """Begin a planned stop; `Left` follows."""
        if self._phase in (Phase.LEAVING, Phase.LEFT):
            return []
        if self._swim is None:
            self._learning.end()
            self._go(Phase.LEFT, now)
            return self._settle([Left()], now)
        self._go(Phase.LEAVING, now)
        self._rejoin.end()
        self._phase_until = now + LINGER_S
        self._leave_from = now + (FOREIGN_LINGER_S if self._has_foreign() else 0.0)
        effects = self._take_swim(self._swim.on_leave(now), now)
        effects += self._take_fast(self._detector.on_leave(now), now)
        return self._settle(effects + self._consider_left(now), now)

    # --- facts from outside ------------------------------------------------------------------

    def on_datagram(
        self, source: str, port: int, payload: bytes, now: float
    ) -> list[MembershipEffect]:
        """Take in what came from an address."""
        effects = self._notice_lateness(now)
        if payload[:1] == _MAGIC:
            if self._phase is not Phase.LEFT:
                effects += self._take_fast(self._detector.on_datagram(source, payload, now), now)
        elif self._swim is not None:
            effects += self._take_swim(self._swim.on_datagram(source, port, payload, now), now)
        else:
            self._counts["idle"] += 1
        return self._settle(effects + self._consider_left(now), now)

    def on_refused(self, address: str, now: float) -> list[MembershipEffect]:
        """Take in that a kernel said: nobody listens there."""
        return self._settle(self._take_fast(self._detector.on_refused(address, now), now), now)

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
        if self._swim is None:
            return [], None
        said, reply = self._swim.on_request(source, message, now)
        return self._settle(self._take_swim(said, now), now), reply

    def on_reply(self, exchange: int, message: object | None, now: float) -> list[MembershipEffect]:
        """Take in how an `Exchange` ended."""
        effects: list[MembershipEffect] = []
        if exchange < 0:
            self._learning.on_reply(exchange, message, now)
            effects += self._consider_join(now)
        elif self._swim is not None:
            effects += self._take_swim(self._swim.on_reply(exchange, message, now), now)
            self._joining.discard(exchange)
            effects += self._consider_up(now)
            if message is not None and not self._has_ours():
                effects += self._prove(now)
        return self._settle(effects, now)

    # --- time --------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Return when `on_deadline` wants to be called."""
        deadlines = [
            self._detector.next_deadline(),
            None if self._swim is None else self._swim.next_deadline(),
            self._learning.next_deadline() if self._phase is Phase.LEARNING else None,
            self._phase_until,
            self._rejoin.next_deadline(),
            self._isolation.next_deadline(),
            *self._foreign_echo_at.values(),
        ]
        if self._phase is Phase.LEAVING and not self._is_left_but_for_time():
            deadlines = deadlines[:4]
        elif self._phase is Phase.LEAVING:
            deadlines.append(self._leave_from)
        return min((at for at in deadlines if at is not None), default=None)

    def on_deadline(self, now: float) -> list[MembershipEffect]:
        """Do what is due."""
        effects = self._notice_lateness(now)
        swim_at = None if self._swim is None else self._swim.next_deadline()
        if self._swim is not None and swim_at is not None and now >= swim_at:
            effects += self._take_swim(self._swim.on_deadline(now), now)
        fast_at = self._detector.next_deadline()
        if fast_at is not None and now >= fast_at:
            effects += self._take_fast(self._detector.on_deadline(now), now)
            effects += self._consider_denial(now)
        effects += self._consider_join(now)
        effects += self._consider_up(now)
        effects += self._doubt(now)
        effects += self._join_again(now)
        for node, at in list(self._foreign_echo_at.items()):
            if now >= at:
                del self._foreign_echo_at[node]
                effects.append(MemberHearsUs(node))
        return self._settle(effects + self._consider_left(now), now)

    # --- what it knows -----------------------------------------------------------------------

    def live(self) -> frozenset[str] | None:
        """Return the nodes that may own, this one included when it may."""
        return self._live

    def views(self, now: float) -> tuple[MemberView, ...]:
        """Return every known member but this one, sorted by name."""
        views: list[MemberView] = []
        members = {} if self._swim is None else self._swim.members()
        for name, member in members.items():
            if name == self._node:
                continue
            contact = self._detector.contact(name)
            is_ours = member.meta.startswith(OURS)
            heard_at = contact.heard_at if contact is not None and contact.is_watched else None
            views.append(
                MemberView(
                    node=name,
                    address=member.address,
                    state=self._state_of(member),
                    reason="" if name in self._live else self._reason(name).value,
                    is_ours=is_ours,
                    silent_s=None if heard_at is None else now - heard_at,
                )
            )
        for name, address in (self._peers or {}).items():
            if name not in members:
                state = "up" if name in self._live else "down"
                views.append(MemberView(name, address, state, is_ours=False))
        return tuple(sorted(views, key=lambda view: view.node))

    def counts(self) -> Mapping[str, int]:
        """Return what was refused or happened, by a short fixed name."""
        counts = dict(self._counts)
        if self._swim is not None:
            counts |= {f"swim.{name}": count for name, count in self._swim.refused.items()}
        counts |= {f"fast.{name}": count for name, count in self._detector.refused.items()}
        return counts

    def validate(self) -> None:
        """Assert the invariants."""
        self._detector.validate()
        if self._swim is not None:
            self._swim.validate()
        assert (self._swim is not None) == (self._phase in _JOINED), self._phase
        assert not self._is_stale
        assert self._live == self._count_live()
        assert self._node not in self._found
        if self._node in self._live:
            assert self._phase in _JOINED
            assert not self._isolation.is_on

    # --- beginning ---------------------------------------------------------------------------

    def _consider_start(self, now: float) -> list[MembershipEffect]:
        if self._phase is not Phase.IDLE or not self._is_ready or self._peers is None:
            return []
        addresses = list(dict.fromkeys(self._peers.values()))
        self._chance.shuffle(addresses)
        self._go(Phase.LEARNING, now)
        effects: list[MembershipEffect] = list(self._learning.begin(addresses, self._port, now))
        return effects + self._consider_join(now)

    def _consider_join(self, now: float) -> list[MembershipEffect]:
        """Become alive, first for ourselves, then for the others."""
        if self._phase is not Phase.LEARNING or not self._learning.is_over(now):
            return []
        self._go(Phase.JOINING, now)
        self._learning.end()
        self._presumed = frozenset(self._learning.alive - {self._node})
        self._phase_until = now + GRACE_S
        self._is_stale = True
        swim = self._swim = Swim(
            self._node,
            self._address,
            self._port,
            config=self._config,
            codec=self._codec,
            chance=self._chance,
            meta=OURS + self._note,
            incarnation=self._incarnation,
        )
        effects = self._take_swim(swim.start(now), now)
        effects += self._take_fast(self._detector.on_joined(swim.incarnation, now), now)
        known = self._learning.answered
        others = [at for at in dict.fromkeys((self._peers or {}).values()) if at not in known]
        joined = self._take_swim(self._join([*known, *others], now), now)
        self._joining = {effect.id for effect in joined if isinstance(effect, Exchange)}
        self._rejoin.begin(now)
        if not self._isolation.has_carrier:
            self._isolation.begin(now)
        return effects + joined + self._consider_up(now)

    def _consider_up(self, now: float) -> list[MembershipEffect]:
        """Presume nothing any more once everybody has answered who will."""
        if self._phase is not Phase.JOINING:
            return []
        if self._joining and self._phase_until is not None and now < self._phase_until:
            return []
        self._go(Phase.UP, now)
        self._joining.clear()
        self._phase_until = None
        self._presumed = frozenset()
        self._is_stale = True
        return []

    def _join(self, addresses: Iterable[str], now: float) -> list[SwimEffect]:
        assert self._swim is not None
        targets = [(address, self._port) for address in addresses][:JOINS_MAX]
        return self._swim.on_join(targets, now) if targets else []

    def _join_again(self, now: float) -> list[MembershipEffect]:
        if self._swim is None or not self._rejoin.take_due(now):
            return []
        members = self._swim.members()
        present = {m.address for m in members.values() if m.state in (State.ALIVE, State.SUSPECT)}
        missing = [at for at in dict.fromkeys((self._peers or {}).values()) if at not in present]
        self._chance.shuffle(missing)
        for contact in self._detector.contacts():
            if contact.node not in members and contact.node not in (self._peers or {}):
                self._detector.on_forgotten(contact.node, now)
        return self._take_swim(self._join(missing, now), now)

    # --- ending ------------------------------------------------------------------------------

    def _stop_owning(self, now: float) -> list[MembershipEffect]:
        """Leave, without the others' having to act first: we cannot answer any longer."""
        if self._phase is Phase.LEARNING:
            self._learning.end()
            self._go(Phase.IDLE, now)
        if self._phase not in (Phase.JOINING, Phase.UP) or self._swim is None:
            return []
        effects = self._take_swim(self._swim.on_leave(now), now)
        effects += self._take_fast(self._detector.on_leave(now), now)
        self._incarnation = self._swim.incarnation + 1
        self._forget_all()
        self._go(Phase.IDLE, now)
        self._session += 1
        self._detector = self._make_detector()
        return effects

    def _consider_left(self, now: float) -> list[MembershipEffect]:
        if self._phase is not Phase.LEAVING or self._phase_until is None:
            return []
        is_told = self._is_left_but_for_time() and now >= self._leave_from
        if not is_told and now < self._phase_until:
            return []
        self._note_story(now, "everybody knows" if is_told else "not everybody knows")
        self._forget_all()
        self._detector.on_left()
        self._go(Phase.LEFT, now)
        return [Left()]

    def _is_left_but_for_time(self) -> bool:
        return self._detector.is_left and (self._has_swim_left or not self._has_foreign())

    def _forget_all(self) -> None:
        self._swim = None
        self._presumed = frozenset()
        self._phase_until = None
        self._rejoin.end()
        self._isolation.end()
        self._found.clear()
        self._notes.clear()
        self._foreign_echo_at.clear()
        self._joining.clear()
        self._is_stale = True

    # --- doubting ourselves ------------------------------------------------------------------

    def _notice_lateness(self, now: float) -> list[MembershipEffect]:
        """Count time in which we should have run and did not."""
        if self._due_at is None:
            return []
        lateness_s = now - max(self._due_at, self._counted_until)
        if lateness_s <= 0:
            return []
        self._counted_until = now
        return self._take_fast(self._detector.on_late(lateness_s, now), now)

    def _isolate(self, now: float) -> list[MembershipEffect]:
        self._note_story(now, "isolated")
        self._isolation.begin(now)
        self._is_stale = True
        return self._doubt(now)

    def _doubt(self, now: float) -> list[MembershipEffect]:
        """While isolated, ask those near us whether we count as alive."""
        if not self._isolation.take_due_question(now):
            return []
        heard = [c.heard_at for c in self._detector.contacts() if c.heard_at is not None]
        if self._isolation.is_alone(max(heard, default=None), now):
            return self._prove(now)
        return self._take_fast(self._detector.ask_all(), now)

    def _prove(self, now: float) -> list[MembershipEffect]:
        """Be isolated no longer."""
        if self._isolation.is_on and self._isolation.has_carrier:
            self._note_story(now, "not isolated any more")
            self._isolation.end()
            self._is_stale = True
        return []

    def _consider_denial(self, now: float) -> list[MembershipEffect]:
        """Give in when all who are heard go on saying that we are dead: they do not hear us."""
        if self._phase is not Phase.UP or self._isolation.is_on:
            return []
        views = {
            contact.view_status
            for contact in self._detector.contacts()
            if contact.heard_at is not None and now - contact.heard_at < HEARD_S
        }
        is_denied = Status.DEAD in views
        is_known = Status.ALIVE in views or self._has_foreign()
        if self._isolation.on_views(is_denied=is_denied, is_known=is_known, now=now):
            return self._isolate(now)
        return []

    # --- translating -------------------------------------------------------------------------

    def _take_swim(self, effects: Iterable[SwimEffect], now: float) -> list[MembershipEffect]:
        """Draw the consequences of what SWIM says."""
        taken: list[MembershipEffect] = []
        for effect in effects:
            match effect:
                case SendDatagram() | Exchange():
                    taken.append(effect)
                case SwimUp(node=node) | SwimChanged(node=node):
                    taken += self._look_at(node, now)
                case SwimDown(node=node, is_leave=is_leave):
                    self._reasons[node] = DownReason.LEAVING if is_leave else DownReason.TOLD
                    taken += self._look_at(node, now)
                case SwimLeft():
                    self._has_swim_left = True
        return taken + self._take_incarnation(now)

    def _take_incarnation(self, now: float) -> list[MembershipEffect]:
        """Tell the detector that SWIM has refuted something, or has a new note to tell."""
        assert self._swim is not None
        if self._swim.incarnation == self._detector.incarnation:
            return []
        return self._take_fast(self._detector.on_joined(self._swim.incarnation, now), now)

    def _look_at(self, node: str, now: float) -> list[MembershipEffect]:
        """Tell the detector what SWIM's table and our verdicts say about a node."""
        if self._swim is None or node == self._node:
            return []
        self._is_stale = True
        member = self._swim.members().get(node)
        if member is None:
            return []
        if node in self._found and member.incarnation > self._found[node][0]:
            del self._found[node]
        is_alive = self._is_alive(member)
        if not member.meta.startswith(OURS):
            self._detector.on_forgotten(node, now)
            if is_alive and node not in self._live:
                self._foreign_echo_at[node] = now + FOREIGN_ECHO_S
            return self._take_note(node, b"")
        effects = self._take_note(node, member.meta[len(OURS) :]) if is_alive else []
        said = self._detector.on_contact(
            node,
            member.address,
            member.port,
            incarnation=member.incarnation,
            status=self._status_of(member),
            now=now,
        )
        return effects + self._take_fast(said, now)

    def _take_note(self, node: str, note: bytes) -> list[MembershipEffect]:
        if self._notes.get(node, b"") == note:
            return []
        self._notes[node] = note
        return [MemberNote(node, note)]

    def _take_fast(self, effects: Iterable[FastEffect], now: float) -> list[MembershipEffect]:
        """Draw the consequences of what the detector says, in its order."""
        taken: list[MembershipEffect] = []
        for effect in effects:
            match effect:
                case SendDatagram() | ProbeKernel():
                    taken.append(effect)
                case Answer(node=node, address=address):
                    taken.append(self._detector.answer(node, address))
                case HearsUs(node=node):
                    taken.append(MemberHearsUs(node))
                case Proven():
                    taken += self._prove(now)
                case Stalled():
                    if self._phase in (Phase.JOINING, Phase.UP):
                        taken += self._isolate(now)
                case _ if self._swim is not None:
                    taken += self._take_swim(self._act(self._swim, effect, now), now)
                    if isinstance(effect, Found):
                        taken += self._look_at(effect.node, now)
        return taken

    def _act(self, swim: Swim, effect: FastEffect, now: float) -> list[SwimEffect]:
        """Do in SWIM what the detector says."""
        match effect:
            case Found():
                return self._condemn(swim, effect, now)
            case Accused(incarnation=incarnation) if self._phase is not Phase.LEAVING:
                return swim.on_accused(incarnation, now)
            case Stranger(address=address):
                return self._welcome(swim, address, now)
            case Greet(node=node) | Reached(node=node):
                contact = self._detector.contact(node)
                if contact is not None and isinstance(effect, Greet):
                    return swim.greet([(contact.address, contact.port)], now)
                if contact is not None:
                    return self._join([contact.address], now)
        return []

    def _condemn(self, swim: Swim, found: Found, now: float) -> list[SwimEffect]:
        member = swim.members().get(found.node)
        if member is None or member.incarnation > found.incarnation or not self._is_alive(member):
            return []
        self._found[found.node] = (found.incarnation, found.reason)
        return swim.on_dead(
            found.node,
            found.incarnation,
            now,
            is_leave=found.is_leave,
            is_told=found.is_told,
        )

    def _welcome(self, swim: Swim, address: str, now: float) -> list[SwimEffect]:
        """Join one of ours who knows of us and of whom we do not know."""
        if now < self._greeted.get(address, now):
            return []
        if len(self._greeted) >= STRANGERS_MAX:
            self._greeted.clear()
        self._greeted[address] = now + STRANGER_INTERVAL_S
        return [*swim.greet([(address, self._port)], now), *self._join([address], now)]

    # --- the sum -----------------------------------------------------------------------------

    def _settle(self, effects: list[MembershipEffect], now: float) -> list[MembershipEffect]:
        """Put what changes the live nodes in front of what is sent."""
        if self._is_stale:
            effects = self._take_live(effects, now)
        self._due_at = self.next_deadline()
        return effects

    def _take_live(self, effects: list[MembershipEffect], now: float) -> list[MembershipEffect]:
        self._is_stale = False
        before, self._live = self._live, self._count_live()
        first: list[MembershipEffect] = [e for e in effects if isinstance(e, MemberNote)]
        if self._phase in _JOINED or self._phase is Phase.IDLE:
            for node in sorted(self._live - before):
                self._note_story(now, f"{node} up")
                first.append(MemberUp(node))
            gone = before - self._live
            if self._phase is Phase.IDLE:
                gone &= {self._node}
            for node in sorted(gone):
                reason = self._reason(node)
                self._note_story(now, f"{node} down: {reason.value}")
                first.append(MemberDown(node, reason))
        return first + [e for e in effects if not isinstance(e, MemberNote)]

    def _count_live(self) -> frozenset[str]:
        if self._swim is None:
            return frozenset()
        live = {name for name, member in self._swim.members().items() if self._is_alive(member)}
        live.discard(self._node)
        live |= {name for name in self._presumed if name not in self._found}
        if not self._isolation.is_on:
            live.add(self._node)
        return frozenset(live)

    def _is_alive(self, member: SwimMember) -> bool:
        if member.state not in (State.ALIVE, State.SUSPECT):
            return False
        found = self._found.get(member.name)
        return found is None or member.incarnation > found[0]

    def _status_of(self, member: SwimMember) -> Status:
        if self._is_alive(member):
            return Status.ALIVE
        found = self._found.get(member.name)
        has_left = member.state is State.LEFT or (found is not None and found[1] is _LEAVING)
        return Status.LEFT if has_left else Status.DEAD

    def _state_of(self, member: SwimMember) -> str:
        if self._is_alive(member):
            return "suspect" if member.state is State.SUSPECT else "up"
        return "left" if self._status_of(member) is Status.LEFT else "down"

    def _reason(self, node: str) -> DownReason:
        if node == self._node:
            return DownReason.ISOLATED if self._phase in _JOINED else DownReason.NOT_READY
        if node in self._found:
            return self._found[node][1]
        return self._reasons.get(node, DownReason.TOLD)

    def _has_foreign(self) -> bool:
        """Return whether any live member is not one of ours."""
        return any(
            node != self._node and self._detector.contact(node) is None for node in self._live
        )

    def _has_ours(self) -> bool:
        return any(c.status is not Status.LEFT for c in self._detector.contacts())

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
        self._is_stale = True
        self._note_story(now, phase.value)

    def _note_story(self, now: float, what: str) -> None:
        self.story.append((now, what))
