"""The table of capability by router: who lacks what is known beforehand, the rest passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROUTERS: Final = ("frr", "bird", "gobgp", "exabgp")

_NO_TABLE: Final = "keeps no routes"
_NO_BFD: Final = "has no BFD"
LACKING: Final[Mapping[str, Mapping[str, str]]] = {
    "unnumbered": {
        "gobgp": "sends no router advertisements",
        "exabgp": "sends no router advertisements",
    },
    "2-byte neighbour": {"gobgp": "always has 4-octet numbers"},
    "BFD, single hop": {"gobgp": _NO_BFD, "exabgp": _NO_BFD},
    "BFD, several hops": {"gobgp": _NO_BFD, "exabgp": _NO_BFD},
    "BFD taken down by its operator": {
        "bird": "has no word for it",
        "gobgp": _NO_BFD,
        "exabgp": _NO_BFD,
    },
    "BFD, the router passive": {"gobgp": _NO_BFD, "exabgp": _NO_BFD},
    "BFD, passive": {"gobgp": _NO_BFD, "exabgp": _NO_BFD},
    "GTSM, one hop": {"exabgp": "answers connections with the TTL of the kernel"},
    "graceful restart": {"exabgp": _NO_TABLE},
    "graceful restart, planned": {"exabgp": _NO_TABLE},
    "without graceful restart": {"exabgp": _NO_TABLE},
    "route refresh": {"gobgp": "never asks: it keeps what came in"},
    "extended messages": {"gobgp": "has none"},
    "enhanced route refresh": {"gobgp": "has none"},
}
"""Why a router cannot show something."""

PASS, LACKS, FAIL, IMPOSSIBLE = "pass", "peer lacks it", "FAIL", "kernel lacks it"


def capability(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a test a row of the table: it runs once for each router that has the capability."""
    lacking = LACKING.get(name, {})
    cases = [
        pytest.param(
            router,
            marks=[pytest.mark.skip(reason=f"{LACKS}: {router} {lacking[router]}")]
            if router in lacking
            else [],
        )
        for router in ROUTERS
    ]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        function.capability = name  # type: ignore[attr-defined]
        return pytest.mark.parametrize("router", cases, indirect=True)(function)

    return decorate


class Table:
    """What came out, row by row in the order of the first result."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, str]] = {}
        self.releases: dict[str, str] = {}

    def note(self, name: str, router: str, outcome: str) -> None:
        """Take one result; a failure is not forgotten."""
        row = self.rows.setdefault(name, {})
        if row.get(router) != FAIL:
            row[router] = outcome

    def lines(self) -> list[str]:
        """Draw it."""
        if not self.rows:
            return []
        width = max(len(name) for name in self.rows)
        columns = [max(len(LACKS), len(IMPOSSIBLE), len(router)) for router in ROUTERS]
        lines = [self._line("capability", list(ROUTERS), width, columns)]
        lines.append(self._line("-" * width, ["-" * column for column in columns], width, columns))
        for name, row in self.rows.items():
            cells = [row.get(router, "") for router in ROUTERS]
            lines.append(self._line(name, cells, width, columns))
        notes = [
            f"{name}: {router} {reason}"
            for name, row in self.rows.items()
            for router, reason in LACKING.get(name, {}).items()
            if row.get(router) == LACKS
        ]
        return [*lines, "", *self.releases.values(), *notes]

    @staticmethod
    def _line(name: str, cells: list[str], width: int, columns: list[int]) -> str:
        padded = [cell.ljust(column) for cell, column in zip(cells, columns, strict=True)]
        return "  ".join([name.ljust(width), *padded]).rstrip()
