"""What a TCP socket towards a BGP peer is set to, before it dials or listens.

::

    struct tcp_md5sig (RFC 2385)                 struct tcp_ao_add (RFC 5925, Linux 6.7)
      0  sockaddr_storage of the peer  128         0  sockaddr_storage of the peer  128
    128  flags, prefix length            2       128  name of the algorithm          64
    130  length of the key               2       192  index of the VRF's device       4
    132  index of the VRF's device       4       196  bits: set current, set next     4
    136  key                            80       200  padding                         2
                                                 202  prefix length, send id,
                                                      receive id, length of the MAC,
                                                      flags, length of the key        6
                                                 208  key                            80

The address family is in the machine's byte order; ports are zero. A key on a connecting socket is
for that peer alone; a listener has one for every peer.

What this host cannot do (no such address, no such device, a kernel without TCP-AO) is said in words
as `LinkError`, because an operator reads it in the session's state.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct

import msgspec

from mercurylb.bgp.settings import Key
from mercurylb.errors import LinkError

TTL_MAX = 255
NETWORK_CONTROL = 0xC0
"""DSCP CS6, as every router marks its BGP."""
KEY_SIZE_MAX = 80
UNSENT_MAX_BYTES = 128 * 1024
"""What the kernel takes beyond what is under way: a slow peer must not be sent what is old."""

_TCP_USER_TIMEOUT = 18
_TCP_NOTSENT_LOWAT = 25
_TCP_MD5SIG = 14
_TCP_MD5SIG_EXT = 32
_TCP_AO_ADD_KEY = 38
_IP_MINTTL = 21
_IPV6_MINHOPCOUNT = 73
_MD5_HAS_DEVICE = 2
_AO_HAS_DEVICE = 1
_AO_ALGORITHM = b"hmac(sha1)"
_AO_MAC_SIZE = 12
_AO_KEY_ID = 1
_AO_SET_CURRENT = 0b01
_AO_SET_NEXT = 0b10
_BITS = {socket.AF_INET: 32, socket.AF_INET6: 128}

_MD5 = struct.Struct("=128sBBHI80s")
_AO = struct.Struct("=128s64siIHBBBBBB80s")


class TcpSettings(msgspec.Struct, frozen=True):
    """One connection to dial."""

    address: str
    """Of the peer, canonical text, without a zone."""
    port: int
    source_address: str = ""
    device: str = ""
    """VRF or interface that the socket is bound to."""
    is_vrf: bool = False
    """Whether `device` is a VRF, which a key may be limited to."""
    password: Key | None = None
    authentication: Key | None = None
    gtsm_hops: int = 0
    user_timeout_ms: int = 0
    """How long the kernel waits for an acknowledgement; 0 leaves it alone."""


def family_of(address: str) -> socket.AddressFamily:
    """Return the address family of an address in text."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def is_link_local(address: str) -> bool:
    """Return whether an address is in fe80::/10, and so needs an interface to be sent to."""
    return ":" in address and ipaddress.IPv6Address(address).is_link_local


def dialling_socket(settings: TcpSettings) -> socket.socket:
    """Return a socket that only has to connect; raise LinkError when this host cannot do that."""
    family = family_of(settings.address)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        bind_to_device(sock, settings.device)
        set_common(sock, family)
        set_minimum_ttl(sock, settings.gtsm_hops)
        add_key(sock, settings)
        if settings.source_address:
            _bind_to_source(sock, family, settings)
    except BaseException:
        sock.close()
        raise
    return sock


