"""Whether the cluster's definitions are those of this version: said once, at the start.

Definitions of another version keep nothing from working: a field that they lack is dropped by the
API server before we see it, one that we do not know is not looked at. But nobody would tell the
operator who has written it. The API server's own description of its kinds (OpenAPI, for which no
right beyond those of every account is needed) has the fields.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mercurylb.api.fields import field_paths
from mercurylb.errors import KubeError, NotFound
from mercurylb.kube import kinds
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mercurylb.kube.client import KubeClient
    from mercurylb.kube.resource import Resource
    from mercurylb.telemetry.metrics import Registry

_WRITTEN: Final[tuple[Resource[Any], ...]] = (
    kinds.IP_ADDRESS_POOLS,
    kinds.L2_ADVERTISEMENTS,
    kinds.BGP_ADVERTISEMENTS,
    kinds.BGP_PEERS,
    kinds.BFD_PROFILES,
    kinds.COMMUNITIES,
)
"""Kinds that people write."""
TRIES: Final = 6
AGAIN_S: Final = 5.0
_TOLD_MAX: Final = 10


class _Schema(msgspec.Struct, frozen=True):
    """The part of a schema that says which fields there are."""

    properties: dict[str, _Schema] | None = None
    items: _Schema | None = None


class _Kind(msgspec.Struct, frozen=True):
    kind: str = ""
    version: str = ""


class _Described(_Schema, frozen=True):
    names: tuple[_Kind, ...] = msgspec.field(default=(), name="x-kubernetes-group-version-kind")


class _Components(msgspec.Struct, frozen=True):
    schemas: dict[str, _Described] = {}


class _Document(msgspec.Struct, frozen=True):
    components: _Components = _Components()


class Difference(msgspec.Struct, frozen=True):
    """How a kind of the cluster differs from ours."""

    resource: str
    is_missing: bool = False
    lacking: tuple[str, ...] = ()
    """Fields of ours that it does not have."""
    unknown: tuple[str, ...] = ()
    """Fields that we do not have."""

    @property
    def count(self) -> int:
        """Give in how much it differs."""
        return len(self.lacking) + len(self.unknown) + self.is_missing


class DefinitionCheck:
    """Compares once, as a task of the program; never ends it."""

    def __init__(self, client: KubeClient, registry: Registry) -> None:
        self._client = client
        self._gauge = registry.gauge(
            "mercurylb_definition_differences",
            "Fields, or the whole kind, in which the cluster's definitions are not this version's.",
            ("resource",),
        )

    async def run(self) -> None:
        """Compare, and say what differs in one line.

        A server that has just been given new definitions describes them a little later.
        """
        for tries_left in reversed(range(TRIES)):
            try:
                differences = tuple(compare(await self._describe()))
            except KubeError as error:
                log.debug("config.definitions_unknown", reason=str(error))
                return
            self._gauge.replace({(each.resource,): each.count for each in differences})
            if not differences:
                return
            if tries_left:
                await asyncio.sleep(AGAIN_S)
        self._tell(differences)

    async def _describe(self) -> dict[str, bytes]:
        documents: dict[str, bytes] = {}
        for version in sorted({resource.version for resource in _WRITTEN}):
            try:
                path = f"/openapi/v3/apis/{kinds.GROUP}/{version}"
                documents[version] = await self._client.read(path)
            except NotFound:
                documents[version] = b"{}"
        return documents

    def _tell(self, differences: tuple[Difference, ...]) -> None:
        log.warning(
            "config.definitions_differ",
            msg="fields that are missing are dropped by the API server, unknown ones are ignored",
            missing=_some(each.resource for each in differences if each.is_missing),
            lacking=_some(
                f"{each.resource} {path}" for each in differences for path in each.lacking
            ),
            unknown=_some(
                f"{each.resource} {path}" for each in differences for path in each.unknown
            ),
            todo="apply the definitions of this version (helm upgrade, or config/crd)",
        )


def compare(documents: dict[str, bytes]) -> Iterator[Difference]:
    """Compare the description of each version with our structs; raise KubeError if unreadable."""
    try:
        schemas = {
            (name.kind, version): described
            for version, document in documents.items()
            for described in msgspec.json.decode(
                document, type=_Document
            ).components.schemas.values()
            for name in described.names
        }
    except (msgspec.MsgspecError, RecursionError) as error:
        raise KubeError(f"the description of the kinds cannot be read: {error}") from error
    for resource in _WRITTEN:
        name = f"{resource.plural}.{resource.group} {resource.version}"
        schema = schemas.get((resource.kind, resource.version))
        if schema is None:
            yield Difference(name, is_missing=True)
            continue
        ours, theirs = _spec(field_paths(resource.type)), _spec(_paths(schema, ""))
        if ours != theirs:
            yield Difference(
                name,
                lacking=tuple(sorted(_tops(ours - theirs))),
                unknown=tuple(sorted(_tops(theirs - ours))),
            )


def _spec(paths: Iterable[str]) -> frozenset[str]:
    return frozenset(path for path in paths if path.startswith("spec"))


def _paths(schema: _Schema, prefix: str) -> Iterator[str]:
    for name, below in (schema.properties or {}).items():
        path, inner = f"{prefix}{name}", below
        yield path
        while inner.items is not None:
            inner, path = inner.items, f"{path}[]"
        yield from _paths(inner, f"{path}.")


def _tops(paths: frozenset[str]) -> set[str]:
    """Leave out what is inside of something else in the set."""
    starts = {path: (f"{path}.", f"{path}[") for path in paths}
    return {path for path in paths if not any(path.startswith(start) for start in starts.values())}


def _some(names: Iterable[str]) -> list[str]:
    found = list(names)
    rest = len(found) - _TOLD_MAX
    return [*found[:_TOLD_MAX], *([f"and {rest} more"] if rest > 0 else [])]
