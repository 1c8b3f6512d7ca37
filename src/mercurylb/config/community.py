"""BGP communities: the grammar of their values (RFC 1997, RFC 8092) and the aliases for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.config.problem import Code, Problem, Report, clip
from mercurylb.errors import ParseError
from mercurylb.values.address import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mercurylb.api.community import Community as CommunityObject

_STANDARD_PARTS: Final = 2
_LARGE_PARTS: Final = 4
_STANDARD_BITS: Final = 16
_LARGE_BITS: Final = 32
_DIGITS_MAX: Final = 64
_VALUE_HINT: Final = "write a:b, or large:a:b:c"


class Community(msgspec.Struct, frozen=True, order=True):
    """A community as a triple; a standard one is (a·65536+b, 0, 0)."""

    parts: tuple[int, int, int]
    is_large: bool = False

    def __str__(self) -> str:
        """Give `a:b` or `a:b:c`."""
        if self.is_large:
            return ":".join(str(part) for part in self.parts)
        return f"{self.parts[0] >> _STANDARD_BITS}:{self.parts[0] & 0xFFFF}"


class CommunityFormatError(ParseError):
    """A text has not the form of a community, so it may be meant as an alias."""


def parse_community(text: str) -> Community:
    """Read `a:b` or `large:a:b:c`; raises `ParseError`, of which `CommunityFormatError` is one."""
    parts = text.split(":")
    if len(parts) == _STANDARD_PARTS:
        high, low = (_section(part, text, bits=_STANDARD_BITS) for part in parts)
        return Community((high << _STANDARD_BITS | low, 0, 0))
    if len(parts) != _LARGE_PARTS:
        raise CommunityFormatError(f"invalid community format: {clip(text)}")
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
    objects: Iterable[CommunityObject], *, problems: list[Problem]
) -> dict[str, Community]:
    """Give the value of each alias; aliases are global over all objects."""
    aliases: dict[str, Community] = {}
    defined_in: dict[str, str] = {}
    for item in objects:
        report = Report(f"Community {item.metadata.key}", problems)
        for index, entry in enumerate((item.spec.communities if item.spec else None) or ()):
            field = f"spec.communities[{index}]"
            try:
                value = parse_community(entry.value)
            except ParseError as error:
                message = f"parsing community {quoted(entry.name)}: {error}"
                report.add(
                    f"{field}.value",
                    entry.value,
                    message,
                    code=Code.COMMUNITY_VALUE,
                    hint=_VALUE_HINT,
                )
                continue
            if entry.name in aliases:
                message = f"duplicate definition of community {quoted(entry.name)}"
                hint = f"first defined in {defined_in[entry.name]}"
                code = Code.COMMUNITY_DUPLICATE
                report.add(f"{field}.name", entry.name, message, code=code, hint=hint)
                continue
            aliases[entry.name] = value
            defined_in[entry.name] = report.object
    return aliases


def resolve_communities(
    texts: Sequence[str] | None, *, aliases: Mapping[str, Community], field: str, report: Report
) -> tuple[Community, ...]:
    """Give what a list of aliases and values stands for, ascending and without repetitions."""
    found = set()
    for index, text in enumerate(texts or ()):
        known = aliases.get(text)
        if known is not None:
            found.add(known)
            continue
        try:
            found.add(parse_community(text))
        except ParseError as error:
            is_alias = isinstance(error, CommunityFormatError)
            report.add(
                f"{field}[{index}]",
                text,
                f"invalid community {quoted(text)} in BGP advertisement: {error}",
                code=Code.COMMUNITY_UNKNOWN if is_alias else Code.COMMUNITY_VALUE,
                hint="no Community defines such an alias" if is_alias else _VALUE_HINT,
                is_transient=is_alias,
            )
    return tuple(sorted(found))
