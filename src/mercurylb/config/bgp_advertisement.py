"""BGPAdvertisements: which routes are made of which pools, for whom (spec: config §7.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from mercurylb.api.bgp_advertisement import BGPAdvertisement as BGPAdvertisementObject
from mercurylb.api.bgp_advertisement import BGPAdvertisementSpec
from mercurylb.config.community import Community, resolve_communities
from mercurylb.config.model import BGPAdvertisement
from mercurylb.config.problem import Code, Problem, Report
from mercurylb.config.scope import Scope, compile_scope
from mercurylb.config.selection import check_distinct, check_range
from mercurylb.values.address import BITS, IPV4, IPV6

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mercurylb.config.pool import CompiledPool
    from mercurylb.config.scope import NodeIndex
    from mercurylb.values.address import Family

_UINT32: Final = (0, 0xFFFF_FFFF)
_FIELDS: Final[dict[Family, str]] = {IPV4: "aggregationLength", IPV6: "aggregationLengthV6"}


class Advertised(NamedTuple):
    """An advertisement and what it is for; if it has mistakes, what could be understood."""

    object: BGPAdvertisementObject
    spec: BGPAdvertisementSpec
    advertisement: BGPAdvertisement
    pools: tuple[CompiledPool, ...]
    has_known_nodes: bool
    """Whether any node is known at all."""
    report: Report

    def shares_node_with(self, nodes: frozenset[str] | None) -> bool:
        """Tell whether some node may be among both its nodes and others."""
        if nodes is None or not self.has_known_nodes:
            return True
        return not self.advertisement.nodes.isdisjoint(nodes)


def compile_bgp_advertisements(
    objects: Sequence[BGPAdvertisementObject],
    *,
    pools: Sequence[CompiledPool],
    aliases: Mapping[str, Community],
    nodes: NodeIndex,
    problems: list[Problem],
) -> list[Advertised]:
    """Compile advertisements in the given order, and check each against its pools."""
    _check_equal(objects, problems=problems)
    compiled = []
    for item in objects:
        report = Report(f"BGPAdvertisement {item.metadata.key}", problems)
        spec = item.spec or BGPAdvertisementSpec()
        scope = compile_scope(spec, name=item.metadata.name, nodes=nodes, report=report)
        advertisement = _compile(item, spec, scope=scope, aliases=aliases, report=report)
        selected = tuple(pool for pool in pools if scope.selects(pool.object))
        for pool in selected:
            _check_aggregation(advertisement, pool, report=report)
        compiled.append(Advertised(item, spec, advertisement, selected, bool(nodes.nodes), report))
    return compiled


def attachments(
    advertised: Iterable[Advertised],
) -> dict[str, tuple[BGPAdvertisement, ...]]:
    """Give the advertisements of each pool that has any."""
    found: dict[str, list[BGPAdvertisement]] = {}
    for item in advertised:
        for pool in item.pools:
            found.setdefault(pool.pool.name, []).append(item.advertisement)
    return {name: tuple(items) for name, items in found.items()}


def _check_equal(objects: Sequence[BGPAdvertisementObject], *, problems: list[Problem]) -> None:
    """Note objects that are there twice, which the API does not let happen."""
    seen: dict[str, list[tuple[int, BGPAdvertisementObject]]] = {}
    for index, item in enumerate(objects, 1):
        same_name = seen.setdefault(item.metadata.key, [])
        twin = next((first for first, other in same_name if other == item), None)
        if twin is not None:
            message = (
                "duplicate definition of bgpadvertisements."
                f" advertisement {twin} and {index} are equal"
            )
            report = Report(f"BGPAdvertisement {item.metadata.key}", problems)
            code = Code.ADVERTISEMENT_DUPLICATE
            report.add("metadata.name", item.metadata.name, message, code=code)
        else:
            same_name.append((index, item))


def _compile(
    item: BGPAdvertisementObject,
    spec: BGPAdvertisementSpec,
    *,
    scope: Scope,
    aliases: Mapping[str, Community],
    report: Report,
) -> BGPAdvertisement:
    name = item.metadata.name
    check_distinct(spec.communities, field="spec.communities", what="community", report=report)
    peers = check_distinct(spec.peers, field="spec.peers", what="peers", report=report)
    check_range(spec.local_pref, _UINT32, field="spec.localPref", report=report)
    check_range(spec.as_path_prepend, _UINT32, field="spec.asPathPrepend", report=report)
    return BGPAdvertisement(
        name=name,
        aggregation_length=_length(spec, name, spec.aggregation_length, IPV4, report=report),
        aggregation_length_v6=_length(spec, name, spec.aggregation_length_v6, IPV6, report=report),
        local_pref=spec.local_pref,
        as_path_prepend=spec.as_path_prepend or 0,
        communities=resolve_communities(
            spec.communities, aliases=aliases, field="spec.communities", report=report
        ),
        nodes=scope.nodes,
        peers=peers,
        service_selectors=scope.service_selectors,
    )


def _length(
    spec: BGPAdvertisementSpec, name: str, written: int | None, family: Family, *, report: Report
) -> int:
    """Give the aggregation length of a family; there is no lower bound but the pools'."""
    bits = BITS[family]
    if written is None or written == bits:
        return bits
    field = _FIELDS[family]
    if spec.service_selectors:
        message = (
            f"serviceSelectors and {field} are mutually exclusive, both cannot be set in {name}"
        )
        code, hint = Code.AGGREGATION_SELECTORS, f"take {field} out"
        report.add(f"spec.{field}", str(written), message, code=code, hint=hint)
    if written > bits:
        message = f"invalid aggregation length {written} for IPv{family}"
        code, hint = Code.AGGREGATION_LENGTH, f"at most {bits}"
        report.add(f"spec.{field}", str(written), message, code=code, hint=hint)
    return written


def _check_aggregation(
    advertisement: BGPAdvertisement, pool: CompiledPool, *, report: Report
) -> None:
    """Note an entry of a pool that the aggregate would be larger than, and how many more."""
    lengths: dict[Family, int] = {
        IPV4: advertisement.aggregation_length,
        IPV6: advertisement.aggregation_length_v6,
    }
    for family, length in lengths.items():
        if family not in pool.longest or length >= pool.longest[family]:
            continue
        broken = [
            entry for entry in pool.entries if entry.family == family and length < entry.length
        ]
        first = broken[0]
        message = (
            f"invalid aggregation length {length}: prefix {first.length} in this pool is more"
            f" specific than the aggregation length for addresses {first.text}"
        )
        more = f", and {len(broken) - 1} more of its entries" if len(broken) > 1 else ""
        report.add(
            f"spec.{_FIELDS[family]}",
            str(length),
            message,
            code=Code.AGGREGATION_POOL,
            hint=f"IPAddressPool {pool.object.metadata.key}: {first.field}{more}",
        )
