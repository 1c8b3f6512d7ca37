"""What this node says, and as whom: its session, its incarnation, and what it is about to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.membership.fast import codec
from mercurylb.membership.fast.codec import Flag, Status
from mercurylb.membership.member import SendDatagram

if TYPE_CHECKING:
    from mercurylb.membership.fast.codec import AnyDatagram
    from mercurylb.membership.fast.contact import Contact
    from mercurylb.membership.fast.notice import Sentence

_SESSION_MAX = 2**63 - 2


class Voice:
    """Make signed datagrams, each with a sequence of its own."""

    def __init__(self, node: str, key: bytes, *, session: int, incarnation: int) -> None:
        self.node = node
        self.key = key
        self.session = session
        self.incarnation = incarnation
        self.risen_incarnation = incarnation
        """Whoever holds us for alive as of this incarnation, or a later one, acts on it."""
        self.is_joined = False
        self.is_leaving = False
        self._former_session = session

    @property
    def is_up(self) -> bool:
        """Return whether we have joined and are to stay."""
        return self.is_joined and not self.is_leaving

    def is_echo(self, session: int) -> bool:
        """Return whether a session is ours."""
        return session in (self.session, self._former_session)

    def outgrow(self, session: int) -> None:
        """Go beyond a session that others have from a former process of this node."""
        if self.session < session < _SESSION_MAX:
            self._former_session, self.session = self.session, session + 1

    def beat(self, contact: Contact, flags: int = 0) -> SendDatagram:
        """Return a sign of life that also says what we believe about the receiver."""
        sender, session, sequence, incarnation = self._head(contact)
        beat = codec.Beat(
            sender,
            session,
            sequence,
            incarnation,
            flags=flags | self._flags,
            echo_session=contact.session,
            echo_sequence=contact.window.highest,
            status=contact.status,
            status_incarnation=contact.incarnation,
        )
        return self._sent(contact, beat)

    def beat_to_stranger(self, node: str, address: str, sequence: int) -> SendDatagram:
        """Return a beat to somebody of whom nothing is known."""
        beat = codec.Beat(
            self.node,
            self.session,
            sequence,
            self.incarnation,
            flags=self._flags,
            echo_session=0,
            echo_sequence=0,
            status=Status.UNKNOWN,
            status_incarnation=0,
        )
        return SendDatagram(address, codec.encode(beat, self.key, node))

    def query(self, contact: Contact, accused: str) -> SendDatagram:
        """Return the question what a node knows of a silent one."""
        return self._sent(contact, codec.Query(*self._head(contact), accused=accused))

    def report(
        self, contact: Contact, accused: str, *, heard_ms: int, kernel_ms: int, refused_ms: int
    ) -> SendDatagram:
        """Return the answer to such a question."""
        report = codec.Report(
            *self._head(contact),
            accused=accused,
            heard_age_ms=heard_ms,
            kernel_age_ms=kernel_ms,
            refused_age_ms=refused_ms,
        )
        return self._sent(contact, report)

    def verdict(self, contact: Contact, sentence: Sentence) -> SendDatagram:
        """Return the news that a node is dead."""
        verdict = codec.Verdict(
            *self._head(contact),
            accused=sentence.accused,
            accused_incarnation=sentence.incarnation,
            reason=sentence.reason.value,
            witness_count=sentence.witness_count,
        )
        return self._sent(contact, verdict)

    def receipt(self, contact: Contact, verdict: codec.Verdict) -> SendDatagram:
        """Return the answer to such news."""
        receipt = codec.Receipt(
            *self._head(contact),
            accused=verdict.accused,
            accused_incarnation=verdict.accused_incarnation,
        )
        return self._sent(contact, receipt)

    @property
    def _flags(self) -> int:
        if self.is_leaving:
            return Flag.LEAVING
        return 0 if self.is_joined else Flag.IDLE

    def _head(self, contact: Contact) -> tuple[str, int, int, int]:
        contact.sequence += 1
        return self.node, self.session, contact.sequence, self.incarnation

    def _sent(self, contact: Contact, datagram: AnyDatagram) -> SendDatagram:
        payload = codec.encode(datagram, self.key, contact.node)
        return SendDatagram(contact.address, payload, contact.port)
