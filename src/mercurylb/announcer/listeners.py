"""The sockets that accept connections of BGP peers: one per family and VRF, none without a port.

A listener knows the password of every peer; whoever is no peer is not talked to, and neither is a
peer whose password the kernel does not take: the others are. What cannot be had now, because
another BGP daemon has the port, is tried again every `RETRY_S`.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING, Final, Protocol

from mercurylb.bgp.settings import Key
from mercurylb.errors import LinkError
from mercurylb.net.tcp_listener import Listener
from mercurylb.net.tcp_option import TcpSettings
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mercurylb.bgp.settings import PeerSettings
    from mercurylb.layer2.interface import Link

RETRY_S = 2.0
_MILLISECONDS = 1000
_NO_KEY = Key(b"")
_LOW_PORT: Final = "give the speaker the capability NET_BIND_SERVICE, or a port above 1023"

Which = tuple[str, str]
"""The address of all hosts of a family, and a VRF."""


class Match(Protocol):
    """Says which peer a connection is of."""

    def __call__(self, remote: str, *, interface: str = "", vrf: str = "") -> str | None:
        """Return the name of the peer."""


class Listeners:
    """Accept connections of peers."""

    def __init__(
        self, port: int, match: Match, on_accepted: Callable[[socket.socket, PeerSettings], None]
    ) -> None:
        self.strangers_count = 0
        """Connections of others."""
        self._port = port
        self._match = match
        self._on_accepted = on_accepted
        self._loop = asyncio.get_running_loop()
        self._listeners: dict[Which, Listener] = {}
        self._keys: dict[Which, dict[str, PeerSettings]] = {}
        self._peers: dict[str, PeerSettings] = {}
        self._failed = ""
        self._refused = ""
        self._retry: asyncio.TimerHandle | None = None

    def take(self, peers: tuple[PeerSettings, ...]) -> None:
        """Accept connections of just these peers."""
        self._peers = {peer.name: peer for peer in peers}
        wanted: dict[Which, dict[str, PeerSettings]] = {}
        for peer in peers:
            wanted.setdefault(_which(peer), {})[peer.address] = peer
        for which in sorted(self._listeners.keys() - wanted.keys()):
            self._listeners.pop(which).close()
            del self._keys[which]
        failed = self._refused = ""
        for which, its_peers in sorted(wanted.items()):
            try:
                self._open(which, its_peers)
            except LinkError as error:
                failed = str(error)
                if error.errno == errno.EACCES:
                    failed += f"; {_LOW_PORT}"
        self._say(failed or self._refused)

    def on_links(self, links: Iterable[Link]) -> None:
        """Listen anew in a VRF whose device was made anew."""
        indexes = {link.name: link.index for link in links}
        stale = [
            which
            for which, listener in self._listeners.items()
            if listener.device_index not in {0, indexes.get(which[1])}
        ]
        for which in stale:
            self._listeners.pop(which).close()
            del self._keys[which]
        if stale or self._retry is not None:
            self.take(tuple(self._peers.values()))

    def close(self) -> None:
        """Accept nothing more."""
        if self._retry is not None:
            self._retry.cancel()
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()

    def _open(self, which: Which, peers: dict[str, PeerSettings]) -> None:
        address, vrf = which
        if _has_fixed_keys(self._keys.get(which, {}), peers):
            self._listeners.pop(which).close()
        if which not in self._listeners:
            self._listeners[which] = Listener(
                address,
                self._port,
                lambda sock, remote, scope: self._accepted(sock, remote, scope, vrf),
                device=vrf,
            )
            self._keys[which] = {}
        self._change_keys(self._listeners[which], self._keys[which], peers)

    def _change_keys(
        self, listener: Listener, known: dict[str, PeerSettings], peers: dict[str, PeerSettings]
    ) -> None:
        """Make the keys of a listener those of its peers; those of interfaces have none."""
        for address, before in sorted(known.items()):
            after = peers.get(address)
            if after is None or _secrets(after) != _secrets(before):
                del known[address]
                if before.password is not None:
                    listener.add_key(
                        TcpSettings(
                            address,
                            port=0,
                            device=before.vrf,
                            is_vrf=bool(before.vrf),
                            password=_NO_KEY,
                        )
                    )
        for address, peer in sorted(peers.items()):
            if address and address not in known and _secrets(peer) != (None, None):
                try:
                    listener.add_key(tcp_settings(peer, address, ""))
                except LinkError as error:
                    self._refused = f"peer {peer.name} is not accepted: {error}"
                else:
                    known[address] = peer

    def _accepted(self, sock: socket.socket, remote: str, scope: int, vrf: str) -> None:
        interface = ""
        if scope:
            try:
                interface = socket.if_indextoname(scope)
            except OSError:  # It went meanwhile.
                interface = ""
        name = self._match(remote, interface=interface, vrf=vrf)
        peer = None if name is None else self._peers.get(name)
        if peer is None or not self._has_key(peer):
            self.strangers_count += 1
            sock.close()
            return
        self._on_accepted(sock, peer)

    def _has_key(self, peer: PeerSettings) -> bool:
        """Return whether the kernel has seen to it that the peer knows its password."""
        known = self._keys.get(_which(peer), {})
        return _secrets(peer) == (None, None) or not peer.address or peer.address in known

    def _say(self, failed: str) -> None:
        """Say once what cannot be had, and try again."""
        if failed and failed != self._failed:
            log.error("bgp.listen_failed", error=failed)
        self._failed = failed
        if failed and self._retry is None:
            self._retry = self._loop.call_later(RETRY_S, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self.take(tuple(self._peers.values()))


def tcp_settings(peer: PeerSettings, address: str, zone: str) -> TcpSettings:
    """Return how a peer is dialled."""
    return TcpSettings(
        address=address,
        port=peer.port,
        source_address=peer.source_address,
        device=peer.vrf or zone or peer.interface,
        is_vrf=bool(peer.vrf),
        password=peer.password,
        authentication=peer.authentication,
        gtsm_hops=peer.gtsm_hops,
        user_timeout_ms=peer.hold_time_s * _MILLISECONDS,
    )


def _which(peer: PeerSettings) -> Which:
    is_ipv6 = bool(peer.interface) or ":" in peer.address
    return "::" if is_ipv6 else "0.0.0.0", peer.vrf  # noqa: S104 (peers are anywhere)


def _has_fixed_keys(known: dict[str, PeerSettings], peers: dict[str, PeerSettings]) -> bool:
    """Return whether a key of TCP-AO has to go, which no listener that uses it lets happen."""
    return any(
        before.authentication is not None
        and (address not in peers or _secrets(peers[address]) != _secrets(before))
        for address, before in known.items()
    )


def _secrets(peer: PeerSettings) -> tuple[Key | None, Key | None]:
    return peer.password, peer.authentication
