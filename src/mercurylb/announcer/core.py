"""The announcer without its sockets: membership and responder put together.

Facts come from the brain, the membership socket, the links and one timer; effects go to the wire.
The rules that live here and nowhere else:

* no address is owned before the brain's first desired state and the node's links are known and the
  membership socket is open;
* the **lease**: a brain that says nothing for `lease_s` has its addresses withdrawn;
* what a member's going up or down means for the answers is done before the datagrams that tell
  others that it is done;
* once a member that came back acts on our being alive, everything we own is announced again, at
  most every `REFRESH_INTERVAL_S`, because until then it may have answered for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mercurylb.layer2.effect import CloseInterface, Layer2Effect, OpenInterface
from mercurylb.membership.member import (
    Left,
    MemberDown,
    MemberHearsUs,
    Membership,
    MembershipEffect,
    MemberUp,
    SendDatagram,
)
from mercurylb.plan.desired import (
    AddressCounters,
    BrainMessage,
    DesiredState,
    Observation,
    OwnedService,
)

if TYPE_CHECKING:
    from mercurylb.layer2.interface import NodeInterfaces
    from mercurylb.layer2.responder import OwnedAddresses, Responder

REFRESH_INTERVAL_S = 0.3


class Observe(msgspec.Struct, frozen=True):
    """What the brain was told last is out of date."""


class Tell(msgspec.Struct, frozen=True):
    """Log an event an operator would tell a colleague."""

    event: str
    fields: dict[str, object]
    level: str = "info"


class Finish(msgspec.Struct, frozen=True):
    """The planned stop is complete: nothing is answered any more."""


CoreEffect = Layer2Effect | SendDatagram | Observe | Tell | Finish


class AnnouncerCore:
    """Turn what is desired and who is alive into what happens on the wire."""

    def __init__(
        self, node: str, membership: Membership, responder: Responder, *, lease_s: float
    ) -> None:
        self.responder = responder
        """For the hot path: `answer_arp` and `answer_ndp` need nothing of the rest."""
        self.membership = membership
        self._node = node
        self._lease_s = lease_s
        self._lease_until: float | None = None
        self._revision = 0
        self._has_desired = False
        self._has_links = False
        self._has_transport = False
        self._refresh_at: float | None = None
        self._refreshed_at = float("-inf")
        self._owned: dict[str, OwnedAddresses] = {}
        self._live: frozenset[str] | None = frozenset()

    # --- facts -------------------------------------------------------------------------------

    def on_brain_message(self, message: BrainMessage, now: float) -> list[CoreEffect]:
        """Take over what the brain wants, or that it still wants it."""
        self._lease_until = now + self._lease_s
        effects: list[CoreEffect] = []
        if isinstance(message, DesiredState):
            is_first = not self._has_desired
            self._has_desired = True
            self._revision = message.revision
            effects += self._apply(self.membership.on_peers(message.members, now), now)
            effects += self.responder.on_desired(message.layer2, now)
            if is_first:
                effects.append(Tell("announcer.first_desired_state", {"revision": self._revision}))
            effects.append(Observe())
        return self._finish(effects + self._consider_ready(now), now)

    def on_links(self, found: NodeInterfaces, now: float) -> list[CoreEffect]:
        """Take over the node's interfaces."""
        self._has_links = True
        effects: list[CoreEffect] = list(self.responder.on_interfaces(found, now))
        tells = [
            Tell("layer2.interface_opened", {"interface": effect.interface.name})
            if isinstance(effect, OpenInterface)
            else Tell("layer2.interface_closed", {"index": effect.interface})
            for effect in effects
            if isinstance(effect, OpenInterface | CloseInterface)
        ]
        return self._finish([*effects, *tells, Observe(), *self._consider_ready(now)], now)

    def on_transport(self, now: float) -> list[CoreEffect]:
        """Take note that datagrams can be received: who cannot hear the others owns nothing."""
        self._has_transport = True
        return self._finish(self._consider_ready(now), now)

    def on_datagram(self, source: str, port: int, payload: bytes, now: float) -> list[CoreEffect]:
        """Take in a datagram of the membership."""
        return self._finish(
            self._apply(self.membership.on_datagram(source, port, payload, now), now), now
        )

    def on_frame(self, interface: int, frame: bytes, now: float) -> list[CoreEffect]:
        """Answer a received frame; the wire uses the responder directly instead."""
        return list(self.responder.on_frame(interface, frame, now))

    def on_stop(self, now: float) -> list[CoreEffect]:
        """Begin the planned stop; `Finish` follows, at once or later."""
        return self._finish(self._apply(self.membership.on_leave(now), now), now)

    def next_deadline(self) -> float | None:
        """Return the earliest deadline of all parts."""
        deadlines = (
            self.membership.next_deadline(),
            self.responder.next_deadline(),
            self._lease_until,
            self._refresh_at,
        )
        return min((at for at in deadlines if at is not None), default=None)

    def on_deadline(self, now: float) -> list[CoreEffect]:
        """Do what is due in any part."""
        effects = self._apply(_due(self.membership, now), now)
        deadline = self.responder.next_deadline()
        if deadline is not None and now >= deadline:
            effects += self.responder.on_deadline(now)
        if self._refresh_at is not None and now >= self._refresh_at:
            effects += self._refresh(now)
        if self._lease_until is not None and now >= self._lease_until:
            self._lease_until = None
            effects.append(Tell("announcer.lease_expired", {}, level="error"))
            effects += self._apply(self.membership.on_ready(False, now), now)
        return self._finish(effects, now)

    # --- what it knows -----------------------------------------------------------------------

    def observation(self, loop_lag_s: float = 0.0) -> Observation:
        """Return what the brain should know now."""
        live = self.membership.live()
        return Observation(
            revision=self._revision,
            owned=tuple(
                OwnedService(owned.service, owned.addresses, owned.skipped)
                for owned in self.responder.owned
            ),
            live=(self._node,) if live is None else tuple(sorted(live)),
            interfaces=self.responder.interface_names,
            counters=tuple(
                AddressCounters(
                    address=count.address,
                    requests_received=count.requests_received,
                    responses_sent=count.responses_sent,
                    gratuitous_sent=count.gratuitous_sent,
                )
                for count in self.responder.counts()
            ),
            loop_lag_s=loop_lag_s,
        )

    def validate(self) -> None:
        """Assert the invariants of all parts."""
        self.membership.validate()
        self.responder.validate()
        assert self._owned == {owned.service: owned for owned in self.responder.owned}
        assert not self._owned or self._has_desired

    # --- putting together --------------------------------------------------------------------

    def _consider_ready(self, now: float) -> list[CoreEffect]:
        has_all = self._has_desired and self._has_links and self._has_transport
        if not has_all or self._lease_until is None:
            return []
        return self._apply(self.membership.on_ready(True, now), now)

    def _apply(self, effects: list[MembershipEffect], now: float) -> list[CoreEffect]:
        """Translate what the membership says, keeping its order."""
        applied: list[CoreEffect] = []
        for effect in effects:
            match effect:
                case SendDatagram():
                    applied.append(effect)
                case MemberUp(node=node):
                    applied += self._take_live(now)
                    applied.append(Tell("membership.up", {"node": node}))
                case MemberDown(node=node, reason=reason):
                    applied += self._take_live(now)
                    applied.append(Tell("membership.down", {"node": node, "reason": reason.value}))
                case MemberHearsUs():
                    self._refresh_at = max(now, self._refreshed_at + REFRESH_INTERVAL_S)
                    if self._refresh_at <= now:
                        applied += self._refresh(now)
                case Left():
                    applied += self._take_live(now)
                    applied.append(Finish())
        return applied

    def _take_live(self, now: float) -> list[CoreEffect]:
        live = self.membership.live()
        if live == self._live:
            return []
        self._live = live
        return [*self.responder.on_live(live, now), Observe()]

    def _refresh(self, now: float) -> list[CoreEffect]:
        self._refresh_at = None
        self._refreshed_at = now
        return list(self.responder.refresh(now))

    def _finish(self, effects: list[CoreEffect], now: float) -> list[CoreEffect]:
        """Add the story of who owns what, for people and for the brain."""
        del now
        owned = {owned.service: owned for owned in self.responder.owned}
        if owned == self._owned:
            return effects
        before, self._owned = self._owned, owned
        for name in sorted(owned.keys() - before.keys()):
            fields: dict[str, object] = {"service": name, "ips": list(owned[name].addresses)}
            effects.append(Tell("layer2.announced", fields))
        effects += [
            Tell("layer2.withdrawn", {"service": name})
            for name in sorted(before.keys() - owned.keys())
        ]
        effects.append(Observe())
        return effects


def _due(membership: Membership, now: float) -> list[MembershipEffect]:
    deadline = membership.next_deadline()
    return [] if deadline is None or now < deadline else membership.on_deadline(now)
