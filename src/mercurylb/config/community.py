"""BGP communities: the grammar of their values (RFC 1997, RFC 8092) and the aliases for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.config.problem import Problem
from mercurylb.errors import ParseError
from mercurylb.values.address import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.api.community import Community as CommunityObject

NATIVE: Final = "native"
"""The backend that takes standard communities only."""

_STANDARD_PARTS: Final = 2
_LARGE_PARTS: Final = 4
_STANDARD_BITS: Final = 16
_LARGE_BITS: Final = 32
_DIGITS_MAX: Final = 64


class Community(msgspec.Struct, frozen=True, order=True):
    """A community as a triple; a standard one is (a·65536+b, 0, 0)."""

    parts: tuple[int, int, int]
    is_large: bool = False

    def __str__(self) -> str:
        """Give `a:b` or `a:b:c`."""
        if self.is_large:
            return ":".join(str(part) for part in self.parts)
        return f"{self.parts[0] >> _STANDARD_BITS}:{self.parts[0] & 0xFFFF}"


def parse_community(text: str) -> Community:
    """Read `a:b` or `large:a:b:c`; raises `ParseError`."""
    parts = text.split(":")
    if len(parts) == _STANDARD_PARTS:
        high, low = (_section(part, text, bits=_STANDARD_BITS) for part in parts)
        return Community((high << _STANDARD_BITS | low, 0, 0))
    if len(parts) != _LARGE_PARTS:
        raise ParseError(f"invalid community format: {text}")
    if parts[0] != "large":
        raise ParseError(
            "invalid community value: invalid marker for large community, expected community to be"
            f" of format large:<uint32>:<uint32>:<uint32> but got {quoted(text)} instead"
        )
    first, second, third = (_section(part, text, bits=_LARGE_BITS) for part in parts[1:])
    return Community((first, second, third), is_large=True)


def _section(part: str, text: str, *, bits: int) -> int:
    if part.isascii() and part.isdigit() and len(part) <= _DIGITS_MAX:
        value = int(part)
        if value < 1 << bits:
            return value
    raise ParseError(
        f"invalid community value: invalid section {quoted(part)} of community {quoted(text)}, err:"
        f" must be a decimal number from 0 to {(1 << bits) - 1}"
    )


def compile_communities(
    objects: Iterable[CommunityObject], *, backend: str, problems: list[Problem]
) -> dict[str, Community]:
    """Give the value of each alias; aliases are global over all objects."""
    aliases: dict[str, Community] = {}
    defined_in: dict[str, str] = {}
    for item in objects:
        where = f"Community {item.metadata.key}"
        entries = (item.spec.communities if item.spec else None) or ()
        for index, entry in enumerate(entries):
            field = f"spec.communities[{index}]"
            try:
                value = parse_community(entry.value)
            except ParseError as error:
                message = f"parsing community {quoted(entry.name)}: {error}"
                problems.append(Problem(where, f"{field}.value", entry.value, message))
                continue
            if entry.name in aliases:
                message = f"duplicate definition of community {quoted(entry.name)}"
                hint = f"first defined in {defined_in[entry.name]}"
                problems.append(Problem(where, f"{field}.name", entry.name, message, hint))
                continue
            if value.is_large and backend == NATIVE:
                message = (
                    "native BGP mode only supports legacy communities, BGP community CR"
                    f" {quoted(item.metadata.name)} has non legacy community {quoted(entry.value)}"
                )
                problems.append(Problem(where, f"{field}.value", entry.value, message))
                continue
            aliases[entry.name] = value
            defined_in[entry.name] = where
    return aliases
