"""Why a service does not get the very addresses it asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.allocator.book import Book
from mercurylb.allocator.claim import Claim, Refusal, ServiceFamily, format_port
from mercurylb.api.annotation import (
    ADDRESS_POOL,
    ALLOW_SHARED_IP,
    LOAD_BALANCER_IPS,
    read_annotation,
)
from mercurylb.config.model import Pool
from mercurylb.errors import ParseError
from mercurylb.plan.cause import Cause, CauseCode
from mercurylb.plan.claim import read_family, read_requested
from mercurylb.values.address import Address, parse_address, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mercurylb.api.service import Service

FAMILY_NAMES: Final = {
    ServiceFamily.IPV4: "IPv4",
    ServiceFamily.IPV6: "IPv6",
    ServiceFamily.DUAL: "IPv4 and IPv6",
}
_ADDRESSES_MAX: Final = 2
_SHOWN_MAX: Final = 8


class Offer(msgspec.Struct, frozen=True):
    """What there is to be had."""

    book: Book
    """With everybody's holdings."""
    pools: dict[str, Pool]
    """Of the configuration, by name."""
    misplaced: dict[str, tuple[str, ...]]
    """Names of pools in namespaces that nobody reads, with those namespaces."""
    misplaced_pools: tuple[Pool, ...]
    """The same, compiled as far as they can be."""
    home: str
    """The namespace that is read."""


def listed(texts: Sequence[str], *, separator: str = ", ") -> str:
    """Give a list for a sentence, cut when it is long."""
    rest = len(texts) - _SHOWN_MAX
    shown = separator.join(texts[:_SHOWN_MAX])
    return f"{shown}{separator}and {rest} more" if rest > 0 else shown


def why_request_fails(service: Service, family: ServiceFamily) -> Cause | None:
    """Tell what is wrong with the addresses a service asks for, whoever has them."""
    requested = read_requested(service)
    if isinstance(requested, Refusal):
        return _unreadable(service, requested)
    if requested and read_family([str(address) for address in requested]) is not family:
        asked = " and ".join(map(str, requested))
        return Cause(
            CauseCode.REQUEST_WRONG_FAMILY,
            f"the service asks for {asked}, but its cluster IPs are {FAMILY_NAMES[family]}",
            "ask for one address of each of the service's families",
        )
    return None


def _unreadable(service: Service, refusal: Refusal) -> Cause:
    annotation = read_annotation(service.metadata.annotations, LOAD_BALANCER_IPS) or ""
    field = service.wish.load_balancer_ip
    if annotation and field:
        return Cause(
            CauseCode.REQUEST_IN_TWO_WAYS,
            f"the service asks for addresses in two ways: {LOAD_BALANCER_IPS} is"
            f" {quoted(annotation)} and spec.loadBalancerIP is {quoted(field)}",
            "remove spec.loadBalancerIP",
        )
    texts = [text.strip() for text in annotation.split(",")] if annotation else [field]
    for text in texts:
        try:
            parse_address(text)
        except ParseError:
            where = f"the annotation {LOAD_BALANCER_IPS}" if annotation else "spec.loadBalancerIP"
            return Cause(
                CauseCode.REQUEST_NOT_AN_ADDRESS,
                f"{quoted(text)} in {where} is not an IP address",
                "write one address, or one of each family separated by a comma",
            )
    if len(texts) > _ADDRESSES_MAX:
        return Cause(
            CauseCode.REQUEST_TOO_MANY,
            f"the service asks for {len(texts)} addresses; it can have one of each family",
            f"name at most two in {LOAD_BALANCER_IPS}",
        )
    return Cause(
        CauseCode.REQUEST_SAME_FAMILY,
        f"the service asks for two addresses of one family: {refusal.message}",
        "ask for one address of each family",
    )


