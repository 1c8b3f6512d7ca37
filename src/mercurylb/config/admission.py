"""Whether one change of one object may happen (spec: config §11.1, §11.2).

MetalLB's webhooks compile the changed object together with some kinds of existing ones and refuse
the change if that configuration has any mistake. What they do not look at together is only found by
the speakers, after the object was stored. Here a change is judged by what it does to the whole
configuration, and by nothing else:

1. Compile the configuration with the change (`after`). No problems: allowed.
2. Compile it without the object at all (`without`). Problems that are there as well are somebody
   else's and are not held against the change.
3. Compile it as it was before the change (`before`). Problems that were there as well are not made
   worse by it: an edit that repairs one of two mistakes passes, and so does one that changes
   something else, such as a finalizer.
4. What remains is what the change adds; if that is anything, the change is refused with all of it.

Problems are compared by object, code and message, not by the index in a list, so that moving a
mistake is not a new one.

References are free in order. What is missing (a BFD profile, a secret, the alias of a community)
is never a reason to refuse, because it may be created next. Secrets are not looked at: they can be
corrected without the peer. A community with a colon counts as a value and is refused if it is
none, even where an alias of that name exists (as in MetalLB 0.16).

An advertisement that selects none of the known nodes is on no speaker, so it does not make a change
of another object a mistake. It must be right itself when it is written.

The rules that are not about the compiled configuration: CREATE outside the one namespace is
refused (UPDATE is not asked); DELETE is always allowed, but for a BFDProfile that a BGPPeer uses;
CREATE of a BGPPeer with `disableMP` is allowed at once, with a warning.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from mercurylb.api.bfd_profile import BFDProfile
from mercurylb.api.bgp_advertisement import BGPAdvertisement
from mercurylb.api.bgp_peer import BGPPeer
from mercurylb.api.community import Community
from mercurylb.api.ip_address_pool import IPAddressPool
from mercurylb.api.l2_advertisement import L2Advertisement
from mercurylb.config.compilation import compile_config
from mercurylb.config.problem import Code, Problem, Report
from mercurylb.config.resources import FIELDS, Resources
from mercurylb.config.selection import may_select

if TYPE_CHECKING:
    from collections.abc import Iterable

Configured: TypeAlias = (
    BFDProfile | BGPAdvertisement | BGPPeer | Community | IPAddressPool | L2Advertisement
)
"""The kinds that are asked about."""

DISABLE_MP_WARNING: Final = (
    "disable mp is deprecated and has no effect since it's the default behavior now"
)

_BGP: Final = ("IPAddressPool", "BGPAdvertisement", "BGPPeer", "BFDProfile", "Node")
_READS: Final = {
    "IPAddressPool": _BGP,
    "BGPAdvertisement": _BGP,
    "BGPPeer": _BGP,
    "BFDProfile": _BGP,
    "Community": ("Community",),
    "L2Advertisement": (),
}


class Operation(StrEnum):
    """What is done to the object; the words of an AdmissionReview."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


class Change(msgspec.Struct, frozen=True):
    """One object before and after."""

    operation: Operation
    new: Configured | None = None
    """None when it is deleted."""
    old: Configured | None = None
    """None when it is created."""


class Admission(msgspec.Struct, frozen=True):
    """What a change is told: why it may not happen, and what it should know."""

    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_allowed(self) -> bool:
        """Tell whether the change may happen."""
        return not self.problems


def reads(kind: str, operation: Operation) -> tuple[str, ...]:
    """Give the kinds of existing objects that the decision about a kind wants to see."""
    if operation is Operation.DELETE:
        return ("BGPPeer",) if kind == "BFDProfile" else ()
    return _READS.get(kind, ())


