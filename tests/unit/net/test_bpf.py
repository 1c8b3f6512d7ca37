"""Filter programs, run by a small interpreter of classic BPF."""

from __future__ import annotations

import ipaddress
import random

import pytest

from mercurylb.layer2 import arp
from mercurylb.net import bpf

HOST, BROADCAST, MULTICAST, OTHERHOST, OUTGOING = range(5)


def accepts(
    program: list[bpf.Instruction],
    frame: bytes,
    packet_type: int = BROADCAST,
    interface: int = 1,
) -> bool:
    """Run a program as the kernel does."""
    accumulator, at = 0, 0
    while True:
        code, true, false, constant = program[at]
        at += 1
        if code == 0x06:
            return constant > 0
        if code == 0x05:
            at += constant
        elif code in (0x20, 0x28, 0x30):
            size = {0x20: 4, 0x28: 2, 0x30: 1}[code]
            if constant == 0xFFFFF004:
                accumulator = packet_type
            elif constant == 0xFFFFF008:
                accumulator = interface
            elif constant + size > len(frame):
                return False
            else:
                accumulator = int.from_bytes(frame[constant : constant + size], "big")
        else:
            is_true = {
                0x15: accumulator == constant,
                0x25: accumulator > constant,
                0x35: accumulator >= constant,
            }[code]
            at += true if is_true else false


def request(target: bytes, operation: int = 1, sender: bytes = bytes(4)) -> bytes:
    """Return an ARP frame."""
    return arp.encode(
        arp.ArpPacket(arp.BROADCAST, bytes(6), operation, bytes(6), sender, bytes(6), target)
    )


def solicitation(target: bytes, kind: int = 135, next_header: int = 58) -> bytes:
    """Return as much of a solicitation as the filter looks at."""
    frame = bytearray(86)
    frame[20], frame[54], frame[62:78] = next_header, kind, target
    return bytes(frame)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 80, 81, 500, 5000])
def test_arp_filter_never_loses_an_address(count: int) -> None:
    """Whatever the number, all announced targets pass and programs stay small."""
    chance = random.Random(count)
    targets = [chance.randbytes(4) for _ in range(count)]
    program = bpf.arp_filter(sorted(targets))
    assert len(program) < 700
    assert all(accepts(program, request(target)) for target in targets)
    if count <= bpf.RANGES_MAX:
        foreign = [chance.randbytes(4) for _ in range(2000)]
        assert not any(accepts(program, request(f)) for f in foreign if f not in targets)


def test_consecutive_addresses_are_one_range() -> None:
    """A whole pool costs as much as two addresses, and its neighbours do not pass."""
    pool = [bytes((10, 0, i // 256, i % 256)) for i in range(1, 1001)]
    program = bpf.arp_filter(pool)
    assert len(program) < 16
    assert all(accepts(program, request(target)) for target in pool)
    assert not accepts(program, request(bytes((10, 0, 0, 0))))
    assert not accepts(program, request(bytes((10, 0, 3, 0xE9))))


@pytest.mark.parametrize(
    ("frame", "packet_type", "expected"),
    [
        (request(b"\x0a\0\0\1"), BROADCAST, True),
        (request(b"\x0a\0\0\1"), HOST, True),
        (request(b"\x0a\0\0\1"), OTHERHOST, False),
        (request(b"\x0a\0\0\1"), OUTGOING, False),
        (request(b"\x0a\0\0\1", 2), BROADCAST, False),
        (request(b"\x0a\0\0\2"), BROADCAST, False),
        (request(b"\x0a\0\0\1")[:40], BROADCAST, False),
    ],
)
def test_arp_filter_passes_requests_for_us_only(
    frame: bytes,
    packet_type: int,
    expected: bool,  # noqa: FBT001 (a parameter of the table)
) -> None:
    """Replies, other targets, other stations, our own frames and truncated ones stay outside."""
    assert accepts(bpf.arp_filter([b"\x0a\0\0\1"]), frame, packet_type) == expected


@pytest.mark.parametrize("count", [1, 2, 300])
def test_ndp_filter(count: int) -> None:
    """Announced targets pass; other prefixes, types and protocols do not."""
    base = int(ipaddress.IPv6Address("2001:db8:1::"))
    targets = [(base + 7 * i).to_bytes(16, "big") for i in range(count)]
    program = bpf.ndp_filter(targets)
    assert all(accepts(program, solicitation(target), MULTICAST) for target in targets)
    assert not accepts(program, solicitation(ipaddress.IPv6Address("2001:db8:2::").packed))
    assert not accepts(program, solicitation(targets[0], kind=136))
    assert not accepts(program, solicitation(targets[0], next_header=17))


def test_ndp_filter_over_several_prefixes() -> None:
    """Targets of different prefixes pass all."""
    targets = [ipaddress.IPv6Address(text).packed for text in ("fd00::1", "2001:db8::1", "fd00::9")]
    program = bpf.ndp_filter(targets)
    assert all(accepts(program, solicitation(target)) for target in targets)


@pytest.mark.parametrize("make", [bpf.arp_filter, bpf.ndp_filter])
def test_nothing_announced_passes_nothing(make: object) -> None:
    """Without targets the program is a drop."""
    assert make([]) == [bpf.DROP]


@pytest.mark.parametrize("count", [1, 2, 7, 16, 17, 80, 81, 5000])
def test_arp_filter_with_claims_never_loses_one(count: int) -> None:
    """Announced senders pass whatever they say, announced targets in requests only."""
    chance = random.Random(count)
    ours = sorted(chance.randbytes(4) for _ in range(count))
    program = bpf.arp_filter(ours, has_claims=True)
    assert len(program) < 600
    foreign = bytes((ours[0][0] ^ 0x80, 1, 2, 3))
    for address in ours:
        assert accepts(program, request(address))
        for operation in (1, 2, 7):
            assert accepts(program, request(foreign, operation, address))
    if count <= bpf.CLAIM_RANGES_MAX:
        assert not accepts(program, request(ours[0], 2, foreign))
        assert not accepts(program, request(foreign, 1, foreign))
        assert not accepts(program, request(foreign, 2, ours[0]), OUTGOING)


def test_ndp_filter_with_claims_passes_advertisements() -> None:
    """Both messages about an announced target pass, no others."""
    target = ipaddress.IPv6Address("2001:db8::1").packed
    program = bpf.ndp_filter([target], has_claims=True)
    assert [kind for kind in range(256) if accepts(program, solicitation(target, kind))] == [
        135, 136,
    ]  # fmt: skip
    assert not accepts(program, solicitation(bytes(16), kind=136))


@pytest.mark.parametrize(
    ("make", "frame"),
    [(bpf.arp_filter, request(b"\x0a\0\0\1")), (bpf.ndp_filter, solicitation(b"\x20" * 16))],
)
@pytest.mark.parametrize("has_claims", [False, True])
def test_frames_of_other_interfaces_stay_outside(
    make: object,
    frame: bytes,
    has_claims: bool,  # noqa: FBT001 (a parameter)
) -> None:
    """What came in for a VLAN on top of an interface is not the interface's own."""
    target = b"\x0a\0\0\1" if len(frame) == 60 else b"\x20" * 16
    program = make([target], interface=5, has_claims=has_claims)
    assert [accepts(program, frame, interface=index) for index in (4, 5)] == [False, True]
    assert accepts(make([target], has_claims=has_claims), frame, interface=77)
