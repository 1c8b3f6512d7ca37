"""What sockets towards BGP peers are set to."""

from __future__ import annotations

import ipaddress
import socket
import struct

import pytest

from mercurylb.bgp.settings import Key
from mercurylb.errors import LinkError
from mercurylb.net import tcp_option
from mercurylb.net.tcp_option import TcpSettings, dialling_socket, encode_ao, encode_md5

SECRET = Key(b"secret")
HERE = TcpSettings("127.0.0.1", 179)


@pytest.mark.parametrize(
    ("address", "at", "packed"),
    [
        ("192.0.2.7", 4, bytes((192, 0, 2, 7))),
        ("2001:db8::7", 8, ipaddress.ip_address("2001:db8::7").packed),
    ],
)
@pytest.mark.rule("bgp-native-2.15.md5")
def test_key_of_tcp_md5_is_laid_out_as_the_kernel_wants_it(
    address: str, at: int, packed: bytes
) -> None:
    """`struct tcp_md5sig`: address family in the machine's order, the address, length and key."""
    content = encode_md5(address, SECRET, device_index=5)
    assert len(content) == 216
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    assert struct.unpack_from("=H", content)[0] == family
    assert content[at : at + len(packed)] == packed
    assert struct.unpack_from("=BBHI", content, 128) == (2, 0, 6, 5)
    assert content[136:142] == b"secret"
    assert not any(content[142:])
    assert struct.unpack_from("=BBHI", encode_md5(address, SECRET), 128) == (0, 0, 6, 0)


@pytest.mark.parametrize(("address", "prefix_len"), [("192.0.2.7", 32), ("2001:db8::7", 128)])
def test_key_of_tcp_ao_is_laid_out_as_the_kernel_wants_it(address: str, prefix_len: int) -> None:
    """`struct tcp_ao_add`: HMAC-SHA-1-96 under key number 1, for this peer alone."""
    content = encode_ao(address, SECRET, device_index=7)
    assert len(content) == 288
    assert content[128:138] == b"hmac(sha1)"
    assert struct.unpack_from("=iIH", content, 192) == (7, 3, 0)
    assert struct.unpack_from("=6B", content, 202) == (prefix_len, 1, 1, 12, 1, 6)
    assert content[208:214] == b"secret"


@pytest.mark.parametrize(
    ("address", "level", "ttl", "minimum"),
    [
        ("127.0.0.1", socket.IPPROTO_IP, socket.IP_TTL, 21),
        ("::1", socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 73),
    ],
)
@pytest.mark.rule("bgp-native-2.1.ttl", "bgp-native-2.15.ttl", "bgp-native-2.15.gtsm")
def test_packets_leave_with_a_ttl_of_255_and_come_from_as_near_as_is_asked_for(
    address: str, level: int, ttl: int, minimum: int
) -> None:
    """Multihop always works, and peers behind GTSM take our packets; theirs are looked at."""
    with dialling_socket(TcpSettings(address, 179, gtsm_hops=3)) as sock:
        assert sock.getsockopt(level, ttl) == 255
        assert sock.getsockopt(level, minimum) == 253
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    with dialling_socket(TcpSettings(address, 179)) as sock:
        assert sock.getsockopt(level, minimum) == 0


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"source_address": "192.0.2.99"}, 'address "192.0.2.99": doesn\'t exist on this host'),
        ({"source_address": "2001:db8::1"}, "is none of IPv4, as the peer's is"),
        ({"device": "nosuch0"}, "nosuch0: does not exist on this host"),
        ({"password": Key(b"x" * 81)}, "a password has at most 80 bytes"),
        ({"authentication": Key(b"x" * 81)}, "a key has at most 80 bytes"),
    ],
)
@pytest.mark.rule("bgp-native-1.2.source", "bgp-native-2.15.md5")
def test_what_this_host_cannot_do_is_said_in_words(changed: dict[str, object], words: str) -> None:
    """An operator reads in the session's state what is wrong with its settings."""
    settings = TcpSettings("127.0.0.1", 179, **changed)  # type: ignore[arg-type]
    with pytest.raises(LinkError, match=words.replace("(", r"\(")):
        dialling_socket(settings)


def test_kernel_without_tcp_ao_is_told_apart_from_a_wrong_key() -> None:
    """Where the kernel has TCP-AO the key is taken; where not, that is what is said."""
    settings = TcpSettings("127.0.0.1", 179, authentication=SECRET)
    try:
        dialling_socket(settings).close()
    except LinkError as error:
        assert "this kernel does not have it" in str(error)  # noqa: PT017 (both are right)


@pytest.mark.rule("bgp-native-2.15.source", "bgp-native-2.1.vrf")
def test_source_address_and_device_are_bound() -> None:
    """The connection comes from the address that the peer expects, on the device that is named."""
    settings = TcpSettings("127.0.0.1", 179, source_address="127.0.0.9", device="lo")
    try:
        sock = dialling_socket(settings)
    except LinkError as error:
        pytest.skip(f"needs the capability NET_RAW: {error}")
    with sock:
        assert sock.getsockname()[0] == "127.0.0.9"
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0") == b"lo"


def test_key_of_a_device_that_is_no_vrf_is_good_for_every_device() -> None:
    """A kernel that cannot limit a key to the device takes it without that limit."""
    settings = TcpSettings("127.0.0.1", 179, device="lo", is_vrf=True, password=SECRET)
    with socket.socket() as sock:
        tcp_option.add_key(sock, settings)
        empty = TcpSettings("127.0.0.1", 179, password=Key(b""))
        tcp_option.add_key(sock, empty)
        tcp_option.add_key(sock, empty)  # There is none any more: nothing to remove.