def admit(change: Change, *, existing: Resources, namespace: str) -> Admission:
    """Decide about a change; `existing` is what the cluster has now, of the kinds in `reads`."""
    if change.operation is Operation.DELETE:
        return Admission(tuple(_uses(change.old or change.new, existing.bgp_peers)))
    new = change.new
    if new is None:
        return Admission()
    if change.operation is Operation.CREATE:
        if isinstance(new, BGPPeer) and new.spec is not None and new.spec.disable_mp:
            return Admission(warnings=(DISABLE_MP_WARNING,))
        if new.metadata.namespace != namespace:
            return Admission((_misplaced(new, namespace),))
    return Admission(tuple(_added_problems(change, new, existing)))


def _misplaced(item: Configured, namespace: str) -> Problem:
    problems: list[Problem] = []
    Report(_title(item), problems).add(
        "metadata.namespace",
        item.metadata.namespace,
        f"resource must be created in {namespace} namespace",
        code=Code.NAMESPACE,
    )
    return problems[0]


def _uses(item: Configured | None, peers: Iterable[BGPPeer]) -> list[Problem]:
    """Give a problem for each peer that a BFD profile must stay for."""
    problems: list[Problem] = []
    if not isinstance(item, BFDProfile):
        return problems
    name = item.metadata.name
    report = Report(_title(item), problems)
    for peer in sorted(peers, key=lambda each: each.metadata.name):
        if peer.spec is not None and peer.spec.bfd_profile == name:
            report.add(
                "metadata.name",
                name,
                f"failed to delete BFDProfile {name}, used by BGPPeer {peer.metadata.name}",
                code=Code.BFD_PROFILE_IN_USE,
                hint=f"take spec.bfdProfile out of BGPPeer {peer.metadata.key} first",
            )
    return problems


def _added_problems(change: Change, new: Configured, existing: Resources) -> list[Problem]:
    considered = _considered(new, existing)
    added = _held_against(_with(considered, new))
    if added:
        foreign = {_essence(each) for each in _held_against(_without(considered, new))}
        added = [problem for problem in added if _essence(problem) not in foreign]
    if added and change.old is not None:
        present = {_essence(each) for each in _held_against(_with(considered, change.old))}
        added = [problem for problem in added if _essence(problem) not in present]
    return added


def _held_against(resources: Resources) -> list[Problem]:
    """Compile, and give the problems that do not heal by creating what is referred to."""
    return [
        problem
        for problem in compile_config(resources)[1]
        if not problem.is_transient
        or (problem.code == Code.COMMUNITY_UNKNOWN and ":" in problem.value)
    ]


def _essence(problem: Problem) -> tuple[str, str, str]:
    return problem.object, problem.code, problem.message


def _considered(new: Configured, existing: Resources) -> Resources:
    """Leave what the decision looks at."""
    wanted = {FIELDS[kind] for kind in reads(type(new).__name__, Operation.UPDATE)}
    kept = {field: getattr(existing, field) for field in FIELDS.values() if field in wanted}
    if not isinstance(new, BGPAdvertisement) and existing.nodes and "nodes" in kept:
        kept["bgp_advertisements"] = tuple(
            item for item in existing.bgp_advertisements if _is_placed(item, existing)
        )
    return Resources(backend=existing.backend, passes_secrets=True, **kept)


def _is_placed(item: BGPAdvertisement, existing: Resources) -> bool:
    selectors = item.spec.node_selectors if item.spec else None
    return may_select(selectors, (node.metadata.labels for node in existing.nodes))


def _without(resources: Resources, item: Configured) -> Resources:
    """Take out whatever has the kind and the name of an object."""
    field = FIELDS[type(item).__name__]
    others = tuple(
        each for each in getattr(resources, field) if each.metadata.name != item.metadata.name
    )
    return msgspec.structs.replace(resources, **{field: others})


def _with(resources: Resources, item: Configured) -> Resources:
    """Put an object in, in place of one of its kind and name."""
    without = _without(resources, item)
    field = FIELDS[type(item).__name__]
    return msgspec.structs.replace(without, **{field: (*getattr(without, field), item)})


def _title(item: Configured) -> str:
    return f"{type(item).__name__} {item.metadata.key}"
