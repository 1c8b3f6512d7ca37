"""When news are told, and to whom: every interval to a few random members.

The recently dead are told too, so that one who is not dead hears of it and can refute it. The
rhythm is always the same, but there is a deadline only while there are news.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.membership.swim.message import State

if TYPE_CHECKING:
    from mercurylb.membership.seal import Chance
    from mercurylb.membership.swim.broadcast import BroadcastQueue
    from mercurylb.membership.swim.config import SwimConfig
    from mercurylb.membership.swim.effect import SwimMember
    from mercurylb.membership.swim.outbox import Outbox
    from mercurylb.membership.swim.rules import Rules
    from mercurylb.membership.swim.table import Table


class Gossip:
    """The rhythm of telling."""

    def __init__(  # noqa: PLR0913 (the parts of the machine that gossip touches)
        self,
        *,
        config: SwimConfig,
        table: Table,
        rules: Rules,
        broadcasts: BroadcastQueue,
        outbox: Outbox,
        chance: Chance,
    ) -> None:
        self._config = config
        self._table = table
        self._rules = rules
        self._broadcasts = broadcasts
        self._outbox = outbox
        self._chance = chance
        self._since: float | None = None
        self._tick_at: float | None = None

    def start(self, now: float) -> None:
        """Begin at a random moment of the first interval; never, if the configuration says so."""
        if self._config.gossip_interval_s > 0 and self._config.gossip_nodes > 0:
            self._since = now + self._config.gossip_interval_s * (self._chance.random() - 1)

    def hasten(self, now: float) -> None:
        """Begin the rhythm anew, with the next tick in half an interval."""
        if self._since is not None:
            self._since = now - self._config.gossip_interval_s / 2
            self._tick_at = None

    def next_deadline(self) -> float | None:
        """Return the next tick that there is something to tell at."""
        return self._tick_at

    def on_deadline(self, now: float) -> None:
        """Tell a few members, if it is time."""
        if self._tick_at is None or now < self._tick_at:
            return
        self._tick_at = None
        keep_s = self._config.gossip_to_the_dead_time_s
        me = self._rules.me.name

        def may_hear(member: SwimMember) -> bool:
            if member.state is State.DEAD:
                return now - member.changed_at <= keep_s
            return member.is_live and member.name != me

        for member in self._table.pick(self._config.gossip_nodes, may_hear):
            if not self._outbox.gossip(member):
                return

    def settle(self, now: float) -> None:
        """See whether there is anything to tell; to be called at the end of every input."""
        if not self._broadcasts:
            self._tick_at = None
        elif self._tick_at is None and self._since is not None:
            interval_s = self._config.gossip_interval_s
            count = 1 + (now - self._since) // interval_s
            self._tick_at = self._since + interval_s * count
            if self._tick_at <= now:  # rounding
                self._tick_at += interval_s
