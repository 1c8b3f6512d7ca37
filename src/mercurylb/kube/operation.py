"""What we ask the API server to change, as values.

A program's diff yields operations, tests compare them, `client.KubeClient.perform` carries one out
and `writer.Writer` pipelines many.
"""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from mercurylb.kube.resource import Resource


class Verb(enum.Enum):
    """What to do, as HTTP method and content type."""

    CREATE = ("POST", "application/json")
    REPLACE = ("PUT", "application/json")
    MERGE = ("PATCH", "application/merge-patch+json")
    JSON_PATCH = ("PATCH", "application/json-patch+json")
    APPLY = ("PATCH", "application/apply-patch+yaml")
    DELETE = ("DELETE", "application/json")

    @property
    def method(self) -> str:
        """Give the HTTP method."""
        return self.value[0]

    @property
    def content_type(self) -> str:
        """Give the media type of the body."""
        return self.value[1]


class Operation(msgspec.Struct, frozen=True):
    """One planned change of one object."""

    verb: Verb
    resource: Resource[Any]
    name: str = ""
    """Empty only for CREATE."""
    namespace: str = ""
    body: bytes = b""
    """JSON."""
    subresource: str | None = None
    field_manager: str = ""
    """Needed by APPLY, which is always forced: fields we own are ours."""
    is_dry_run: bool = False
    """Whether the API server is only to say what it would do."""

    @property
    def path(self) -> str:
        """Give the URL path."""
        name = None if self.verb is Verb.CREATE else self.name
        return self.resource.path(namespace=self.namespace, name=name, subresource=self.subresource)

    @property
    def params(self) -> dict[str, str]:
        """Give the query parameters."""
        params = {"fieldManager": self.field_manager} if self.field_manager else {}
        if self.verb is Verb.APPLY:
            params["force"] = "true"
        if self.is_dry_run:
            params["dryRun"] = "All"
        return params


def encode(body: object) -> bytes:
    """Encode a body: structs, dictionaries, anything JSON knows."""
    return msgspec.json.encode(body)
