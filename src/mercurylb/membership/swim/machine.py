"""SWIM with Lifeguard, as hashicorp/memberlist 0.6 does it: this file only puts the parts together.

=============  ====================================================================================
`table`        who is known
`rules`        what alive, suspect and dead messages change
`suspicion`    how long a suspect is waited for
`probe`        who is asked for a sign of life, and how
`relay`        pings on behalf of others
`broadcast`    news on their way
`gossip`       when and to whom they go
`exchange`     push/pull and joining
`awareness`    how far we trust ourselves
`outbox`       how words become datagrams and connections
=============  ====================================================================================

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
from mercurylb.membership.swim.awareness import Awareness
from mercurylb.membership.swim.broadcast import BroadcastQueue
from mercurylb.membership.swim.effect import (
    Refused,
    SwimChanged,
    SwimDown,
    SwimEffect,
    SwimLeft,
    SwimMember,
    SwimUp,
)
from mercurylb.membership.swim.exchange import Exchanges
from mercurylb.membership.swim.field import NAME_SIZE_MAX
from mercurylb.membership.swim.gossip import Gossip
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
from mercurylb.membership.swim.outbox import Outbox
from mercurylb.membership.swim.probe import Prober
from mercurylb.membership.swim.relay import Relays, Sequence
from mercurylb.membership.swim.rules import Rules
from mercurylb.membership.swim.suspicion import Suspicions
from mercurylb.membership.swim.table import Table

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
        self._chance = chance
        self._phase = Phase.NEW
        self._leave_until = 0.0
        self._table = Table(chance)
        self._suspicions = Suspicions()
        self._broadcasts = BroadcastQueue()
        self._awareness = Awareness(config.awareness_max_multiplier)
        self._outbox = Outbox(
            codec,
            config=config,
            table=self._table,
            broadcasts=self._broadcasts,
            refused=self.refused,
        )
        addr = addresses.to_bytes(address)
        self._rules = Rules(
            SwimMember(
                name=node,
                address=addresses.to_text(addr),
                port=port,
                meta=meta,
                vsn=VSN,
                incarnation=incarnation,
                state=State.DEAD,
                changed_at=0.0,
                addr=addr,
            ),
            config=config,
            table=self._table,
            suspicions=self._suspicions,
            broadcasts=self._broadcasts,
            awareness=self._awareness,
            outbox=self._outbox,
            refused=self.refused,
        )
        self._gossip = Gossip(
            config=config,
            table=self._table,
            rules=self._rules,
            broadcasts=self._broadcasts,
            outbox=self._outbox,
            chance=chance,
        )
        sequence = Sequence(chance)
        self._prober = Prober(
            config=config,
            table=self._table,
            rules=self._rules,
            awareness=self._awareness,
            outbox=self._outbox,
            sequence=sequence,
            chance=chance,
        )
        self._relays = Relays(
            config=config, rules=self._rules, outbox=self._outbox, sequence=sequence
        )
        self._exchanges = Exchanges(
            config=config,
            table=self._table,
            rules=self._rules,
            outbox=self._outbox,
            chance=chance,
            refused=self.refused,
        )

    # --- what it knows -----------------------------------------------------------------------

    @property
    def incarnation(self) -> int:
        """Our own."""
        return self._rules.me.incarnation

    @property
    def score(self) -> int:
        """Our own health, 0 being the best; the Lifeguard word is awareness."""
        return self._awareness.score

    @property
    def story(self) -> collections.deque[tuple[float, str]]:
        """The latest changes of state, with their times."""
        return self._rules.story

    def members(self) -> Mapping[str, SwimMember]:
        """Return a view of everybody known, ourselves and the dead included."""
        return self._table.members

    def next_deadline(self) -> float | None:
        """Return when `on_deadline` wants to be called."""
        if not self._is_running:
            return None
        deadlines = [
            self._prober.next_deadline(),
            self._relays.next_deadline(),
            self._suspicions.next_deadline(),
            self._exchanges.next_deadline(),
            self._gossip.next_deadline(),
        ]
        if self._phase is Phase.LEAVING:
            deadlines.append(self._leave_until)
        return min((at for at in deadlines if at is not None), default=None)

    # --- facts about ourselves ---------------------------------------------------------------

    def start(self, now: float) -> list[SwimEffect]:
        """Be alive, and begin to answer; must be called once, before anything else matters."""
        if self._phase is not Phase.NEW:
            return []
        self._phase = Phase.RUNNING
        self._rules.start(now)
        self._prober.start(now)
        self._exchanges.start(now)
        self._gossip.start(now)
        return self._settle(now)

    def on_join(self, targets: Iterable[tuple[str, int]], now: float) -> list[SwimEffect]:
        """Exchange everything with whoever is at some addresses; port 0 is our own."""
        if self._is_running:
            self._exchanges.join(targets)
        return self._settle(now)

    def on_meta(self, meta: bytes, now: float) -> list[SwimEffect]:
        """Say something else about ourselves from now on."""
        assert len(meta) <= META_SIZE_MAX, len(meta)
        if self._phase is Phase.NEW:
            self._rules.preset_meta(meta)
        elif self._phase is Phase.RUNNING and meta != self._rules.me.meta:
            self._rules.change_meta(meta, now)
        return self._settle(now)

    def on_leave(self, now: float) -> list[SwimEffect]:
        """Tell everybody that we go; `SwimLeft` follows within `LEAVE_S`."""
        if self._phase is Phase.NEW:
            self._phase = Phase.LEFT
            return [SwimLeft()]
        if self._phase is Phase.RUNNING:
            self._phase = Phase.LEAVING
            self._leave_until = now + LEAVE_S
            self._rules.leave(now)
            self._gossip.hasten(now)  # Until all have heard, two answer for what was ours.
            if not self._table.has_live(self._rules.me.name):
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
            origin = node if is_leave else self._rules.me.name
            self._rules.verdict(Dead(incarnation, node, origin), now, is_urgent=not is_told)
        return self._settle(now)

    def on_accused(self, incarnation: int, now: float) -> list[SwimEffect]:
        """Take in that somebody holds us for dead as of an incarnation."""
        if self._phase is Phase.RUNNING:
            self._rules.dead(Dead(incarnation, self._rules.me.name, ""), now)
        return self._settle(now)

    def greet(self, targets: Iterable[tuple[str, int]], now: float) -> list[SwimEffect]:
        """Send what we say about ourselves to some addresses, whoever is there."""
        if self._phase is Phase.RUNNING:
            self._outbox.greet(targets, self._rules.own_alive())
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
                    reply = self._outbox.reply(Ack(seq))
                case PushPull(nodes=nodes, is_join=is_join):
                    reply = self._outbox.reply(self._exchanges.own_state(is_join=is_join))
                    self._exchanges.merge(nodes, now)
                case _:
                    pass
        return self._settle(now), reply

    def on_reply(self, exchange: int, message: object | None, now: float) -> list[SwimEffect]:
        """Take in how an `Exchange` ended; None is without a readable reply."""
        if self._is_running:
            seq = message.seq if isinstance(message, Ack) else None
            self._prober.on_tcp_reply(exchange, seq)
            self._exchanges.on_reply(exchange, message, now)
        return self._settle(now)

    def on_deadline(self, now: float) -> list[SwimEffect]:
        """Do what is due."""
        due = self.next_deadline()
        if due is None or now < due:
            return []
        if now - due > LATENESS_S:
            self._shift(now - due)
        self._prober.on_deadline(now)
        self._relays.on_deadline(now)
        self._rules.expire(now)
        self._exchanges.on_deadline(now)
        self._gossip.on_deadline(now)
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
            self._rules.alive(message, now)
        for doubt in reversed(news):
            if isinstance(doubt, Suspect):
                self._rules.suspect(doubt, now)
            else:
                self._rules.dead(doubt, now)

    def _answer(self, message: Message, source: str, port: int, now: float) -> None:
        match message:
            case Ping(seq=seq, node=node):
                if self._is_for_us(node):
                    address, port = self._way_back(message, source, port)
                    self._outbox.say(address, port, Ack(seq))
            case Ack(seq=seq):
                if not self._prober.on_ack(seq, now):
                    self._relays.on_ack(seq, now)
            case Nack(seq=seq):
                self._prober.on_nack(seq, now)
            case IndirectPing(target=target):
                addr = addresses.normal(target)
                if not addresses.is_usable(addr):
                    self.refused[Refused.ADDRESS] += 1
                elif self._relays.is_full:
                    self.refused[Refused.RELAYS] += 1
                else:
                    requester = self._way_back(message, source, port)
                    self._relays.begin(message, addresses.to_text(addr), requester, now)
            case _:
                pass

    def _way_back(self, message: Ping | IndirectPing, source: str, port: int) -> tuple[str, int]:
        """Return where an answer goes: where the sender says it is, if it says so."""
        addr = addresses.normal(message.source_addr)
        if message.source_port and addresses.is_usable(addr):
            return addresses.to_text(addr), message.source_port
        return source, port

    def _is_for_us(self, node: str) -> bool:
        if node and node != self._rules.me.name:
            self.refused[Refused.NODE] += 1
            return False
        return True

    def _shift(self, by_s: float) -> None:
        self._prober.shift(by_s)
        self._relays.shift(by_s)
        self._suspicions.shift(by_s)

    def _settle(self, now: float) -> list[SwimEffect]:
        """Close an input: be gone if that is due, see to the next gossip, return the effects."""
        if self._phase is Phase.LEAVING:
            news = self._rules.leave_news
            if now >= self._leave_until or (news is not None and news.is_done):
                self._phase = Phase.LEFT
                self._outbox.add(SwimLeft())
        self._gossip.settle(now)
        return self._outbox.take()

    def validate(self) -> None:
        """Assert the invariants."""
        for part in (
            self._table,
            self._suspicions,
            self._broadcasts,
            self._awareness,
            self._prober,
            self._relays,
            self._exchanges,
        ):
            part.validate()
        me, members = self._rules.me, self._table.members
        assert (me.name in members) == (self._phase is not Phase.NEW) or not members
        for name, member in members.items():
            assert (member.state is State.SUSPECT) == (name in self._suspicions), member
            assert name != me.name or member is me
        assert len(self._suspicions) <= len(members)
        if self._phase is Phase.RUNNING:
            assert me.state is State.ALIVE
