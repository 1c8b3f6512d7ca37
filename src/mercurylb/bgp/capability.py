"""What the two sides of a session can do (RFC 5492), as one value for each side.

::

    | code u8 | length u8 | value ... |

    1  multiprotocol           AFI u16, 0 u8, SAFI u8                        RFC 4760
    2  route refresh           nothing                                       RFC 2918
    5  extended next hop       (AFI u16, SAFI u16, next hop's AFI u16) ...   RFC 8950
    6  extended message        nothing                                       RFC 8654
    9  role                    u8                                            RFC 9234
    64 graceful restart        flags and time u16, (AFI, SAFI u8, flags) ... RFC 4724, 8538
    65 four-octet AS number    u32                                           RFC 6793
    70 enhanced route refresh  nothing                                       RFC 7313
    73 host and domain name    length u8 and text, twice

Several capabilities of one code add up where that means something (1, 5); of graceful restart the
last one counts (RFC 4724 section 3), of the others the first. Unknown ones are kept as they are. A
value of a wrong length is an unsupported capability, which is the closest the protocol has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.bgp.error import BgpError
from mercurylb.bgp.family import Family
from mercurylb.bgp.notification import Code, OpenCode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MULTIPROTOCOL: Final = 1
ROUTE_REFRESH: Final = 2
EXTENDED_NEXT_HOP: Final = 5
EXTENDED_MESSAGE: Final = 6
ROLE: Final = 9
GRACEFUL_RESTART: Final = 64
FOUR_OCTET_AS: Final = 65
ENHANCED_REFRESH: Final = 70
FQDN: Final = 73
OLD_ROUTE_REFRESH: Final = 128

NAMES: Final[Mapping[int, str]] = {
    MULTIPROTOCOL: "multiprotocol",
    ROUTE_REFRESH: "route refresh",
    EXTENDED_NEXT_HOP: "extended next hop",
    EXTENDED_MESSAGE: "extended message",
    ROLE: "role",
    GRACEFUL_RESTART: "graceful restart",
    FOUR_OCTET_AS: "4-octet AS number",
    ENHANCED_REFRESH: "enhanced route refresh",
    FQDN: "host name",
}

_RESTARTING: Final = 0x8000
_NOTIFICATION: Final = 0x4000
_TIME_MAX: Final = 0x0FFF
_FORWARDING: Final = 0x80
_FOUR: Final = 4
"""Octets of a family with its reserved octet or flags, and of a number."""
_FIRST: Final = 2
"""Octets of the flags and time of a restart."""
_NAME_MAX: Final = 64
"""Octets of a host or domain name sent."""


class GracefulRestart(msgspec.Struct, frozen=True, gc=False):
    """What a side says of its restarts."""

    restart_time_s: int = 0
    families: tuple[tuple[Family, bool], ...] = ()
    """With whether forwarding went on while it was away."""
    is_restarting: bool = False
    has_notification: bool = False
    """A NOTIFICATION other than a hard reset is a restart as well (RFC 8538)."""


class Capabilities(msgspec.Struct, frozen=True):
    """Everything that one side can do."""

    families: tuple[Family, ...] = ()
    """None said means IPv4 unicast alone."""
    has_route_refresh: bool = False
    extended_next_hops: tuple[tuple[Family, int], ...] = ()
    """A family, and the AFI of the next hops that it may have."""
    has_extended_message: bool = False
    role: int | None = None
    graceful_restart: GracefulRestart | None = None
    asn: int | None = None
    """The four-octet number; None if the side has only two octets for it."""
    has_enhanced_refresh: bool = False
    host: str = ""
    domain: str = ""
    unknown: tuple[tuple[int, bytes], ...] = ()

    def names(self) -> tuple[str, ...]:
        """List what is there in words, by code; unknown ones by their numbers."""
        present = (
            (MULTIPROTOCOL, bool(self.families)),
            (ROUTE_REFRESH, self.has_route_refresh),
            (EXTENDED_NEXT_HOP, bool(self.extended_next_hops)),
            (EXTENDED_MESSAGE, self.has_extended_message),
            (ROLE, self.role is not None),
            (GRACEFUL_RESTART, self.graceful_restart is not None),
            (FOUR_OCTET_AS, self.asn is not None),
            (ENHANCED_REFRESH, self.has_enhanced_refresh),
            (FQDN, bool(self.host)),
        )
        known = [NAMES[code] for code, is_there in present if is_there]
        return (*known, *(f"capability {code}" for code, _ in self.unknown))


def encode(capabilities: Capabilities) -> tuple[bytes, ...]:
    """Encode each capability, ascending by code, the unknown ones last."""
    said = capabilities
    encoded = [_encode(MULTIPROTOCOL, _encode_family(family)) for family in said.families]
    if said.has_route_refresh:
        encoded.append(_encode(ROUTE_REFRESH))
    if said.extended_next_hops:
        encoded.append(_encode(EXTENDED_NEXT_HOP, _encode_next_hops(said.extended_next_hops)))
    if said.has_extended_message:
        encoded.append(_encode(EXTENDED_MESSAGE))
    if said.role is not None:
        encoded.append(_encode(ROLE, bytes((said.role,))))
    if said.graceful_restart is not None:
        encoded.append(_encode(GRACEFUL_RESTART, _encode_restart(said.graceful_restart)))
    if said.asn is not None:
        encoded.append(_encode(FOUR_OCTET_AS, said.asn.to_bytes(4, "big")))
    if said.has_enhanced_refresh:
        encoded.append(_encode(ENHANCED_REFRESH))
    if said.host:
        encoded.append(_encode(FQDN, _encode_name(said.host) + _encode_name(said.domain)))
    encoded.extend(_encode(code, value) for code, value in said.unknown)
    return tuple(encoded)


def _encode(code: int, value: bytes = b"") -> bytes:
    return bytes((code, len(value))) + value


def _encode_family(family: Family) -> bytes:
    return family.afi.to_bytes(2, "big") + bytes((0, family.safi))


def _encode_next_hops(next_hops: tuple[tuple[Family, int], ...]) -> bytes:
    numbers = (number for family, afi in next_hops for number in (family.afi, family.safi, afi))
    return b"".join(number.to_bytes(2, "big") for number in numbers)


def _encode_restart(restart: GracefulRestart) -> bytes:
    first = min(restart.restart_time_s, _TIME_MAX)
    first |= _RESTARTING if restart.is_restarting else 0
    first |= _NOTIFICATION if restart.has_notification else 0
    families = (
        family.octets + bytes((_FORWARDING if is_forwarding else 0,))
        for family, is_forwarding in restart.families
    )
    return first.to_bytes(2, "big") + b"".join(families)


def _encode_name(name: str) -> bytes:
    octets = name.encode()[:_NAME_MAX].decode(errors="ignore").encode()
    return bytes((len(octets),)) + octets


class Collected(msgspec.Struct):
    """What the capabilities of an OPEN add up to, while they are read."""

    families: list[Family] = []
    next_hops: list[tuple[Family, int]] = []
    unknown: list[tuple[int, bytes]] = []
    restart: GracefulRestart | None = None
    asn: int | None = None
    role: int | None = None
    names: tuple[str, str] | None = None
    flags: set[int] = set()

    def freeze(self) -> Capabilities:
        """Give the value."""
        host, domain = self.names or ("", "")
        return Capabilities(
            families=tuple(dict.fromkeys(self.families)),
            has_route_refresh=ROUTE_REFRESH in self.flags,
            extended_next_hops=tuple(dict.fromkeys(self.next_hops)),
            has_extended_message=EXTENDED_MESSAGE in self.flags,
            role=self.role,
            graceful_restart=self.restart,
            asn=self.asn,
            has_enhanced_refresh=ENHANCED_REFRESH in self.flags,
            host=host,
            domain=domain,
            unknown=tuple(self.unknown),
        )


def decode(collected: Collected, octets: bytes) -> None:
    """Add the capabilities of one optional parameter; raises `BgpError`."""
    position = 0
    while position < len(octets):
        start = position + 2
        end = start + octets[position + 1] if start <= len(octets) else len(octets) + 1
        if end > len(octets):
            raise BgpError(Code.OPEN, OpenCode.UNSPECIFIC, "a capability is cut off")
        code, value = octets[position], octets[start:end]
        read = _READERS.get(code)
        if read is None:
            collected.unknown.append((code, value))
        elif not read(collected, value):
            words = f"capability {code} ({NAMES[code]}) has {len(value)} octets"
            data = octets[position:end]
            raise BgpError(Code.OPEN, OpenCode.CAPABILITY, words, data=data)
        position = end


def _read_family(collected: Collected, value: bytes) -> bool:
    if len(value) == _FOUR:
        collected.families.append(Family(value[0] << 8 | value[1], value[3]))
    return len(value) == _FOUR


def _read_next_hops(collected: Collected, value: bytes) -> bool:
    for start in range(0, len(value) - 5, 6):
        afi, safi, next_hop = (
            value[index] << 8 | value[index + 1] for index in range(start, start + 6, 2)
        )
        collected.next_hops.append((Family(afi, safi), next_hop))
    return len(value) % 6 == 0


def _read_restart(collected: Collected, value: bytes) -> bool:
    if len(value) % _FOUR != _FIRST:
        return False
    first = value[0] << 8 | value[1]
    families = tuple(
        (Family(value[i] << 8 | value[i + 1], value[i + 2]), bool(value[i + 3] & _FORWARDING))
        for i in range(2, len(value), 4)
    )
    collected.restart = GracefulRestart(
        restart_time_s=first & _TIME_MAX,
        families=families,
        is_restarting=bool(first & _RESTARTING),
        has_notification=bool(first & _NOTIFICATION),
    )
    return True


def _read_asn(collected: Collected, value: bytes) -> bool:
    if len(value) == _FOUR and collected.asn is None:
        collected.asn = int.from_bytes(value, "big")
    return len(value) == _FOUR


def _read_role(collected: Collected, value: bytes) -> bool:
    if len(value) == 1 and collected.role is None:
        collected.role = value[0]
    return len(value) == 1


def _read_names(collected: Collected, value: bytes) -> bool:
    """Read two texts; one that is cut off is no reason to refuse anybody."""
    host = value[1 : 1 + value[0]] if value else b""
    rest = value[1 + len(host) :]
    domain = rest[1 : 1 + rest[0]] if rest else b""
    if collected.names is None:
        collected.names = (_legible(host), _legible(domain))
    return True


def _legible(octets: bytes) -> str:
    text = octets.decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _read_flag(code: int) -> Callable[[Collected, bytes], bool]:
    def read(collected: Collected, value: bytes) -> bool:
        collected.flags.add(code)
        return not value

    return read


_READERS: Final[Mapping[int, Callable[[Collected, bytes], bool]]] = {
    MULTIPROTOCOL: _read_family,
    ROUTE_REFRESH: _read_flag(ROUTE_REFRESH),
    EXTENDED_NEXT_HOP: _read_next_hops,
    EXTENDED_MESSAGE: _read_flag(EXTENDED_MESSAGE),
    ROLE: _read_role,
    GRACEFUL_RESTART: _read_restart,
    FOUR_OCTET_AS: _read_asn,
    ENHANCED_REFRESH: _read_flag(ENHANCED_REFRESH),
    FQDN: _read_names,
}
