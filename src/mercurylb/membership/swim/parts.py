"""What a member is made of, each part with those it works with.

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
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.membership.swim.awareness import Awareness
from mercurylb.membership.swim.broadcast import BroadcastQueue
from mercurylb.membership.swim.exchange import Exchanges
from mercurylb.membership.swim.gossip import Gossip
from mercurylb.membership.swim.message import State
from mercurylb.membership.swim.outbox import Outbox
from mercurylb.membership.swim.probe import Prober
from mercurylb.membership.swim.relay import Relays, Sequence
from mercurylb.membership.swim.rules import Rules
from mercurylb.membership.swim.suspicion import Suspicions
from mercurylb.membership.swim.table import Table

if TYPE_CHECKING:
    import collections

    from mercurylb.membership.seal import Chance
    from mercurylb.membership.swim.config import SwimConfig
    from mercurylb.membership.swim.effect import SwimMember
    from mercurylb.membership.swim.packet import PacketCodec


class Parts:
    """The parts of one member; what concerns all of them is done here, in their order."""

    def __init__(
        self,
        me: SwimMember,
        *,
        config: SwimConfig,
        codec: PacketCodec,
        chance: Chance,
        refused: collections.Counter[str],
    ) -> None:
        self.table = table = Table(chance)
        self.suspicions = Suspicions()
        self.broadcasts = broadcasts = BroadcastQueue()
        self.awareness = awareness = Awareness(config.awareness_max_multiplier)
        self.outbox = outbox = Outbox(
            codec, config=config, table=table, broadcasts=broadcasts, refused=refused
        )
        self.rules = rules = Rules(
            me,
            config=config,
            table=table,
            suspicions=self.suspicions,
            broadcasts=broadcasts,
            awareness=awareness,
            outbox=outbox,
            refused=refused,
        )
        self.gossip = Gossip(
            config=config,
            table=table,
            rules=rules,
            broadcasts=broadcasts,
            outbox=outbox,
            chance=chance,
        )
        sequence = Sequence(chance)
        self.prober = Prober(
            config=config,
            table=table,
            rules=rules,
            awareness=awareness,
            outbox=outbox,
            sequence=sequence,
            chance=chance,
        )
        self.relays = Relays(config=config, rules=rules, outbox=outbox, sequence=sequence)
        self.exchanges = Exchanges(
            config=config,
            table=table,
            rules=rules,
            outbox=outbox,
            chance=chance,
            refused=refused,
        )

    def start(self, now: float) -> None:
        """Begin to live, to probe, to exchange and to gossip."""
        self.rules.start(now)
        self.prober.start(now)
        self.exchanges.start(now)
        self.gossip.start(now)

    def next_deadline(self) -> float | None:
        """Return when the first of them has something to do."""
        deadlines = (
            self.prober.next_deadline(),
            self.relays.next_deadline(),
            self.suspicions.next_deadline(),
            self.exchanges.next_deadline(),
            self.gossip.next_deadline(),
        )
        return min((at for at in deadlines if at is not None), default=None)

    def on_deadline(self, now: float) -> None:
        """Do what is due."""
        self.prober.on_deadline(now)
        self.relays.on_deadline(now)
        self.rules.expire(now)
        self.exchanges.on_deadline(now)
        self.gossip.on_deadline(now)

    def shift(self, by_s: float) -> None:
        """Wait so much longer for whatever is waited for."""
        self.prober.shift(by_s)
        self.relays.shift(by_s)
        self.suspicions.shift(by_s)

    def validate(self) -> None:
        """Assert the invariants of each, and those between them."""
        for part in (
            self.table,
            self.suspicions,
            self.broadcasts,
            self.awareness,
            self.prober,
            self.relays,
            self.exchanges,
        ):
            part.validate()
        me, members = self.rules.me, self.table.members
        for name, member in members.items():
            assert (member.state is State.SUSPECT) == (name in self.suspicions), member
            assert name != me.name or member is me
        assert len(self.suspicions) <= len(members)
