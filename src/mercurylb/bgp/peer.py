"""One neighbour: which of its connections stays, and why there is none.

A peer has at most one dial under way and at most three connections: the established one, one that
we dialled and one that it dialled. Which of two survives is decided with the OPEN (RFC 4271 6.8).
Whatever the neighbour does costs it its own session and a growing delay, and nobody else anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.bgp import negotiation, notification
from mercurylb.bgp.blame import Blame
from mercurylb.bgp.collision import Survivor, survivor
from mercurylb.bgp.dialler import Dialler
from mercurylb.bgp.effect import Close, Send, SessionChanged
from mercurylb.bgp.ending import Ending, hardened, is_collision
from mercurylb.bgp.error import BgpError
from mercurylb.bgp.house import Desk, House
from mercurylb.bgp.message import MessageType
from mercurylb.bgp.negotiation import Offer
from mercurylb.bgp.notification import CeaseCode, Code, Notification, OpenCode, cease
from mercurylb.bgp.session import RECEIVED, Progress, Session
from mercurylb.bgp.state import ORDER, State
from mercurylb.bgp.timer import LASTED_S, NEVER, OPENING_S

if TYPE_CHECKING:
    from mercurylb.bgp.effect import BgpEffect, Ends
    from mercurylb.bgp.message import Message
    from mercurylb.bgp.settings import PeerSettings

BFD_WAIT_S = 1.0
"""A path that BFD found broken is not tried at once, unless BFD finds it whole again."""
_REFUSALS = frozenset({(Code.OPEN, OpenCode.PARAMETER), (Code.OPEN, OpenCode.CAPABILITY)})
_COLLISION = cease(CeaseCode.COLLISION)
_LOST = "another connection stays"


class Peer:
    """The machine of one neighbour."""

    def __init__(
        self, settings: PeerSettings, house: House, now: float, *, is_restarting: bool
    ) -> None:
        self.settings = settings
        self.desk = Desk(settings, house)
        self.dialler = Dialler(self.desk)
        self.sessions: dict[int, Session] = {}
        self.flap_count = 0
        self.blame = Blame()
        self.state = State.IDLE
        self.since = now
        self._offer = Offer.FULL
        self._is_restarting = is_restarting
        self._is_bfd_down = False
        self._is_ending = False
        self.dialler.hasten(now)
        if not self.dialler.address:
            self.blame.take(f"no router found behind {settings.interface} yet", is_light=True)

    # --- the outside -------------------------------------------------------------------------

    def take(self, now: float) -> list[BgpEffect]:
        """Give what is to be done, with the change of the state at the end."""
        state = self._derived_state()
        if state != self.state:
            self._note(f"{self.state} -> {state}", now)
            self.state, self.since = state, now
            reason = "" if state == State.ESTABLISHED else self.blame.words
            self.desk.out.append(SessionChanged(self.settings.name, state, reason))
        effects = self.desk.out[:]
        self.desk.out.clear()
        return effects

    @property
    def deadline(self) -> float:
        """Give the time of the earliest timer."""
        at = self.dialler.deadline
        for session in self.sessions.values():
            at = min(at, session.deadline)
        return at

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
        if self.dialler.connection is not None:
            return State.CONNECT
        return State.ACTIVE if self.dialler.is_active else State.IDLE

    def _note(self, text: str, now: float) -> None:
        self.desk.story.note(text, now)

    # --- connections come --------------------------------------------------------------------

    def on_connected(self, connection: int, ends: Ends, now: float) -> None:
        """Take the connection that was dialled."""
        until = self.dialler.until
        self.dialler.forget()
        self._begin(connection, ends, now, is_incoming=False).begin(now, until=until)

    def on_connect_failed(self, reason: str, now: float) -> None:
        """Note that the dial led to nothing."""
        self.dialler.forget()
        self.blame.take(reason, is_light=True)
        self._note(reason, now)
        self._retry_later(now, is_active=True)

    def on_accepted(self, connection: int, ends: Ends, now: float) -> None:
        """Take a connection that the neighbour dialled."""
        established = self.established
        if established is not None and not self.keeps_routes:
            self._note("refused another connection", now)
            self._tell(connection, _COLLISION)
            established.probe(now)
            return
        for older in [s for s in self.sessions.values() if s.is_incoming and s is not established]:
            self._end(older, "the peer dialled again", _COLLISION, now)
        self._begin(connection, ends, now, is_incoming=True).begin(now, until=now + OPENING_S)

    def _begin(self, connection: int, ends: Ends, now: float, *, is_incoming: bool) -> Session:
        ours = negotiation.offered(
            self.settings,
            ends,
            self.desk.house.node,
            offer=self._offer,
            is_restarting=self._is_restarting,
        )
        session = Session(connection, ends, desk=self.desk, ours=ours, is_incoming=is_incoming)
        self.sessions[connection] = session
        self.dialler.retry_at = NEVER
        how = "accepted from" if is_incoming else "connected to"
        self._note(f"{how} {ends.remote} by {ends.local}", now)
        return session

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
        self.desk.counts[RECEIVED[MessageType(message.type)]] += 1
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
        self._end(session, f"the peer said: {told.describe()}", Ending.TOLD, now)

    def _on_opened(self, session: Session, now: float) -> None:
        """Decide between this connection and another one: the identifier is that of both."""
        for other in [each for each in self.sessions.values() if each is not session]:
            survives = survivor(session, other, is_restart=self.keeps_routes)
            if survives == Survivor.OLD:
                self._end(session, _LOST, _COLLISION, now)
                return
            if survives == Survivor.NEW_RESTARTED:
                self._end(other, "the peer restarted", Ending.SILENT, now)
            else:
                self._end(other, _LOST, _COLLISION, now)
        session.confirm(now)

    def _on_established(self, session: Session, now: float) -> None:
        for other in [each for each in self.sessions.values() if each is not session]:
            self._end(other, _LOST, _COLLISION, now)
        self.dialler.rest()
        session.establish(now)
        self.blame.forgive()
        assert session.agreement is not None, "OPENs were exchanged"
        labels = ", ".join(family.label for family in session.agreement.families)
        self._note(f"{labels}; {', '.join(session.agreement.capabilities)}", now)
        self.on_routes_known()

    # --- routes ------------------------------------------------------------------------------

    def on_routes_known(self) -> None:
        """Let End-of-RIB be told once it is known what is to be announced."""
        session = self.established
        if session is not None and self.desk.house.has_routes:
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
        if session.has_told_end and session.is_settled:
            self._is_restarting = False
        return count

    def refresh(self) -> None:
        """Send everything once more."""
        session = self.established
        if session is not None:
            session.refresh()

    # --- connections end ---------------------------------------------------------------------

    def on_closed(self, connection: int, reason: str, now: float) -> None:
        """Note that the other side, or the kernel, ended a connection."""
        reason = reason or "the connection was closed"
        self._end(self.sessions[connection], reason, Ending.GONE, now)

    def finish(self) -> None:
        """Begin nothing any more; what is established stays for now."""
        self._is_ending = True
        self.dialler.rest()

    def close(self, how: Notification | Ending, reason: str, now: float) -> None:
        """End everything for good; silently if the neighbour is to keep our routes (RFC 4724)."""
        self.finish()
        for session in list(self.sessions.values()):
            self._end(session, reason, how, now)

    def restart(self, reason: str, now: float, code: int = CeaseCode.CONFIGURATION) -> None:
        """End the sessions and begin anew at once."""
        self.dialler.rest()
        for session in list(self.sessions.values()):
            self._end(session, reason, cease(code), now)
        self.dialler.backoff.reset()
        if not self._is_ending:
            self.dialler.hasten(now)

    def _fail(self, session: Session, error: BgpError, now: float) -> None:
        told = notification.of(error)
        # What reads nothing would not read a NOTIFICATION either.
        how = Ending.SILENT if error.code == Code.SEND_HOLD_TIMER else told
        self._end(session, f"{error.message} ({told.code}/{told.subcode})", how, now)

    def _end(self, session: Session, reason: str, how: Notification | Ending, now: float) -> None:
        del self.sessions[session.connection]
        if isinstance(how, Notification):
            self._tell(session.connection, hardened(how, session))
        elif how != Ending.GONE:
            self.desk.out.append(Close(session.connection, is_silent=how == Ending.SILENT))
        session.close()
        self._note(reason, now)
        is_active = session.state == State.OPEN_SENT and how == Ending.GONE
        if not is_collision(how):
            self.blame.take(reason, is_light=is_active)
        if session.state == State.ESTABLISHED:
            self.flap_count += 1
            self._offer = Offer.FULL
            if now - session.established_at >= LASTED_S:
                self.dialler.backoff.reset()
        self._retry_later(now, is_active=is_active)

    def _tell(self, connection: int, told: Notification) -> None:
        self.desk.counts["notifications_sent"] += 1
        self.desk.out.append(Send(connection, notification.encode(told)))
        self.desk.out.append(Close(connection))

    def _retry_later(self, now: float, *, is_active: bool) -> None:
        if not self.sessions and self.dialler.connection is None and not self._is_ending:
            self.dialler.wait(now, is_active=is_active)

    # --- time, and what else is known --------------------------------------------------------

    def on_deadline(self, now: float) -> None:
        """Do what is due."""
        if now >= self.dialler.until:
            self.dialler.rest()
            self.on_connect_failed(f"no connection within {OPENING_S:.0f} s", now)
        for session in list(self.sessions.values()):
            try:
                session.on_deadline(now)
            except BgpError as error:
                self._fail(session, error, now)
        if now >= self.dialler.retry_at:
            self.dialler.dial(now)

    def retry(self, now: float) -> None:
        """Dial now rather than later, if there is nothing but waiting."""
        if self.dialler.is_waiting:
            self.dialler.hasten(now)

    def on_bfd(self, now: float, *, is_up: bool, reason: str) -> None:
        """Note what BFD found (RFC 5882): a broken path ends the session now."""
        if is_up:
            self._note("BFD is up", now)
            if self._is_bfd_down:
                self.dialler.backoff.reset()
                self.retry(now)
            self._is_bfd_down = False
            return
        self._is_bfd_down = True
        words = f"BFD is down: {reason}" if reason else "BFD is down"
        self._note(words, now)
        for session in list(self.sessions.values()):
            self._end(session, words, cease(CeaseCode.BFD_DOWN), now)
        if self.dialler.is_waiting:
            self.dialler.retry_at = max(self.dialler.retry_at, now + BFD_WAIT_S)

    def on_discovered(self, link_local: str, now: float) -> None:
        """Take the address of the router behind the interface; empty if it is gone."""
        if link_local == self.dialler.address:
            return
        self.dialler.rest()
        self.dialler.address = link_local
        if not link_local:
            self._note("the router behind the interface is gone", now)
            if self.established is None:
                words = f"no router found behind {self.settings.interface} any more"
                self.blame.take(words, is_light=True)
            return
        self._note(f"found the router {link_local}", now)
        remotes = {session.ends.remote.partition("%")[0] for session in self.sessions.values()}
        if remotes - {link_local}:
            self.restart("the router behind the interface is another one", now)
        elif not self.sessions and not self._is_ending:
            self.dialler.hasten(now)

    def validate(self) -> None:
        """Assert what always holds."""
        states = [session.state for session in self.sessions.values()]
        assert states.count(State.ESTABLISHED) <= 1, "one session carries routes"
        assert states.count(State.OPEN_CONFIRM) <= 1, "a collision is decided with the OPEN"
        openings = [s.is_incoming for s in self.sessions.values() if s.state != State.ESTABLISHED]
        assert len(openings) == len(set(openings)), "one opening connection from each side"
        is_busy = self.dialler.connection is not None or bool(self.sessions)
        assert not (self.dialler.is_waiting and is_busy), "who waits to dial does nothing else"
        if not self._is_ending and self.dialler.address:
            assert self.dialler.is_waiting or is_busy, "a peer with an address is not forgotten"
        for session in self.sessions.values():
            session.validate()
        assert not self.desk.out, "effects were taken"
