"""IPAddressPools: addresses, pinning, and that no two of them overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from mercurylb.api.ip_address_pool import IPAddressPoolSpec
from mercurylb.config.model import Pinning, Pool
from mercurylb.config.selection import Report, compile_selectors
from mercurylb.errors import ParseError
from mercurylb.values.address import quoted
from mercurylb.values.prefix import Prefix, parse_addresses
from mercurylb.values.selector import EVERYTHING, matches_any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mercurylb.api.ip_address_pool import IPAddressPool, ServiceAllocation
    from mercurylb.api.namespace import Namespace
    from mercurylb.config.problem import Problem


PREFIXES_MAX: Final = 100_000
"""Per pool; an object of the API's largest size could name some hundred times as many."""


class _Block(NamedTuple):
    """A prefix, and where it was declared."""

    prefix: Prefix
    order: int
    """Position among all blocks: the later of two that overlap is the one at fault."""
    pool: str
    field: str
    text: str
    report: Report


def compile_pools(
    objects: Iterable[IPAddressPool], *, namespaces: Sequence[Namespace], problems: list[Problem]
) -> list[tuple[IPAddressPool, Pool]]:
    """Compile pools in the given order; those with problems are left out."""
    compiled = []
    blocks: list[_Block] = []
    names: set[str] = set()
    for item in objects:
        name = item.metadata.name
        report = Report(f"IPAddressPool {item.metadata.key}", problems)
        if name in names:
            report.add("metadata.name", name, f"duplicate definition of pool {quoted(name)}")
            continue
        names.add(name)
        pool = _compile_pool(item, namespaces=namespaces, blocks=blocks, report=report)
        if pool is not None:
            compiled.append((item, pool))
    _check_overlaps(blocks)
    return compiled


def _compile_pool(
    item: IPAddressPool, *, namespaces: Sequence[Namespace], blocks: list[_Block], report: Report
) -> Pool | None:
    before = len(report.problems)
    name = item.metadata.name
    spec = item.spec or IPAddressPoolSpec()
    if not name:
        report.add("metadata.name", "", "missing pool name")
    if not spec.addresses:
        report.add("spec.addresses", "", "pool has no prefixes defined")
    prefixes: list[Prefix] = []
    for index, text in enumerate(spec.addresses or ()):
        field = f"spec.addresses[{index}]"
        try:
            entry = parse_addresses(text)
        except ParseError as error:
            message = f"invalid CIDR {quoted(text)} in pool {quoted(name)}: {error}"
            report.add(field, text, message, hint=_address_hint(text))
            continue
        if len(prefixes) + len(entry) > PREFIXES_MAX:
            message = f"pool has more than {PREFIXES_MAX} prefixes"
            report.add(field, text, message, hint="write fewer, larger blocks")
            break
        prefixes += entry
        blocks += (
            _Block(prefix, len(blocks) + offset, name, field, text, report)
            for offset, prefix in enumerate(entry)
        )
    pinning = _compile_pinning(spec.service_allocation, namespaces=namespaces, report=report)
    if len(report.problems) > before:
        return None
    return Pool(
        name=name,
        prefixes=tuple(prefixes),
        auto_assign=spec.auto_assign is not False,
        avoid_buggy_ips=spec.avoid_buggy_ips is True,
        pinning=pinning,
    )


def _address_hint(text: str) -> str:
    stripped = text.strip()
    if stripped and "/" not in stripped and "-" not in stripped:
        try:
            return f"for a single address write {parse_addresses(f'{stripped}-{stripped}')[0]}"
        except ParseError:
            pass
    if stripped != text:
        return "remove the white space around it"
    return "write address/length or first-last"


def _compile_pinning(
    written: ServiceAllocation | None, *, namespaces: Sequence[Namespace], report: Report
) -> Pinning | None:
    if written is None:
        return None
    path = "spec.serviceAllocation"
    names = tuple(written.namespaces or ())
    for index, name in enumerate(names):
        if name in names[:index]:
            field = f"{path}.namespaces[{index}]"
            report.add(field, name, "duplicate definition in namespaces field")
    namespace_selectors = compile_selectors(
        written.namespace_selectors,
        field=f"{path}.namespaceSelectors",
        wrong="invalid namespace label selector",
        report=report,
    )
    service_selectors = compile_selectors(
        written.service_selectors,
        field=f"{path}.serviceSelectors",
        wrong="invalid service label selector",
        report=report,
    )
    if not (names or written.namespace_selectors or written.service_selectors):
        service_selectors = (EVERYTHING,)
    resolved = {
        namespace.metadata.name
        for namespace in namespaces
        if matches_any(namespace_selectors, namespace.metadata.labels or {})
    }
    return Pinning(
        priority=written.priority or 0,
        namespaces=frozenset(names) | resolved,
        service_selectors=service_selectors,
    )


def _check_overlaps(blocks: list[_Block]) -> None:
    """Note each block that shares addresses with an earlier declared one.

    Prefixes are nested or disjoint, so in ascending order each block's nearest enclosing one is on
    top of a stack.
    """
    found: list[tuple[_Block, _Block]] = []
    enclosing: list[_Block] = []
    for block in sorted(blocks):
        while enclosing and not enclosing[-1].prefix.overlaps(block.prefix):
            enclosing.pop()
        if enclosing:
            first, second = sorted((enclosing[-1], block), key=lambda each: each.order)
            found.append((first, second))
        enclosing.append(block)
    for first, second in sorted(found, key=lambda pair: (pair[1].order, pair[0].order)):
        message = (
            f"CIDR {quoted(str(second.prefix))} in pool {quoted(second.pool)} overlaps with already"
            f" defined CIDR {quoted(str(first.prefix))}"
        )
        hint = f"the other is in pool {quoted(first.pool)}, {first.field}"
        second.report.add(second.field, second.text, message, hint=hint)
