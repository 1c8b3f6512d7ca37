"""BGP, BFD and router discovery put together, without sockets (pure).

The part of the announcer that only exists where there are BGP peers. Facts come from the brain, the
links, connections, datagrams and one timer of its own; effects go to `routing_wire`. The rules that
live here and nowhere else:

* nothing is dialled or listened for before the brain's first desired state, which holds all routes:
  after a restart a peer that kept ours sees no gap;
* the **lease**: a brain that says nothing for `lease_s` has every route withdrawn; the sessions
  stay, and the next word of a brain brings the routes back;
* **BFD**: a failure of the session that watches a peer (`watching`) ends the peer's BGP session;
  that a peer switches BFD off does not;
* a link with addresses that is new or back, or a new address, has peers that wait for their next
  attempt dialled at once; so has the device that a peer names;
* the **stop**: routes leave gracefully first (`bgp.speaker`), then BFD is switched off on purpose,
  then this is no router any more; all within `STOP_MAX_S`.

It does not do: sockets, clocks, log lines; what is said in BGP and BFD.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from mercurylb.announcer.core import Observe, Tell
from mercurylb.announcer.discovery import Discovery, DiscoveryEffect, RouterFound
from mercurylb.announcer.reach import ends_of
from mercurylb.announcer.watching import improved, may_profit, watches
from mercurylb.bfd.effect import (
    Arrival,
    BfdChanged,
    BfdEffect,
    BfdKey,
    ClosePort,
    OpenPort,
    SendPacket,
)
from mercurylb.bfd.table import BfdTable
from mercurylb.bgp.effect import (
    BgpEffect,
    Close,
    Connect,
    Discover,
    Ends,
    Send,
    SessionChanged,
    Stopped,
)
from mercurylb.bgp.settings import PeerSettings
from mercurylb.bgp.speaker import LEAVE_S, BgpSpeaker
from mercurylb.plan.desired import BgpPeer, BrainMessage, DesiredState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mercurylb.bfd.report import BfdReport
    from mercurylb.bgp.report import SessionReport
    from mercurylb.layer2.interface import Link

STOP_MAX_S = LEAVE_S + 0.6
"""From the beginning of a planned stop to its end, whatever the peers do."""
FAREWELL_S = 0.1
"""For the last packets of BFD and router discovery."""
STOP_TEXT = "the speaker is being stopped"
ESTABLISHED = "Established"


class Chance(Protocol):
    """What is needed of a source of randomness."""

    def random(self) -> float:
        """Give a number from 0 to below 1."""

    def getrandbits(self, count: int, /) -> int:
        """Give so many bits."""


class Listen(msgspec.Struct, frozen=True):
    """Accept connections of these peers, who may have passwords and VRFs."""

    peers: tuple[PeerSettings, ...]


class Finished(msgspec.Struct, frozen=True):
    """The planned stop is complete, as far as routes are concerned."""


RoutingEffect = (
    Connect
    | Send
    | Close
    | OpenPort
    | ClosePort
    | SendPacket
    | DiscoveryEffect
    | Listen
    | Observe
    | Tell
    | Finished
)


class RoutingCore:
    """Sessions with routers, and what watches them."""

    def __init__(
        self, node: str, *, chance: Chance, lease_s: float, has_listener: bool = False
    ) -> None:
        self.speaker = BgpSpeaker(node, chance=chance, gr_restarting=True)
        self.bfd = BfdTable(chance)
        self.discovery = Discovery()
        self.node = node
        self._lease_s = lease_s
        self._lease_until: float | None = None
        self._has_listener = has_listener
        self._desired: DesiredState | None = None
        self._has_routes = False
        """Whether the speaker was told the desired state's routes, rather than none."""
        self._links: tuple[Link, ...] | None = None
        self._routers: dict[str, str] = {}
        self._keys: dict[str, BfdKey] = {}
        """By the name of the peer."""
        self._states: dict[str, str] = {}
        self._reasons: dict[str, str] = {}
        self._stop_until: float | None = None
        self._is_stopped = False

    # --- the brain ---------------------------------------------------------------------------

    def on_brain_message(self, message: BrainMessage, now: float) -> list[RoutingEffect]:
        """Take over what the brain wants, or that it still wants it."""
        if self._stop_until is not None:
            return []
        self._lease_until = now + self._lease_s
        before = self._desired
        if isinstance(message, DesiredState):
            self._desired = message
        wanted = self._desired
        if wanted is None:
            return []
        effects: list[RoutingEffect] = []
        if before is None or before.bgp_peers != wanted.bgp_peers:
            effects += self._take_peers(wanted.bgp_peers, now)
        if not self._has_routes or before is None or before.bgp_routes != wanted.bgp_routes:
            self._has_routes = True
            effects += self._bgp(self.speaker.on_routes(wanted.bgp_routes, now), now)
        return effects

    def _take_peers(self, peers: Sequence[BgpPeer], now: float) -> list[RoutingEffect]:
        settings = tuple(peer.settings for peer in peers)
        names = {one.name for one in settings}
        for known in (self._states, self._reasons):
            for name in known.keys() - names:
                del known[name]
        effects = self._bgp(self.speaker.on_peers(settings, now), now)
        if self._has_listener:
            effects.append(Listen(settings))
        return [*effects, *self._pair(now), Observe()]

    # --- links -------------------------------------------------------------------------------

    def on_links(self, links: Sequence[Link], now: float) -> list[RoutingEffect]:
        """Take over the node's links."""
        before, self._links = self._links, tuple(links)
        if self._stop_until is not None:
            return []
        effects = self._discovered(self.discovery.on_links(links, now), now)
        effects += self._pair(now)
        better = improved(before or (), self._links)
        for peer in self._peers() if better else ():
            if may_profit(peer.settings, better):
                effects += self._bgp(self.speaker.on_retry(peer.settings.name, now), now)
        return effects

    def ends(self, local: str, remote: str, scope: int) -> Ends:
        """Return what is known of a connection; `scope` is of a link-local address, else 0."""
        return ends_of(local, remote, scope, self._links or ())

    # --- connections -------------------------------------------------------------------------

    def on_connected(self, connection: int, ends: Ends, now: float) -> list[RoutingEffect]:
        """Take a connection that `Connect` asked for."""
        return self._bgp(self.speaker.on_connected(connection, ends, now), now)

    def on_connect_failed(self, connection: int, reason: str, now: float) -> list[RoutingEffect]:
        """Note that a connection that `Connect` asked for did not come to be."""
        return self._bgp(self.speaker.on_connect_failed(connection, reason, now), now)

    def on_accepted(
        self, peer: str, connection: int, ends: Ends, now: float
    ) -> list[RoutingEffect]:
        """Take an incoming connection, to whom `speaker.allocate` gave the number."""
        return self._bgp(self.speaker.on_accepted(peer, connection, ends, now), now)

    def on_received(self, connection: int, octets: bytes, now: float) -> list[RoutingEffect]:
        """Take what a connection brought."""
        return self._bgp(self.speaker.on_received(connection, octets, now), now)

    def on_closed(self, connection: int, reason: str, now: float) -> list[RoutingEffect]:
        """Note that the other side, or the kernel, ended a connection."""
        return self._bgp(self.speaker.on_closed(connection, reason, now), now)

    def on_drained(self, connection: int, now: float) -> list[RoutingEffect]:
        """Note that everything that was sent has left."""
        return self._bgp(self.speaker.on_drained(connection, now), now)

    # --- BFD and router discovery ------------------------------------------------------------

    def on_packet(self, arrival: Arrival, now: float) -> list[RoutingEffect]:
        """Take in a packet of BFD."""
        return self._watched(self.bfd.on_packet(arrival, now), now)

    def on_send_failed(self, key: BfdKey, reason: str, now: float) -> list[RoutingEffect]:
        """Note that a packet of BFD cannot be sent (now)."""
        return self._watched(self.bfd.on_send_failed(key, reason, now), now)

    def on_router_message(
        self, index: int, source: str, octets: bytes, now: float
    ) -> list[RoutingEffect]:
        """Take in a message of router discovery."""
        return self._discovered(self.discovery.on_message(index, source, octets, now), now)

    # --- time --------------------------------------------------------------------------------

    def on_stop(self, now: float) -> list[RoutingEffect]:
        """Begin the planned stop; `Finished` follows."""
        if self._stop_until is not None:
            return []
        self._stop_until = now + STOP_MAX_S
        self._lease_until = None
        return self._bgp(self.speaker.on_stop(now, text=STOP_TEXT), now)

    def next_deadline(self) -> float | None:
        """Return the earliest deadline of all parts."""
        deadlines = (
            self.speaker.next_deadline(),
            self.bfd.next_deadline(),
            self.discovery.next_deadline(),
            self._lease_until,
            self._stop_until if not self._is_stopped else None,
        )
        return min((at for at in deadlines if at is not None), default=None)

    def on_deadline(self, now: float) -> list[RoutingEffect]:
        """Do what is due in any part."""
        effects: list[RoutingEffect] = []
        if _is_due(self.bfd.next_deadline(), now):
            effects += self._watched(self.bfd.on_deadline(now), now)
        if _is_due(self.speaker.next_deadline(), now):
            effects += self._bgp(self.speaker.on_deadline(now), now)
        if _is_due(self.discovery.next_deadline(), now):
            effects += self._discovered(self.discovery.on_deadline(now), now)
        if _is_due(self._lease_until, now):
            self._lease_until = None
            self._has_routes = False
            effects += self._bgp(self.speaker.on_routes((), now), now)
        if not self._is_stopped and _is_due(self._stop_until, now):
            effects += self._finish()
        return effects

    # --- what it knows -----------------------------------------------------------------------

    def sessions(self, now: float) -> tuple[SessionReport, ...]:
        """Return every configured peer, by name, and how BFD sees it."""
        reports = []
        for report in self.speaker.reports(now):
            key = self._keys.get(report.name)
            watch = None if key is None else self.bfd.report(key, now)
            state = "" if watch is None else watch.state
            reports.append(msgspec.structs.replace(report, bfd=state))
        return tuple(reports)

    def bfd_reports(self, now: float) -> tuple[BfdReport, ...]:
        """Return every BFD session."""
        return self.bfd.reports(now)

    def drops(self) -> dict[str, int]:
        """Return what was not believed, by reason."""
        found = {f"bfd {reason}": count for reason, count in self.bfd.refused.items()}
        found["router discovery malformed"] = self.discovery.malformed_count
        return found

    def watch_of(self, peer: str) -> BfdKey | None:
        """Return the BFD session that watches a peer."""
        return self._keys.get(peer)

    def validate(self) -> None:
        """Assert the invariants of all parts."""
        self.speaker.validate()
        self.bfd.validate()
        assert self._keys.keys() <= {peer.settings.name for peer in self._peers()}

    def _peers(self) -> tuple[BgpPeer, ...]:
        return () if self._desired is None else self._desired.bgp_peers

    # --- putting together --------------------------------------------------------------------

    def _bgp(self, effects: list[BgpEffect], now: float) -> list[RoutingEffect]:
        """Translate what the speaker says, keeping its order."""
        applied: list[RoutingEffect] = []
        for effect in effects:
            match effect:
                case Connect() | Send() | Close():
                    applied.append(effect)
                case SessionChanged():
                    applied += self._changed(effect)
                case Discover(interface=interface, is_wanted=is_wanted):
                    found = self.discovery.on_wanted(interface, now, is_wanted=is_wanted)
                    applied += self._discovered(found, now)
                case Stopped():
                    applied += self._say_goodbye(now)
        return applied

    def _changed(self, change: SessionChanged) -> list[RoutingEffect]:
        """Tell of what an operator would tell a colleague: each thing once."""
        before = self._states.get(change.peer)
        self._states[change.peer] = change.state
        fields: dict[str, object] = {"peer": change.peer}
        if change.state == ESTABLISHED:
            self._reasons.pop(change.peer, None)
            return [Tell("bgp.session_up", fields), Observe()]
        fields["reason"] = change.reason
        if before == ESTABLISHED:
            self._reasons[change.peer] = change.reason
            return [Tell("bgp.session_down", fields, level="warn"), Observe()]
        if change.reason and self._reasons.get(change.peer) != change.reason:
            self._reasons[change.peer] = change.reason
            return [Tell("bgp.no_session", fields, level="warn"), Observe()]
        return [Observe()]

    def _watched(self, effects: list[BfdEffect], now: float) -> list[RoutingEffect]:
        """Translate what BFD says; a failure ends the sessions of the peers it watches."""
        applied: list[RoutingEffect] = []
        for effect in effects:
            if isinstance(effect, BfdChanged):
                applied += self._bfd_changed(effect, now)
            else:
                applied.append(effect)
        return applied

    def _bfd_changed(self, change: BfdChanged, now: float) -> list[RoutingEffect]:
        effects: list[RoutingEffect] = [Observe()]
        is_up = change.state == "Up"
        if is_up or change.is_failure:
            for name in [name for name, key in self._keys.items() if key == change.key]:
                fields: dict[str, object] = {"peer": name, "reason": change.diagnostic}
                if is_up:
                    effects.append(Tell("bfd.session_up", {"peer": name}))
                else:
                    effects.append(Tell("bfd.session_down", fields, level="warn"))
                told = self.speaker.on_bfd(name, is_up=is_up, reason=change.diagnostic, now=now)
                effects += self._bgp(told, now)
        return effects

    def _discovered(self, effects: list[DiscoveryEffect], now: float) -> list[RoutingEffect]:
        applied: list[RoutingEffect] = []
        for effect in effects:
            if not isinstance(effect, RouterFound):
                applied.append(effect)
                continue
            interface, link_local = effect.interface, effect.link_local
            if link_local:
                self._routers[interface] = link_local
                fields: dict[str, object] = {"interface": interface, "router": link_local}
                applied.append(Tell("bgp.router_found", fields))
            applied += self._bgp(self.speaker.on_discovered(interface, link_local, now), now)
            applied += self._pair(now)
        return applied

    def _pair(self, now: float) -> list[RoutingEffect]:
        """Have just those BFD sessions that the peers want."""
        if self._links is None or self._stop_until is not None:
            return []
        self._keys, wanted = watches(
            self._peers(), self._links, routers=self._routers, before=self._keys
        )
        return self._watched(self.bfd.on_wanted(wanted, now), now)

    # --- the end -----------------------------------------------------------------------------

    def _say_goodbye(self, now: float) -> list[RoutingEffect]:
        """Let go of the rest, now that the peers know."""
        effects = self._watched(self.bfd.on_stop(now), now)
        effects += self._discovered(self.discovery.on_stop(), now)
        if effects and self._stop_until is not None:
            self._stop_until = min(self._stop_until, now + FAREWELL_S)
            return effects
        return [*effects, *self._finish()]

    def _finish(self) -> list[RoutingEffect]:
        self._is_stopped = True
        return [Finished()]


def _is_due(deadline: float | None, now: float) -> bool:
    return deadline is not None and now >= deadline
