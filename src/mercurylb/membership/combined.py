"""The membership that announcers run: SWIM says who is a member, the fast detector who is dead.

=============  ====================================================================================
`life`         this node from idle to left (`phase`), and its doubts about itself
`pair`         both machines, kept in agreement
`census`       who counts as alive
`learning`     who lives, before we join
`rejoin`       when to join those who are missing
`isolation`    when to own nothing although we run
=============  ====================================================================================

This file only puts the facts where they belong. Both machines share one port; the first byte of a
datagram tells whose it is. What a change means for the addresses comes first in every list of
effects, then what is sent.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from mercurylb.membership.fast.codec import MAGIC
from mercurylb.membership.fast.effect import Answer
from mercurylb.membership.fast.patience import FastTiming
from mercurylb.membership.life import Identity, Life
from mercurylb.membership.member import NOTE_SIZE_MAX, MembershipEffect, MemberView, Peer
from mercurylb.membership.phase import ACTIVE, Phase
from mercurylb.membership.swim.packet import PacketCodec
from mercurylb.membership.swim.stream import StreamDecoder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mercurylb.membership.pair import PairEffect
    from mercurylb.membership.seal import Chance, Seal
    from mercurylb.membership.swim.config import SwimConfig

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
        self._codec = PacketCodec(
            seal,
            chance,
            is_compressed=config.enable_compression,
            verifies_incoming=config.gossip_verify_incoming,
            encrypts_outgoing=config.gossip_verify_outgoing,
        )
        self._node = node
        self._life = Life(
            Identity(node, address, port, secret, incarnation),
            self._codec,
            config=config,
            chance=chance,
            timing=timing or FastTiming(),
        )
        self._counts: collections.Counter[str] = collections.Counter()

    @property
    def story(self) -> collections.deque[tuple[float, str]]:
        """The latest transitions, with their times."""
        return self._life.story

    # --- facts about this node ---------------------------------------------------------------

    def on_peers(self, peers: Sequence[Peer], now: float) -> list[MembershipEffect]:
        """Take over the list of the other nodes to talk to."""
        life, before = self._life, self._life.peers
        life.peers = {peer.node: peer.address for peer in peers if peer.node != self._node}
        if before != life.peers and life.phase in ACTIVE:
            life.rejoin.begin(now)
        return life.settle(life.begin(now), now)

    def on_ready(self, is_ready: bool, now: float) -> list[MembershipEffect]:  # noqa: FBT001 (Membership)
        """Take over whether this node is able to own addresses."""
        life = self._life
        life.is_ready = is_ready
        return life.settle(life.begin(now) if is_ready else life.stop_owning(now), now)

    def on_note(self, note: bytes, now: float) -> list[MembershipEffect]:
        """Take over what this node says about itself to all members."""
        assert len(note) <= NOTE_SIZE_MAX, len(note)
        life = self._life
        if note == life.note:
            return []
        life.note = note
        if life.pair is None or life.phase is Phase.LEAVING:
            return []
        return life.settle(life.pair.change_note(note, now), now)

    def on_carrier(self, has_carrier: bool, now: float) -> list[MembershipEffect]:  # noqa: FBT001 (Membership)
        """Take over whether the link that carries the membership has its carrier."""
        life = self._life
        if has_carrier == life.isolation.has_carrier:
            return []
        life.isolation.has_carrier = has_carrier
        life.detector.on_hearing(is_deaf=not has_carrier, now=now)
        return life.settle(life.isolate(now) if life.phase in ACTIVE else [], now)

    def on_leave(self, now: float) -> list[MembershipEffect]:
        """Begin a planned stop; `Left` follows."""
        if self._life.phase in (Phase.LEAVING, Phase.LEFT):
            return []
        return self._life.settle(self._life.leave(now), now)

    # --- facts from outside ------------------------------------------------------------------

    def on_datagram(
        self, source: str, port: int, payload: bytes, now: float
    ) -> list[MembershipEffect]:
        """Take in what came from an address; anything that is not believed is counted only."""
        life = self._life
        effects = life.notice_lateness(now)
        if life.pair is None:
            effects += self._be_idle(source, payload, now)
        elif payload[:1] == _MAGIC:
            said = life.detector.on_datagram(source, payload, now)
            effects += life.pair.take_fast(said, now)
        else:
            heard = life.pair.swim.on_datagram(source, port, payload, now)
            effects += life.pair.take_swim(heard, now)
        return life.settle(effects, now)

    def on_refused(self, address: str, now: float) -> list[MembershipEffect]:
        """Take in that a kernel said: nobody listens on the membership port there."""
        life = self._life
        effects = life.notice_lateness(now)
        if life.pair is not None:
            effects += life.pair.take_fast(life.detector.on_refused(address, now), now)
        return life.settle(effects, now)

    def on_kernel_answer(self, address: str, now: float) -> list[MembershipEffect]:
        """Take in that the kernel of an address answered a probe."""
        self._life.detector.on_kernel_answer(address, now)
        return []

    def stream_decoder(self) -> StreamDecoder:
        """Return what reads one connection, accepted or opened."""
        return StreamDecoder(self._codec)

    def on_request(
        self, source: str, message: object, now: float
    ) -> tuple[list[MembershipEffect], bytes | None]:
        """Take in the request of an accepted connection; before we have joined none is answered."""
        life = self._life
        effects = life.notice_lateness(now)
        reply: bytes | None = None
        if life.pair is None:
            self._counts["idle"] += 1
        else:
            said, reply = life.pair.swim.on_request(source, message, now)
            effects += life.pair.take_swim(said, now)
        return life.settle(effects, now), reply

    def on_reply(self, exchange: int, message: object | None, now: float) -> list[MembershipEffect]:
        """Take in how an `Exchange` ended."""
        life = self._life
        effects = life.notice_lateness(now)
        if exchange < 0:
            life.learning.on_reply(exchange, message, now)
        elif life.pair is not None:
            said = life.pair.swim.on_reply(exchange, message, now)
            effects += life.pair.take_swim(said, now)
            life.joining.discard(exchange)
            if message is not None and not life.detector.has_contacts:
                life.end_isolation(now)
        return life.settle(effects + life.move_on(now), now)

    # --- time --------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Return when `on_deadline` wants to be called."""
        return self._life.due_at

    def on_deadline(self, now: float) -> list[MembershipEffect]:
        """Do what is due."""
        effects = self._life.notice_lateness(now)
        return self._life.settle(effects + self._life.do_due(now), now)

    # --- what it knows -----------------------------------------------------------------------

    def live(self) -> frozenset[str] | None:
        """Return the nodes that may own, this one included when it may."""
        return self._life.live

    def views(self, now: float) -> tuple[MemberView, ...]:
        """Return every known member but this one, sorted by name."""
        life = self._life
        members = {} if life.pair is None else life.pair.swim.members()
        views = life.census.views(members, life.detector, now)
        for name, address in (life.peers or {}).items():
            if name not in members:
                state = "up" if name in life.live else "down"
                views.append(MemberView(name, address, state, is_ours=False))
        return tuple(sorted(views, key=lambda view: view.node))

    def counts(self) -> Mapping[str, int]:
        """Return what was refused or happened, by a short fixed name."""
        life, counts = self._life, dict(self._counts)
        if life.pair is not None:
            counts |= {f"swim.{why}": count for why, count in life.pair.swim.refused.items()}
        counts |= {f"part.{why}": count for why, count in self._codec.skipped.items()}
        counts |= {f"fast.{why}": count for why, count in life.detector.refused.items()}
        return counts

    def validate(self) -> None:
        """Assert the invariants."""
        self._life.validate()

    def _be_idle(self, source: str, payload: bytes, now: float) -> list[PairEffect]:
        """Before we have joined, answer only to ours, and only that this process is new."""
        self._counts["idle"] += 1
        if payload[:1] != _MAGIC or self._life.phase is Phase.LEFT:
            return []
        return [
            self._life.detector.answer(said.node, said.address)
            for said in self._life.detector.on_datagram(source, payload, now)
            if isinstance(said, Answer)
        ]
