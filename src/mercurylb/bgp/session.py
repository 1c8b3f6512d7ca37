"""One connection with a peer: its OPEN, its timers, and the routes that go over it.

The peer's machine (`peer`) makes it for an open connection and asks it one message at a time. A
session never closes itself: it raises `BgpError` where the peer is wrong or silent, and who made it
tells the peer and decides what is next.

Octets to be written are bounded: at most one chunk of routes is with the transport, the next one is
pulled when that has left. KEEPALIVEs and a NOTIFICATION may come on top.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from mercurylb.bgp import negotiation, opening, refresh
from mercurylb.bgp.attribute import Encoding
from mercurylb.bgp.capability import Capabilities
from mercurylb.bgp.capability import encode as encode_capabilities
from mercurylb.bgp.effect import Send
from mercurylb.bgp.error import BgpError
from mercurylb.bgp.family import IPV4
from mercurylb.bgp.message import (
    EXTENDED_MAX_LENGTH,
    KEEPALIVE,
    MAX_LENGTH,
    MessageSplitter,
    MessageType,
)
from mercurylb.bgp.next_hop import next_hops
from mercurylb.bgp.notification import Code, OpenCode
from mercurylb.bgp.opening import Expectation
from mercurylb.bgp.refresh import RefreshType
from mercurylb.bgp.rib import AdjRibOut
from mercurylb.bgp.rule import UpdateContext
from mercurylb.bgp.state import FSM_CODES, TRANSITIONS, State
from mercurylb.bgp.timer import (
    LATE_S,
    NEVER,
    OPEN_HOLD_S,
    OPENING_S,
    SEND_HOLD_FACTOR,
    jittered,
)
from mercurylb.bgp.update import UpdateCheck, UpdateChecker

if TYPE_CHECKING:
    from mercurylb.bgp.effect import Ends
    from mercurylb.bgp.house import Desk
    from mercurylb.bgp.message import Message
    from mercurylb.bgp.negotiation import Agreement
    from mercurylb.bgp.opening import Open

CHUNK_OCTETS: Final = 16384
"""Of routes pulled at once: one or two milliseconds."""

RECEIVED: Final = {
    MessageType.OPEN: "opens_received",
    MessageType.UPDATE: "updates_received",
    MessageType.NOTIFICATION: "notifications_received",
    MessageType.KEEPALIVE: "keepalives_received",
    MessageType.ROUTE_REFRESH: "refreshes_received",
}
"""Fields of `MessageCounts`."""


class Progress(Enum):
    """What a message led to that concerns more than the connection."""

    NONE = 0
    OPENED = 1
    """The peer's OPEN is right: `confirm` or close."""
    ESTABLISHED = 2


