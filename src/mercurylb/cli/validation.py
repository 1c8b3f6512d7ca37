"""Everything that can be said about manifests without a cluster."""

from __future__ import annotations

import re
from collections import Counter
from copy import deepcopy
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mercurylb.allocator.book import Book
from mercurylb.api.service import LOAD_BALANCER, Service, ServiceSpec
from mercurylb.cli import schema
from mercurylb.cli.gathering import DEFAULT_NAMESPACE
from mercurylb.cli.inventory import CONFIGURED, Inventory, Item, read_item
from mercurylb.config.compilation import compile_config
from mercurylb.config.problem import DESCRIPTIONS, Code, Problem
from mercurylb.config.resources import gather
from mercurylb.plan.claim import cluster_ips
from mercurylb.plan.pending import why_pending, why_wish_fails
from mercurylb.plan.request import Offer
from mercurylb.plan.service import is_ours, plan_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mercurylb.cli.documents import Document
    from mercurylb.config.model import Config

SERVICE_CODE: Final = "service-"
"""Before the code of a cause."""
RULES: Final = {**schema.CODES, **{code.value: text for code, text in DESCRIPTIONS.items()}}
"""What holds when nothing is wrong, for each code; services have the codes of causes."""

_STEP: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_MENDED_MAX: Final = 20
"""Unreadable fields of one object."""
_GROUP: Final = "metallb.io"
_ASSUMED: Final = {"IPv4": "192.0.2.1", "IPv6": "2001:db8::1"}
"""Cluster IPs for services that no API server has seen yet."""


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    WARNING = "warning"


class Finding(msgspec.Struct, frozen=True):
    """A problem, and where it stands."""

    severity: Severity
    source: str
    line: int
    """0 if it is not known."""
    problem: Problem


class Validation(msgspec.Struct, frozen=True):
    """What was found in some files."""

    findings: tuple[Finding, ...]
    """In order of file and line."""
    checked: int
    """Objects that were looked at."""
    skipped: dict[str, int]
    """Objects of other kinds, by kind."""
    namespace: str
    """Where the configuration was taken to be read."""
    are_services_checked: bool = True
    """Whether services were asked for; not if the configuration has mistakes."""

    def is_failed(self, *, is_strict: bool = False) -> bool:
        """Tell whether anything is wrong; warnings count if strict."""
        return any(is_strict or found.severity is Severity.ERROR for found in self.findings)


def guess_namespace(inventory: Inventory) -> str:
    """Give the namespace that most configuration objects name."""
    named = (item.key.partition("/") for item in inventory.items if item.kind in CONFIGURED)
    votes = Counter(namespace for namespace, separator, _ in named if separator)
    if not votes:
        return DEFAULT_NAMESPACE
    return min(votes, key=lambda name: (-votes[name], not name.startswith("metallb"), name))


def validate(
    inventory: Inventory, *, namespace: str, backend: str, lb_class: str = ""
) -> Validation:
    """Check everything in an inventory as the API server, the controller and the speakers do."""
    inventory = replace(inventory, items=[_mended(item) for item in inventory.items])
    configured = [item for item in inventory.items if item.kind in CONFIGURED]
    foreign = [item for item in inventory.others if item.group == _GROUP]
    findings = [
        *(_found(document, problem) for document, problem in inventory.problems),
        *_check_schemas([*configured, *foreign]),
        *_check_places(configured, namespace),
    ]
    config, problems = _compile(inventory, namespace, backend)
    said = {(found.problem.object, found.problem.field) for found in findings}
    problems = tuple(each for each in problems if (each.object, each.field) not in said)
    findings += _placed(configured, problems)
    services = [item for item in inventory.items if item.kind == "Service"]
    findings += [
        _found(item.document, item.problem)
        for item in inventory.items
        if item.kind in ("Service", "Secret") and item.problem is not None
    ]
    if config is not None and not any(item.problem for item in configured):
        findings += _check_services(services, config, home=namespace, lb_class=lb_class)
    skipped = Counter(
        item.kind
        for item in (*inventory.items, *inventory.others)
        if item.kind not in CONFIGURED and item.kind != "Service" and item.group != _GROUP
    )
    return Validation(
        findings=tuple(sorted(findings, key=_position)),
        checked=len(configured) + len(foreign) + len(services),
        skipped=dict(sorted(skipped.items())),
        namespace=namespace,
        are_services_checked=config is not None or not services,
    )


def _mended(item: Item) -> Item:
    """Leave out the fields that cannot be read, so that the others are looked at as well."""
    if item.problem is None or item.kind not in CONFIGURED:
        return item
    raw, mended = deepcopy(item.raw), item
    for _ in range(_MENDED_MAX):
        if mended.problem is None or not _remove(raw, mended.problem.field):
            break
        mended = read_item(item.document, raw, namespace=item.home)
    return replace(item, value=mended.value)


