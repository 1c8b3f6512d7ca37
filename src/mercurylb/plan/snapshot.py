"""Everything the decisions read, at one moment: what an explanation is made from.

Objects are here as they are in the cluster, those in namespaces where nobody looks included: that
they are ignored is often the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from mercurylb.api.bfd_profile import BFDProfile
from mercurylb.api.bgp_advertisement import BGPAdvertisement
from mercurylb.api.bgp_peer import BGPPeer
from mercurylb.api.bgp_session import BGPSession
from mercurylb.api.community import Community
from mercurylb.api.configuration_state import ConfigurationState
from mercurylb.api.endpoint_slice import EndpointSlice
from mercurylb.api.ip_address_pool import IPAddressPool
from mercurylb.api.l2_advertisement import L2Advertisement
from mercurylb.api.namespace import Namespace
from mercurylb.api.node import Node
from mercurylb.api.pod import Pod
from mercurylb.api.secret import Secret
from mercurylb.api.service import Service
from mercurylb.api.service_bgp_status import ServiceBGPStatus
from mercurylb.api.service_l2_status import ServiceL2Status
from mercurylb.config.resources import Resources
from mercurylb.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.api.meta import ObjectMeta


class HasMetadata(Protocol):
    """Any Kubernetes object."""

    @property
    def metadata(self) -> ObjectMeta:
        """Give its metadata."""


_Object = TypeVar("_Object", bound=HasMetadata)


class Settings(msgspec.Struct, frozen=True):
    """How the programs were started, as far as decisions depend on it."""

    namespace: str = "metallb-system"
    """Where the configuration is read from."""
    lb_class: str = ""
    backend: str = "native"
    ignore_exclude_lb: bool = False


class ServiceEvent(msgspec.Struct, frozen=True):
    """What somebody said about a service."""

    service: str
    """`namespace/name`."""
    reason: str
    message: str
    when: str = ""
    """RFC 3339; empty if not told."""


class Snapshot(msgspec.Struct, frozen=True):
    """A cluster at one moment, as far as decisions rest on it."""

    settings: Settings = Settings()
    services: tuple[Service, ...] = ()
    pools: tuple[IPAddressPool, ...] = ()
    l2_advertisements: tuple[L2Advertisement, ...] = ()
    bgp_advertisements: tuple[BGPAdvertisement, ...] = ()
    bgp_peers: tuple[BGPPeer, ...] = ()
    bfd_profiles: tuple[BFDProfile, ...] = ()
    communities: tuple[Community, ...] = ()
    secrets: tuple[Secret, ...] = ()
    namespaces: tuple[Namespace, ...] = ()
    nodes: tuple[Node, ...] = ()
    endpoint_slices: tuple[EndpointSlice, ...] = ()
    controllers: tuple[Pod, ...] = ()
    """Pods of the controller."""
    speakers: tuple[Pod, ...] = ()
    """Pods of the speakers."""
    are_pods_known: bool = False
    """Whether pods were looked at, so that a missing one is really missing."""
    configuration_states: tuple[ConfigurationState, ...] = ()
    l2_statuses: tuple[ServiceL2Status, ...] = ()
    bgp_statuses: tuple[ServiceBGPStatus, ...] = ()
    bgp_sessions: tuple[BGPSession, ...] = ()
    events: tuple[ServiceEvent, ...] = ()
    unreadable: tuple[Problem, ...] = ()
    """Objects that are there but do not fit their kind; the programs reject them."""

    def service(self, key: str) -> Service | None:
        """Find a service by `namespace/name`."""
        return next((item for item in self.services if item.metadata.key == key), None)

    def resources(self) -> Resources:
        """Give what lies where the programs look, for all of them together."""
        home = self.settings.namespace
        return Resources(
            pools=at_home(self.pools, home),
            l2_advertisements=at_home(self.l2_advertisements, home),
            bgp_advertisements=at_home(self.bgp_advertisements, home),
            bgp_peers=at_home(self.bgp_peers, home),
            bfd_profiles=at_home(self.bfd_profiles, home),
            communities=at_home(self.communities, home),
            secrets=at_home(self.secrets, home),
            namespaces=self.namespaces,
            nodes=self.nodes,
            backend=self.settings.backend,
        )


def at_home(objects: Iterable[_Object], home: str) -> tuple[_Object, ...]:
    """Leave the objects of one namespace."""
    return tuple(item for item in objects if item.metadata.namespace == home)
