"""How this node stands with the others: who holds us for alive, and who must be told otherwise.

Every beat says what its sender believes about the receiver. From that follows who acts on our
being there (`HearsUs`), who has to be told (`Greet`), and that we count as dead (`Accused`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.membership.fast.codec import Beat, Flag, Status
from mercurylb.membership.fast.effect import Accused, FastEffect, Greet, HearsUs, Proven
from mercurylb.membership.fast.notice import Hello, Leaving

if TYPE_CHECKING:
    from mercurylb.membership.fast.contact import Contact
    from mercurylb.membership.fast.notice import Notices
    from mercurylb.membership.fast.voice import Voice
    from mercurylb.membership.member import SendDatagram

GREET_INTERVAL_S = 0.05


class Standing:
    """Read what others believe about us."""

    def __init__(self, voice: Voice, notices: Notices) -> None:
        self._voice = voice
        self._notices = notices

    def ask(self, contact: Contact) -> SendDatagram:
        """Ask a node what it believes about us; `Proven` comes of it if it is good."""
        contact.mark = contact.sequence + 1
        return self._voice.beat(contact, Flag.ASKS)

    def on_view(self, contact: Contact, beat: Beat, now: float) -> list[FastEffect]:
        """Draw the consequences of what the node says in a beat that it believes."""
        voice = self._voice
        status, incarnation = contact.view_status, contact.view_incarnation
        if voice.is_leaving and status is not Status.ALIVE:
            self._notices.on_answer(Leaving(), contact.node)
        if not voice.is_up:
            return []
        if status in (Status.DEAD, Status.LEFT) and incarnation >= voice.incarnation:
            return [Accused(incarnation, contact.node)]
        effects: list[FastEffect] = []
        if status is Status.ALIVE and incarnation >= voice.risen_incarnation:
            self._notices.on_answer(Hello(), contact.node)
            if not contact.hears_us:
                contact.hears_us = True
                effects.append(HearsUs(contact.node))
            if contact.mark and beat.echo_sequence >= contact.mark:
                contact.mark = 0
                effects.append(Proven(contact.node))
        is_known = status is Status.ALIVE and incarnation >= voice.incarnation
        if not is_known and now >= contact.greeted_at + GREET_INTERVAL_S:
            contact.greeted_at = now
            effects.append(Greet(contact.node))
        return effects