def _remove(raw: Any, path: str) -> bool:  # noqa: ANN401 (JSON)
    """Take a field out of an object; tell whether it was there."""
    steps = [int(index) if index else name for name, index in _STEP.findall(path)]
    for step in steps[:-1]:
        try:
            raw = raw[step]
        except (KeyError, IndexError, TypeError):
            return False
    if not steps or not isinstance(raw, dict | list):
        return False
    try:
        del raw[steps[-1]]
    except (KeyError, IndexError, TypeError):
        return False
    return True


def _position(found: Finding) -> tuple[str, int, str, str]:
    return found.source, found.line, found.problem.field, found.problem.message


def _found(document: Document, problem: Problem, severity: Severity = Severity.ERROR) -> Finding:
    return Finding(severity, document.source, document.line_of(problem.field), problem)


def _check_schemas(items: Iterable[Item]) -> Iterator[Finding]:
    for item in items:
        problems = schema.check_schema(item.raw, title=item.title)
        if not problems and item.problem is not None:
            problems = [item.problem]
        for problem in problems:
            yield _found(item.document, problem)


def _check_places(items: Iterable[Item], namespace: str) -> Iterator[Finding]:
    seen: dict[str, Item] = {}
    for item in items:
        if item.value is None:
            continue
        metadata = item.value.metadata
        title = f"{item.kind} {metadata.key}"
        if metadata.namespace != namespace:
            message = f"resource must be created in {namespace} namespace"
            hint = "nobody reads it where it is; --namespace tells where MercuryLB runs"
            problem = Problem(
                title,
                "metadata.namespace",
                metadata.namespace,
                message,
                hint,
                Code.NAMESPACE.value,
            )
            yield _found(item.document, problem)
        first = seen.setdefault(title, item)
        if first is not item:
            where = f"{first.document.source}:{first.document.line}"
            message = f"the same object is defined twice; the first is at {where}"
            problem = Problem(
                title, "metadata.name", metadata.name, message, "", Code.NAME_DUPLICATE.value
            )
            yield _found(item.document, problem)


def _compile(
    inventory: Inventory, namespace: str, backend: str
) -> tuple[Config | None, tuple[Problem, ...]]:
    unique: dict[str, Any] = {}
    for item in inventory.items:
        if item.value is None:
            continue
        is_clusterwide = item.kind in ("Node", "Namespace")
        if is_clusterwide or item.value.metadata.namespace == namespace:
            unique[f"{item.kind} {item.value.metadata.key}"] = item.value
    has_secrets = any(item.kind == "Secret" for item in inventory.items)
    # Without any secret in the files they are somewhere else, as they should be.
    resources = gather(unique.values(), backend=backend, passes_secrets=not has_secrets)
    return compile_config(resources)


def _placed(items: Iterable[Item], problems: Iterable[Problem]) -> Iterator[Finding]:
    """Find the lines of what the compilation found."""
    places = {
        f"{item.kind} {item.value.metadata.key}": item for item in items if item.value is not None
    }
    for problem in problems:
        item = places.get(problem.object)
        severity = Severity.WARNING if problem.is_transient else Severity.ERROR
        if item is None:
            yield Finding(severity, "", 0, problem)
        else:
            yield _found(item.document, problem, severity)


def _check_services(
    items: Iterable[Item], config: Config, *, home: str, lb_class: str
) -> Iterator[Finding]:
    """Find services that this configuration gives no address."""
    wanted = {
        item.value.metadata.key: (item, with_cluster_ips(item.value))
        for item in items
        if item.value is not None
        and item.value.wish.type == LOAD_BALANCER
        and is_ours(item.value, lb_class)
    }
    if not config.pools:
        return  # The pools are in other files: nothing can be said.
    book = Book()
    book.set_pools(config.pools)
    offer = Offer(book, {pool.name: pool for pool in config.pools}, {}, (), home)
    for decision in plan_all([service for _, service in wanted.values()], book=book):
        if decision.converged:
            continue
        item, service = wanted[decision.service]
        cause = why_wish_fails(service) or why_pending(service, decision, offer)
        problem = Problem(
            object=item.title,
            field="spec",
            value="",
            message=cause.sentence,
            hint=cause.advice,
            code=f"{SERVICE_CODE}{cause.code.value}",
        )
        yield _found(item.document, problem)


def with_cluster_ips(service: Service) -> Service:
    """Give a service the cluster IPs that an API server would, families as it asks."""
    spec: ServiceSpec = service.wish
    if cluster_ips(spec):
        return service
    families = list(spec.ip_families or ("IPv4",))
    if len(families) == 1 and spec.ip_family_policy in ("RequireDualStack", "PreferDualStack"):
        families += [family for family in _ASSUMED if family not in families]
    texts = tuple(_ASSUMED[family] for family in families if family in _ASSUMED)
    spec = msgspec.structs.replace(spec, cluster_ips=texts or (_ASSUMED["IPv4"],))
    return msgspec.structs.replace(service, spec=spec)