def set_common(sock: socket.socket, family: int) -> None:
    """Send at once, as far as packets go, and in the class of what keeps the network running."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, UNSENT_MAX_BYTES)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, TTL_MAX)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, NETWORK_CONTROL)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, TTL_MAX)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, NETWORK_CONTROL)


def set_minimum_ttl(sock: socket.socket, hops: int) -> None:
    """Let in only what comes from at most so many hops away (RFC 5082); 0 lets all in."""
    if not hops:
        return
    minimum = TTL_MAX + 1 - hops
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MINHOPCOUNT, minimum)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MINTTL, minimum)


def set_user_timeout(sock: socket.socket, timeout_ms: int) -> None:
    """Give up an open connection that acknowledges nothing for so long; 0 is the kernel's own.

    Not before it is open: it would end the attempt as well.
    """
    if timeout_ms:
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, timeout_ms)


def bind_to_device(sock: socket.socket, device: str) -> None:
    """Bind to a VRF or interface, if one is named; raise LinkError when it cannot be."""
    if not device:
        return
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0")
    except OSError as error:
        if error.errno == errno.ENODEV:
            message = "does not exist on this host"
        elif error.errno == errno.EPERM:
            message = "cannot be bound to without the capability NET_RAW"
        else:
            message = str(error)
        raise LinkError(device, message, errno=error.errno) from error


def add_key(sock: socket.socket, settings: TcpSettings) -> None:
    """Set the password of a peer on a socket; raise LinkError where the kernel has no such thing.

    On a listener an empty key of TCP MD5 removes the peer's.
    """
    if settings.authentication is not None:
        _set_ao(sock, settings, settings.authentication)
    elif settings.password is not None:
        _set_md5(sock, settings, settings.password)


def encode_md5(address: str, key: Key, *, device_index: int = 0) -> bytes:
    """Return a `struct tcp_md5sig`."""
    flags = _MD5_HAS_DEVICE if device_index else 0
    return _MD5.pack(_peer(address), flags, 0, len(key.octets), device_index, key.octets)


def encode_ao(address: str, key: Key, *, device_index: int = 0) -> bytes:
    """Return a `struct tcp_ao_add` for HMAC-SHA-1-96 under key number 1 (RFC 5926)."""
    return _AO.pack(
        _peer(address),
        _AO_ALGORITHM,
        device_index,
        _AO_SET_CURRENT | _AO_SET_NEXT,
        0,
        _BITS[family_of(address)],
        _AO_KEY_ID,
        _AO_KEY_ID,
        _AO_MAC_SIZE,
        _AO_HAS_DEVICE if device_index else 0,
        len(key.octets),
        key.octets,
    )


def _peer(address: str) -> bytes:
    """Return a `struct sockaddr_in` or `sockaddr_in6` without a port."""
    packed = ipaddress.ip_address(address).packed
    if family_of(address) == socket.AF_INET6:
        return struct.pack("=HHI16s", socket.AF_INET6, 0, 0, packed)
    return struct.pack("=HH4s", socket.AF_INET, 0, packed)


def _set_md5(sock: socket.socket, settings: TcpSettings, key: Key) -> None:
    if len(key.octets) > KEY_SIZE_MAX:
        raise LinkError("TCP MD5", f"a password has at most {KEY_SIZE_MAX} bytes")
    try:
        if settings.is_vrf and settings.device:
            index = socket.if_nametoindex(settings.device)
            content = encode_md5(settings.address, key, device_index=index)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, _TCP_MD5SIG_EXT, content)
            except OSError as error:
                # Only a device of the kind VRF can limit a key; any other cannot tell peers apart.
                if error.errno not in {errno.EINVAL, errno.ENOPROTOOPT}:
                    raise
            else:
                return
        content = encode_md5(settings.address, key)
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_MD5SIG, content)
    except OSError as error:
        if error.errno == errno.ENOENT and not key.octets:
            return  # There was none to remove.
        lacks = error.errno in {errno.ENOPROTOOPT, errno.EOPNOTSUPP}
        message = (
            "this kernel does not have it: use one with CONFIG_TCP_MD5SIG, or no password"
            if lacks
            else str(error)
        )
        raise LinkError("TCP MD5", message, errno=error.errno) from error


def _set_ao(sock: socket.socket, settings: TcpSettings, key: Key) -> None:
    if len(key.octets) > KEY_SIZE_MAX:
        raise LinkError("TCP-AO", f"a key has at most {KEY_SIZE_MAX} bytes")
    try:
        content = encode_ao(settings.address, key)
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_AO_ADD_KEY, content)
    except OSError as error:
        lacks = error.errno in {errno.ENOPROTOOPT, errno.EOPNOTSUPP}
        message = (
            "this kernel does not have it (Linux 6.7 with CONFIG_TCP_AO does)"
            if lacks
            else str(error)
        )
        raise LinkError("TCP-AO", message, errno=error.errno) from error


def _bind_to_source(sock: socket.socket, family: int, settings: TcpSettings) -> None:
    address = settings.source_address
    if family_of(address) != family:
        kind = "IPv6" if family == socket.AF_INET6 else "IPv4"
        raise LinkError(f'source address "{address}"', f"is none of {kind}, as the peer's is")
    try:
        sock.bind((address, 0))
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            message = "doesn't exist on this host"
            raise LinkError(f'address "{address}"', message, errno=error.errno) from error
        raise LinkError(f'address "{address}"', str(error), errno=error.errno) from error
