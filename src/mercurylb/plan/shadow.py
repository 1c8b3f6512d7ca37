"""What we would do differently than whoever is in charge, by what the objects say.

Shadow mode decides with the same functions as always and writes nothing. What comes of a decision
is laid beside what the objects show; whatever is not the same is a `Difference`. The others act a
moment later than we decide, or a moment earlier, so only a difference that stands for a while is
one: `Ledger` tells each once, and once that it is over.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.allocator.book import Book
from mercurylb.errors import ParseError
from mercurylb.plan.claim import read_ingress
from mercurylb.plan.service import is_ours, plan_all
from mercurylb.values.address import parse_address

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from mercurylb.api.configuration_state import ConfigurationState
    from mercurylb.api.service import Service
    from mercurylb.api.service_bgp_status import ServiceBGPStatus
    from mercurylb.api.service_l2_status import ServiceL2Status
    from mercurylb.config.model import Pool
    from mercurylb.plan.decision import ServiceDecision
    from mercurylb.plan.layer2 import Layer2Decision

SETTLE_S: Final = 5.0
"""How long a difference has to stand: longer than a program takes to act on what it sees."""
NOBODY: Final = "nobody"
NOTHING: Final = "nothing"


class Aspect(StrEnum):
    """What is different."""

    CONFIGURATION = "configuration"
    """One side accepts it, the other does not."""
    ADDRESSES = "addresses"
    STATUS = "status"
    """Same addresses; something else in the object would be written."""
    LAYER2 = "layer2"
    """Who answers for the service's addresses."""
    BGP = "bgp"
    """Which peers this node announces the service to."""


class Difference(msgspec.Struct, frozen=True):
    """One thing that we would do differently."""

    subject: str
    """`namespace/name` of a service, or the name of a ConfigurationState."""
    aspect: Aspect
    ours: str
    theirs: str
    reason: str = ""
    """Why we would."""


def compare_services(
    services: Iterable[Service], pools: Iterable[Pool], *, lb_class: str = ""
) -> tuple[Difference, ...]:
    """Compare the services' statuses with what a controller of ours would make of them.

    It is the first pass after a start, with a book of its own: what we would do if we took over
    now, each time anew.
    """
    book = Book()
    book.set_pools(pools)
    ours = {item.metadata.key: item for item in services if is_ours(item, lb_class)}
    found = [
        _compare_service(ours[decision.service], decision)
        for decision in plan_all(ours.values(), book=book)
    ]
    return tuple(each for each in found if each is not None)


def _compare_service(service: Service, decision: ServiceDecision) -> Difference | None:
    has = _canonical(read_ingress(service))
    key, reason = decision.service, decision.pending_reason
    if sorted(has) != sorted(decision.addresses):
        ours, theirs = _joined(decision.addresses, NOTHING), _joined(has, NOTHING)
        return Difference(key, Aspect.ADDRESSES, ours, theirs, reason)
    patch = decision.patch
    if patch is None or patch.is_condition_only or not has:
        return None
    return Difference(key, Aspect.STATUS, patch.body.decode(), "as it is", reason)


def compare_layer2(
    decisions: Mapping[str, Layer2Decision],
    statuses: Iterable[ServiceL2Status],
    *,
    node: str,
    live: Collection[str],
) -> Iterator[Difference]:
    """Compare what this node would answer for with what it answers for, as the speakers say.

    `live` are the nodes on which a speaker works.
    """
    shown: dict[str, set[str]] = {}
    for status in statuses:
        if status.service_key and status.node:
            shown.setdefault(status.service_key, set()).add(status.node)
    for service in sorted(decisions.keys() | shown.keys()):
        decision, now = decisions.get(service), shown.get(service, set())
        owner = _owner(decision, live)
        if (owner == node) == (node in now):
            continue
        yield Difference(
            service,
            Aspect.LAYER2,
            owner or NOBODY,
            _joined(now, NOBODY),
            _why(decision, owner, node),
        )


def _owner(decision: Layer2Decision | None, live: Collection[str]) -> str:
    """Give who would answer: the first of the ranking that lives; empty for nobody."""
    return next((each for each in decision.ranking if each in live), "") if decision else ""


def _why(decision: Layer2Decision | None, owner: str, node: str) -> str:
    if decision is None:
        return "the service is gone, or none of ours"
    if owner == node:
        return f"first of {', '.join(decision.ranking)}"
    if decision.reason is not None:
        return f"{decision.reason.value} {decision.detail}".strip()
    return f"ranked as {', '.join(decision.ranking)}" if decision.ranking else "no candidate"


def compare_bgp(
    peers: Mapping[str, Collection[str]], statuses: Iterable[ServiceBGPStatus], *, node: str
) -> Iterator[Difference]:
    """Compare the peers that this node would tell of each service with those that it tells."""
    shown = {
        status.service_key: set((status.status.peers if status.status else None) or ())
        for status in statuses
        if status.service_key and status.node == node
    }
    for service in sorted(peers.keys() | shown.keys()):
        wanted, now = set(peers.get(service, ())), shown.get(service, set())
        if wanted != now:
            yield Difference(service, Aspect.BGP, _joined(wanted, NOBODY), _joined(now, NOBODY))


def compare_configuration(
    name: str, error: str, state: ConfigurationState | None
) -> Iterator[Difference]:
    """Compare our verdict on the configuration with the one in a ConfigurationState, if any."""
    result = state.status.result if state is not None and state.status else ""
    if result not in ("Valid", "Invalid") or (result == "Valid") == (not error):
        return
    theirs = state.status.error_summary if state is not None and state.status else ""
    ours = "Invalid" if error else "Valid"
    yield Difference(name, Aspect.CONFIGURATION, ours, result, error or theirs)


class Ledger:
    """Keeps which differences stand since when, and which of them were told."""

    def __init__(self, settle_s: float = SETTLE_S) -> None:
        self._settle_s = settle_s
        self._since: dict[Difference, float] = {}
        self._told: set[Difference] = set()

    @property
    def is_waiting(self) -> bool:
        """Tell whether there are differences that may have to be told yet."""
        return len(self._told) < len(self._since)

    @property
    def standing(self) -> int:
        """Give how many differences were told and still are."""
        return len(self._told)

    def on_look(
        self, differences: Iterable[Difference], now: float
    ) -> tuple[tuple[Difference, ...], tuple[Difference, ...]]:
        """Take what a look found; give what is to be told now, and what was told and is over."""
        found = set(differences)
        over = self._told - found
        self._told &= found
        self._since = {each: self._since.get(each, now) for each in found}
        new = {
            each
            for each, since in self._since.items()
            if each not in self._told and now - since >= self._settle_s
        }
        self._told |= new
        return _ordered(new), _ordered(over)


def _ordered(differences: Iterable[Difference]) -> tuple[Difference, ...]:
    return tuple(sorted(differences, key=lambda each: (each.subject, each.aspect, each.ours)))


def _canonical(texts: Iterable[str]) -> tuple[str, ...]:
    try:
        return tuple(str(parse_address(text)) for text in texts)
    except ParseError:
        return tuple(texts)


def _joined(words: Collection[str], nothing: str) -> str:
    return ", ".join(sorted(words)) if words else nothing
