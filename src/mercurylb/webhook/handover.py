"""When to serve a new certificate, and what the API server must trust meanwhile: no window.

::

    new pair, same authority    served at once: it is trusted already
    new authority               injected beside the old one
                                 → seen in every target, and it settled     → the new pair is served
                                 → the other replicas had time to follow    → the old one is dropped
    somebody resets a target    injected again

Targets are the objects that name our authority: the webhook configuration, and the definition that
is converted. One that does not exist asks nobody and holds nothing up.

Pure; times are monotonic seconds. Levels, not edges: `on_targets` takes what is there now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.webhook.bundle import Bundle
from mercurylb.webhook.rotation import Material

if TYPE_CHECKING:
    from collections.abc import Mapping

SETTLE_S: Final = 5.0
"""Every API server has a cache of its own of the targets; it follows within about a second."""
LINGER_S: Final = 60.0
"""How long an authority that nobody needs stays: another replica may serve by it."""
PATIENCE_S: Final = 300.0
"""How long a target that cannot be read or written holds the new certificate up."""
EXTRA_MAX: Final = 4


class Target(msgspec.Struct, frozen=True):
    """One object in which our authority must stand, with what its `caBundle` fields hold."""

    bundles: tuple[Bundle, ...]
    is_clean: bool = True
    """False when a field holds anything beside certificates."""


class Serve(msgspec.Struct, frozen=True):
    """Answer new connections with this pair from now on."""

    material: Material
    is_forced: bool = False
    """Some target may not trust it yet, and waiting longer is worse."""


class Inject(msgspec.Struct, frozen=True):
    """Write this bundle into a target."""

    target: str
    bundle: Bundle


Effect = Serve | Inject


class Handover:
    """The state of one replica."""

    def __init__(self) -> None:
        self.served: Material | None = None
        self._wanted: Material | None = None
        self._wanted_at = 0.0
        self._targets: Mapping[str, Target | None] = {}
        self._trusted_at: float | None = None
        self._extra_at: dict[str, float] = {}

    def on_material(self, material: Material, now: float) -> list[Effect]:
        """Take the secret's current content."""
        if self._wanted != material:
            self._wanted, self._wanted_at = material, now
            self._trusted_at = None
        return self.on_deadline(now)

    def on_targets(self, targets: Mapping[str, Target | None], now: float) -> list[Effect]:
        """Take what stands in every target; None for one that could not be read so far."""
        self._targets = targets
        return self.on_deadline(now)

    def on_deadline(self, now: float) -> list[Effect]:
        """Give what is to be done now; also what was given before and has not shown yet."""
        if self._wanted is None:
            return []
        effects: list[Effect] = self._switch(self._wanted, now)
        needed = self._needed()
        for name, target in sorted(self._targets.items()):
            if target is not None and (bundle := self._correction(name, target, needed, now)):
                effects.append(Inject(name, bundle))
        return effects

    def next_deadline(self) -> float | None:
        """Give when time alone will change something."""
        if self._wanted is None:
            return None
        due = [since + LINGER_S for since in self._extra_at.values()]
        if self.served != self._wanted:
            settled_at = () if self._trusted_at is None else (self._trusted_at + SETTLE_S,)
            due += [*settled_at, self._wanted_at + PATIENCE_S]
        return min(due, default=None)

    def _switch(self, wanted: Material, now: float) -> list[Effect]:
        if self.served == wanted:
            return []
        is_trusted = all(
            target is not None and all(wanted.authorities[0] in bundle for bundle in target.bundles)
            for target in self._targets.values()
        )
        if not is_trusted:
            self._trusted_at = None
        elif self._trusted_at is None:
            self._trusted_at = now
        is_first = self.served is None
        has_same_signer = not is_first and self.served.authorities[0] == wanted.authorities[0]  # type: ignore[union-attr]
        has_settled = self._trusted_at is not None and now >= self._trusted_at + SETTLE_S
        is_late = now >= self._wanted_at + PATIENCE_S
        if not (is_first or has_same_signer or has_settled or is_late):
            return []
        self.served = wanted
        self._extra_at.clear()
        return [Serve(wanted, is_forced=is_late and not has_settled and not has_same_signer)]

    def _needed(self) -> Bundle:
        """Give every authority that somebody verifies us by, the newest first."""
        found: dict[bytes, None] = {}
        for material in (self._wanted, self.served):
            if material is not None:
                found |= dict.fromkeys(material.authorities)
        return tuple(found)

    def _correction(self, name: str, target: Target, needed: Bundle, now: float) -> Bundle | None:
        """Give the bundle that a target must be given, or None when it may stay as it is."""
        seen = dict.fromkeys(der for bundle in target.bundles for der in bundle)
        extra = tuple(der for der in seen if der not in needed)[:EXTRA_MAX]
        if not extra:
            self._extra_at.pop(name, None)
        elif self.served == self._wanted:
            self._extra_at.setdefault(name, now)
        if extra and now >= self._extra_at.get(name, now) + LINGER_S:
            return needed
        is_complete = all(set(needed) <= set(bundle) for bundle in target.bundles)
        return None if is_complete and target.is_clean else needed + extra
