"""What vtysh answers in JSON: neighbours, routes, BFD peers and their counters (spec: bgp-frr A9).

Fields that are not named here are skipped, those that FRR leaves out have defaults. Whatever else
is not as expected raises `ParseError`.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from mercurylb.errors import ParseError

ESTABLISHED: Final = "Established"
DAEMONS: Final = frozenset({"bfdd", "bgpd", "staticd", "watchfrr", "zebra"})
"""Those that a node's FRR consists of."""

T = TypeVar("T")


def _dashed(name: str) -> str:
    return name.replace("_", "-")


class MessageStats(msgspec.Struct, frozen=True, rename="camel"):
    """Messages of a neighbour since it was configured."""

    opens_sent: int = 0
    opens_recv: int = 0
    notifications_sent: int = 0
    notifications_recv: int = 0
    updates_sent: int = 0
    updates_recv: int = 0
    keepalives_sent: int = 0
    keepalives_recv: int = 0
    route_refresh_sent: int = 0
    total_sent: int = 0
    total_recv: int = 0


class FamilyInfo(msgspec.Struct, frozen=True, rename="camel"):
    """One address family of a neighbour."""

    sent_prefix_counter: int = 0
    accepted_prefix_counter: int = 0


class PeerBfdInfo(msgspec.Struct, frozen=True, rename="camel"):
    """The BFD session that guards a neighbour."""

    type: str = ""
    detect_multiplier: int = 0
    rx_min_interval: int = 0
    tx_min_interval: int = 0
    status: str = ""


class Neighbor(msgspec.Struct, frozen=True, rename="camel"):
    """One neighbour, by its address or, unnumbered, its interface."""

    peer: str = msgspec.field(default="", name="-")
    """Key of the answer."""
    remote_as: int = 0
    local_as: int = 0
    remote_router_id: str = ""
    bgp_state: str = ""
    port_foreign: int = 0
    nbr_common_admin: bool = False
    message_stats: MessageStats = MessageStats()
    address_family_info: dict[str, FamilyInfo] = {}
    connect_retry_timer: int = 0
    """Seconds."""
    configured_hold_ms: int = msgspec.field(default=0, name="bgpTimerConfiguredHoldTimeMsecs")
    configured_keepalive_ms: int = msgspec.field(
        default=0, name="bgpTimerConfiguredKeepAliveIntervalMsecs"
    )
    hold_ms: int = msgspec.field(default=0, name="bgpTimerHoldTimeMsecs")
    """Negotiated."""
    keepalive_ms: int = msgspec.field(default=0, name="bgpTimerKeepAliveIntervalMsecs")
    graceful_restart_info: dict[str, Any] = {}
    peer_bfd_info: PeerBfdInfo | None = None

    @property
    def is_connected(self) -> bool:
        """Tell whether the session is established."""
        return self.bgp_state == ESTABLISHED

    @property
    def prefixes_sent(self) -> int:
        """Count what was sent, over all families."""
        return sum(info.sent_prefix_counter for info in self.address_family_info.values())


class NextHop(msgspec.Struct, frozen=True):
    """Where a route leads."""

    ip: str = ""
    scope: str = ""


class Path(msgspec.Struct, frozen=True):
    """One way to a destination."""

    valid: bool = False
    peer_id: str = msgspec.field(default="", name="peerId")
    local_pref: int = msgspec.field(default=0, name="locPrf")
    origin: str = ""
    nexthops: tuple[NextHop, ...] = ()
    is_stale: bool = msgspec.field(default=False, name="stale")


class Route(msgspec.Struct, frozen=True):
    """A destination and where it leads."""

    prefix: str
    next_hops: tuple[str, ...]
    """Each once; link-local ones left out."""
    local_pref: int
    origin: str
    is_stale: bool


