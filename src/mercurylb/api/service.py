"""Service: what asks for a load-balancer IP, and where the answer is written."""

from __future__ import annotations

from typing import Final

import msgspec

from mercurylb.api.meta import ObjectMeta

LOAD_BALANCER: Final = "LoadBalancer"
LOCAL: Final = "Local"


class ServicePort(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """A port as clients of the service see it."""

    port: int = 0
    protocol: str = "TCP"
    name: str = ""


class ServiceSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """The wish."""

    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    cluster_ips: tuple[str, ...] | None = msgspec.field(default=None, name="clusterIPs")
    ip_families: tuple[str, ...] | None = None
    ip_family_policy: str | None = None
    load_balancer_ip: str = msgspec.field(default="", name="loadBalancerIP")
    load_balancer_class: str | None = None
    external_traffic_policy: str = ""
    ports: tuple[ServicePort, ...] | None = None
    selector: dict[str, str] | None = None


class LoadBalancerIngress(
    msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False
):
    """One way in; entries of other load balancers may have a host name only."""

    ip: str = ""
    hostname: str = ""
    ip_mode: str | None = None
    """The API server fills in VIP."""


class LoadBalancerStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """The ways in."""

    ingress: tuple[LoadBalancerIngress, ...] | None = None


class ServiceCondition(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """One condition, ours or anybody's; as the API has it, so that it can be written back."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None
    observed_generation: int | msgspec.UnsetType = msgspec.UNSET


class ServiceStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """The answer."""

    load_balancer: LoadBalancerStatus | None = None
    conditions: tuple[ServiceCondition, ...] | None = None


_NO_SPEC: Final = ServiceSpec()


class Service(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """A Service."""

    metadata: ObjectMeta = ObjectMeta()
    spec: ServiceSpec | None = None
    status: ServiceStatus | None = None

    @property
    def wish(self) -> ServiceSpec:
        """Give the spec, or an empty one."""
        return self.spec or _NO_SPEC

    @property
    def ingress(self) -> tuple[LoadBalancerIngress, ...]:
        """Give the entries of `status.loadBalancer.ingress`, in order."""
        if self.status is None or self.status.load_balancer is None:
            return ()
        return self.status.load_balancer.ingress or ()

    @property
    def conditions(self) -> tuple[ServiceCondition, ...]:
        """Give `status.conditions`, in order."""
        if self.status is None:
            return ()
        return self.status.conditions or ()
