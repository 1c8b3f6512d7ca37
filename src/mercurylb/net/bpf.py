"""Classic BPF programs that let the kernel drop what is not asked of us (pure, no sockets).

A program sees a whole Ethernet frame and returns how many of its bytes are delivered, 0 for a drop.
The announced targets become sorted ranges of 32-bit words and the program a binary search over
them, so consecutive addresses of a pool cost as much as one. Programs are bounded: beyond
`RANGES_MAX` ranges the ones with the smallest gaps between them are merged, which lets some
foreign requests through, never drops one of ours; user space compares exactly anyway. For IPv6 the
last word of the target is searched, and the other three are compared where all targets agree.

With *claims* a program also passes what somebody else says about the announced addresses: ARP
frames of any operation that they are the sender of, and neighbour advertisements.

A socket bound to `eth0` is shown the frames of the VLAN `eth0.5` as well, without their tag,
because they came in there; so a program looks at the interface that the kernel found for the frame.

Instruction codes: linux/bpf_common.h; `SKF_AD_OFF` loads what is no part of the frame.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ACCEPT_BYTES = 0xFFFF
RANGES_MAX = 80
"""At most 6 instructions each, which the kernel may translate into two of its own; a program and
its successor stay under the 20 KiB of socket memory that older kernels allow (`optmem_max`)."""
CLAIM_RANGES_MAX = 16
"""Of senders. Few, because those in the gaps cost no more than a look."""

_LD_W = 0x20
_LD_H = 0x28
_LD_B = 0x30
_JEQ = 0x15
_JGT = 0x25
_JGE = 0x35
_JA = 0x05
_RET = 0x06

_PACKET_TYPE = 0xFFFFF000 + 4
_INTERFACE = 0xFFFFF000 + 8
_PACKET_OTHERHOST = 3
_PACKET_OUTGOING = 4

_ARP_OPERATION_AT = 20
_ARP_SENDER_AT = 28
_ARP_TARGET_AT = 38
_IPV6_NEXT_HEADER_AT = 20
_ICMPV6_TYPE_AT = 54
_NDP_TARGET_AT = 62
_ICMPV6 = 58
_SOLICITATION = 135
_ADVERTISEMENT = 136
_WORD = 4

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant."""

DROP: Instruction = (_RET, 0, 0, 0)
ACCEPT: Instruction = (_RET, 0, 0, ACCEPT_BYTES)
DROP_ALL: tuple[Instruction, ...] = (DROP,)


def arp_filter(
    targets: Sequence[bytes], *, interface: int = 0, has_claims: bool = False
) -> list[Instruction]:
    """Return the program for requests for any of these IPv4 targets (4 bytes each).

    `interface` is the index of the only one that frames may belong to, 0 for any.
    """
    if not targets:
        return [DROP]
    words = [_word(target) for target in targets]
    head = [*_not_for_us(interface), (_LD_H, 0, 0, _ARP_OPERATION_AT)]
    asked = [(_LD_W, 0, 0, _ARP_TARGET_AT), *_search(ranges_of(words))]
    if not has_claims:
        return [*head, *_unless(1), *asked]
    claimed = [(_LD_W, 0, 0, _ARP_SENDER_AT), *_search(ranges_of(words, CLAIM_RANGES_MAX))]
    return [*head, (_JEQ, 1, 0, 1), (_JA, 0, 0, len(asked)), *_or_go_on(asked), *claimed]


def ndp_filter(
    targets: Sequence[bytes], *, interface: int = 0, has_claims: bool = False
) -> list[Instruction]:
    """Return the program for solicitations of any of these IPv6 targets (16 bytes each)."""
    if not targets:
        return [DROP]
    program = [
        *_not_for_us(interface),
        (_LD_B, 0, 0, _IPV6_NEXT_HEADER_AT),
        *_unless(_ICMPV6),
        (_LD_B, 0, 0, _ICMPV6_TYPE_AT),
    ]
    if has_claims:
        program.append((_JEQ, 2, 0, _ADVERTISEMENT))
    program += _unless(_SOLICITATION)
    for at in range(0, 12, _WORD):
        words = {_word(target[at:]) for target in targets}
        if len(words) == 1:
            program += [(_LD_W, 0, 0, _NDP_TARGET_AT + at), *_unless(words.pop())]
    program.append((_LD_W, 0, 0, _NDP_TARGET_AT + 12))
    return program + _search(ranges_of([_word(target[12:]) for target in targets]))


def encode(program: Sequence[Instruction]) -> bytes:
    """Return the array of `struct sock_filter`, in the machine's byte order."""
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)


def ranges_of(words: Sequence[int], ranges_max: int = RANGES_MAX) -> list[tuple[int, int]]:
    """Cover words by at most `ranges_max` inclusive ranges, sorted, merging the smallest gaps."""
    ranges: list[tuple[int, int]] = []
    for word in sorted(set(words)):
        if ranges and word == ranges[-1][1] + 1:
            ranges[-1] = ranges[-1][0], word
        else:
            ranges.append((word, word))
    excess = len(ranges) - ranges_max
    if excess <= 0:
        return ranges
    gaps = [(ranges[i + 1][0] - ranges[i][1], i) for i in range(len(ranges) - 1)]
    merged_with_next = {i for _, i in sorted(gaps)[:excess]}
    covered: list[tuple[int, int]] = []
    for i, (low, high) in enumerate(ranges):
        if i and i - 1 in merged_with_next:
            covered[-1] = covered[-1][0], high
        else:
            covered.append((low, high))
    return covered


def _not_for_us(interface: int) -> list[Instruction]:
    """Drop what goes to another host, also frames of a VLAN nobody here is part of, and our own.

    And what the kernel counts among the frames of another interface.
    """
    program: list[Instruction] = [
        (_LD_W, 0, 0, _PACKET_TYPE),
        (_JEQ, 1, 0, _PACKET_OTHERHOST),
        (_JEQ, 0, 1, _PACKET_OUTGOING),
        DROP,
    ]
    if interface:
        program += [(_LD_W, 0, 0, _INTERFACE), *_unless(interface)]
    return program


def _or_go_on(program: Sequence[Instruction]) -> list[Instruction]:
    """Let a program go on behind its end where it would drop."""
    return [
        (_JA, 0, 0, len(program) - 1 - at) if instruction == DROP else instruction
        for at, instruction in enumerate(program)
    ]


def _unless(value: int) -> list[Instruction]:
    """Drop unless the loaded value is this one."""
    return [(_JEQ, 1, 0, value), DROP]


def _search(ranges: Sequence[tuple[int, int]]) -> list[Instruction]:
    """Return a binary search of the loaded word; conditional jumps reach only 255 ahead."""
    if len(ranges) == 1:
        low, high = ranges[0]
        if low == high:
            return [(_JEQ, 1, 0, low), DROP, ACCEPT]
        return [(_JGE, 0, 1, low), (_JGT, 0, 1, high), DROP, ACCEPT]
    middle = len(ranges) // 2
    left, right = _search(ranges[:middle]), _search(ranges[middle:])
    return [(_JGE, 0, 1, ranges[middle][0]), (_JA, 0, 0, len(left)), *left, *right]


def _word(data: bytes) -> int:
    return int.from_bytes(data[:_WORD], "big")
