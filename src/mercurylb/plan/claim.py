"""Reading a Service: what it claims, which addresses or pool it asks for, which it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mercurylb.allocator.claim import (
    Claim,
    Refusal,
    RefusalReason,
    ServiceFamily,
    Stacking,
    bracketed,
)
from mercurylb.api.annotation import (
    ADDRESS_POOL,
    ALLOW_SHARED_IP,
    LOAD_BALANCER_IPS,
    read_annotation,
)
from mercurylb.api.service import LOCAL
from mercurylb.errors import ParseError
from mercurylb.values.address import IPV4, IPV6, Address, Family, parse_address, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mercurylb.api.service import Service, ServiceSpec

_FAMILY_COUNT: Final = 2
_STACKINGS: Final = {stacking.value: stacking for stacking in Stacking}
_SINGLE_FAMILY: Final = {IPV4: ServiceFamily.IPV4, IPV6: ServiceFamily.IPV6}


def read_claim(service: Service, family: ServiceFamily) -> Claim:
    """Give the claim of a service whose family is known."""
    metadata, spec = service.metadata, service.wish
    families = spec.ip_families
    primary: Family = IPV6 if families and families[0] == "IPv6" else IPV4
    return Claim(
        service=metadata.key,
        namespace=metadata.namespace,
        family=family,
        labels=metadata.labels or {},
        ports=frozenset([(port.protocol, port.port) for port in spec.ports or ()]),
        share_key=(
            read_annotation(metadata.annotations, ALLOW_SHARED_IP) or "",
            _backend_key(spec),
        ),
        stacking=read_stacking(spec),
        primary=primary,
    )


def read_stacking(spec: ServiceSpec) -> Stacking:
    """Give the service's wish for families; absent or unknown is SingleStack."""
    return _STACKINGS.get(spec.ip_family_policy or "", Stacking.SINGLE)


def _backend_key(spec: ServiceSpec) -> str:
    if spec.external_traffic_policy != LOCAL or not spec.selector:
        return ""
    return ",".join(f"{key}={value}" for key, value in sorted(spec.selector.items()))


def cluster_ips(spec: ServiceSpec) -> tuple[str, ...]:
    """Give the texts of the cluster IPs; older objects have only one, in `clusterIP`."""
    if spec.cluster_ips:
        return spec.cluster_ips
    return (spec.cluster_ip,) if spec.cluster_ip else ()


def read_family(texts: Sequence[str]) -> ServiceFamily:
    """Give the family of a list of addresses; raises `ParseError` if they do not make one."""
    if not 1 <= len(texts) <= _FAMILY_COUNT:
        raise ParseError(
            f"IPFamilyForAddresses: invalid ips length {len(texts)} {bracketed(texts)}"
        )
    try:
        families = [parse_address(text).family for text in texts]
    except ParseError:
        raise ParseError(f"IPFamilyForAddresses: Invalid address {bracketed(texts)}") from None
    if len(families) == 1:
        return _SINGLE_FAMILY[families[0]]
    if families[0] == families[1]:
        raise ParseError(f"IPFamilyForAddresses: same address family {bracketed(texts)}")
    return ServiceFamily.DUAL


def family_of(addresses: Sequence[Address]) -> ServiceFamily:
    """Give the family of addresses that a service holds: one, or one of each family."""
    return ServiceFamily.DUAL if len(addresses) > 1 else _SINGLE_FAMILY[addresses[0].family]


def read_requested(service: Service) -> tuple[Address, ...] | Refusal:
    """Give the addresses a service asks for, in its order; none if it leaves the choice to us."""
    annotation = read_annotation(service.metadata.annotations, LOAD_BALANCER_IPS)
    field = service.wish.load_balancer_ip
    if not annotation and not field:
        return ()
    try:
        return _parse_requested(annotation or "", field)
    except ParseError as error:
        return Refusal(RefusalReason.INVALID_REQUEST, str(error))


def _parse_requested(annotation: str, field: str) -> tuple[Address, ...]:
    if annotation and field:
        raise ParseError(
            f"service can not have both {LOAD_BALANCER_IPS} and svc.Spec.LoadBalancerIP"
        )
    if field:
        try:
            return (parse_address(field),)
        except ParseError:
            raise ParseError(f"invalid spec.loadBalancerIP {quoted(field)}") from None
    texts = [text.strip() for text in annotation.split(",")]
    try:
        addresses = tuple(parse_address(text) for text in texts)
    except ParseError:
        raise ParseError(f"invalid {LOAD_BALANCER_IPS}: {quoted(annotation)}") from None
    read_family(texts)
    return addresses


def read_requested_pool(service: Service) -> str:
    """Give the pool a service asks for; empty if it does not."""
    return read_annotation(service.metadata.annotations, ADDRESS_POOL) or ""


def read_ingress(service: Service) -> tuple[str, ...]:
    """Give the texts of the addresses in a service's status, in order."""
    return tuple(entry.ip for entry in service.ingress if entry.ip)
