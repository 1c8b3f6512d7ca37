"""A script: the steps that are played in both universes alike.

Pure.  In every text of a step ``@`` stands for the universe, so that one script fits both.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Json = dict[str, Any]

HOME: Final = "@-home"
"""The namespace of the controller and its pools."""
SERVICE: Final = "Service"
POOL: Final = "IPAddressPool"
COMMUNITY: Final = "Community"
NAMESPACE: Final = "Namespace"
RESTART: Final = "restart"
_PATHS: Final = {
    SERVICE: "/api/v1/namespaces/{namespace}/services",
    POOL: "/apis/metallb.io/v1beta1/namespaces/{namespace}/ipaddresspools",
    COMMUNITY: "/apis/metallb.io/v1beta1/namespaces/{namespace}/communities",
    NAMESPACE: "/api/v1/namespaces",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens in a universe."""

    verb: str
    """``create``, ``patch``, ``delete``, or ``restart`` of the controller."""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    body: Json = field(default_factory=dict)
    spoils: bool = False
    """The object makes the configuration invalid for as long as it is as this step leaves it."""
    only: str = ""
    """The universe in which it happens, when it is a restart of one controller."""
    joins: bool = False
    """The next step follows at once: nothing is awaited or compared in between."""

    @property
    def collection(self) -> str:
        """Give the path of the list that the object is in."""
        return _PATHS[self.kind].format(namespace=self.namespace)

    @property
    def path(self) -> str:
        """Give the path of the object."""
        return f"{self.collection}/{self.name}"

    @property
    def is_config(self) -> bool:
        """Tell whether the step changes what the controller's configuration is made of."""
        return self.kind in (POOL, COMMUNITY, NAMESPACE)

    def __str__(self) -> str:
        """Say it in a line."""
        if self.verb == RESTART:
            return f"restart the controller{f' of {self.only}' if self.only else ''}"
        where = f"{self.namespace}/{self.name}" if self.kind == SERVICE else self.name
        body = json.dumps(self.body, separators=(",", ":")) if self.body else ""
        return f"{self.verb} {self.kind} {where} {body}".rstrip()


def is_spoiled(steps: Iterable[Step]) -> bool:
    """Tell whether the configuration is invalid after these steps."""
    spoilt: set[str] = set()
    for step in steps:
        if not step.is_config:
            continue
        spoilt.discard(step.path)
        if step.spoils and step.verb != "delete":
            spoilt.add(step.path)
    return bool(spoilt)


def dump(steps: Sequence[Step]) -> str:
    """Write a script as JSON lines."""
    return "".join(f"{json.dumps(asdict(step))}\n" for step in steps)


def load(text: str) -> list[Step]:
    """Read what `dump` wrote."""
    return [Step(**json.loads(line)) for line in text.splitlines() if line.strip()]
