"""The configuration in force: compiled when something changed that matters, kept when it is wrong.

* What counts of a pool or a community is its generation, of a namespace its labels. So the counters
  that we write into a pool's status ourselves are no reason to compile.
* A configuration with problems changes nothing: the last good one stays in force.
* Whatever came of a look, the problems are reported; an object that does not even decode is one.
  Only so many are named, since the report is an object of bounded size.
* A configuration that is equal to the one in force is not another one.

What another configuration means for addresses and services is the reconciler's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mercurylb.config.compilation import Resources, compile_config
from mercurylb.config.problem import summarize
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from mercurylb.api.meta import ObjectMeta
    from mercurylb.config.model import Config
    from mercurylb.controller.surroundings import Outlets, Stores

UNREADABLE_MAX: Final = 100
"""Objects that do not decode and are named in a report."""


class Configuration:
    """Knows the last good configuration, and whether another one has come."""

    def __init__(self, stores: Stores, outlets: Outlets, *, backend: str) -> None:
        self.in_force: Config | None = None
        """The last one without problems; None if there never was one."""
        self._stores = stores
        self._outlets = outlets
        self._backend = backend
        self._inputs: object = None
        """What was compiled last, with or without success."""

    @property
    def is_read(self) -> bool:
        """Tell whether there was a look at all."""
        return self._inputs is not None

    def refresh(self) -> Config | None:
        """Compile anew if something changed that matters; give the new configuration, if any."""
        inputs = self._current_inputs()
        if inputs == self._inputs:
            return None
        self._inputs = inputs
        metrics = self._outlets.metrics.config
        metrics.updates.add(1)
        config, error = self._compile()
        metrics.note_config(is_accepted=not error, problems=len(error.splitlines()))
        self._outlets.reporter.report(error)
        if config is None or error:
            log.error("config.rejected", problems=error.splitlines())
            return None
        if config == self.in_force:
            return None
        self.in_force = config
        return config

    def _current_inputs(self) -> object:
        """Give what tells two configurations apart: generations, labels, and what is unreadable.

        A pool's own status, labels and annotations do not count, nor does a namespace's status.
        """
        stores = self._stores
        return (
            {key: _generation(pool.metadata) for key, pool in stores.pools.objects.items()},
            {key: item.metadata.labels for key, item in stores.namespaces.objects.items()},
            {key: _generation(item.metadata) for key, item in stores.communities.objects.items()},
            dict(stores.pools.problems),
            dict(stores.communities.problems),
        )

    def _compile(self) -> tuple[Config | None, str]:
        """Give what the readable objects make, and the problems of all objects as text."""
        stores = self._stores
        config, problems = compile_config(
            Resources(
                pools=tuple(stores.pools.objects.values()),
                communities=tuple(stores.communities.objects.values()),
                namespaces=tuple(stores.namespaces.objects.values()),
                backend=self._backend,
            )
        )
        lines = self._unreadable()[:UNREADABLE_MAX]
        if problems:
            lines.append(summarize(problems))
        return config, "\n".join(lines)

    def _unreadable(self) -> list[str]:
        stores = self._stores
        return [
            f"{kind} {key}: {reason}"
            for kind, store in (("IPAddressPool", stores.pools), ("Community", stores.communities))
            for key, reason in sorted(store.problems.items())
        ]


def _generation(metadata: ObjectMeta) -> tuple[str, str | int]:
    return metadata.uid, metadata.generation or metadata.resource_version