def why_not_these(
    claim: Claim, requested: Sequence[Address], wanted: str, offer: Offer
) -> Cause | None:
    """Tell why a service does not get the addresses it asks for, in pool `wanted` if it says so."""
    pools: list[Pool] = []
    for address in requested:
        pool = next((pool for pool in offer.pools.values() if _has(pool, address)), None)
        if pool is None:
            return _in_no_pool(address, offer)
        if not pool.contains(address):
            return Cause(
                CauseCode.ADDRESS_AVOIDED,
                f"the service asks for {address}, which ends in .0 or .255, and pool {pool.name}"
                " avoids those (avoidBuggyIPs)",
                "ask for another address, or set the pool's avoidBuggyIPs to false",
            )
        pools.append(pool)
    if len({pool.name for pool in pools}) > 1:
        return Cause(
            CauseCode.ADDRESSES_IN_TWO_POOLS,
            f"the service asks for {requested[0]} of pool {pools[0].name} and {requested[1]} of"
            f" pool {pools[1].name}, and both must be of one pool",
            "put both ranges into one pool, or ask for addresses of one",
        )
    found = outsider(claim, pools[0])
    for address in requested:
        found = found or _why_not_shared(claim, address, offer.book)
    if found is None and wanted and pools[0].name != wanted:
        return Cause(
            CauseCode.ADDRESS_IN_OTHER_POOL,
            f"the service asks for pool {wanted}, and for {requested[0]}, which is of pool"
            f" {pools[0].name}",
            f"remove one of the annotations {ADDRESS_POOL} and {LOAD_BALANCER_IPS}",
        )
    return found


def _has(pool: Pool, address: Address) -> bool:
    return any(prefix.contains(address) for prefix in pool.prefixes)


def _in_no_pool(address: Address, offer: Offer) -> Cause:
    for pool in offer.misplaced_pools:
        if _has(pool, address):
            where = listed(offer.misplaced[pool.name])
            return Cause(
                CauseCode.POOL_IN_WRONG_NAMESPACE,
                f"the service asks for {address}, and the pool that has it, {pool.name}, is in"
                f" namespace {where}, where nobody looks",
                f"create the pool in namespace {offer.home}",
            )
    return Cause(
        CauseCode.ADDRESS_IN_NO_POOL,
        f"the service asks for {address}, which is in no pool",
        f"ask for an address of one of the pools ({listed(sorted(offer.pools))}), or add it to one",
    )


def outsider(claim: Claim, pool: Pool) -> Cause | None:
    """Tell whom a pool is pinned to, if that is not this service."""
    pinning = pool.pinning
    if pinning is None or pinning.admits(claim.namespace, claim.labels):
        return None
    if not pinning.admits_namespace(claim.namespace):
        return Cause(
            CauseCode.POOL_FOR_OTHER_NAMESPACES,
            f"pool {pool.name} is for namespaces {listed(sorted(pinning.namespaces))} only, not"
            f" for {claim.namespace}",
            "add the namespace to the pool's serviceAllocation, or create a pool for it",
        )
    selectors = listed([str(selector) for selector in pinning.service_selectors])
    return Cause(
        CauseCode.POOL_FOR_OTHER_SERVICES,
        f"pool {pool.name} is for services with labels {selectors} only",
        "give the service such labels, or create a pool for it",
    )


def _backend(key: str) -> str:
    return f"Local with {key}" if key else "Cluster"


def _why_not_shared(claim: Claim, address: Address, book: Book) -> Cause | None:
    """Tell who has an address, and why the service may not join."""
    for other in book.holders(address):
        held = book.holding(other)
        if other == claim.service or held is None:
            continue
        own_key, own_backend = claim.share_key
        key, backend = held.share_key
        if not own_key or not key:
            lacks = claim.service if not own_key else other
            return Cause(
                CauseCode.ADDRESS_TAKEN,
                f"the service asks for {address}, which {other} has",
                f"ask for another address, or let both share it with one {ALLOW_SHARED_IP}"
                f" ({lacks} has none)",
            )
        if own_key != key:
            return Cause(
                CauseCode.SHARING_KEY_DIFFERS,
                f"the service asks for {address}, which {other} has under another sharing key:"
                f" {quoted(key)} there, {quoted(own_key)} here",
                f"give both the same {ALLOW_SHARED_IP}",
            )
        if own_backend != backend:
            return Cause(
                CauseCode.BACKEND_DIFFERS,
                f"the service asks for {address}, which {other} has, and where"
                " externalTrafficPolicy is Local both must have that policy and select the same"
                f" pods: {_backend(backend)} there, {_backend(own_backend)} here",
                "use externalTrafficPolicy Cluster for both, or the same selector",
            )
        clash = sorted(claim.ports & held.ports)
        if clash:
            return Cause(
                CauseCode.PORT_TAKEN,
                f"the service asks for {address}, where {other} has port {format_port(clash[0])}"
                " already",
                "use another port, or another address",
            )
    return None
