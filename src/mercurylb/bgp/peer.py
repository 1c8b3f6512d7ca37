"""One neighbour: when it is dialled, which of its connections stays, and why there is none.

A peer has at most one dial under way and at most three connections: the established one, one that
we dialled and one that it dialled. Which of two survives is decided with the OPEN (RFC 4271 6.8).
Whatever the neighbour does costs it its own session and a growing delay, and nobody else anything.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

import msgspec

from mercurylb.bgp import negotiation, notification
from mercurylb.bgp.collision import Survivor, survivor
from mercurylb.bgp.effect import Close, Connect, Send, SessionChanged
from mercurylb.bgp.error import BgpError
from mercurylb.bgp.message import MessageType
from mercurylb.bgp.negotiation import Offer
from mercurylb.bgp.next_hop import is_link_local
from mercurylb.bgp.notification import CeaseCode, Code, Notification, OpenCode, cease
from mercurylb.bgp.session import RECEIVED, Progress, Session
from mercurylb.bgp.state import ORDER, State
from mercurylb.bgp.story import Story
from mercurylb.bgp.timer import LASTED_S, NEVER, OPENING_S, Backoff

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mercurylb.bgp.book import RouteBook
    from mercurylb.bgp.effect import BgpEffect, Ends
    from mercurylb.bgp.message import Message
    from mercurylb.bgp.settings import PeerSettings
    from mercurylb.bgp.timer import Chance

BFD_WAIT_S = 1.0
"""A path that BFD found broken is not tried at once, unless BFD finds it whole again."""
_REFUSALS = frozenset({(Code.OPEN, OpenCode.PARAMETER), (Code.OPEN, OpenCode.CAPABILITY)})
_HARD = frozenset({CeaseCode.DECONFIGURED, CeaseCode.SHUTDOWN, CeaseCode.BFD_DOWN})
"""After these our routes are of no use any more, whatever was said of restarts (RFC 8538)."""


class House(msgspec.Struct):
    """What the peers of a node share."""

    node: str
    chance: Chance
    book: RouteBook
    numbers: Iterator[int]
    """Of connections."""
    has_routes: bool = False
    """Whether what is to be announced is known, so that End-of-RIB may be told."""


class Peer:
    """The machine of one neighbour."""

    def __init__(
        self, settings: PeerSettings, house: House, now: float, *, is_restarting: bool
    ) -> None:
        self.settings = settings
        self.counts: collections.Counter[str] = collections.Counter()
        self.flap_count = 0
        self.last_error = ""
        self.state = State.IDLE
        self.since = now
        self.retry_at = now
        self.story = Story()
        self.sessions: dict[int, Session] = {}
        self.dial: int | None = None
        self.address = settings.address
        self._house = house
        self._out: list[BgpEffect] = []
        self._dial_until = NEVER
        self._backoff = Backoff(settings.connect_time_s, house.chance)
        self._offer = Offer.FULL
        self._is_restarting = is_restarting
        self._is_waiting_active = False
        """Waiting after a connection that did not come to be, rather than after an error."""
        self._is_bfd_down = False
        self._is_stopped = False
        if not self.address:
            self.last_error = f"no router found behind {settings.interface} yet"
            self.retry_at = NEVER

    # --- the outside -------------------------------------------------------------------------

    def take(self, now: float) -> list[BgpEffect]:
        """Give what is to be done, with the change of the state at the end."""
        state = self._derived_state()
        if state != self.state:
            self.story.note(f"{self.state} -> {state}", now)
            self.state, self.since = state, now
            reason = "" if state == State.ESTABLISHED else self.last_error
            self._out.append(SessionChanged(self.settings.name, state, reason))
        effects = self._out[:]
        self._out.clear()
        return effects

    @property
    def deadline(self) -> float:
        """Give the time of the earliest timer."""
        return min(
            self.retry_at,
            self._dial_until,
            *(session.deadline for session in self.sessions.values()),
        )

    @property
    def established(self) -> Session | None:
        """Give the session that carries routes."""
        for session in self.sessions.values():
            if session.state == State.ESTABLISHED:
                return session
        return None

    @property
    def foremost(self) -> Session | None:
        """Give the session that got furthest."""
        return max(self.sessions.values(), key=lambda each: ORDER[each.state], default=None)

    @property
    def keeps_routes(self) -> bool:
        """Tell whether the neighbour keeps our routes while we are away."""
        session = self.established
        agreement = session.agreement if session else None
        return agreement is not None and agreement.has_graceful_restart

    def _derived_state(self) -> State:
        foremost = self.foremost
        if foremost is not None:
            return foremost.state
        if self.dial is not None:
            return State.CONNECT
        return State.ACTIVE if self._is_waiting_active else State.IDLE

    # --- connections come --------------------------------------------------------------------

    def on_connected(self, ends: Ends, now: float) -> None:
        """Take the connection that was dialled."""
        assert self.dial is not None, "only what was dialled is connected"
        connection, until = self.dial, self._dial_until
        self._forget_dial()
        self._begin(connection, ends, now, until=until, is_incoming=False)

    def on_connect_failed(self, reason: str, now: float) -> None:
        """Note that the dial led to nothing."""
        self._forget_dial()
        self.last_error = reason
        self.story.note(reason, now)
        self._retry_later(now, is_active=True)

    def on_accepted(self, connection: int, ends: Ends, now: float) -> None:
        """Take a connection that the neighbour dialled."""
        established = self.established
        if established is not None and not self.keeps_routes:
            self.refuse(connection, cease(CeaseCode.COLLISION), now)
            return
        for older in [s for s in self.sessions.values() if s.is_incoming and s is not established]:
            self._end(older, "the peer dialled again", now, told=cease(CeaseCode.COLLISION))
        self._begin(connection, ends, now, until=None, is_incoming=True)

    def refuse(self, connection: int, told: Notification, now: float) -> None:
        """Turn an incoming connection away."""
        self.story.note(f"refused a connection: {told.describe()}", now)
        self._tell(connection, told)

    def _begin(
        self, connection: int, ends: Ends, now: float, *, until: float | None, is_incoming: bool
    ) -> None:
        house = self._house
        ours = negotiation.offered(
            self.settings,
            ends,
            house.node,
            offer=self._offer,
            is_restarting=self._is_restarting,
        )
        session = Session(
            connection,
            ends,
            settings=self.settings,
            ours=ours,
            is_incoming=is_incoming,
            counts=self.counts,
            story=self.story,
            chance=house.chance,
            out=self._out,
        )
        self.sessions[connection] = session
        self.retry_at = NEVER
        how = "accepted from" if is_incoming else "connected to"
        self.story.note(f"{how} {ends.remote} by {ends.local}", now)
        session.begin(now, until=until)

    # --- connections speak -------------------------------------------------------------------

    def on_received(self, connection: int, octets: bytes, now: float) -> None:
        """Take what a connection brought, message by message."""
        session = self.sessions[connection]
        session.splitter.feed(octets)
        try:
            while connection in self.sessions:
                message = session.splitter.take()
                if message is None:
                    return
                self._on_message(session, message, now)
        except BgpError as error:
            self._fail(session, error, now)

    def _on_message(self, session: Session, message: Message, now: float) -> None:
        self.counts[RECEIVED[MessageType(message.type)]] += 1
        if message.type == MessageType.NOTIFICATION:
            self._on_notification(session, notification.decode(message.body), now)
            return
        progress = session.on_message(message, now)
        if progress == Progress.OPENED:
            self._on_opened(session, now)
        elif progress == Progress.ESTABLISHED:
            self._on_established(session, now)

    def _on_notification(self, session: Session, told: Notification, now: float) -> None:
        if (told.code, told.subcode) in _REFUSALS:
            self._offer = self._offer.next
        self._end(session, f"the peer said: {told.describe()}", now)

    def _on_opened(self, session: Session, now: float) -> None:
        """Decide between this connection and another one: the identifier is that of both."""
        for other in list(self.sessions.values()):
            if other is session:
                continue
            survives = survivor(session, other, is_restart=self.keeps_routes)
            if survives == Survivor.OLD:
                self._end(session, "another connection stays", now, told=cease(CeaseCode.COLLISION))
                return
            if survives == Survivor.NEW_RESTARTED:
                self._end(other, "the peer restarted", now, is_silent=True)
            else:
                self._end(other, "another connection stays", now, told=cease(CeaseCode.COLLISION))
        session.confirm(now)

    def _on_established(self, session: Session, now: float) -> None:
        for other in [each for each in self.sessions.values() if each is not session]:
            self._end(other, "another connection stays", now, told=cease(CeaseCode.COLLISION))
        self._cancel_dial()
        self.retry_at = NEVER
        session.establish(self._house.book, now)
        assert session.agreement is not None, "OPENs were exchanged"
        labels = ", ".join(family.label for family in session.agreement.families)
        self.story.note(f"{labels}; {', '.join(session.agreement.capabilities)}", now)
        self.on_routes_known()

    def on_routes_known(self) -> None:
        """Let End-of-RIB be told once it is known what is to be announced."""
        session = self.established
        if session is not None and self._house.has_routes:
            session.tell_end()

    def on_drained(self, connection: int) -> None:
        """Note that everything that was sent has left."""
        self.sessions[connection].on_drained()

    def pull(self, now: float) -> int:
        """Send the next chunk of routes, if it is time for one; says how many octets it has."""
        session = self.established
        if session is None or not session.is_ready:
            return 0
        count = session.pull(now)
        assert session.rib is not None, "the session is established"
        if session.has_told_end and not session.rib.is_pending:
            self._is_restarting = False
        return count

    # --- connections end ---------------------------------------------------------------------

    def on_closed(self, connection: int, reason: str, now: float) -> None:
        """Note that the other side, or the kernel, ended a connection."""
        session = self.sessions[connection]
        self._end(session, reason or "the connection was closed", now, is_open=False)

    def close(self, told: Notification, reason: str, now: float) -> None:
        """End everything, for good or until somebody begins anew."""
        self._is_stopped = True
        self._cancel_dial()
        for session in list(self.sessions.values()):
            self._end(session, reason, now, told=told)
        self.retry_at = NEVER
        self._is_waiting_active = False

    def vanish(self, reason: str, now: float) -> None:
        """End everything without a word, so that the neighbour keeps our routes (RFC 4724)."""
        self._is_stopped = True
        self._cancel_dial()
        for session in list(self.sessions.values()):
            self._end(session, reason, now, is_silent=True)
        self.retry_at = NEVER

    def _fail(self, session: Session, error: BgpError, now: float) -> None:
        told = notification.of(error)
        # What reads nothing would not read that either.
        is_deaf = error.code == Code.SEND_HOLD_TIMER
        words = f"{error.message} ({told.code}/{told.subcode})"
        self._end(session, words, now, told=None if is_deaf else told, is_silent=is_deaf)

    def _end(
        self,
        session: Session,
        reason: str,
        now: float,
        *,
        told: Notification | None = None,
        is_silent: bool = False,
        is_open: bool = True,
    ) -> None:
        del self.sessions[session.connection]
        was_established = session.state == State.ESTABLISHED
        if is_open and told is not None:
            self._tell(session.connection, _hardened(told, session))
        elif is_open:
            self._out.append(Close(session.connection, is_silent=is_silent))
        if session.rib is not None:
            session.rib.close()
        is_collision = (
            told is not None and told.subcode == CeaseCode.COLLISION and (told.code == Code.CEASE)
        )
        self.story.note(reason, now)
        if not is_collision:
            self.last_error = reason
        if was_established:
            self.flap_count += 1
            self._offer = Offer.FULL
            if now - session.established_at >= LASTED_S:
                self._backoff.reset()
        is_active = session.state == State.OPEN_SENT and not is_open
        self._retry_later(now, is_active=is_active)

    def _tell(self, connection: int, told: Notification) -> None:
        self.counts["notifications_sent"] += 1
        self._out.append(Send(connection, notification.encode(told)))
        self._out.append(Close(connection))

    def _retry_later(self, now: float, *, is_active: bool) -> None:
        if self.sessions or self.dial is not None or self._is_stopped:
            return
        self._is_waiting_active = is_active
        self.retry_at = now + self._backoff.next_delay_s() if self.address else NEVER

    # --- dialling ----------------------------------------------------------------------------

    def on_deadline(self, now: float) -> None:
        """Do what is due."""
        if now >= self._dial_until:
            self._cancel_dial()
            self.last_error = f"no connection within {OPENING_S:.0f} s"
            self.story.note(self.last_error, now)
            self._retry_later(now, is_active=True)
        for session in list(self.sessions.values()):
            try:
                session.on_deadline(now)
            except BgpError as error:
                self._fail(session, error, now)
        if now >= self.retry_at:
            self._dial(now)

    def retry(self, now: float) -> None:
        """Dial now rather than later, if there is nothing but waiting."""
        if self.retry_at != NEVER:
            self.retry_at = now

    def _dial(self, now: float) -> None:
        remote = self.address
        if self.settings.interface and is_link_local(remote):
            remote = f"{remote}%{self.settings.interface}"
        self.retry_at = NEVER
        self._is_waiting_active = False
        self.dial = next(self._house.numbers)
        self._dial_until = now + OPENING_S
        self._out.append(Connect(self.settings.name, self.dial, self.settings, remote))

    def _cancel_dial(self) -> None:
        if self.dial is not None:
            self._out.append(Close(self.dial, is_silent=True))
            self._forget_dial()

    def _forget_dial(self) -> None:
        self.dial = None
        self._dial_until = NEVER

    # --- what else is known ------------------------------------------------------------------

    def on_bfd(self, now: float, *, is_up: bool, reason: str) -> None:
        """Note what BFD found (RFC 5882): a broken path ends the session now."""
        if is_up:
            self.story.note("BFD is up", now)
            if self._is_bfd_down:
                self._backoff.reset()
                self.retry(now)
            self._is_bfd_down = False
            return
        self._is_bfd_down = True
        words = f"BFD is down: {reason}" if reason else "BFD is down"
        for session in list(self.sessions.values()):
            self._end(session, words, now, told=cease(CeaseCode.BFD_DOWN))
        if self.retry_at != NEVER:
            self.retry_at = max(self.retry_at, now + BFD_WAIT_S)

    def on_discovered(self, link_local: str, now: float) -> None:
        """Take the address of the router behind the interface; empty if it is gone."""
        if link_local == self.address:
            return
        self.address = link_local
        if not link_local:
            self.story.note("the router behind the interface is gone", now)
            if self.established is None:
                self.last_error = f"no router found behind {self.settings.interface}"
            self.retry_at = NEVER
            self._cancel_dial()
            return
        self.story.note(f"found the router {link_local}", now)
        self._cancel_dial()
        remotes = {session.ends.remote.partition("%")[0] for session in self.sessions.values()}
        if remotes - {link_local}:
            self.restart("the router behind the interface is another one", now)
        elif not self.sessions:
            self.retry_at = now

    def restart(self, reason: str, now: float, code: int = CeaseCode.CONFIGURATION) -> None:
        """End the sessions and begin anew at once."""
        self._cancel_dial()
        for session in list(self.sessions.values()):
            self._end(session, reason, now, told=cease(code))
        self._backoff.reset()
        self.retry_at = now if self.address and not self._is_stopped else NEVER

    def refresh(self) -> None:
        """Send everything once more."""
        session = self.established
        if session is None or session.rib is None or session.agreement is None:
            return
        for family in session.agreement.families:
            session.rib.refresh(family, is_enhanced=session.agreement.has_enhanced_refresh)

    def validate(self) -> None:
        """Assert what always holds."""
        states = [session.state for session in self.sessions.values()]
        assert states.count(State.ESTABLISHED) <= 1, "one session carries routes"
        assert states.count(State.OPEN_CONFIRM) <= 1, "a collision was decided with the OPEN"
        openings = [s.is_incoming for s in self.sessions.values() if s.state != State.ESTABLISHED]
        assert len(openings) == len(set(openings)), "one opening connection from each side"
        is_waiting = self.retry_at != NEVER
        is_busy = self.dial is not None or bool(self.sessions)
        assert not (is_waiting and is_busy), "who waits to dial does nothing else"
        if not self._is_stopped and self.address:
            assert is_waiting or is_busy, "a peer with an address is never forgotten"
        assert (self.dial is None) == (self._dial_until == NEVER), "a dial has its time"
        for session in self.sessions.values():
            assert (session.rib is not None) == (session.state == State.ESTABLISHED), "routes"
            assert session.deadline < NEVER or session.agreement, "an opening ends some time"
        assert not self._out, "effects were taken"


def _hardened(told: Notification, session: Session) -> Notification:
    """Say that the routes are void as well, where the peer would keep them otherwise."""
    agreement = session.agreement
    if agreement is None or not agreement.has_restart_notification:
        return told
    if session.state != State.ESTABLISHED or told.code != Code.CEASE:
        return told
    if told.subcode not in _HARD:
        return told
    data = bytes((told.code, told.subcode)) + told.data
    return Notification(Code.CEASE, CeaseCode.HARD_RESET, data)
