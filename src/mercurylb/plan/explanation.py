"""The whole chain for one service, made of the same decisions on which the programs act.

Service → pools → address → candidate nodes → who announces. On top stands one cause. A snapshot may
show a cluster whose configuration is rejected: then the chain is drawn with the objects that are
all right, since the last good configuration, which is in force, is in the programs' memory only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.allocator.book import Book
from mercurylb.api.service import LOAD_BALANCER
from mercurylb.config.problem import clip
from mercurylb.config.resources import Resources, for_controller
from mercurylb.errors import Problem
from mercurylb.plan.announcer import Announcer, find_announcers
from mercurylb.plan.cause import Cause, CauseCode
from mercurylb.plan.claim import read_ingress
from mercurylb.plan.decision import Outcome, ServiceDecision
from mercurylb.plan.disputed import find_disputes, why_disputed
from mercurylb.plan.layer2 import Layer2Decision, plan_layer2
from mercurylb.plan.notes import take_notes
from mercurylb.plan.pending import why_pending, why_wish_fails
from mercurylb.plan.request import Offer, listed
from mercurylb.plan.salvage import salvage
from mercurylb.plan.service import is_ours, plan_all, plan_service
from mercurylb.plan.snapshot import ServiceEvent, Snapshot
from mercurylb.plan.testimony import Dispute, is_missed
from mercurylb.plan.unannounced import why_unannounced
from mercurylb.plan.unannounced_bgp import (
    NodeBgp,
    announcing,
    plan_nodes,
    tell_down,
    why_down,
    why_unheard,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mercurylb.api.service import Service
    from mercurylb.config.model import Pool

_ENDED_PHASES: Final = frozenset(("Succeeded", "Failed"))
_LOCAL_FAULTS: Final = frozenset((CauseCode.NO_ENDPOINTS, CauseCode.NO_LOCAL_ENDPOINTS))
"""True whatever the configuration is."""
_PROBLEMS_SHOWN_MAX: Final = 3
_EVENTS_MAX: Final = 5


class Explanation(msgspec.Struct, frozen=True):
    """The chain, and the cause on top of it."""

    service: str
    cause: Cause
    has: tuple[str, ...] = ()
    """Addresses in the service's status."""
    address: ServiceDecision | None = None
    """What is decided about its addresses; None if it is not looked at."""
    layer2: Layer2Decision | None = None
    bgp: tuple[NodeBgp, ...] = ()
    """What each node does about it by BGP; empty if no BGPAdvertisement has its pool."""
    announcers: tuple[Announcer, ...] = ()
    """Who says that it announces it."""
    expected: str = ""
    """The node that is to announce it by layer 2; empty if none can."""
    disputes: tuple[Dispute, ...] = ()
    """Who else claims its addresses, as the announcing speaker sees it."""
    problems: tuple[Problem, ...] = ()
    """Of the configuration."""
    notes: tuple[str, ...] = ()
    """What else is worth knowing."""
    events: tuple[ServiceEvent, ...] = ()
    """The last ones about the service."""


def explain_service(snapshot: Snapshot, key: str) -> Explanation | None:
    """Explain a service by `namespace/name`; None if the snapshot has no such service."""
    service = snapshot.service(key)
    if service is None:
        return None
    wish = service.wish
    if wish.type != LOAD_BALANCER:
        sentence = f"the service is of type {wish.type}, and only a LoadBalancer gets an address"
        advice = "set spec.type to LoadBalancer if it is to have one"
        return Explanation(key, Cause(CauseCode.NOT_LOAD_BALANCER, sentence, advice))
    if not is_ours(service, snapshot.settings.lb_class):
        return Explanation(key, _other_class(service, snapshot.settings.lb_class))
    return _Explainer(snapshot, service).explain()


def _other_class(service: Service, lb_class: str) -> Cause:
    own = service.wish.load_balancer_class
    ours = f"those of class {lb_class}" if lb_class else "services without a class"
    has = f"has loadBalancerClass {own}" if own else "has no loadBalancerClass"
    return Cause(
        CauseCode.OTHER_CLASS,
        f"the service {has}, and MercuryLB looks after {ours}",
        "create it anew with the right class if it is to be looked after",
    )


