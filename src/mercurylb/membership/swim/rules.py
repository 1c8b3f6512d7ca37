"""What alive, suspect and dead messages change, wherever they come from.

::

                    suspect                    time over, or dead
          alive ─────────────► suspect ──────────────────────────► dead ──┐
          ▲ ▲                     │          dead, from itself            │ reaped
          │ └── alive, higher ────┴──────────────────────────────► left ──┴─────► unknown
          └─────────────── alive, higher ────────────────────────┘

Whoever has the higher incarnation is right; on equal terms dead beats suspect beats alive. Only a
member itself raises its incarnation: to say something new about itself, or to refute an accusation.

News that changed something is told on: queued for gossip, and what cannot wait (our own news, and a
verdict of the fast detector) sent to everybody at once.

Where memberlist 0.6 is kept otherwise, on purpose:

* A dead member may come back with another address as soon as its incarnation is higher; memberlist
  makes it wait until its record is reaped.
* Versions that would make every later push/pull of ours fail are refused at once.
* An incarnation within `INCARNATION_STEP` of the end of the numbers is believed only as a small
  step from the one known. If ours has to go past the end nevertheless, it starts again at 1 (not
  at 0, which nobody would take): whoever still knows the former one takes us after reaping it.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

import msgspec

from mercurylb.membership.swim import address as addresses
from mercurylb.membership.swim.effect import (
    Refused,
    SwimChanged,
    SwimDown,
    SwimMember,
    SwimUp,
)
from mercurylb.membership.swim.message import VSN, Alive, Dead, State, Suspect, encode

if TYPE_CHECKING:
    from mercurylb.membership.swim.awareness import Awareness
    from mercurylb.membership.swim.broadcast import Broadcast, BroadcastQueue
    from mercurylb.membership.swim.config import SwimConfig
    from mercurylb.membership.swim.outbox import Outbox
    from mercurylb.membership.swim.suspicion import Suspicions
    from mercurylb.membership.swim.table import Table

INCARNATION_END = 1 << 32
INCARNATION_DOUBT = INCARNATION_END - (1 << 16)
INCARNATION_STEP = 16
STORY_MAX = 64
_VSN_SIZE = 6
_NO_VSN = bytes(_VSN_SIZE)


class Rules:
    """The state of the members, and what moves it."""

    def __init__(  # noqa: PLR0913 (the parts of the machine that a change of state reaches)
        self,
        me: SwimMember,
        *,
        config: SwimConfig,
        table: Table,
        suspicions: Suspicions,
        broadcasts: BroadcastQueue,
        awareness: Awareness,
        outbox: Outbox,
        refused: collections.Counter[str],
    ) -> None:
        self.me = me
        """Our own record; in the table once we have started."""
        self.is_leaving = False
        self.leave_news: Broadcast | None = None
        self.story: collections.deque[tuple[float, str]] = collections.deque(maxlen=STORY_MAX)
        self._config = config
        self._table = table
        self._suspicions = suspicions
        self._broadcasts = broadcasts
        self._awareness = awareness
        self._outbox = outbox
        self._refused = refused

    # --- ourselves ---------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Become alive, and let everybody know."""
        self._put_me(msgspec.structs.replace(self.me, state=State.ALIVE, changed_at=now))
        self._broadcast(self.me.name, self.own_alive())
        self._tell_story(now, f"started at incarnation {self.me.incarnation}")
        self._outbox.add(SwimUp(self.me.name))

    def preset_meta(self, meta: bytes) -> None:
        """Have something else to say about ourselves at the start."""
        self.me = msgspec.structs.replace(self.me, meta=meta)

    def change_meta(self, meta: bytes, now: float) -> None:
        """Say something else about ourselves."""
        self._put_me(
            msgspec.structs.replace(self.me, meta=meta, incarnation=self._past(self.me.incarnation))
        )
        alive = self.own_alive()
        self._broadcast(self.me.name, alive)
        self._outbox.tell_all(self._table.live(self.me.name), alive, now)
        self._outbox.add(SwimChanged(self.me.name))

    def leave(self, now: float) -> None:
        """Tell everybody that we go."""
        self.is_leaving = True
        name = self.me.name
        self.dead(Dead(self.me.incarnation, name, name), now)
        self._outbox.tell_all(self._table.live(name), Dead(self.me.incarnation, name, name), now)

    def own_alive(self) -> Alive:
        """Return what we say about ourselves."""
        me = self.me
        return Alive(me.incarnation, me.name, me.addr, me.port, me.meta, me.vsn)

    def refute(self, accused: int, now: float) -> None:
        """Get past an incarnation that somebody holds against us."""
        self._put_me(
            msgspec.structs.replace(
                self.me, incarnation=self._past(max(self.me.incarnation, accused))
            )
        )
        self._awareness.add(1)
        alive = self.own_alive()
        self._broadcast(self.me.address, alive)
        self._outbox.tell_all(self._table.live(self.me.name), alive, now)
        self._tell_story(now, f"refuted {accused} by {self.me.incarnation}")

    # --- messages ----------------------------------------------------------------------------

    def alive(self, alive: Alive, now: float) -> None:
        """Take in that a member is alive."""
        if alive.node == self.me.name:
            self._alive_me(alive, now)
            return
        known = self._table.members.get(alive.node)
        said = self._read(alive, known)
        if said is None or not self._may_take(said, known, now):
            return
        self._suspicions.cancel(said.name)
        was_live = known is not None and known.is_live
        changed_at = known.changed_at if known and known.state is State.ALIVE else now
        self._table.put(msgspec.structs.replace(said, changed_at=changed_at))
        self._broadcast(
            said.name,
            Alive(said.incarnation, said.name, said.addr, said.port, said.meta, said.vsn),
        )
        if not was_live:
            self._tell_story(now, f"{said.name} alive at incarnation {said.incarnation}")
            self._outbox.add(SwimUp(said.name))
        else:
            self._outbox.add(SwimChanged(said.name))

    def suspect(self, suspect: Suspect, now: float) -> None:
        """Take in that a member does not answer somebody."""
        known = self._table.members.get(suspect.node)
        if known is None or not self._is_current(suspect.incarnation, known):
            return
        if suspect.node in self._suspicions:
            if self._suspicions.confirm(suspect.node, suspect.origin):
                self._broadcast(suspect.node, suspect)
                self.expire(now)
            return
        if known.state is not State.ALIVE:
            return
        if suspect.node == self.me.name:
            self.refute(suspect.incarnation, now)
            return
        self._broadcast(suspect.node, suspect)
        self._table.put(
            msgspec.structs.replace(
                known, incarnation=suspect.incarnation, state=State.SUSPECT, changed_at=now
            )
        )
        self._suspicions.start(
            suspect.node, suspect.origin, count=len(self._table), config=self._config, now=now
        )
        self._tell_story(now, f"{suspect.node} suspected by {suspect.origin}")
        self._outbox.add(SwimChanged(suspect.node))

    def dead(self, dead: Dead, now: float) -> bool:
        """Take in that a member is dead or has left; return whether it was news about another."""
        known = self._table.members.get(dead.node)
        if known is None or not self._is_current(dead.incarnation, known):
            return False
        self._suspicions.cancel(dead.node)
        if not known.is_live:
            return False
        is_me = dead.node == self.me.name
        if is_me and not self.is_leaving:
            self.refute(dead.incarnation, now)
            return False
        is_leave = dead.node == dead.origin
        news = self._broadcast(dead.node, dead)
        gone = msgspec.structs.replace(
            known,
            incarnation=dead.incarnation,
            state=State.LEFT if is_leave else State.DEAD,
            changed_at=now,
        )
        if is_me:
            self.leave_news = news
            self._put_me(gone)
        else:
            self._table.put(gone)
        self._tell_story(now, f"{dead.node} {gone.state.name.lower()} says {dead.origin}")
        self._outbox.add(SwimDown(dead.node, is_leave))
        return not is_me

    def verdict(self, dead: Dead, now: float, *, is_urgent: bool) -> None:
        """Take in our own finding, and let everybody know at once if nobody else does."""
        if dead.node == self.me.name or not self.dead(dead, now) or not is_urgent:
            return
        told = self._table.live(self.me.name)
        if dead.node != dead.origin:
            told.append(self._table.members[dead.node])
        self._outbox.tell_all(told, dead, now)

    def expire(self, now: float) -> None:
        """Find dead whoever has been suspect for long enough."""
        while (name := self._suspicions.take_due(now)) is not None:
            incarnation = self._table.members[name].incarnation
            self.dead(Dead(incarnation, name, self.me.name), now)

    # --- what is believed --------------------------------------------------------------------

    def _alive_me(self, alive: Alive, now: float) -> None:
        if self.is_leaving or not self._is_current(alive.incarnation, self.me):
            return
        said = self._read(alive, self.me)
        if said is None:
            return
        if (said.addr, said.port) != (self.me.addr, self.me.port):
            self._refused[Refused.CONFLICT] += 1
            return
        is_equal = said.incarnation == self.me.incarnation and said.meta == self.me.meta
        if not (is_equal and alive.vsn == self.me.vsn):
            self.refute(alive.incarnation, now)

    def _read(self, alive: Alive, known: SwimMember | None) -> SwimMember | None:
        """Return the record that a message makes, None if it is refused."""
        addr = addresses.normal(alive.addr)
        if not addresses.is_usable(addr):
            self._refused[Refused.ADDRESS] += 1
            return None
        vsn = alive.vsn[:_VSN_SIZE] or (_NO_VSN if known is None else known.vsn)
        if not _can_live_with(vsn):
            self._refused[Refused.VERSION] += 1
            return None
        return SwimMember(
            name=alive.node,
            address=addresses.to_text(addr),
            port=alive.port or self.me.port,
            meta=alive.meta,
            vsn=vsn,
            incarnation=alive.incarnation,
            state=State.ALIVE,
            changed_at=0.0,
            addr=addr,
        )

    def _may_take(self, said: SwimMember, known: SwimMember | None, now: float) -> bool:
        latest = 0 if known is None else known.incarnation
        if not self._is_trusted(said.incarnation, latest):
            return False
        is_higher = said.incarnation > latest
        if known is None:
            if self._table.is_full:
                self._refused[Refused.MEMBERS] += 1
                return False
            return is_higher
        if (said.addr, said.port) == (known.addr, known.port):
            return is_higher
        if not self._is_reclaimable(known, now, is_higher=is_higher):
            self._refused[Refused.CONFLICT] += 1
            return False
        return True

    def _is_reclaimable(self, known: SwimMember, now: float, *, is_higher: bool) -> bool:
        """Whether a name may move to another address."""
        if known.state is State.LEFT:
            return True
        after_s = self._config.dead_node_reclaim_time_s
        is_over = 0 < after_s < now - known.changed_at
        return known.state is State.DEAD and (is_higher or is_over)

    def _is_current(self, incarnation: int, known: SwimMember) -> bool:
        """Whether an incarnation is not older than the one known, and can be true."""
        return incarnation >= known.incarnation and self._is_trusted(incarnation, known.incarnation)

    def _is_trusted(self, incarnation: int, latest: int) -> bool:
        if incarnation < INCARNATION_DOUBT or incarnation - latest <= INCARNATION_STEP:
            return True
        self._refused[Refused.INCARNATION] += 1
        return False

    # --- bookkeeping -------------------------------------------------------------------------

    def _past(self, incarnation: int) -> int:
        return incarnation + 1 if incarnation + 1 < INCARNATION_END else 1

    def _put_me(self, me: SwimMember) -> None:
        self.me = me
        self._table.put(me)

    def _broadcast(self, key: str, message: Alive | Suspect | Dead) -> Broadcast:
        return self._broadcasts.queue(key, encode(message))

    def _tell_story(self, now: float, what: str) -> None:
        self.story.append((now, what))


def _can_live_with(vsn: bytes) -> bool:
    """Whether a member with these versions and one with ours understand each other."""
    if len(vsn) != _VSN_SIZE or vsn[0] == 0:
        return False
    return all(
        low <= spoken <= high and low <= ours <= high and our_low <= spoken <= our_high
        for low, high, spoken, our_low, our_high, ours in (
            (vsn[0], vsn[1], vsn[2], VSN[0], VSN[1], VSN[2]),
            (vsn[3], vsn[4], vsn[5], VSN[3], VSN[4], VSN[5]),
        )
    )
