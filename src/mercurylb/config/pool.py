"""IPAddressPools: addresses, pinning, and that no two of them overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from mercurylb.api.ip_address_pool import IPAddressPoolSpec
from mercurylb.config.model import Pinning, Pool
from mercurylb.config.problem import Code, Report
from mercurylb.config.selection import compile_selectors
from mercurylb.errors import ParseError
from mercurylb.values.address import quoted
from mercurylb.values.prefix import Prefix, parse_addresses
from mercurylb.values.selector import EVERYTHING, matches_any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mercurylb.api.ip_address_pool import IPAddressPool, ServiceAllocation
    from mercurylb.api.namespace import Namespace
    from mercurylb.config.problem import Problem
    from mercurylb.values.address import Family


PREFIXES_MAX: Final = 100_000
"""Per pool; an object of the API's largest size could name some hundred times as many."""


class Entry(NamedTuple):
    """One element of a pool's `addresses`."""

    field: str
    text: str
    family: Family
    length: int
    """Of its largest block."""


class CompiledPool(NamedTuple):
    """A pool and where it comes from; if it has mistakes, what of it could be understood."""

    object: IPAddressPool
    pool: Pool
    entries: tuple[Entry, ...]
    longest: dict[Family, int]
    """For each family that it has: the prefix length of the entry with the smallest block."""

    @property
    def families(self) -> frozenset[Family]:
        """Give the families of its addresses."""
        return frozenset(self.longest)


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
) -> list[CompiledPool]:
    """Compile pools in the given order; the second of one name is left out."""
    compiled = []
    blocks: list[_Block] = []
    names: set[str] = set()
    for item in objects:
        name = item.metadata.name
        report = Report(f"IPAddressPool {item.metadata.key}", problems)
        if name in names:
            message = f"duplicate definition of pool {quoted(name)}"
            report.add("metadata.name", name, message, code=Code.NAME_DUPLICATE)
            continue
        names.add(name)
        compiled.append(_compile_pool(item, namespaces=namespaces, blocks=blocks, report=report))
    _check_overlaps(blocks)
    return compiled


def _compile_pool(
    item: IPAddressPool, *, namespaces: Sequence[Namespace], blocks: list[_Block], report: Report
) -> CompiledPool:
    spec = item.spec or IPAddressPoolSpec()
    if not item.metadata.name:
        report.add("metadata.name", "", "missing pool name", code=Code.NAME_MISSING)
    if not spec.addresses:
        message = "pool has no prefixes defined"
        hint = "write address/length or first-last under spec.addresses"
        report.add("spec.addresses", "", message, code=Code.POOL_EMPTY, hint=hint)
    prefixes, entries = _compile_addresses(item, blocks=blocks, report=report)
    pool = Pool(
        name=item.metadata.name,
        prefixes=tuple(prefixes),
        auto_assign=spec.auto_assign is not False,
        avoid_buggy_ips=spec.avoid_buggy_ips is True,
        pinning=_compile_pinning(spec.service_allocation, namespaces=namespaces, report=report),
    )
    longest: dict[Family, int] = {}
    for entry in entries:
        longest[entry.family] = max(entry.length, longest.get(entry.family, 0))
    return CompiledPool(item, pool, tuple(entries), longest)


def _compile_addresses(
    item: IPAddressPool, *, blocks: list[_Block], report: Report
) -> tuple[list[Prefix], list[Entry]]:
    name = item.metadata.name
    prefixes: list[Prefix] = []
    entries: list[Entry] = []
    for index, text in enumerate((item.spec.addresses if item.spec else None) or ()):
        field = f"spec.addresses[{index}]"
        try:
            entry = parse_addresses(text)
        except ParseError as error:
            message = f"invalid CIDR {quoted(text)} in pool {quoted(name)}: {error}"
            report.add(field, text, message, code=Code.POOL_ADDRESS, hint=_address_hint(text))
            continue
        if len(prefixes) + len(entry) > PREFIXES_MAX:
            message = f"pool has more than {PREFIXES_MAX} prefixes"
            hint = "write fewer, larger blocks"
            report.add(field, text, message, code=Code.POOL_SIZE, hint=hint)
            break
        prefixes += entry
        entries.append(Entry(field, text, entry[0].family, min(prefix.length for prefix in entry)))
        blocks += [
            _Block(prefix, len(blocks) + offset, name, field, text, report)
            for offset, prefix in enumerate(entry)
        ]
    return prefixes, entries


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
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            field = f"{path}.namespaces[{index}]"
            message = "duplicate definition in namespaces field"
            hint = "remove the second one"
            report.add(field, name, message, code=Code.VALUE_DUPLICATE, hint=hint)
        seen.add(name)
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
    """Note each entry that shares addresses with an earlier declared one, and with which.

    Prefixes are nested or disjoint, so in ascending order they are a walk through a tree: a block
    overlaps what encloses it (the stack) and what it encloses (popped before it is).
    """
    earliest: dict[int, _Block] = {}
    path: list[_Nested] = []
    for block in sorted(blocks):
        while path and not path[-1].block.prefix.overlaps(block.prefix):
            _close(path, earliest)
        outer = path[-1].outer if path else block
        path.append(_Nested(block, min(outer, block, key=_order), block))
    while path:
        _close(path, earliest)
    told: set[tuple[str, str]] = set()
    for block in sorted(blocks, key=_order):
        first = earliest[block.order]
        where = block.report.object, block.field
        if first is block or where in told:
            continue
        told.add(where)
        message = (
            f"CIDR {quoted(str(block.prefix))} in pool {quoted(block.pool)} overlaps with"
            f" already defined CIDR {quoted(str(first.prefix))}"
        )
        hint = f"the other is in pool {quoted(first.pool)}, {first.field}"
        block.report.add(block.field, block.text, message, code=Code.POOL_OVERLAP, hint=hint)


class _Nested(NamedTuple):
    """A block on the path of the walk, with the earliest declared one around and inside it."""

    block: _Block
    outer: _Block
    inner: _Block


def _close(path: list[_Nested], earliest: dict[int, _Block]) -> None:
    block, outer, inner = path.pop()
    earliest[block.order] = min(outer, inner, key=_order)
    if path:
        parent = path[-1]
        path[-1] = parent._replace(inner=min(parent.inner, inner, key=_order))


def _order(block: _Block) -> int:
    return block.order
