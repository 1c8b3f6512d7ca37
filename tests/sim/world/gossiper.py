"""A speaker that knows gossip only, as MetalLB's does: SWIM and "first usable of the ranking".

It owns nothing before its first join ended, and takes part in nothing fast. It counts suspects as
usable, joins again each minute, and on a stop it says so and is gone a moment later.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from mercurylb.announcer.core import CoreEffect, Finish, Tell
from mercurylb.layer2 import arp
from mercurylb.membership.member import Exchange, SendDatagram
from mercurylb.membership.swim.machine import Swim, SwimDown, SwimLeft, SwimUp
from mercurylb.membership.swim.message import State
from mercurylb.membership.swim.packet import PacketCodec
from mercurylb.membership.swim.stream import StreamDecoder
from mercurylb.plan.desired import DesiredState
from tests.sim.world.process import PORT, Identity

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from mercurylb.membership.seal import Seal
    from mercurylb.membership.swim.config import SwimConfig
    from mercurylb.membership.swim.machine import SwimEffect
    from mercurylb.plan.desired import BrainMessage, Layer2Service, Member

REJOIN_S = 60.0
JOIN_PATIENCE_S = 1.0


class Gossiper:
    """A process of the other kind."""

    def __init__(
        self, identity: Identity, chance: random.Random, config: SwimConfig, seal: Seal | None
    ) -> None:
        self._node = identity.node
        self._codec = PacketCodec(seal, chance, is_compressed=config.enable_compression)
        self.swim = Swim(
            identity.node,
            identity.address,
            PORT,
            config=config,
            codec=self._codec,
            chance=chance,
        )
        self._members: Sequence[Member] = ()
        self._services: Sequence[Layer2Service] = ()
        self._answered: frozenset[str] = frozenset()
        self._owns_from: float | None = None
        self._rejoin_at: float | None = None
        self._has_left = False

    @property
    def answered(self) -> frozenset[str]:
        """Return the services that it answers for."""
        return self._answered

    @property
    def is_ready(self) -> bool:
        """Say whether it knows what it needs in order to own anything."""
        return self._owns_from is not None

    # --- facts -------------------------------------------------------------------------------

    def on_start(self, *, has_carrier: bool, now: float) -> list[CoreEffect]:
        """Open the sockets; nobody is joined before the brain tells whom."""
        del has_carrier
        return self._apply(self.swim.start(now), now)

    def on_carrier(self, has_carrier: bool, now: float) -> list[CoreEffect]:  # noqa: FBT001
        """Draw no conclusion, as the original does not."""
        del has_carrier, now
        return []

    def on_brain_message(self, message: BrainMessage, now: float) -> list[CoreEffect]:
        """Take over the decision, and join at the first one."""
        if not isinstance(message, DesiredState):
            return []
        self._members, self._services = message.members, message.layer2
        effects: list[CoreEffect] = []
        if self._owns_from is None:
            self._owns_from = now + JOIN_PATIENCE_S
            effects += self._join(now)
        return effects + self._elect(now)

    def on_datagram(self, source: str, port: int, payload: bytes, now: float) -> list[CoreEffect]:
        """Take in gossip."""
        return self._apply(self.swim.on_datagram(source, port, payload, now), now)

    def on_refused(self, address: str, now: float) -> list[CoreEffect]:
        """Draw no conclusion, as the original does not."""
        del address, now
        return []

    on_kernel_answer = on_refused

    def stream_decoder(self) -> StreamDecoder:
        """Return what reads a connection."""
        return StreamDecoder(self._codec)

    def on_request(
        self, source: str, message: object, now: float
    ) -> tuple[list[CoreEffect], bytes | None]:
        """Take in a request."""
        effects, reply = self.swim.on_request(source, message, now)
        return self._apply(effects, now), reply

    def on_reply(self, exchange: int, message: object | None, now: float) -> list[CoreEffect]:
        """Take in a reply; the first one ends the waiting."""
        if message is not None and self._owns_from is not None:
            self._owns_from = min(self._owns_from, now)
        effects = self._apply(self.swim.on_reply(exchange, message, now), now)
        return effects + self._elect(now)

    def on_announcement(self, frame: bytes, now: float) -> list[CoreEffect]:
        """Hear no claims."""
        del frame, now
        return []

    def is_answering(self, question: bytes) -> bool:
        """Ask for an IPv4 address."""
        asked = str(ipaddress.ip_address(arp.decode(question).target_ip))
        return any(
            asked in service.addresses
            for service in self._services
            if service.service in self._answered
        )

    def on_stop(self, now: float) -> list[CoreEffect]:
        """Leave."""
        return self._apply(self.swim.on_leave(now), now)

    def next_deadline(self) -> float | None:
        """Return when `on_deadline` wants to be called."""
        waits = None if self._owns_from == float("-inf") else self._owns_from
        deadlines = (self.swim.next_deadline(), self._rejoin_at, waits)
        return min((at for at in deadlines if at is not None), default=None)

    def on_deadline(self, now: float) -> list[CoreEffect]:
        """Do what is due."""
        effects: list[CoreEffect] = []
        deadline = self.swim.next_deadline()
        if deadline is not None and now >= deadline:
            effects += self._apply(self.swim.on_deadline(now), now)
        if self._rejoin_at is not None and now >= self._rejoin_at:
            effects += self._join(now)
        return effects + self._elect(now)

    def validate(self) -> None:
        """Assert the invariants."""
        self.swim.validate()

    def story(self) -> list[tuple[float, str]]:
        """Return the latest transitions."""
        return list(getattr(self.swim, "story", ()))

    # --- from facts to answers ---------------------------------------------------------------

    def _usable(self) -> set[str]:
        return {
            member.name
            for member in self.swim.members().values()
            if member.state in (State.ALIVE, State.SUSPECT)
        }

    def _join(self, now: float) -> list[CoreEffect]:
        self._rejoin_at = now + REJOIN_S
        usable = self._usable()
        missing = [(m.address, PORT) for m in self._members if m.node not in usable]
        return self._apply(self.swim.on_join(missing, now), now) if missing else []

    def _elect(self, now: float) -> list[CoreEffect]:
        if self._owns_from is None or now < self._owns_from:
            return []
        self._owns_from = float("-inf")
        usable = set() if self._has_left else self._usable()
        answered = frozenset(
            service.service
            for service in self._services
            if next((n for n in service.ranking if n in usable), None) == self._node
        )
        if answered == self._answered:
            return []
        changed = sorted(answered ^ self._answered)
        self._answered = answered
        return [Tell("gossiper.answers_changed", {"services": changed})]

    def _apply(self, effects: list[SwimEffect], now: float) -> list[CoreEffect]:
        applied: list[CoreEffect] = []
        for effect in effects:
            match effect:
                case SendDatagram() | Exchange():
                    applied.append(effect)
                case SwimUp(node=node):
                    applied += self._elect(now)
                    applied.append(Tell("gossiper.up", {"node": node}))
                case SwimDown(node=node):
                    applied += self._elect(now)
                    applied.append(Tell("gossiper.down", {"node": node}))
                case SwimLeft():
                    self._has_left = True
                    applied += [*self._elect(now), Finish()]
        return applied
