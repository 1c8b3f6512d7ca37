"""One route must not be advertised with two preferences (spec: config §7.4.7).

Two advertisements that aggregate a pool's addresses in the same way make the same routes; where
they go to the same peer from the same node, their attributes must agree. Advertisements with
service selectors are left out, for it is not known here which routes they will make.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from mercurylb.config.problem import Code
from mercurylb.values.address import IPV4, IPV6

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mercurylb.config.bgp_advertisement import Advertised
    from mercurylb.values.address import Family


class _Attribute(NamedTuple):
    """An attribute of a route that must be one."""

    name: str
    field: str
    code: Code
    message: str


_ATTRIBUTES: Final = (
    _Attribute(
        "local_pref",
        "localPref",
        Code.LOCAL_PREF_CONFLICT,
        "invalid local preference {new}: local preferernce {old} was already set for the same type"
        " of BGP update. Check existing BGP advertisements with common pools and aggregation"
        " lengths",
    ),
    _Attribute(
        "as_path_prepend",
        "asPathPrepend",
        Code.AS_PATH_PREPEND_CONFLICT,
        "invalid as path prepend {new}: as path prepend {old} was already set for the same type of"
        " BGP update. Check existing BGP advertisements with common pools and aggregation lengths",
    ),
)


class _Plain(NamedTuple):
    """What decides whether two advertisements meet."""

    item: Advertised
    peers: frozenset[str]
    families: dict[str, frozenset[Family]]
    """Of each of its pools."""

    @property
    def likeness(self) -> tuple[object, ...]:
        """Give a key that is equal for advertisements that meet the same others."""
        its = self.item.advertisement
        return (
            (its.aggregation_length, its.aggregation_length_v6),
            (its.local_pref, its.as_path_prepend),
            self.peers,
            its.nodes,
            frozenset(self.families),
        )


def check_conflicts(advertised: Sequence[Advertised]) -> None:
    """Note, for each advertisement and attribute, the first earlier one that disagrees."""
    earlier: dict[tuple[object, ...], _Plain] = {}
    for item in advertised:
        if item.advertisement.service_selectors or not item.advertisement.nodes:
            continue
        new = _Plain(
            item,
            frozenset(item.advertisement.peers),
            {pool.pool.name: pool.families for pool in item.pools},
        )
        for attribute in _ATTRIBUTES:
            _check_attribute(new, earlier.values(), attribute)
        earlier.setdefault(new.likeness, new)


def _check_attribute(new: _Plain, earlier: Iterable[_Plain], attribute: _Attribute) -> None:
    value = getattr(new.item.advertisement, attribute.name)
    for old in earlier:
        other = getattr(old.item.advertisement, attribute.name)
        pool = _meet(new, old) if value != other else ""
        if pool:
            new.item.report.add(
                f"spec.{attribute.field}",
                str(value),
                attribute.message.format(new=value, old=other),
                code=attribute.code,
                hint=f"BGPAdvertisement {old.item.object.metadata.key} has {other} for pool {pool}",
            )
            return


def _meet(one: _Plain, other: _Plain) -> str:
    """Give a pool of which both make the same routes for the same peer; empty if there is none."""
    first, second = one.item.advertisement, other.item.advertisement
    if one.peers and other.peers and one.peers.isdisjoint(other.peers):
        return ""
    if first.nodes.isdisjoint(second.nodes):
        return ""
    is_v4_equal = first.aggregation_length == second.aggregation_length
    is_v6_equal = first.aggregation_length_v6 == second.aggregation_length_v6
    for pool in sorted(one.families.keys() & other.families.keys()):
        families = one.families[pool]
        if (IPV4 in families and is_v4_equal) or (IPV6 in families and is_v6_equal):
            return pool
    return ""
