"""SWIM with Lifeguard, as hashicorp/memberlist 0.6 does it: what happens to one member, and when.

Who does what of it is in `parts`.

::

    new ── start ──► running ── on_leave ──► leaving ── told often enough ──► left

Before the start and after the end nothing is believed and nothing answered, as if there were no
such process.

News wait for gossip, or go along with any datagram that is sent anyway. What must not wait goes to
every live member at once (`Outbox.tell_all`); a member of MetalLB then acts within milliseconds.

Our own lateness is nobody's failure: when the timer comes later than `LATENESS_S`, whatever was
being waited for is waited for so much longer.
"""

from __future__ import annotations

import collections
import enum
from typing import TYPE_CHECKING, TypeVar

from mercurylb.errors import WireError
from mercurylb.membership.swim import address as addresses
from mercurylb.membership.swim.effect import (
    Refused,
    SwimChanged,
    SwimDown,
    SwimEffect,
    SwimLeft,
    SwimMember,
    SwimUp,
)
from mercurylb.membership.swim.field import NAME_SIZE_MAX
from mercurylb.membership.swim.message import (
    META_SIZE_MAX,
    VSN,
    Ack,
    Alive,
    Dead,
    IndirectPing,
    Nack,
    Ping,
    PushPull,
    State,
    Suspect,
)
from mercurylb.membership.swim.parts import Parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mercurylb.membership.seal import Chance
    from mercurylb.membership.swim.config import SwimConfig
    from mercurylb.membership.swim.message import Message
    from mercurylb.membership.swim.packet import PacketCodec

__all__ = [
    "Refused",
    "Swim",
    "SwimChanged",
    "SwimDown",
    "SwimEffect",
    "SwimLeft",
    "SwimMember",
    "SwimUp",
]

LEAVE_S = 1.0
LATENESS_S = 0.5

T = TypeVar("T")


class Phase(enum.Enum):
    """Where in its life the machine is."""

    NEW = "new"
    RUNNING = "running"
    LEAVING = "leaving"
    LEFT = "left"


