"""Our side: a real announcer, told by its channel what to want, and its links to routers."""

from __future__ import annotations

import functools
import signal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mercurylb.bgp.report import SessionReport
from mercurylb.bgp.route import RouteGroup
from mercurylb.bgp.settings import Key, PeerSettings
from mercurylb.plan.desired import BgpPeer, DesiredState
from tests.interop.bgp.daemon import wait_until
from tests.interop.bgp.routers.router import IPV4, IPV6, Neighbor, Router, Seen, View
from tests.lab.wire_lab import Announcer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mercurylb.bfd.report import BfdReport
    from mercurylb.bfd.settings import BfdSettings
    from tests.interop.bgp.network import Network

ASN = 65001
"""Ours towards external peers."""
CAPABILITY_S = 30.0
"""What a session may take to come up, with the routers' own delays."""


class Node:
    """A node with an announcer; peers and routes of many tests at once."""

    def __init__(
        self, network: Network, folder: Path, name: str, number: int, *options: str
    ) -> None:
        self.network = network
        self.name = name
        self.number = number
        self.namespace = network.namespace(name)
        self.folder = folder / name
        self.options = options
        self.peers: dict[str, BgpPeer] = {}
        self.groups: dict[str, tuple[RouteGroup, ...]] = {}
        self.revision = 0
        self.announcer: Announcer | None = None

    def start(self) -> None:
        """Start the announcer; what is wanted already is wanted still."""
        self.close()
        self.announcer = Announcer(self, self.folder, *self.options)  # type: ignore[arg-type]
        self.publish()

    @property
    def process(self) -> Announcer:
        """Return the announcer; fail if it has died."""
        assert self.announcer is not None
        if self.announcer.process.poll() is not None:
            tail = (self.folder / "log").read_text()[-3000:]
            pytest.fail(f"the announcer has died: {tail}")
        return self.announcer

    def publish(self) -> None:
        """Let the announcer want what is wanted."""
        self.revision += 1
        state = DesiredState(
            revision=self.revision,
            bgp_peers=tuple(self.peers[name] for name in sorted(self.peers)),
            bgp_routes=tuple(group for groups in self.groups.values() for group in groups),
        )
        self.process.want(state)

    def set_peer(self, peer: BgpPeer) -> None:
        """Add or change a peer."""
        self.peers[peer.settings.name] = peer
        self.publish()

    def remove_peer(self, name: str) -> None:
        """Remove a peer and what goes to it alone."""
        self.peers.pop(name, None)
        self.groups.pop(name, None)
        self.publish()

    def announce(self, name: str, *groups: RouteGroup) -> None:
        """Replace the routes that are kept under a name."""
        self.groups[name] = groups
        self.publish()

    def report(self, name: str) -> SessionReport:
        """Return what the announcer says of a peer."""
        for report in self.process.observation.sessions:
            if report.name == name:
                return report
        return SessionReport(name=name, peer="", state="", since_s=0)

    def bfd(self, address: str) -> BfdReport | None:
        """Return what the announcer says of the BFD session with an address."""
        reports = self.process.observation.bfd
        return next((report for report in reports if report.peer == address), None)

    def stop(self) -> None:
        """Stop the announcer in an orderly way."""
        process = self.process.process
        process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the announcer: nothing of it says good-bye."""
        self.process.kill()
        assert self.announcer is not None
        self.announcer.process.wait()

    def close(self) -> None:
        """End it."""
        if self.announcer is None:
            return
        if self.announcer.process.poll() is None:
            self.announcer.kill(signal.SIGCONT)
            self.announcer.kill()
        self.announcer.process.wait()
        self.announcer.log.close()


class Link:
    """One session between our node and a router."""

    def __init__(  # noqa: PLR0913
        self,
        node: Node,
        router: Router,
        *,
        is_ipv6: bool = False,
        is_internal: bool = False,
        is_far: bool = False,
        has_both_families: bool = False,
        bfd: BfdSettings | None = None,
        neighbor: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.node = node
        self.router = router
        number = node.network.link_number() if node.number == 1 else 1
        self.name = f"n{node.number}x{number}"
        self.local = node.network.link_address(number, node=node.number, is_ipv6=is_ipv6)
        self.remote = router.address(is_ipv6=is_ipv6, is_far=is_far)
        asn = router.asn if is_internal else ASN
        own = IPV6 if is_ipv6 else IPV4
        self.neighbor = Neighbor(
            **{
                "name": self.name,
                "address": self.local,
                "asn": asn,
                "local": self.remote,
                "families": (IPV4, IPV6) if has_both_families else (own,),
                "hop_count": 8 if is_far else 0,
            }
            | dict(neighbor or {})
        )
        self.settings = PeerSettings(
            **{
                "name": self.name,
                "my_asn": asn,
                "peer_asn": router.asn,
                "address": self.remote,
                "port": router.port,
                "source_address": self.local,
                "connect_time_s": 1,
                "has_both_families": has_both_families,
                "is_multi_hop": is_far,
            }
            | dict(settings or {})
        )
        self.bfd = bfd

    def open(self) -> Link:
        """Let both sides know each other, without waiting for anything."""
        self.router.add(self.neighbor)
        wait_until(functools.partial(self.router.is_ready, self.name), f"{self.router.name} begins")
        self.node.set_peer(BgpPeer(self.settings, self.bfd))
        return self

    def establish(self) -> Link:
        """Let both sides know each other and wait for the session."""
        self.open()
        self.wait_established()
        return self

    def close(self) -> None:
        """Let both sides forget each other."""
        if self.node.announcer is not None and self.node.announcer.process.poll() is None:
            self.node.remove_peer(self.name)
        self.router.remove(self.name)

    def wait_established(self, timeout_s: float = CAPABILITY_S) -> None:
        """Wait until both sides call it established."""
        self.wait(lambda: self.report.state == "Established", "we are established", timeout_s)
        self.wait(lambda: self.view.is_established, "the router is established", timeout_s)

    def wait(self, condition: Callable[[], object], what: str, timeout_s: float = 30.0) -> float:
        """Wait for a condition; tell both sides' views if it does not come."""
        try:
            return wait_until(condition, what, timeout_s)
        except AssertionError as late:
            ours, theirs = self.report, self.view
            routes = dict(list(self.routes().items())[:5])
            raise AssertionError(f"{late}\n ours: {ours}\n theirs: {theirs}\n {routes}") from None

    @property
    def report(self) -> SessionReport:
        """Return our view."""
        return self.node.report(self.name)

    @property
    def view(self) -> View:
        """Return the router's view."""
        return self.router.view(self.name)

    def routes(self, family: str = "") -> Mapping[str, Seen]:
        """Return the router's table."""
        return self.router.routes(self.name, family or self.neighbor.families[0])

    def group(self, *prefixes: str, **attributes: Any) -> RouteGroup:
        """Return routes to this peer alone."""
        return RouteGroup((self.name,), tuple(sorted(prefixes)), **attributes)

    def announce(self, *groups: RouteGroup) -> None:
        """Replace the routes of this link."""
        self.node.announce(self.name, *groups)

    def announce_later(self, *groups: RouteGroup) -> None:
        """Replace the routes of this link for the next start of the announcer."""
        self.node.groups[self.name] = groups

    def change(self, **changes: Any) -> None:
        """Change our settings of the peer."""
        self.settings = msgspec.structs.replace(self.settings, **changes)
        self.node.set_peer(BgpPeer(self.settings, self.bfd))

    def wait_prefixes(self, *prefixes: str, family: str = "", timeout_s: float = 30.0) -> None:
        """Wait until the router has exactly these."""
        self.wait(
            lambda: set(self.routes(family)) == set(prefixes),
            f"the router has {len(prefixes)} prefixes",
            timeout_s,
        )

    def wait_seen(self, prefix: str, condition: Callable[[Seen], bool], what: str) -> Seen:
        """Wait until the router has a prefix as it should be."""

        def is_so() -> bool:
            seen = self.routes(IPV6 if ":" in prefix else IPV4).get(prefix)
            return seen is not None and condition(seen)

        self.wait(is_so, f"{prefix}: {what}")
        return self.routes(IPV6 if ":" in prefix else IPV4)[prefix]


def password(text: str) -> Key:
    """Return a password."""
    return Key(text.encode())
