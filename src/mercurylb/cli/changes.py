"""What an edit of the configuration would do to the services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from mercurylb.cli.files import find_files, read_documents
from mercurylb.cli.gathering import gather
from mercurylb.cli.inventory import CONFIGURED, Inventory, Item, take_inventory
from mercurylb.cli.validation import with_cluster_ips
from mercurylb.config.compilation import compile_config
from mercurylb.config.resources import for_controller
from mercurylb.errors import ConfigError, Problem
from mercurylb.plan.preview import (
    ChangeKind,
    PoolChange,
    ServiceChange,
    plan_changes,
    with_addresses,
)
from mercurylb.plan.preview_routes import (
    Placement,
    RouteChange,
    RouteChangeKind,
    plan_route_changes,
)
from mercurylb.plan.request import listed
from mercurylb.plan.salvage import salvage
from mercurylb.plan.service import is_ours

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mercurylb.allocator.usage import PoolCounters
    from mercurylb.api.service import Service
    from mercurylb.plan.snapshot import Snapshot

_FUTURE: Final = "9999-12-31T23:59:59Z"
_BEFORE_REASON: Final = "will attempt for new IP assignment: "
"""In the words of the event; what follows is the reason."""
_WORDS: Final = {
    ChangeKind.MOVED: ("~", "warning", "would move from {before} to {after}"),
    ChangeKind.LOST: ("-", "error", "would lose {before}"),
    ChangeKind.REDUCED: ("-", "warning", "would keep {after} of {before}"),
    ChangeKind.ASSIGNED: ("+", "good", "would get {after}"),
    ChangeKind.EXTENDED: ("+", "good", "would have {after} instead of {before}"),
    ChangeKind.POOL_RENAMED: (
        "~",
        "",
        "would keep {after}, then of pool {pool_after} instead of {pool_before}",
    ),
    ChangeKind.STILL_PENDING: ("?", "", "would still have no address"),
}


ROUTES_MAX: Final = 50
"""JSON has them all."""
_ROUTE_WORDS: Final = {
    RouteChangeKind.TOLD: ("+", "good", "would go to {peers} from {nodes}{how}"),
    RouteChangeKind.WITHDRAWN: ("-", "warning", "would not go to {peers} from {nodes} any more"),
    RouteChangeKind.CHANGED: ("~", "", "would go to {peers} from {nodes} otherwise{how}"),
}


class Edit(msgspec.Struct, frozen=True):
    """What is to be done to the objects of a cluster."""

    files: tuple[str, ...] = ()
    deleted: tuple[tuple[str, str], ...] = ()
    """Kind and name, both in lower case."""
    is_replacing: bool = False


class Outlook(msgspec.Struct, frozen=True):
    """What would come of it."""

    problems: tuple[Problem, ...]
    """Of the new configuration."""
    is_rejected: bool
    """Whether the controller would refuse it: then no service changes."""
    changed: tuple[ServiceChange, ...]
    pending: tuple[ServiceChange, ...]
    """Those that have no address now, and would have none."""
    unchanged: int
    pools: tuple[PoolChange, ...]
    routes: tuple[RouteChange, ...] = ()
    """What nodes would tell their BGP peers otherwise."""


def read_edit(paths: Iterable[str], *, deleted: Iterable[str], is_replacing: bool) -> Edit:
    """Understand the command line."""
    pairs = []
    for text in deleted:
        kind, separator, name = text.partition("/")
        if not separator or not kind or not name:
            raise click.UsageError(f"--delete {text}: write KIND/NAME, as IPAddressPool/main")
        pairs.append((kind.lower(), name))
    return Edit(tuple(find_files(paths)), tuple(pairs), is_replacing)


def preview(
    present: Inventory, edit: Edit, *, namespace: str, lb_class: str | None, has_pods: bool
) -> Outlook:
    """Decide with the objects of now and with the edited ones; raises `ConfigError` if unreadable.

    Files that cannot be read raise `UnreadableDocument`.
    """
    before = gather(present, namespace=namespace, lb_class=lb_class, has_pods=has_pods)
    home = before.settings.namespace
    documents = [document for name in edit.files for document in read_documents(name)]
    added = take_inventory(documents, namespace=home)
    unreadable = [item.problem for item in added.items if item.problem is not None]
    unreadable += [problem for _, problem in added.problems]
    if unreadable:
        raise ConfigError(tuple(unreadable))
    edited = _edited(present, added, edit, home)
    after = gather(edited, namespace=home, lb_class=before.settings.lb_class, has_pods=has_pods)
    return _compared(before, after)


def _edited(present: Inventory, added: Inventory, edit: Edit, home: str) -> Inventory:
    replaced = {(item.kind, item.value.metadata.key) for item in added.items}

    def stays(item: Item) -> bool:
        if item.value is not None and (item.kind, item.value.metadata.key) in replaced:
            return False
        if item.kind in CONFIGURED and item.key.startswith(f"{home}/"):
            named = item.key.partition("/")[2]
            return not edit.is_replacing and not _is_meant(item.kind, named, edit)
        return not (item.kind == "Service" and _is_meant(item.kind, item.key, edit))

    missing = [
        f"{kind}/{name}"
        for kind, name in edit.deleted
        if not any(
            _is_meant(item.kind, item.key, Edit(deleted=((kind, name),))) for item in present.items
        )
        and not any(
            item.key == f"{home}/{name}"
            and _is_meant(item.kind, name, Edit(deleted=((kind, name),)))
            for item in present.items
        )
    ]
    if missing:
        raise click.UsageError(f"--delete {missing[0]}: there is no such object")
    return Inventory(
        items=[*(item for item in present.items if stays(item)), *added.items],
        others=present.others,
    )


def _is_meant(kind: str, name: str, edit: Edit) -> bool:
    forms = (kind.lower(), f"{kind.lower()}s", kind.lower().removesuffix("y") + "ies")
    return any((form, name) in edit.deleted for form in forms)


def _compared(before: Snapshot, after: Snapshot) -> Outlook:
    problems = (*after.unreadable, *salvage(after.resources())[1])
    old, _ = compile_config(for_controller(before.resources()))
    new, _ = compile_config(for_controller(after.resources()))
    services = [_as_created(service) for service in after.services]
    # With other services than now, what there is now is what their statuses say.
    is_known = old is not None and after.services == before.services
    if new is None:
        return Outlook(problems, True, (), (), len(services), ())
    found = plan_changes(
        services,
        before=old.pools if old is not None and is_known else None,
        after=new.pools,
        lb_class=after.settings.lb_class,
    )
    pending = [each for each in found.services if each.kind is ChangeKind.STILL_PENDING]
    return Outlook(
        problems=problems,
        is_rejected=False,
        changed=found.changed,
        pending=tuple(pending),
        unchanged=len(found.services) - len(found.changed) - len(pending),
        pools=tuple(pool for pool in found.pools if pool.before != pool.after),
        routes=_routes(before, after, services, found.services),
    )


def _routes(
    before: Snapshot,
    after: Snapshot,
    services: Iterable[Service],
    changes: Iterable[ServiceChange],
) -> tuple[RouteChange, ...]:
    """Compare routes, unless the speakers would refuse what is new, or cannot be asked of now."""
    old, _ = compile_config(before.resources())
    new, _ = compile_config(after.resources())
    if old is None or new is None:
        return ()
    then = {change.service: change.addresses_after for change in changes}
    placed = [with_addresses(each, then.get(each.metadata.key, ())) for each in services]
    lb_class = before.settings.lb_class
    return plan_route_changes(
        Placement(old, [each for each in before.services if is_ours(each, lb_class)]),
        Placement(new, [each for each in placed if is_ours(each, lb_class)]),
        nodes=after.nodes,
        endpoint_slices=after.endpoint_slices,
        ignore_exclude_lb=after.settings.ignore_exclude_lb,
    )


def _as_created(service: Service) -> Service:
    """Give a service as the API server would have it, the younger if it does not exist yet."""
    created = service.metadata.creation_timestamp or _FUTURE
    metadata = msgspec.structs.replace(service.metadata, creation_timestamp=created)
    return msgspec.structs.replace(with_cluster_ips(service), metadata=metadata)


def to_lines(outlook: Outlook) -> Iterator[tuple[str, str]]:
    """Give lines for people, each with the colour of what it says."""
    for problem in outlook.problems:
        yield "error", f"! {problem}"
    if outlook.is_rejected:
        yield "error", "The controller would reject this configuration and keep the one it has."
        return
    if outlook.problems:
        yield "error", "The speakers would reject this configuration and keep the one they have."
    for change in (*outlook.changed, *outlook.pending):
        sign, kind, words = _WORDS[change.kind]
        said = words.format(
            before=", ".join(change.addresses_before),
            after=", ".join(change.addresses_after),
            pool_before=change.pool_before,
            pool_after=change.pool_after,
        )
        reason = change.reason.rpartition(_BEFORE_REASON)[2]
        reason = f": {reason}" if reason else ""
        yield kind, f"{sign} Service {change.service} {said}{reason}"
    yield from _route_lines(outlook.routes)
    for pool in outlook.pools:
        yield "", f"  Pool {pool.pool}: {_usage(pool.before)} now, {_usage(pool.after)} then"
    counted = {kind: sum(each.kind is kind for each in outlook.changed) for kind in ChangeKind}
    words = ", ".join(f"{count} {kind.value}" for kind, count in counted.items() if count)
    yield "", f"Plan: {words or 'no service changes'}, {outlook.unchanged} unchanged."


def _route_lines(routes: tuple[RouteChange, ...]) -> Iterator[tuple[str, str]]:
    for change in routes[:ROUTES_MAX]:
        sign, kind, words = _ROUTE_WORDS[change.kind]
        how = f" ({change.attributes})" if change.attributes else ""
        said = words.format(peers=listed(change.peers), nodes=listed(change.nodes), how=how)
        yield kind, f"{sign} Route {change.prefix} of {change.service} {said}"
    if len(routes) > ROUTES_MAX:
        yield "", f"  Route and {len(routes) - ROUTES_MAX} more"


def _usage(counters: PoolCounters | None) -> str:
    if counters is None:
        return "not there"
    return f"{counters.in_use} in use"


def print_as(output: str, outlook: Outlook) -> None:
    """Print everything for programs."""
    value: dict[str, Any] = msgspec.to_builtins(outlook)
    if output == "json":
        from mercurylb.cli.report import pretty  # noqa: PLC0415 (one of two forms)

        click.echo(pretty(value))
    else:
        from mercurylb.cli.manifest import to_yaml  # noqa: PLC0415

        click.echo(to_yaml(value), nl=False)
