"""The announcer on real sockets: carries out what the core decides and feeds it what happens.

The composition only: `gossip` has the membership's sockets, `ports` those of the interfaces,
`routing_wire` those towards routers, which is made when there is a BGP peer for the first time. It
is imported before, which costs 1.3 MB: an import from a slow disk would stop the answers meanwhile.
Every fact is taken in behind what is long overdue, so that a process which stood still finds that
out before it believes what waited for it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import time
from typing import TYPE_CHECKING

from mercurylb.announcer.core import AnnouncerCore, CoreEffect, Finish, Observe, Tell
from mercurylb.announcer.desk import Desk
from mercurylb.announcer.families import silent_ipv6
from mercurylb.announcer.gossip import Gossip
from mercurylb.announcer.ports import Ports, without
from mercurylb.announcer.routing_wire import RoutingWire
from mercurylb.errors import LinkError
from mercurylb.layer2.interface import IFF_RUNNING, Link, NodeInterfaces, select_interfaces
from mercurylb.layer2.responder import Responder
from mercurylb.membership.combined import CombinedMembership
from mercurylb.membership.disabled import DisabledMembership
from mercurylb.membership.member import Exchange, Membership, ProbeKernel, SendDatagram
from mercurylb.membership.swim.keyring import derive_key
from mercurylb.net.aead import AesGcm
from mercurylb.net.channel import Channel
from mercurylb.net.driver import Driver
from mercurylb.net.fence import Fence
from mercurylb.net.links import LinkWatch
from mercurylb.net.prober import link_of
from mercurylb.net.turns import Turns
from mercurylb.plan.desired import BrainMessage, DesiredState
from mercurylb.plan.desk import AskPeers, DeskError, PeersAnswer, Question
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from mercurylb.announcer.settings import AnnouncerSettings, MembershipSettings

OBSERVE_DELAY_S = 0.005
"""Observations within this time are one."""
OBSERVE_INTERVAL_S = 2.0
"""Counters change without any event; this is how fresh the brain's are."""

_WRITERS = {"debug": log.debug, "info": log.info, "warn": log.warning, "error": log.error}


