"""The heartbeat machine: every node tells every other ten times a second that it lives.

A member *counts as alive* while its latest datagram says READY and not LEAVING, and is not older
than the timeout::

             READY heard                    LEAVING heard, or not READY
    down ───────────────────► up ──────────────────────────────────────► down
      ▲                        │ silent for timeout_s (+ our own lateness)
      └────────────────────────┘

What makes it safe:

* **Our own lateness is nobody's silence.** When our timer comes late, we may have been unable to
  read; every member's timeout is extended by the lateness, up to `extension_max_s`. So a cut-off
  node is replaced after timeout + extension + one interval at the most (1.7 s), and usually after
  0.8 to 0.9 s.
* **A starting node listens first.** It is ready once it has heard every known peer, or
  `grace_s` after it learned who they are.
* **Make before break.** A node that begins to own says so after it began to answer; one that leaves
  goes on answering until everybody alive has echoed a datagram that said LEAVING, or `linger_s`
  has passed. The echo leaves a member after it has acted (see `member.Membership`).
* **Replays are ignored**: incarnation and sequence of a node must grow. A node whose clock went
  back at its restart hears its former incarnation echoed and goes beyond it.

It does not do: indirect probes (one-way loss of a whole second makes two owners), gossip, or
joining of nodes that nobody lists and that list nobody. A datagram from an unlisted node is
believed as far as its signature goes, because its brain may know of us before ours knows of it; it
is answered until it falls silent.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

import msgspec

from mercurylb.errors import WireError
from mercurylb.membership.disabled import DeafDecoder
from mercurylb.membership.heartbeat_codec import Heartbeat, decode, derive_key, encode
from mercurylb.membership.member import (
    DownReason,
    Left,
    MemberDown,
    MemberHearsUs,
    MembershipEffect,
    MemberUp,
    MemberView,
    Peer,
    SendDatagram,
    StreamDecoder,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MEMBERS_MAX = 1024
INCARNATION_MAX = 2**63
STORY_MAX = 64


class HeartbeatTiming(msgspec.Struct, frozen=True):
    """How quick and how patient the machine is."""

    interval_s: float = 0.1
    timeout_s: float = 0.8
    """Eight lost datagrams in a row, or a stall of the other node that is longer than any seen."""
    lateness_min_s: float = 0.05
    """Our timer being later than this counts as a stall of our own."""
    extension_max_s: float = 0.8
    grace_s: float = 1.0
    linger_s: float = 1.0


class _Member:
    """Another node, as far as we know it."""

    __slots__ = (
        "address",
        "echoed_sequence",
        "extension_s",
        "heard_at",
        "hears_us",
        "incarnation",
        "is_listed",
        "is_up",
        "node",
        "sequence",
        "up_mark",
    )

    def __init__(self, node: str, address: str, *, is_listed: bool) -> None:
        self.node = node
        self.address = address
        self.is_listed = is_listed
        self.incarnation = 0
        self.sequence = 0
        self.heard_at: float | None = None
        self.extension_s = 0.0
        self.is_up = False
        self.up_mark = 0
        """Our own sequence when it came up; an echo beyond it proves that it heard us since."""
        self.hears_us = False
        self.echoed_sequence = 0


class HeartbeatMembership:
    """Exchange heartbeats with the peers and say who is alive."""

    def __init__(
        self,
        node: str,
        *,
        incarnation: int,
        secret: bytes = b"",
        timing: HeartbeatTiming | None = None,
    ) -> None:
        self._node = node
        self._incarnation = incarnation
        self._sequence = 0
        self._key = derive_key(secret)
        self._timing = timing or HeartbeatTiming()
        self._members: dict[str, _Member] = {}
        self._wants_ready = False
        self._is_up = False
        self._grace_until: float | None = None
        self._is_grace_over = False
        self._beat_at: float | None = None
        self._leave_mark: int | None = None
        self._linger_until = 0.0
        self._has_left = False
        self.refused_count = 0
        """Datagrams that did not decode, were not signed rightly, or came from the wrong place."""
        self.story: collections.deque[tuple[float, str]] = collections.deque(maxlen=STORY_MAX)

    # --- what it knows -----------------------------------------------------------------------

    def live(self) -> frozenset[str]:
        """Return the nodes that may own."""
        nodes = {member.node for member in self._members.values() if member.is_up}
        return frozenset(nodes | {self._node} if self._is_up else nodes)

    def next_deadline(self) -> float | None:
        """Return the next beat, or the end of the grace or of the linger."""
        deadlines = [self._beat_at]
        if not self._is_grace_over:
            deadlines.append(self._grace_until)
        if self._leave_mark is not None and not self._has_left:
            deadlines.append(self._linger_until)
        return min((at for at in deadlines if at is not None), default=None)

    # --- facts -------------------------------------------------------------------------------

    def on_peers(self, peers: Sequence[Peer], now: float) -> list[MembershipEffect]:
        """Take over the list of nodes to talk to; those that are new are greeted at once."""
        listed = {peer.node: peer.address for peer in peers if peer.node != self._node}
        for node, member in list(self._members.items()):
            member.is_listed = node in listed
            if not member.is_listed and member.heard_at is None:
                del self._members[node]
        greeted: list[_Member] = []
        for node, address in list(listed.items())[:MEMBERS_MAX]:
            known = self._members.get(node)
            if known is None:
                known = self._members[node] = _Member(node, address, is_listed=True)
                greeted.append(known)
            known.address = address
        if self._grace_until is None:
            self._grace_until = now + self._timing.grace_s
        if self._beat_at is None:
            self._beat_at = now + self._timing.interval_s
        effects = self._consider_up(now)
        effects += [self._beat(member) for member in greeted]
        return effects

    def on_ready(self, is_ready: bool, now: float) -> list[MembershipEffect]:  # noqa: FBT001 (Membership)
        """Take over whether this node is able to own."""
        self._wants_ready = is_ready
        if is_ready or not self._is_up:
            return self._consider_up(now)
        self._is_up = False
        self._note(now, "not ready any more")
        down = MemberDown(self._node, DownReason.NOT_READY)
        return [down, *self._beat_all()]

    def on_leave(self, now: float) -> list[MembershipEffect]:
        """Tell everybody that we go, and wait for their echoes."""
        if self._leave_mark is not None:
            return []
        self._leave_mark = self._sequence
        self._linger_until = now + self._timing.linger_s
        self._note(now, "leaving")
        return self._beat_all() + self._consider_left(now)

    def on_datagram(
        self, source: str, port: int, payload: bytes, now: float
    ) -> list[MembershipEffect]:
        """Take in a datagram; one that is not believed changes nothing."""
        del port
        try:
            heartbeat = decode(payload, self._key)
        except WireError:
            self.refused_count += 1
            return []
        member = self._sender(heartbeat, source)
        if member is None:
            self.refused_count += 1
            return []
        self._outgrow_former_self(heartbeat)
        if (heartbeat.incarnation, heartbeat.sequence) <= (member.incarnation, member.sequence):
            return []
        is_new = heartbeat.incarnation != member.incarnation
        member.incarnation, member.sequence = heartbeat.incarnation, heartbeat.sequence
        member.heard_at, member.extension_s = now, 0.0
        if not member.is_listed:
            member.address = source
        effects = self._take_state(member, heartbeat, now)
        effects += self._take_echo(member, heartbeat)
        is_answer_due = is_new or any(isinstance(e, MemberUp | MemberDown) for e in effects)
        effects += self._consider_up(now)
        if is_answer_due:
            effects.append(self._beat(member))
        return effects + self._consider_left(now)

    def on_deadline(self, now: float) -> list[MembershipEffect]:
        """Beat, and find out who has fallen silent."""
        effects: list[MembershipEffect] = []
        if self._beat_at is not None and now >= self._beat_at:
            lateness_s = now - self._beat_at
            if lateness_s > self._timing.lateness_min_s:
                self._extend(lateness_s)
                self._beat_at = now
            self._beat_at += self._timing.interval_s
            effects += self._expire(now)
            effects += self._beat_all()
        return self._consider_up(now) + effects + self._consider_left(now)

    def on_note(self, note: bytes, now: float) -> list[MembershipEffect]:
        """Have nobody to tell it."""
        del note, now
        return []

    def on_carrier(self, has_carrier: bool, now: float) -> list[MembershipEffect]:  # noqa: FBT001 (Membership)
        """Draw no conclusion."""
        del has_carrier, now
        return []

    def on_refused(self, address: str, now: float) -> list[MembershipEffect]:
        """Draw no conclusion."""
        del address, now
        return []

    def on_kernel_answer(self, address: str, now: float) -> list[MembershipEffect]:
        """Draw no conclusion."""
        del address, now
        return []

    def stream_decoder(self) -> StreamDecoder:
        """Read nothing from connections."""
        return DeafDecoder()

    def on_request(
        self, source: str, message: object, now: float
    ) -> tuple[list[MembershipEffect], bytes | None]:
        """Answer no request."""
        del source, message, now
        return [], None

    def on_reply(self, exchange: int, message: object | None, now: float) -> list[MembershipEffect]:
        """Expect no replies."""
        del exchange, message, now
        return []

    def views(self, now: float) -> tuple[MemberView, ...]:
        """Return nobody."""
        del now
        return ()

    def counts(self) -> Mapping[str, int]:
        """Return nothing."""
        return {}

    # --- members -----------------------------------------------------------------------------

    def _sender(self, heartbeat: Heartbeat, source: str) -> _Member | None:
        """Find or make the record of a sender; None when it is not to be believed."""
        if heartbeat.node == self._node or heartbeat.incarnation >= INCARNATION_MAX:
            return None
        member = self._members.get(heartbeat.node)
        if member is None:
            if len(self._members) >= MEMBERS_MAX:
                return None
            member = _Member(heartbeat.node, source, is_listed=False)
            self._members[heartbeat.node] = member
        if not self._key and member.is_listed and source != member.address:
            return None
        return member

    def _outgrow_former_self(self, heartbeat: Heartbeat) -> None:
        if self._incarnation < heartbeat.echo_incarnation < INCARNATION_MAX - 1:
            self._incarnation = heartbeat.echo_incarnation + 1

    def _take_state(
        self, member: _Member, heartbeat: Heartbeat, now: float
    ) -> list[MembershipEffect]:
        counts = heartbeat.is_ready and not heartbeat.is_leaving
        if counts == member.is_up:
            return []
        member.is_up = counts
        if counts:
            member.up_mark, member.hears_us = self._sequence, False
            self._note(now, f"{member.node} up")
            return [MemberUp(member.node)]
        reason = DownReason.LEAVING if heartbeat.is_leaving else DownReason.NOT_READY
        self._note(now, f"{member.node} down: {reason.value}")
        return [MemberDown(member.node, reason)]

    def _take_echo(self, member: _Member, heartbeat: Heartbeat) -> list[MembershipEffect]:
        if heartbeat.echo_incarnation != self._incarnation:
            return []
        member.echoed_sequence = max(member.echoed_sequence, heartbeat.echo_sequence)
        if not member.is_up or member.hears_us or heartbeat.echo_sequence <= member.up_mark:
            return []
        member.hears_us = True
        return [MemberHearsUs(member.node)]

    def _extend(self, lateness_s: float) -> None:
        for member in self._members.values():
            member.extension_s = min(member.extension_s + lateness_s, self._timing.extension_max_s)

    def _expire(self, now: float) -> list[MembershipEffect]:
        effects: list[MembershipEffect] = []
        for node, member in list(self._members.items()):
            if member.heard_at is None:
                continue
            if now - member.heard_at - member.extension_s < self._timing.timeout_s:
                continue
            if member.is_up:
                member.is_up = False
                self._note(now, f"{node} down: silent")
                effects.append(MemberDown(node, DownReason.SILENT))
            if not member.is_listed:
                del self._members[node]
        return effects

    # --- ourselves ---------------------------------------------------------------------------

    def _consider_up(self, now: float) -> list[MembershipEffect]:
        if not self._is_grace_over and self._grace_until is not None:
            listed = [member for member in self._members.values() if member.is_listed]
            self._is_grace_over = now >= self._grace_until or all(
                member.heard_at is not None for member in listed
            )
        if self._is_up or self._has_left or not (self._wants_ready and self._is_grace_over):
            return []
        self._is_up = True
        self._note(now, "up")
        return [MemberUp(self._node), *self._beat_all()]

    def _consider_left(self, now: float) -> list[MembershipEffect]:
        mark = self._leave_mark
        if mark is None or self._has_left:
            return []
        is_heard = all(
            member.echoed_sequence > mark for member in self._members.values() if member.is_up
        )
        if not is_heard and now < self._linger_until:
            return []
        self._has_left = True
        self._is_up = False
        self._note(now, "left" if is_heard else "left without having been heard by all")
        return [Left()]

    def _beat_all(self) -> list[MembershipEffect]:
        return [self._beat(member) for member in self._members.values()]

    def _beat(self, member: _Member) -> SendDatagram:
        self._sequence += 1
        heartbeat = Heartbeat(
            node=self._node,
            incarnation=self._incarnation,
            sequence=self._sequence,
            is_ready=self._is_up,
            is_leaving=self._leave_mark is not None,
            echo_incarnation=member.incarnation,
            echo_sequence=member.sequence,
        )
        return SendDatagram(member.address, encode(heartbeat, self._key))

    def _note(self, now: float, what: str) -> None:
        self.story.append((now, what))

    def validate(self) -> None:
        """Assert the invariants."""
        assert self._node not in self._members
        assert not (self._is_up and self._has_left)
        assert not self._is_up or self._is_grace_over
        for node, member in self._members.items():
            assert member.node == node
            assert not member.is_up or member.heard_at is not None
            assert member.is_listed or member.heard_at is not None
            assert 0 <= member.extension_s <= self._timing.extension_max_s
