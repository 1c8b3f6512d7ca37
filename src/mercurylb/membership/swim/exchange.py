"""Push/pull: two members tell each other everything they know, over one connection.

That is how a member joins, and once in a while (`push_pull_interval_s`, longer in large clusters)
how everybody makes up for gossip that was lost. Before anything of it is believed, the versions of
all members on both sides must fit together; otherwise the whole exchange is refused.

What others hold for dead is only suspected, so that the member can refute it.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING

from mercurylb.membership.swim.effect import Refused, SwimMember
from mercurylb.membership.swim.message import Alive, Dead, NodeState, PushPull, State, Suspect

if TYPE_CHECKING:
    import collections
    from collections.abc import Iterable, Sequence

    from mercurylb.membership.seal import Chance
    from mercurylb.membership.swim.config import SwimConfig
    from mercurylb.membership.swim.outbox import Outbox
    from mercurylb.membership.swim.rules import Rules
    from mercurylb.membership.swim.table import Table

EXCHANGES_MAX = 128
SCALE_FROM = 32
"""Members up to which the interval stays as configured."""
_VSN_SIZE = 6
_BYTE_MAX = 255


class Purpose(enum.Enum):
    """What an exchange is for."""

    JOIN = "join"
    SYNC = "sync"


def scaled_interval_s(interval_s: float, count: int) -> float:
    """Return how long to wait between push/pulls among so many members."""
    if count <= SCALE_FROM:
        return interval_s
    return interval_s * (math.ceil(math.log2(count) - math.log2(SCALE_FROM)) + 1)


class Exchanges:
    """The push/pulls that we begin, and what comes of those and of others'."""

    def __init__(  # noqa: PLR0913 (the parts of the machine that a push/pull touches)
        self,
        *,
        config: SwimConfig,
        table: Table,
        rules: Rules,
        outbox: Outbox,
        chance: Chance,
        refused: collections.Counter[str],
    ) -> None:
        self._config = config
        self._table = table
        self._rules = rules
        self._outbox = outbox
        self._chance = chance
        self._refused = refused
        self._purposes: dict[int, Purpose] = {}
        self._sync_at: float | None = None

    def start(self, now: float) -> None:
        """Begin after one interval and a random part of another."""
        interval_s = self._config.push_pull_interval_s
        if interval_s > 0:
            self._sync_at = now + interval_s * (1 + self._chance.random())

    def next_deadline(self) -> float | None:
        """Return when the next push/pull is due."""
        return self._sync_at

    def on_deadline(self, now: float) -> None:
        """Exchange with one random member, if it is time."""
        if self._sync_at is None or now < self._sync_at:
            return
        interval_s = self._config.push_pull_interval_s
        self._sync_at = now + scaled_interval_s(interval_s, len(self._table))
        me = self._rules.me.name
        picked = self._table.pick(1, lambda m: m.state is State.ALIVE and m.name != me)
        self._begin([(member.address, member.port) for member in picked], Purpose.SYNC)

    def join(self, targets: Iterable[tuple[str, int]]) -> None:
        """Exchange with each of some addresses."""
        self._begin(
            [(address, port or self._rules.me.port) for address, port in targets], Purpose.JOIN
        )

    def on_reply(self, exchange: int, message: object | None, now: float) -> None:
        """Take in how an exchange of ours ended."""
        purpose = self._purposes.pop(exchange, None)
        if purpose is None:
            return
        if not isinstance(message, PushPull):
            self._refused[Refused.REPLY] += 1
            return
        known = {m.name for m in self._table.live(self._rules.me.name)}
        if self.merge(message.nodes, now) and purpose is Purpose.JOIN:
            new = [m for m in self._table.live(self._rules.me.name) if m.name not in known]
            self._outbox.tell_all(new, self._rules.own_alive(), now)

    def own_state(self, *, is_join: bool) -> PushPull:
        """Return everything we know."""
        nodes = tuple(_state_of(member) for member in self._table.members.values())
        return PushPull(nodes, is_join)

    def merge(self, nodes: Sequence[NodeState], now: float) -> bool:
        """Believe what somebody knows; return False if it cannot be together with ours."""
        if not can_merge(nodes, self._table.members.values()):
            self._refused[Refused.MERGE] += 1
            return False
        for node in nodes:
            self._merge_one(node, now)
        return True

    def _merge_one(self, node: NodeState, now: float) -> None:
        if node.state is State.ALIVE:
            self._rules.alive(
                Alive(node.incarnation, node.name, node.addr, node.port, node.meta, node.vsn), now
            )
        elif node.state is State.LEFT:
            self._rules.dead(Dead(node.incarnation, node.name, node.name), now)
        else:
            me = self._rules.me.name
            self._rules.suspect(Suspect(node.incarnation, node.name, me), now)

    def _begin(self, targets: Sequence[tuple[str, int]], purpose: Purpose) -> None:
        room = EXCHANGES_MAX - len(self._purposes)
        if len(targets) > room:
            self._refused[Refused.EXCHANGES] += len(targets) - room
        if not targets or not room:
            return
        request = self._outbox.request(self.own_state(is_join=purpose is Purpose.JOIN))
        for address, port in targets[:room]:
            number = self._outbox.exchange(address, port, request, self._config.tcp_timeout_s)
            self._purposes[number] = purpose

    def validate(self) -> None:
        """Assert the invariants."""
        assert len(self._purposes) <= EXCHANGES_MAX


def can_merge(theirs: Sequence[NodeState], ours: Iterable[SwimMember]) -> bool:
    """Whether all members on both sides understand each other.

    The alive ones set the bounds (without versions they set none), everybody must be within them.
    """
    everybody = [(node.state, node.vsn) for node in theirs]
    everybody += [(member.state, member.vsn) for member in ours]
    if any(vsn and len(vsn) < _VSN_SIZE for _, vsn in everybody):
        return False
    alive = [vsn for state, vsn in everybody if state is State.ALIVE and vsn]
    for low_at, high_at, spoken_at in ((0, 1, 2), (3, 4, 5)):
        low = max((vsn[low_at] for vsn in alive), default=0)
        high = min((vsn[high_at] for vsn in alive), default=_BYTE_MAX)
        spoken = {vsn[spoken_at] if vsn else 0 for _, vsn in everybody}
        if any(not low <= version <= high for version in spoken):
            return False
    return True


def _state_of(member: SwimMember) -> NodeState:
    return NodeState(
        name=member.name,
        addr=member.addr,
        port=member.port,
        meta=member.meta,
        incarnation=member.incarnation,
        state=member.state,
        vsn=member.vsn,
    )