class Wire:
    """Own every socket towards the network; must be made on a running loop."""

    def __init__(
        self,
        settings: AnnouncerSettings,
        *,
        scheduling: str = "",
        on_desired: Callable[[], None],
        on_finished: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._scheduling = scheduling
        self._on_desired = on_desired
        self._on_finished = on_finished
        self._loop = asyncio.get_running_loop()
        responder = Responder(
            settings.node,
            periodic_interval_s=settings.gratuitous_interval_s,
            now=time.monotonic(),
        )
        membership = _membership(settings)
        self.core = AnnouncerCore(settings.node, membership, responder, lease_s=settings.lease_s)
        self._driver: Driver[CoreEffect] = Driver(self.core, self._perform)
        self._fence = Fence()
        self._ports = Ports(self.core, self._driver, self._fence, on_broken=self._tell_links)
        self._turns = Turns()
        self._routing: RoutingWire | None = None
        self._links_known: list[Link] | None = None
        self._is_stopping = False
        self._unfinished_count = 0
        self._desk = self._open_desk()
        self._found = NodeInterfaces()
        self._carrier = Carrier(settings.membership)
        self._channel: Channel[BrainMessage] | None = None
        self._is_observation_due = False
        self._silent_ipv6: tuple[str, ...] = ()
        self._gossip: Gossip | None = None
        if settings.membership is not None:
            self._gossip = Gossip(settings.membership, self.core, self._driver)
        self._links = LinkWatch(self._on_links, own=self._carrier.own)
        if self._gossip is not None:
            self._gossip.open()
        else:
            self._driver.take(self.core.on_transport(time.monotonic()))
        self._observe_regularly()

    def attach_brain(self, sock: socket.socket) -> None:
        """Listen to a brain instead of the one before."""
        if self._channel is not None:
            self._channel.close()
        self._channel = Channel(sock, BrainMessage, on_message=self._on_brain_message)
        self._schedule_observation()

    def stop(self) -> None:
        """Begin the planned stop; both parts at once, and the end is when both have finished."""
        self._is_stopping = True
        self._unfinished_count = 1 if self._routing is None else 2
        if self._routing is not None:
            self._routing.stop()
        self._driver.take(self.core.on_stop(self._driver.catch_up()))

    def close(self) -> None:
        """Close every socket."""
        self._driver.close()
        if self._desk is not None:
            self._desk.close()
        if self._routing is not None:
            self._routing.close()
        self._fence.close()
        self._links.close()
        if self._gossip is not None:
            self._gossip.close()
        self._ports.close()
        if self._channel is not None:
            self._channel.close()

    # --- facts -------------------------------------------------------------------------------

    def _on_brain_message(self, message: BrainMessage) -> None:
        now = self._driver.catch_up()
        self._driver.take(self.core.on_brain_message(message, now))
        if isinstance(message, DesiredState):
            self._on_desired()
            if message.bgp_peers:
                self._need_routing()
        if self._routing is not None:
            self._routing.on_brain_message(message)

    def _need_routing(self) -> None:
        """Have what BGP needs, from the first peer on."""
        if self._routing is not None or self._is_stopping:
            return
        self._routing = RoutingWire(
            self._settings,
            self._turns,
            on_observe=self._schedule_observation,
            on_tell=_tell,
            on_finished=self._part_finished,
        )
        if self._links_known is not None:
            self._routing.on_links(self._links_known)

    def _on_links(self, links: list[Link]) -> None:
        self._links_known = links
        self._found = select_interfaces(links, self._settings.excluded_interfaces)
        if self._gossip is not None:
            self._gossip.on_links(links)
        self._carrier.on_links(links)
        self._tell_links()
        if self._routing is not None:
            self._routing.on_links(links)

    def _tell_links(self) -> None:
        """Tell the core of every link that can be used."""
        now = self._driver.catch_up()
        found = without(self._found, self._ports.broken)
        has_carrier = self._carrier.is_running
        self._driver.take(self.core.on_links(found, now, has_carrier=has_carrier))

    # --- effects -----------------------------------------------------------------------------

    def _perform(self, effect: CoreEffect) -> None:
        match effect:
            case SendDatagram() | Exchange() | ProbeKernel():
                if self._gossip is not None:
                    _perform_gossip(self._gossip, effect)
            case Observe():
                self._schedule_observation()
            case Tell():
                _tell(effect)
            case Finish():
                self._part_finished()
            case _:
                self._ports.perform(effect)

    def _part_finished(self) -> None:
        self._unfinished_count -= 1
        if not self._unfinished_count:
            self._on_finished()

    # --- the desk ----------------------------------------------------------------------------

    def _open_desk(self) -> Desk | None:
        """Go without when another announcer of this network namespace has it."""
        try:
            return Desk(self._answer, self._turns)
        except LinkError as error:
            log.warning("announcer.desk_taken", error=str(error))
            return None

    def _answer(self, question: Question) -> object:
        if self._routing is not None:
            return self._routing.answer(question)
        node = self._settings.node
        if isinstance(question, AskPeers):
            return PeersAnswer(node, (), ())
        return DeskError(f"there is no peer {question.peer} on {node}")

    # --- observations ------------------------------------------------------------------------

    def _schedule_observation(self) -> None:
        if not self._is_observation_due:
            self._is_observation_due = True
            self._loop.call_later(OBSERVE_DELAY_S, self._observe)

    def _observe_regularly(self) -> None:
        self._schedule_observation()
        self._say_silent_ipv6()
        if self._gossip is not None:
            self._gossip.say_refused()
        self._loop.call_later(OBSERVE_INTERVAL_S, self._observe_regularly)

    def _say_silent_ipv6(self) -> None:
        """Say once that this node owns what it cannot announce, until it can."""
        before = self._silent_ipv6
        self._silent_ipv6 = silent_ipv6(self.core.responder.owned, self._found)
        if self._silent_ipv6 and not before:
            log.warning(
                "layer2.no_ipv6",
                msg="no interface of this node can announce IPv6 addresses; IPv4 goes on",
                ips=list(self._silent_ipv6),
                todo="give its interfaces IPv6 (net.ipv6.conf.*.disable_ipv6=0), or keep the node"
                " out by nodeSelectors",
            )

    def _observe(self) -> None:
        self._is_observation_due = False
        if self._channel is None or self._channel.is_closed:
            return
        drops = self._ports.drops()
        if self._gossip is not None:
            drops |= self._gossip.drops()
        lag_s = self._driver.take_lag()
        if self._routing is not None:
            drops |= self._routing.drops()
            lag_s = max(lag_s, self._routing.take_lag())
        now = time.monotonic()
        observation = self.core.observation(
            now, loop_lag_s=lag_s, scheduling=self._scheduling, drops=drops
        )
        if self._routing is not None:
            observation = self._routing.observed(observation, now)
        self._channel.send(observation)


class Carrier:
    """Whether the link that has the membership's own address runs.

    An address that was never seen on a link, such as one of a whole local range, says nothing; one
    that was there and is gone has lost its link.
    """

    def __init__(self, settings: MembershipSettings | None) -> None:
        self.own = b"" if settings is None else ipaddress.ip_address(settings.own_address).packed
        self.is_running = True
        self._has_been_seen = False

    def on_links(self, links: list[Link]) -> None:
        """Take over the node's links."""
        found = link_of(links, self.own)
        if found is not None:
            self._has_been_seen = True
            self.is_running = bool(found[0].flags & IFF_RUNNING)
        else:
            self.is_running = not self._has_been_seen


def _tell(told: Tell) -> None:
    _WRITERS[told.level](told.event, **told.fields)


def _perform_gossip(gossip: Gossip, effect: SendDatagram | Exchange | ProbeKernel) -> None:
    match effect:
        case SendDatagram():
            gossip.send(effect.address, effect.payload, effect.port)
        case Exchange():
            gossip.exchange(effect)
        case ProbeKernel():
            gossip.probe(effect.address)


def _membership(settings: AnnouncerSettings) -> Membership:
    chosen = settings.membership
    if chosen is None:
        return DisabledMembership(settings.node)
    return CombinedMembership(
        settings.node,
        chosen.own_address,
        chosen.bind_port,
        secret=chosen.secret,
        seal=AesGcm(derive_key(chosen.secret)) if chosen.secret else None,
        config=chosen.swim,
        chance=random.SystemRandom(),
        incarnation=int(time.time()),
    )