class Session:
    """The machine of one connection, from OpenSent on."""

    def __init__(
        self,
        connection: int,
        ends: Ends,
        *,
        desk: Desk,
        ours: Open,
        is_incoming: bool,
    ) -> None:
        self.connection = connection
        self.ends = ends
        self.ours = ours
        self.is_incoming = is_incoming
        self.state = State.OPEN_SENT
        self.theirs: Open | None = None
        self.agreement: Agreement | None = None
        self.rib: AdjRibOut | None = None
        self.splitter = MessageSplitter()
        self.established_at = NEVER
        self.hold_at = NEVER
        self.keepalive_at = NEVER
        self.send_hold_at = NEVER
        self.is_drained = True
        self.has_told_end = False
        """Whether End-of-RIB was asked for."""
        self._desk = desk
        self._settings = desk.settings
        self._checker: UpdateChecker | None = None
        self._is_patient = False

    # --- opening -----------------------------------------------------------------------------

    def begin(self, now: float, *, until: float) -> None:
        """Send our OPEN; the peer's has to come until then."""
        self.hold_at = until
        self._desk.counts["opens_sent"] += 1
        self.send(opening.encode(self.ours), now)

    def confirm(self, now: float) -> None:
        """Accept the peer's OPEN."""
        agreement = self._agreed()
        self.state = State.OPEN_CONFIRM
        self.splitter.has_extended = agreement.has_extended_message
        self.hold_at = now + (agreement.hold_time_s or OPEN_HOLD_S)
        self._keep_alive(now)

    def establish(self, now: float) -> None:
        """Begin to send routes."""
        agreement = self._agreed()
        self.state = State.ESTABLISHED
        self.established_at = now
        self._checker = UpdateChecker(
            UpdateContext(
                families=frozenset(agreement.families),
                is_internal=agreement.is_internal,
                has_four_octet_asn=agreement.has_four_octet_asn,
                extended_next_hops=frozenset((IPV4,) if agreement.has_extended_next_hop else ()),
            )
        )
        self.rib = AdjRibOut(self._desk.house.book, self._settings.name, self._encoding(agreement))
        self._heard(now)

    def _encoding(self, agreement: Agreement) -> Encoding:
        return Encoding(
            asn=self.ours.asn,
            is_internal=agreement.is_internal,
            next_hops=next_hops(
                self.ends,
                agreement.families,
                has_extended=agreement.has_extended_next_hop,
                router_id=self.ours.router_id,
            ),
            has_four_octet_asn=agreement.has_four_octet_asn,
            max_length=EXTENDED_MAX_LENGTH if agreement.has_extended_message else MAX_LENGTH,
        )

    def _agreed(self) -> Agreement:
        assert self.agreement is not None, "there is none before the peer's OPEN"
        return self.agreement

    # --- receiving ---------------------------------------------------------------------------

    def on_message(self, message: Message, now: float) -> Progress:
        """Take a message that is no NOTIFICATION; raises `BgpError`."""
        after = TRANSITIONS.get((self.state, message.type))
        if after is None:
            name = MessageType(message.type).name
            raise BgpError(Code.FSM, FSM_CODES[self.state], f"{name} in state {self.state}")
        if message.type == MessageType.OPEN:
            self._read_open(message.body)
            return Progress.OPENED
        if message.type == MessageType.ROUTE_REFRESH:
            self._read_refresh(message.body)
            return Progress.NONE
        self._heard(now)
        if message.type == MessageType.UPDATE:
            self._read_update(message.body, now)
        return Progress.ESTABLISHED if after != self.state else Progress.NONE

    def _read_open(self, body: bytes) -> None:
        opened = opening.decode(body)
        self.theirs = opened
        settings = self._settings
        opening.check(
            opened,
            Expectation(
                my_asn=settings.asn,
                router_id=self.ours.router_id,
                peer_asn=settings.peer_asn,
                dynamic_asn=settings.dynamic_asn,
            ),
        )
        self.agreement = negotiation.agree(settings, self.ours, opened)
        if not self.agreement.families:
            wanted = Capabilities(families=self.ours.capabilities.families)
            data = b"".join(encode_capabilities(wanted))
            labels = ", ".join(family.label for family in wanted.families)
            words = f"the peer does not do {labels}"
            raise BgpError(Code.OPEN, OpenCode.CAPABILITY, words, data=data)

    def _read_refresh(self, body: bytes) -> None:
        agreement = self._agreed()
        asked = refresh.decode(body, has_enhanced=agreement.has_enhanced_refresh)
        is_ours = agreement.has_route_refresh and asked.family in agreement.families
        if asked.subtype != RefreshType.REQUEST or not is_ours or self.rib is None:
            return
        self.rib.refresh(asked.family, is_enhanced=agreement.has_enhanced_refresh)

    def _read_update(self, body: bytes, now: float) -> None:
        assert self._checker is not None, "the session is established"
        checked: UpdateCheck = self._checker.check(body)
        if checked.unusable:
            self._desk.story.note(f"an UPDATE is as good as withdrawn: {checked.unusable}", now)

    def _heard(self, now: float) -> None:
        hold_time_s = self._agreed().hold_time_s
        self.hold_at = now + hold_time_s if hold_time_s else NEVER
        self._is_patient = False

    # --- sending -----------------------------------------------------------------------------

    def send(self, octets: bytes, now: float) -> None:
        """Write; the send hold timer runs until everything has left."""
        self._desk.out.append(Send(self.connection, octets))
        if self.is_drained:
            self.is_drained = False
            hold_time_s = self.agreement.hold_time_s if self.agreement else 0
            self.send_hold_at = now + SEND_HOLD_FACTOR * hold_time_s if hold_time_s else NEVER

    def on_drained(self) -> None:
        """Note that everything has left."""
        self.is_drained = True
        self.send_hold_at = NEVER

    @property
    def is_ready(self) -> bool:
        """Tell whether routes wait and may be pulled."""
        return self.is_drained and self.rib is not None and self.rib.is_pending

    @property
    def is_settled(self) -> bool:
        """Tell whether the peer has been sent everything."""
        return self.rib is not None and not self.rib.is_pending

    def pull(self, now: float) -> int:
        """Send the next chunk of routes; says how many octets it has."""
        assert self.rib is not None, "the session is established"
        pulled = self.rib.pull(CHUNK_OCTETS)
        if pulled.octets:
            self._desk.counts["updates_sent"] += pulled.updates
            self._desk.counts["refreshes_sent"] += pulled.refreshes
            self.send(pulled.octets, now)
            self._schedule_keepalive(now)
        return len(pulled.octets)

    def refresh(self) -> None:
        """Send all families once more."""
        agreement = self._agreed()
        for family in agreement.families:
            if self.rib is not None:
                self.rib.refresh(family, is_enhanced=agreement.has_enhanced_refresh)

    def tell_end(self) -> None:
        """Let End-of-RIB follow on what is to be sent now."""
        if self.rib is not None and not self.has_told_end:
            self.has_told_end = True
            self.rib.end_of_rib(self._agreed().families)

    def probe(self, now: float) -> None:
        """Write something: a peer that lost this connection answers with a reset."""
        if self.is_drained:
            self._keep_alive(now)

    def _keep_alive(self, now: float) -> None:
        self._desk.counts["keepalives_sent"] += 1
        self.send(KEEPALIVE, now)
        self._schedule_keepalive(now)

    def _schedule_keepalive(self, now: float) -> None:
        interval_s = self._agreed().keepalive_time_s
        self.keepalive_at = (
            now + jittered(interval_s, self._desk.house.chance) if interval_s else NEVER
        )

    # --- time --------------------------------------------------------------------------------

    @property
    def deadline(self) -> float:
        """Give the time of its earliest timer."""
        return min(self.hold_at, self.keepalive_at, self.send_hold_at)

    def on_deadline(self, now: float) -> None:
        """Do what is due; raises `BgpError` where the peer was silent or reads nothing."""
        overdue_s = now - min(self.hold_at, self.send_hold_at)
        if overdue_s >= LATE_S and not self._is_patient:
            # We slept ourselves: what the peer sent or read meanwhile is still to be told to us.
            self._is_patient = True
            self.hold_at = max(self.hold_at, now + LATE_S)
            self.send_hold_at = max(self.send_hold_at, now + LATE_S)
        if now >= self.hold_at:
            raise BgpError(Code.HOLD_TIMER, 0, self._silence())
        if now >= self.send_hold_at:
            raise BgpError(Code.SEND_HOLD_TIMER, 0, "the peer reads nothing of what is sent")
        if now >= self.keepalive_at:
            self._keep_alive(now)

    def _silence(self) -> str:
        if self.agreement is None:
            return f"no OPEN within {OPENING_S:.0f} s"
        return f"nothing heard for {self.agreement.hold_time_s or OPEN_HOLD_S:.0f} s"

    # --- the end -----------------------------------------------------------------------------

    def close(self) -> None:
        """Forget the routes; the connection is closed by who made the session."""
        if self.rib is not None:
            self.rib.close()

    def validate(self) -> None:
        """Assert what always holds."""
        assert (self.rib is not None) == (self.state == State.ESTABLISHED), "then it has routes"
        assert (self.agreement is None) == (self.state == State.OPEN_SENT), "OPENs decide"
        if self.state == State.ESTABLISHED and not self._agreed().hold_time_s:
            assert self.deadline == NEVER, "without a hold time there is no timer"
        else:
            assert self.hold_at < NEVER, "the peer has to say something in time"
        if self.is_drained:
            assert self.send_hold_at == NEVER, "nobody waits for what has left"
