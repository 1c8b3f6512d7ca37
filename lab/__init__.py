"""A real Kubernetes cluster of network namespaces on one machine.

The demo, the end-to-end tests and the benchmarks all stand on this package.  Use it as a library
(``from lab import Lab``) or as a command (``python -m lab --help``).

Invariants: everything lives in network namespaces that start with the lab's own prefix, no packet
can leave them, every process is recorded before it matters and ended by its own pid, and nothing is
left after ``down``, also when the starter was killed.

Observers and small servers run from this package inside the namespaces, so importing the package
itself must stay cheap: ``Lab`` is loaded at first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.cluster import Lab

__all__ = ["Lab"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (a module attribute may be anything)
    """Load ``Lab`` at first use."""
    if name == "Lab":
        from lab.cluster import Lab  # noqa: PLC0415  (deferred: helpers must start fast)

        return Lab
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