class BfdPeer(msgspec.Struct, frozen=True, rename=_dashed):
    """One BFD session; intervals are milliseconds."""

    peer: str
    multihop: bool = False
    local: str = ""
    vrf: str = ""
    interface: str = ""
    id: int = 0
    remote_id: int = 0
    passive_mode: bool = False
    status: str = ""
    uptime: int = 0
    diagnostic: str = ""
    remote_diagnostic: str = ""
    receive_interval: int = 0
    transmit_interval: int = 0
    echo_receive_interval: int = 0
    echo_transmit_interval: int = 0
    detect_multiplier: int = 0
    remote_receive_interval: int = 0
    remote_transmit_interval: int = 0
    remote_echo_receive_interval: int = 0
    remote_detect_multiplier: int = 0

    @property
    def is_up(self) -> bool:
        """Tell whether the session is up."""
        return self.status == "up"


class BfdCounters(msgspec.Struct, frozen=True, rename=_dashed):
    """What one BFD session has seen."""

    peer: str
    control_packet_input: int = 0
    control_packet_output: int = 0
    echo_packet_input: int = 0
    echo_packet_output: int = 0
    session_up: int = 0
    session_down: int = 0
    zebra_notifications: int = 0


def parse_vrfs(text: str) -> tuple[str, ...]:
    """Give the names of all VRFs with a BGP instance, sorted."""
    return tuple(sorted(_decoded(text, _Vrfs, "VRFs").vrfs))


def parse_neighbors(text: str) -> tuple[Neighbor, ...]:
    """Give the neighbours of one VRF, sorted by address or interface."""
    found = _decoded(text, dict[str, msgspec.Raw], "neighbours")
    # Without neighbours FRR adds notes about the VRF, which are no objects.
    return tuple(
        msgspec.structs.replace(_decoded(raw, Neighbor, f"neighbour {peer}"), peer=peer)
        for peer, raw in sorted(found.items())
        if bytes(raw).lstrip()[:1] == b"{"
    )


def parse_neighbor(text: str) -> Neighbor:
    """Give the one neighbour that was asked for."""
    found = parse_neighbors(text)
    if len(found) != 1:
        raise ParseError(f"one neighbour is expected, not {len(found)}")
    return found[0]


def parse_routes(text: str) -> dict[str, Route]:
    """Give the routes of one VRF and family by the address of their destination."""
    routes = _decoded(text, _Routes, "routes").routes
    return {
        prefix.partition("/")[0]: _route(prefix, paths) for prefix, paths in sorted(routes.items())
    }


def parse_bfd_peers(text: str) -> tuple[BfdPeer, ...]:
    """Give the BFD sessions of one VRF."""
    return _decoded(text, tuple[BfdPeer, ...], "BFD peers")


def parse_bfd_counters(text: str) -> tuple[BfdCounters, ...]:
    """Give the counters of the BFD sessions of one VRF."""
    return _decoded(text, tuple[BfdCounters, ...], "BFD counters")


def missing_daemons(text: str) -> tuple[str, ...]:
    """Give those of FRR's daemons that `show daemons` does not name, sorted."""
    return tuple(sorted(DAEMONS - set(text.split())))


class _Vrfs(msgspec.Struct, frozen=True):
    vrfs: dict[str, msgspec.Raw]


class _Routes(msgspec.Struct, frozen=True):
    routes: dict[str, tuple[Path, ...]] = {}


def _route(prefix: str, paths: tuple[Path, ...]) -> Route:
    valid = [path for path in paths if path.valid]
    hops = [
        hop.ip for path in valid for hop in path.nexthops if hop.ip and hop.scope != "link-local"
    ]
    first = valid[0] if valid else Path()
    is_stale = any(path.is_stale for path in valid)
    return Route(prefix, tuple(dict.fromkeys(hops)), first.local_pref, first.origin, is_stale)


def _decoded(text: str | msgspec.Raw, shape: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(text, type=shape)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ParseError(f"vtysh's answer about {what} cannot be read: {error}") from error