class _Explainer:
    """One service on its way through the questions."""

    def __init__(self, snapshot: Snapshot, service: Service) -> None:
        self.snapshot = snapshot
        self.service = service
        self.key = service.metadata.key
        self.has = read_ingress(service)
        resources = snapshot.resources()
        unreadable = tuple(
            problem for problem in snapshot.unreadable if not problem.object.startswith("Service ")
        )
        config, problems = salvage(for_controller(resources))
        self.config = config
        self.rejections = (*_about_pools(unreadable), *problems)
        self.speaker_config, problems = salvage(resources)
        self.speaker_rejections = (*unreadable, *problems)
        self.book = Book()
        self.book.set_pools(config.pools)
        self.decision = self._decide()
        self.bgp: tuple[NodeBgp, ...] = ()

    def _decide(self) -> ServiceDecision:
        ours = [
            item
            for item in self.snapshot.services
            if is_ours(item, self.snapshot.settings.lb_class)
        ]
        decisions = plan_all(ours, book=self.book)
        decision = next(item for item in decisions if item.service == self.key)
        if decision.outcome is Outcome.KEPT:
            verdicts = plan_service(self.service, book=self.book, explain=True).verdicts
            decision = msgspec.structs.replace(decision, verdicts=verdicts)
        return msgspec.structs.replace(decision, patch=None)

    def explain(self) -> Explanation:
        running = self._running()
        layer2, expected = self._rank(running)
        pool = next((p for p in self.speaker_config.pools if p.name == layer2.pool), None)
        if pool is not None and pool.bgp_advertisements:
            self.bgp = plan_nodes(self.service, self.speaker_config, self.snapshot, running.keys())
        announcers = find_announcers(self.snapshot, self.key)
        disputes = find_disputes(self.snapshot, self.key, self.has)
        cause = self._why_no_address() or self._why_silent(layer2, expected, announcers)
        if cause.code is CauseCode.ANNOUNCED and disputes:
            cause = why_disputed(disputes, cause)
        mine = [event for event in self.snapshot.events if event.service == self.key]
        mine.sort(key=lambda event: event.when)
        return Explanation(
            service=self.key,
            cause=cause,
            has=self.has,
            address=self.decision,
            layer2=layer2 if self.has else None,
            bgp=self.bgp if self.has else (),
            announcers=announcers,
            expected=expected,
            disputes=disputes,
            problems=self.speaker_rejections,
            notes=(
                *take_notes(self.snapshot, self.service, cause),
                *tell_down(self.bgp, self.snapshot),
            ),
            events=tuple(mine[-_EVENTS_MAX:]),
        )

    # --- the address -------------------------------------------------------------------------

    def _why_no_address(self) -> Cause | None:
        """Tell why it has not the addresses it should have; None if it has them."""
        wish_fails = why_wish_fails(self.service)
        if self.has:
            if self.decision.outcome is Outcome.HELD and wish_fails is not None:
                return wish_fails
            if self.rejections or set(self.decision.addresses) == set(self.has):
                return None  # With a rejected configuration it keeps what it has.
        if wish_fails is not None:
            return wish_fails
        if self.rejections:
            return self._rejected()
        if not self.decision.addresses:
            offer = self._offer()
            return why_pending(self.service, self.decision, offer)
        return self._why_not_written()

    def _offer(self) -> Offer:
        home = self.snapshot.settings.namespace
        astray = [item for item in self.snapshot.pools if item.metadata.namespace != home]
        where: dict[str, tuple[str, ...]] = {}
        for item in astray:
            name = item.metadata.name
            where[name] = (*where.get(name, ()), item.metadata.namespace)
        return Offer(
            book=self.book,
            pools={pool.name: pool for pool in self.config.pools},
            misplaced=where,
            misplaced_pools=salvage(Resources(pools=tuple(astray)))[0].pools,
            home=home,
        )

    def _rejected(self) -> Cause:
        shown = [str(problem) for problem in self.rejections[:_PROBLEMS_SHOWN_MAX]]
        more = len(self.rejections) - len(shown)
        rest = f"; and {more} more" if more > 0 else ""
        return Cause(
            CauseCode.CONFIGURATION_REJECTED,
            "the controller rejects the whole configuration, and goes on with the last good one,"
            f" if it had any: {'; '.join(shown)}{rest}",
            "correct or delete the objects that are named; `mercurylb validate` checks them before",
        )

    def _why_not_written(self) -> Cause:
        snapshot = self.snapshot
        wanted = ", ".join(self.decision.addresses)
        home = snapshot.settings.namespace
        if snapshot.are_pods_known and not any(pod.is_ready for pod in snapshot.controllers):
            which = "is not ready" if snapshot.controllers else "does not run"
            return Cause(
                CauseCode.CONTROLLER_NOT_RUNNING,
                f"the controller {which} in namespace {home}; the service would get {wanted}",
                "look at the controller's Deployment, its pod and the log of it",
            )
        states = [s for s in snapshot.configuration_states if s.metadata.name == "controller"]
        invalid = [
            s.status.error_summary for s in states if s.status and s.status.result == "Invalid"
        ]
        if invalid:
            return Cause(
                CauseCode.CONFIGURATION_REJECTED,
                f"the controller says that the configuration is wrong: {clip(invalid[0], 1024)}",
                "correct the objects it names",
            )
        had = f" instead of {', '.join(self.has)}" if self.has else ""
        return Cause(
            CauseCode.NOT_YET_WRITTEN,
            f"the service is to get {wanted} of pool {self.decision.pool}{had}, and that is not"
            " written yet",
            "look again; if it stays so, look at the controller's log",
        )

    # --- the announcement --------------------------------------------------------------------

    def _running(self) -> dict[str, bool]:
        """Give the nodes that have a speaker, and whether it is ready and nobody misses it."""
        snapshot = self.snapshot
        running = {
            pod.node: pod.is_ready
            for pod in sorted(snapshot.speakers, key=lambda pod: pod.is_ready)
            if pod.node and not (pod.status and pod.status.phase in _ENDED_PHASES)
        }
        if not snapshot.are_pods_known:
            running = dict.fromkeys((node.metadata.name for node in snapshot.nodes), True)
        for node in running:
            running[node] &= not is_missed(node, snapshot.configuration_states)
        return running

    def _rank(self, running: Mapping[str, bool]) -> tuple[Layer2Decision, str]:
        """Rank the candidates; gives the decision from the view of the node that is to announce."""
        snapshot = self.snapshot
        nodes = {node.metadata.name: node for node in snapshot.nodes}
        expected = ""
        for _ in range(2):
            decision = plan_layer2(
                self.service,
                config=self.speaker_config,
                nodes=nodes,
                endpoint_slices=[s for s in snapshot.endpoint_slices if s.service_key == self.key],
                speakers=running.keys(),
                node=expected,
                ignore_exclude_lb=snapshot.settings.ignore_exclude_lb,
            )
            if not decision.ranking:
                break
            expected = next((node for node in decision.ranking if running[node]), "")
        return decision, expected

    def _why_silent(
        self, layer2: Layer2Decision, expected: str, announcers: tuple[Announcer, ...]
    ) -> Cause:
        """Tell who announces it, or why nobody does."""
        bgp = sorted(each.node for each in announcers if each.protocol == "bgp")
        pool = next((p for p in self.speaker_config.pools if p.name == layer2.pool), None)
        if pool is not None and pool.bgp_advertisements and not pool.l2_advertisements:
            return self._why_unheard(pool, bgp)
        obstacle = pool and why_unannounced(self.service, layer2, pool, self.snapshot)
        if obstacle and not bgp:
            is_local = obstacle.code in _LOCAL_FAULTS
            return obstacle if is_local else self._rejected_by_speakers() or obstacle
        if bgp and (obstacle or not expected):
            return self._heard(bgp)
        nodes = [each.node for each in announcers if each.protocol == "layer2"]
        if expected and expected in nodes:
            more = f", and by BGP from {listed(bgp)}" if bgp else ""
            sentence = f"{self._named()} from node {expected} by layer 2{more}"
            return Cause(CauseCode.ANNOUNCED, sentence)
        if nodes and self.speaker_rejections:
            sentence = (
                f"{self._named()} from node {listed(nodes)} by layer 2, as the last good"
                " configuration says; the present one is rejected"
            )
            return Cause(CauseCode.ANNOUNCED, sentence)
        return self._rejected_by_speakers() or self._why_not_yet(layer2, expected, nodes)

    def _why_unheard(self, pool: Pool, nodes: list[str]) -> Cause:
        """Tell who announces by BGP what only BGP is to announce, or why nobody does."""
        obstacle = why_unheard(self.service, self.bgp, pool, self.snapshot)
        if nodes and (obstacle is None or self.speaker_rejections):
            return why_down(self.bgp, self.snapshot) or self._heard(nodes)
        if obstacle is not None:
            is_local = obstacle.code in _LOCAL_FAULTS
            return obstacle if is_local else self._rejected_by_speakers() or obstacle
        expected = listed(announcing(self.bgp))
        if not self.snapshot.bgp_statuses and not self.snapshot.are_pods_known:
            return Cause(
                CauseCode.ANNOUNCED,
                f"{', '.join(self.has)} is to be announced by BGP from {expected}; the snapshot has"
                " no ServiceBGPStatus that says so",
            )
        return self._rejected_by_speakers() or Cause(
            CauseCode.NOT_YET_ANNOUNCED,
            f"{expected} is to announce {', '.join(self.has)} by BGP, and does not say yet that it"
            " does",
            "look again; if it stays so, look at the log of the speaker on that node",
        )

    def _heard(self, nodes: list[str]) -> Cause:
        return Cause(CauseCode.ANNOUNCED, f"{self._named()} by BGP from {listed(nodes)}")

    def _named(self) -> str:
        pool = f" of pool {self.decision.pool}" if self.decision.pool else ""
        return f"{', '.join(self.has)}{pool} is announced"

    def _rejected_by_speakers(self) -> Cause | None:
        if not self.speaker_rejections:
            return None
        shown = [str(problem) for problem in self.speaker_rejections[:_PROBLEMS_SHOWN_MAX]]
        return Cause(
            CauseCode.SPEAKER_CONFIGURATION_REJECTED,
            "the speakers reject the whole configuration, and go on with the last good one, if they"
            f" had any: {'; '.join(shown)}",
            "correct or delete the objects that are named",
        )

    def _why_not_yet(self, layer2: Layer2Decision, expected: str, nodes: list[str]) -> Cause:
        home = self.snapshot.settings.namespace
        if not expected:
            return Cause(
                CauseCode.SPEAKERS_NOT_RUNNING,
                f"the speakers on {listed(layer2.ranking)} are not ready",
                f"look at the speaker's pods in namespace {home} and their logs",
            )
        failed = [event for event in self.snapshot.events if event.reason == "announceFailed"]
        if layer2.interfaces is not None and any(e.service == self.key for e in failed):
            names = listed(layer2.interfaces)
            return Cause(
                CauseCode.INTERFACE_MISSING,
                f"node {expected} is to announce it on {names}, and has no such interface",
                "correct spec.interfaces of the L2Advertisement",
            )
        if not self.snapshot.l2_statuses and not self.snapshot.are_pods_known:
            return Cause(
                CauseCode.ANNOUNCED,
                f"node {expected} is to announce {', '.join(self.has)}; the snapshot has no"
                " ServiceL2Status that says so",
            )
        other = f"; {listed(nodes)} says that it does" if nodes else ""
        return Cause(
            CauseCode.NOT_YET_ANNOUNCED,
            f"node {expected} is to announce {', '.join(self.has)}, and does not say yet that it"
            f" does{other}",
            "look again; if it stays so, look at the log of the speaker on that node",
        )


def _about_pools(problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    kinds = ("IPAddressPool ", "Community ")
    return tuple(problem for problem in problems if problem.object.startswith(kinds))
