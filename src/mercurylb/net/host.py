"""The host's own address, for those who are told to bind to all of them."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct

_SIOCGIFADDR = 0x8915
_NAME_SIZE = 16
_ADDRESS_AT = 20
"""Of `sin_addr` in a `struct ifreq` that holds a `struct sockaddr_in`."""


def first_private_ipv4() -> str:
    """Return the first private IPv4 address of the host's interfaces, by index; empty for none.

    Loopback and link-local addresses are no private ones in this sense (RFC 1918, RFC 6598).
    """
    for _, name in sorted(socket.if_nameindex()):
        address = _ipv4_of(name)
        if address is not None and _is_private(address):
            return str(address)
    return ""


def _ipv4_of(name: str) -> ipaddress.IPv4Address | None:
    request = struct.pack(f"{_NAME_SIZE}s240x", name.encode()[: _NAME_SIZE - 1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock.fileno(), _SIOCGIFADDR, request)
        except OSError:
            return None  # It has no IPv4 address, or is gone.
    return ipaddress.IPv4Address(answer[_ADDRESS_AT : _ADDRESS_AT + 4])


_PRIVATE = [
    ipaddress.IPv4Network(prefix)
    for prefix in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
]


def _is_private(address: ipaddress.IPv4Address) -> bool:
    return any(address in prefix for prefix in _PRIVATE)
