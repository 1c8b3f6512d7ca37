"""The fast failure detector: beats, questions, verdicts, and what everybody must know at once.

Facts about who is a member come from outside (`on_contact`), and what a verdict means is decided
outside; the detector is told the consequence by `on_contact` again. It expects its caller to work
through the effects in order, because an `Answer` speaks of what is known after the effects before.

Invariants: who is watched or questioned is alive to our knowledge; what is sent per interval does
not grow with the number of nodes, except for what goes to everybody once; nothing is believed that
is not signed, repeats a sequence, or comes from somebody who is no member.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from mercurylb.errors import WireError
from mercurylb.membership.fast import codec
from mercurylb.membership.fast.codec import Beat, Flag, Query, Receipt, Report, Status
from mercurylb.membership.fast.effect import (
    Answer,
    FastEffect,
    Found,
    Greet,
    Reached,
    Stalled,
    Stranger,
)
from mercurylb.membership.fast.hearsay import Hearsay
from mercurylb.membership.fast.inquiry import Inquiry
from mercurylb.membership.fast.notice import Hello, Leaving, Notices, Sentence
from mercurylb.membership.fast.patience import FastTiming
from mercurylb.membership.fast.roster import Roster
from mercurylb.membership.fast.standing import Standing
from mercurylb.membership.fast.voice import Voice
from mercurylb.membership.member import DownReason, ProbeKernel, SendDatagram

if TYPE_CHECKING:
    from mercurylb.membership.fast.contact import Contact

REACHED_INTERVAL_S = 1.0
QUIET_INTERVALS = 1.5
"""Whoever has not been heard for so many intervals is asked to answer."""
STORY_MAX = 64


class FastDetector:
    """Find out at once which of our announcers are dead."""

    def __init__(
        self,
        node: str,
        *,
        secret: bytes,
        session: int,
        incarnation: int,
        timing: FastTiming | None = None,
    ) -> None:
        self._timing = timing or FastTiming()
        key = codec.derive_key(secret)
        self._voice = Voice(node, key, session=session, incarnation=incarnation)
        self._roster = Roster(node)
        self._notices = Notices(self._timing)
        self._inquiry = Inquiry(
            self._voice, self._roster, self._notices, timing=self._timing, tell=self._note
        )
        self._standing = Standing(self._voice, self._notices)
        self._beat_at: float | None = None
        self.heard_at: float | None = None
        """When any of ours was heard last."""
        self.refused: collections.Counter[str] = collections.Counter()
        """Datagrams that were not believed, by a short word."""
        self.story: collections.deque[tuple[float, str]] = collections.deque(maxlen=STORY_MAX)
        self._hearsay = Hearsay(
            self._voice,
            self._roster,
            self._inquiry,
            timing=self._timing,
            refused=self.refused,
            tell=self._note,
        )

    # --- ourselves ---------------------------------------------------------------------------

    def on_joined(self, incarnation: int, now: float) -> list[FastEffect]:
        """Take over that we are alive (again) as of this incarnation, and tell everybody."""
        voice = self._voice
        if not voice.is_joined:
            self._inquiry.close_all(now)
        voice.is_joined, voice.is_leaving = True, False
        voice.incarnation = voice.risen_incarnation = incarnation
        if self._beat_at is None:
            self._beat_at = now + self._timing.interval_s
        effects: list[FastEffect] = []
        for contact in self._roster:
            contact.hears_us = False
            if contact.status is Status.DEAD and not contact.is_refused:
                effects += [Greet(contact.node), voice.beat(contact, Flag.ASKS)]
        self._notices.add(Hello(), self._roster.alive(), now)
        return effects + self._repeat(now)

    def on_incarnation(self, incarnation: int) -> None:
        """Take over a new incarnation that changes nothing about our being alive."""
        self._voice.incarnation = incarnation

    def on_leave(self, now: float) -> list[FastEffect]:
        """Tell everybody that we go; `is_left` says when all know."""
        self._voice.is_leaving = True
        self._notices.clear()
        self._notices.add(Leaving(), self._roster.alive(), now)
        return self._repeat(now)

    @property
    def incarnation(self) -> int:
        """Return as of which incarnation we say that we are alive."""
        return self._voice.incarnation

    @property
    def is_left(self) -> bool:
        """Return whether every live one of ours has acted on our leaving."""
        return self._voice.is_leaving and not self._notices.waiting(Leaving())

    def on_left(self) -> None:
        """Fall silent; only that we are idle is still answered."""
        self._voice.is_joined = self._voice.is_leaving = False
        self._beat_at = None
        self._notices.clear()
        for contact in self._roster:
            self._inquiry.close(contact)

    def on_hearing(self, *, is_deaf: bool, now: float) -> None:
        """Take over whether we can hear anybody at all; who cannot accuses nobody."""
        self._inquiry.is_deaf = is_deaf
        self._inquiry.close_all(now)

    def ask_all(self) -> list[FastEffect]:
        """Ask those near us at once what they believe about us; `Proven` comes of it."""
        return [self._standing.ask(contact) for contact in self.near()]

    # --- the others --------------------------------------------------------------------------

    def on_contact(  # noqa: PLR0913 (a member has that many attributes)
        self, node: str, address: str, port: int, *, incarnation: int, status: Status, now: float
    ) -> list[FastEffect]:
        """Take over what is known about one of ours, dead or alive."""
        contact = self._roster.meet(node, address, port, now)
        if contact is None:
            return []
        has_risen = incarnation > contact.incarnation
        contact.incarnation = incarnation
        if contact.status is status:
            if has_risen and status is Status.ALIVE:
                self._inquiry.close(contact)
                contact.take_sign(now)
            return []
        self._note(now, f"{node} is {status.name.lower()} as of {incarnation}")
        contact.status = status
        self._inquiry.close(contact)
        if status is not Status.ALIVE:
            self._notices.on_gone(node)
            self._roster.place(contact, now)
            return []
        contact.sign_at = max(contact.sign_at, now)
        contact.refusals, contact.is_refused, contact.hears_us = 0, False, False
        self._roster.place(contact, now)
        if not self._voice.is_up:
            return []
        effects: list[FastEffect] = [self._voice.beat(contact, Flag.ASKS)]
        if contact.is_watched:
            contact.kernel_probed_at = now
            effects.append(ProbeKernel(contact.address))
        return effects

    def on_forgotten(self, node: str, now: float) -> None:
        """Forget one of ours."""
        contact = self._roster.get(node)
        if contact is not None:
            self._inquiry.close(contact)
            self._notices.on_gone(node)
            self._roster.forget(node, now)

    def contacts(self) -> tuple[Contact, ...]:
        """Return everybody known; to be looked at only."""
        return tuple(self._roster)

    @property
    def has_contacts(self) -> bool:
        """Return whether anybody is known."""
        return len(self._roster) > 0

    def near(self) -> tuple[Contact, ...]:
        """Return those we beat to, dead or alive; to be looked at only."""
        return (*self._roster.watched, *self._roster.knocked)

    def contact(self, node: str) -> Contact | None:
        """Return one that is known; to be looked at only."""
        return self._roster.get(node)

    # --- what comes in -----------------------------------------------------------------------

    def on_datagram(self, source: str, payload: bytes, now: float) -> list[FastEffect]:
        """Take in a datagram; what is not believed is counted and changes nothing."""
        voice = self._voice
        try:
            datagram = codec.decode(payload, voice.key, voice.node)
        except WireError as error:
            return self._refuse(error.reason)
        contact = self._roster.get(datagram.sender)
        if contact is None:
            return self._meet(source, datagram)
        if not voice.key and source != contact.address:
            return self._refuse("source")
        if datagram.session < contact.session:
            return [*self._refuse("staleSession"), Answer(contact.node, contact.address)]
        effects = self._take_session(contact, datagram, now)
        if not contact.window.admit(datagram.sequence):
            return self._refuse("replayed")
        contact.loss.on_sequence(datagram.sequence)
        if not _is_idle(datagram):
            self._hear(contact, datagram, now)
        return effects + self._take(contact, datagram, now)

    def on_refused(self, address: str, now: float) -> list[FastEffect]:
        """Take in that a kernel says: nobody listens. That alone kills nobody."""
        contact = self._roster.at(address)
        if contact is None:
            return []
        contact.refused_at = now
        contact.refusals += 1
        if contact.status is not Status.ALIVE:
            contact.is_refused = True
            self._roster.look_round(now)
            return []
        return [*self._inquiry.open(contact, now), *self._repeat(now)]

    def on_kernel_answer(self, address: str, now: float) -> None:
        """Take in that a kernel answered a probe."""
        contact = self._roster.at(address)
        if contact is not None:
            contact.kernel_at = now

    # --- time --------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Return when to beat, to repeat, to ask or to judge."""
        deadlines = (self._beat_at, self._notices.next_deadline(), self._inquiry.next_deadline())
        return min((at for at in deadlines if at is not None), default=None)

    def on_late(self, lateness_s: float, now: float) -> list[FastEffect]:
        """Take in that we ourselves stood still until now."""
        if lateness_s < self._timing.lateness_min_s or self._beat_at is None:
            return []
        self._inquiry.stalls.add(now, lateness_s)
        if lateness_s < self._timing.stall_max_s:
            return []
        self._note(now, f"stood still for {lateness_s:.2f} s")
        return [Stalled(lateness_s)]

    def on_deadline(self, now: float) -> list[FastEffect]:
        """Do what is due."""
        effects = self._inquiry.pursue(now)
        if self._beat_at is not None and now >= self._beat_at:
            self._beat_at += self._timing.interval_s
            if self._beat_at <= now:
                self._beat_at = now + self._timing.interval_s
            effects += self._beat_round(now)
        return effects + self._repeat(now)

    def answer(self, node: str, address: str) -> SendDatagram:
        """Return a beat to a node, known or not, that says what is known now."""
        contact = self._roster.get(node)
        if contact is not None:
            return self._voice.beat(contact)
        self._roster.sequence_base += 1
        return self._voice.beat_to_stranger(node, address, self._roster.sequence_base)

    def validate(self) -> None:
        """Assert the invariants."""
        self._roster.validate()
        self._inquiry.validate()

    # --- believing ---------------------------------------------------------------------------

    def _refuse(self, reason: str) -> list[FastEffect]:
        self.refused[reason] += 1
        return []

    def _meet(self, source: str, datagram: codec.AnyDatagram) -> list[FastEffect]:
        """Answer somebody SWIM has not told of; take no state of it."""
        if datagram.sender == self._voice.node:
            return self._refuse("ownName")
        self.refused["stranger"] += 1
        if not isinstance(datagram, Beat) or datagram.flags & (Flag.IDLE | Flag.LEAVING):
            return []
        node = datagram.sender
        effects: list[FastEffect] = [Stranger(node, source)] if self._voice.is_up else []
        if datagram.flags & Flag.ASKS:
            effects.append(Answer(node, source))
        return effects

    def _take_session(
        self, contact: Contact, datagram: codec.AnyDatagram, now: float
    ) -> list[FastEffect]:
        """Begin anew with another process of a node."""
        if datagram.session == contact.session:
            return []
        is_restart, spoken = contact.session != 0, contact.spoken_incarnation
        contact.take_session(datagram.session)
        is_joined = not _is_idle(datagram) and datagram.incarnation > spoken
        is_known = contact.incarnation > spoken  # SWIM has told of the new process already.
        if not is_restart or contact.status is not Status.ALIVE or is_joined or is_known:
            return []
        self._note(now, f"{contact.node} has restarted")
        return [Found(contact.node, contact.incarnation, DownReason.RESTARTED)]

    def _hear(self, contact: Contact, datagram: codec.AnyDatagram, now: float) -> None:
        echo = datagram.echo_session if isinstance(datagram, Beat) else 0
        if echo and not self._voice.is_echo(echo):
            return  # It answers what another process of this node said.
        contact.heard_at = self.heard_at = now
        contact.spoken_incarnation = max(contact.spoken_incarnation, datagram.incarnation)
        contact.take_sign(now)
        contact.is_refused = False
        self._inquiry.close(contact)

    def _take(self, contact: Contact, datagram: codec.AnyDatagram, now: float) -> list[FastEffect]:
        match datagram:
            case Beat():
                return self._take_beat(contact, datagram, now)
            case Query():
                return self._hearsay.on_query(contact, datagram, now)
            case Report():
                self._inquiry.on_report(contact, datagram, now)
            case codec.Verdict():
                return self._hearsay.on_verdict(contact, datagram, now)
            case Receipt():
                self._notices.on_receipt(
                    datagram.accused, datagram.accused_incarnation, contact.node
                )
        return []

    def _take_beat(self, contact: Contact, beat: Beat, now: float) -> list[FastEffect]:
        effects: list[FastEffect] = []
        self._voice.outgrow(beat.echo_session)
        is_leaving = bool(beat.flags & Flag.LEAVING)
        if not beat.flags & Flag.IDLE:
            if is_leaving and contact.status is Status.ALIVE:
                incarnation = max(contact.incarnation, beat.incarnation)
                effects.append(
                    Found(
                        contact.node, incarnation, DownReason.LEAVING, is_leave=True, is_told=True
                    )
                )
            contact.view_status = Status(beat.status)
            contact.view_incarnation = beat.status_incarnation
            effects += self._standing.on_view(contact, beat, now)
            is_due = now >= contact.reached_at + REACHED_INTERVAL_S
            if contact.status is Status.DEAD and not is_leaving and self._voice.is_up and is_due:
                contact.reached_at = now
                effects.append(Reached(contact.node))
        is_unknown = contact.status is not Status.ALIVE and not beat.flags & Flag.IDLE
        if beat.flags & Flag.ASKS or is_unknown:
            effects.append(Answer(contact.node, contact.address))
        return effects

    # --- saying ------------------------------------------------------------------------------

    def _beat_round(self, now: float) -> list[FastEffect]:
        effects: list[FastEffect] = []
        quiet_since = now - QUIET_INTERVALS * self._timing.interval_s
        for contact in self._roster.watched:
            is_quiet = contact.heard_at is None or contact.heard_at < quiet_since
            effects.append(self._voice.beat(contact, Flag.ASKS if is_quiet else 0))
            if contact.is_kernel_due(now, self._timing.kernel_interval_s):
                contact.kernel_probed_at = now
                effects.append(ProbeKernel(contact.address))
        effects += [self._voice.beat(contact) for contact in self._roster.knocked]
        return effects

    def _repeat(self, now: float) -> list[FastEffect]:
        effects: list[FastEffect] = []
        for subject, nodes in self._notices.take_due(now):
            for node in nodes:
                contact = self._roster.get(node)
                if contact is None:
                    continue
                if isinstance(subject, Sentence):
                    effects.append(self._voice.verdict(contact, subject))
                else:
                    effects.append(self._voice.beat(contact, Flag.ASKS))
        return effects

    def _note(self, now: float, what: str) -> None:
        self.story.append((now, what))


def _is_idle(datagram: codec.AnyDatagram) -> bool:
    return isinstance(datagram, Beat) and bool(datagram.flags & Flag.IDLE)
