"""Pod: ours, and where the other speakers run."""

from __future__ import annotations

import msgspec

from mercurylb.api.meta import ObjectMeta


class PodSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """Where it runs."""

    node_name: str = ""


class PodCondition(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """One condition."""

    type: str = ""
    status: str = ""


class PodStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """How it does."""

    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    conditions: tuple[PodCondition, ...] | None = None


class Pod(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """A Pod."""

    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec | None = None
    status: PodStatus | None = None

    @property
    def node(self) -> str:
        """Give the node it runs on; empty while it is not scheduled."""
        return self.spec.node_name if self.spec else ""

    @property
    def address(self) -> str:
        """Give its first address; empty while it has none."""
        return self.status.pod_ip if self.status else ""

    @property
    def is_ready(self) -> bool:
        """Tell whether its Ready condition is True and it is not being deleted."""
        conditions = (self.status.conditions if self.status else None) or ()
        return self.metadata.deletion_timestamp is None and any(
            condition.type == "Ready" and condition.status == "True" for condition in conditions
        )
