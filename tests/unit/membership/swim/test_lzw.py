"""LZW against what Go's compress/lzw made of the same bytes (`lzw_vectors.json`)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from mercurylb.errors import WireError
from mercurylb.membership.swim import lzw

VECTORS = json.loads((Path(__file__).parent / "lzw_vectors.json").read_text())


def recipe(kind: str, size: int) -> bytes:
    """Return the bytes that a vector was made of."""
    if kind == "noise":
        blocks = (hashlib.sha256(bytes((n & 255, n >> 8))).digest() for n in range(size // 32 + 1))
        return b"".join(blocks)[:size]
    if kind == "one":
        return b"a" * size
    if kind == "cycle":
        return bytes(n % 7 for n in range(size))
    assert kind == "members"
    lines = (f"node-{n % 97}.example.org 10.0.{n % 256}.{n % 31};" for n in range(size))
    return "".join(lines).encode()[:size]


def pack_codes(codes: list[tuple[int, int]]) -> bytes:
    """Pack pairs of code and width, as a writer would that obeys no rules."""
    bits = count = 0
    for code, width in codes:
        bits |= code << count
        count += width
    return bits.to_bytes((count + 7) // 8, "little")


@pytest.mark.rule("membership-3.5.examples")
def test_the_worked_example_is_reproduced() -> None:
    """Forty times `ab`."""
    assert lzw.compress(b"ab" * 40).hex() == "00c388114870a0c182080f2a4cc870a1c386101d0604"


@pytest.mark.rule("membership-3.5.lzw")
@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['kind']}-{v['size']}")
def test_the_codes_are_those_of_go(vector: dict[str, str | int]) -> None:
    """Widths, clear codes, the end: every byte, over several full tables."""
    plain = recipe(str(vector["kind"]), int(vector["size"]))
    packed = lzw.compress(plain)
    assert len(packed) == vector["packed_size"]
    assert hashlib.sha256(packed).hexdigest() == vector["packed_sha256"]
    assert lzw.decompress(packed, len(plain)) == plain


@pytest.mark.rule("membership-3.5.full-table")
def test_a_full_table_takes_no_more_and_stays_in_use() -> None:
    """A writer that never clears: 4096 codes, and then some."""
    plain = recipe("noise", 6000)
    codes, width = [], 9
    for position, literal in enumerate(plain):
        if 257 + position == 1 << width and width < 12:
            width += 1
        codes.append((literal, width))
    packed = pack_codes([*codes, (4095, 12), (257, 12)])
    assert lzw.decompress(packed, 10_000) == plain + plain[3837:3839]


def test_a_code_that_is_about_to_be_made_is_understood() -> None:
    """The string that is the one before and its own first byte."""
    assert lzw.decompress(pack_codes([(97, 9), (258, 9), (259, 9), (257, 9)]), 9) == b"a" * 6


@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        ([(258, 9)], "compression"),
        ([(97, 9), (259, 9), (257, 9)], "compression"),
        ([(97, 9), (98, 9), (256, 9), (258, 9)], "compression"),
        ([(256, 9), (97, 9)], "truncated"),
        ([], "truncated"),
    ],
    ids=["first", "ahead", "after clear", "no end", "nothing"],
)
def test_codes_that_no_writer_makes_are_refused(codes: list[tuple[int, int]], reason: str) -> None:
    """A code that is not in the table, and an end that never comes."""
    with pytest.raises(WireError) as caught:
        lzw.decompress(pack_codes(codes), 1000)
    assert caught.value.reason == reason


def test_the_output_has_a_bound() -> None:
    """One byte more than agreed is too much, however little was sent."""
    packed = lzw.compress(bytes(1_000_000))
    assert len(packed) < 3000
    with pytest.raises(WireError) as caught:
        lzw.decompress(packed, 65536)
    assert caught.value.reason == "bomb"
    assert len(lzw.decompress(packed, 1_000_000)) == 1_000_000