class Swim:
    """One member among others."""

    def __init__(  # noqa: PLR0913 (what a member is, and what it is given from outside)
        self,
        node: str,
        address: str,
        port: int,
        *,
        config: SwimConfig,
        codec: PacketCodec,
        chance: Chance,
        meta: bytes = b"",
        incarnation: int = 1,
    ) -> None:
        assert 0 < len(node.encode()) <= NAME_SIZE_MAX, node
        assert len(meta) <= META_SIZE_MAX, len(meta)
        assert 0 < incarnation < 1 << 32, incarnation
        self.refused: collections.Counter[str] = collections.Counter()
        """What did not decode (by `reason.Reason`), was not believed or not done (`Refused`)."""
        self._config = config
        self._codec = codec
        self._phase = Phase.NEW
        self._leave_until = 0.0
        addr = addresses.to_bytes(address)
        me = SwimMember(
            name=node,
            address=addresses.to_text(addr),
            port=port,
            meta=meta,
            vsn=VSN,
            incarnation=incarnation,
            state=State.DEAD,
            changed_at=0.0,
            addr=addr,
        )
        self.parts = Parts(me, config=config, codec=codec, chance=chance, refused=self.refused)

    # --- what it knows -----------------------------------------------------------------------

    @property
    def incarnation(self) -> int:
        """Our own."""
        return self.parts.rules.me.incarnation

    @property
    def score(self) -> int:
        """Our own health, 0 being the best; the Lifeguard word is awareness."""
        return self.parts.awareness.score

    @property
    def story(self) -> collections.deque[tuple[float, str]]:
        """The latest changes of state, with their times."""
        return self.parts.rules.story

    def members(self) -> Mapping[str, SwimMember]:
        """Return a view of everybody known, ourselves and the dead included."""
        return self.parts.table.members

    def next_deadline(self) -> float | None:
        """Return when `on_deadline` wants to be called."""
        if not self._is_running:
            return None
        deadlines = [self.parts.next_deadline()]
        if self._phase is Phase.LEAVING:
            deadlines.append(self._leave_until)
        return min((at for at in deadlines if at is not None), default=None)

    # --- facts about ourselves ---------------------------------------------------------------

    def start(self, now: float) -> list[SwimEffect]:
        """Be alive, and begin to answer; must be called once, before anything else matters."""
        if self._phase is not Phase.NEW:
            return []
        self._phase = Phase.RUNNING
        self.parts.start(now)
        return self._settle(now)

    def on_join(self, targets: Iterable[tuple[str, int]], now: float) -> list[SwimEffect]:
        """Exchange everything with whoever is at some addresses; port 0 is our own."""
        if self._is_running:
            self.parts.exchanges.join(targets)
        return self._settle(now)

    def on_meta(self, meta: bytes, now: float) -> list[SwimEffect]:
        """Say something else about ourselves from now on."""
        assert len(meta) <= META_SIZE_MAX, len(meta)
        if self._phase is Phase.NEW:
            self.parts.rules.preset_meta(meta)
        elif self._phase is Phase.RUNNING and meta != self.parts.rules.me.meta:
            self.parts.rules.change_meta(meta, now)
        return self._settle(now)

    def on_leave(self, now: float) -> list[SwimEffect]:
        """Tell everybody that we go; `SwimLeft` follows within `LEAVE_S`."""
        if self._phase is Phase.NEW:
            self._phase = Phase.LEFT
            return [SwimLeft()]
        if self._phase is Phase.RUNNING:
            self._phase = Phase.LEAVING
            self._leave_until = now + LEAVE_S
            self.parts.rules.leave(now)
            self.parts.gossip.hasten(now)  # Until all have heard, two answer for what was ours.
            if not self.parts.table.has_live(self.parts.rules.me.name):
                self._leave_until = now
        return self._settle(now)

    # --- facts that somebody else found ------------------------------------------------------

    def on_dead(
        self,
        node: str,
        incarnation: int,
        now: float,
        *,
        is_leave: bool = False,
        is_told: bool = False,
    ) -> list[SwimEffect]:
        """Take in that a member is dead, or has left.

        Everybody is told at once, unless somebody else does so already (`is_told`): then gossip
        tells it.
        """
        if self._is_running:
            origin = node if is_leave else self.parts.rules.me.name
            self.parts.rules.verdict(Dead(incarnation, node, origin), now, is_urgent=not is_told)
        return self._settle(now)

    def on_accused(self, incarnation: int, now: float) -> list[SwimEffect]:
        """Take in that somebody holds us for dead as of an incarnation."""
        if self._phase is Phase.RUNNING:
            self.parts.rules.dead(Dead(incarnation, self.parts.rules.me.name, ""), now)
        return self._settle(now)

    def greet(self, targets: Iterable[tuple[str, int]], now: float) -> list[SwimEffect]:
        """Send what we say about ourselves to some addresses, whoever is there."""
        if self._phase is Phase.RUNNING:
            self.parts.outbox.greet(targets, self.parts.rules.own_alive())
        return self._settle(now)

    # --- facts from the network --------------------------------------------------------------

    def on_datagram(self, source: str, port: int, payload: bytes, now: float) -> list[SwimEffect]:
        """Take in a datagram; what does not decode, or is not believed, is counted only."""
        if not self._is_running:
            return []
        try:
            messages = self._codec.decode(payload)
        except WireError as error:
            self.refused[error.reason] += 1
            return []
        news: list[Suspect | Dead] = []
        alive: list[Alive] = []
        for message in messages:
            match message:
                case Alive():
                    self._keep(alive, message)
                case Suspect() | Dead():
                    self._keep(news, message)
                case _:
                    self._answer(message, source, port, now)
        self._believe(alive, news, now)
        return self._settle(now)

    def on_request(
        self, source: str, message: object, now: float
    ) -> tuple[list[SwimEffect], bytes | None]:
        """Take in the request of a connection; return also the reply, None to close."""
        del source
        reply: bytes | None = None
        if self._is_running:
            match message:
                case Ping(seq=seq, node=node) if self._is_for_us(node):
                    reply = self.parts.outbox.reply(Ack(seq))
                case PushPull(nodes=nodes, is_join=is_join):
                    reply = self.parts.outbox.reply(self.parts.exchanges.own_state(is_join=is_join))
                    self.parts.exchanges.merge(nodes, now)
                case _:
                    pass
        return self._settle(now), reply

    def on_reply(self, exchange: int, message: object | None, now: float) -> list[SwimEffect]:
        """Take in how an `Exchange` ended; None is without a readable reply."""
        if self._is_running:
            seq = message.seq if isinstance(message, Ack) else None
            self.parts.prober.on_tcp_reply(exchange, seq)
            self.parts.exchanges.on_reply(exchange, message, now)
        return self._settle(now)

    def on_deadline(self, now: float) -> list[SwimEffect]:
        """Do what is due."""
        due = self.next_deadline()
        if due is None or now < due:
            return []
        if now - due > LATENESS_S:
            self.parts.shift(now - due)
        self.parts.on_deadline(now)
        return self._settle(now)

    # --- inside ------------------------------------------------------------------------------

    @property
    def _is_running(self) -> bool:
        return self._phase is Phase.RUNNING or self._phase is Phase.LEAVING

    def _keep(self, queue: list[T], message: T) -> None:
        if len(queue) < self._config.handoff_queue_depth:
            queue.append(message)
        else:
            self.refused[Refused.QUEUE] += 1

    def _believe(self, alive: list[Alive], news: list[Suspect | Dead], now: float) -> None:
        """Take in messages, the newest first, but the good ones before the bad."""
        for message in reversed(alive):
            self.parts.rules.alive(message, now)
        for doubt in reversed(news):
            if isinstance(doubt, Suspect):
                self.parts.rules.suspect(doubt, now)
            else:
                self.parts.rules.dead(doubt, now)

    def _answer(self, message: Message, source: str, port: int, now: float) -> None:
        match message:
            case Ping(seq=seq, node=node):
                if self._is_for_us(node):
                    address, port = self._way_back(message, source, port)
                    self.parts.outbox.say(address, port, Ack(seq))
            case Ack(seq=seq):
                if not self.parts.prober.on_ack(seq, now):
                    self.parts.relays.on_ack(seq, now)
            case Nack(seq=seq):
                self.parts.prober.on_nack(seq, now)
            case IndirectPing(target=target):
                addr = addresses.normal(target)
                if not addresses.is_usable(addr):
                    self.refused[Refused.ADDRESS] += 1
                elif self.parts.relays.is_full:
                    self.refused[Refused.RELAYS] += 1
                else:
                    requester = self._way_back(message, source, port)
                    self.parts.relays.begin(message, addresses.to_text(addr), requester, now)
            case _:
                pass

    def _way_back(self, message: Ping | IndirectPing, source: str, port: int) -> tuple[str, int]:
        """Return where an answer goes: where the sender says it is, if it says so."""
        addr = addresses.normal(message.source_addr)
        if message.source_port and addresses.is_usable(addr):
            return addresses.to_text(addr), message.source_port
        return source, port

    def _is_for_us(self, node: str) -> bool:
        if node and node != self.parts.rules.me.name:
            self.refused[Refused.NODE] += 1
            return False
        return True

    def _settle(self, now: float) -> list[SwimEffect]:
        """Close an input: be gone if that is due, see to the next gossip, return the effects."""
        if self._phase is Phase.LEAVING:
            news = self.parts.rules.leave_news
            if now >= self._leave_until or (news is not None and news.is_done):
                self._phase = Phase.LEFT
                self.parts.outbox.add(SwimLeft())
        self.parts.gossip.settle(now)
        return self.parts.outbox.take()

    def validate(self) -> None:
        """Assert the invariants."""
        self.parts.validate()
        me, members = self.parts.rules.me, self.parts.table.members
        assert (me.name in members) == (self._phase is not Phase.NEW) or not members
        if self._phase is Phase.RUNNING:
            assert me.state is State.ALIVE
