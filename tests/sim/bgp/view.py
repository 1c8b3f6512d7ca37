"""What a router would have of us: the octets of one connection, decoded into a table."""

from __future__ import annotations

from mercurylb.bgp import path, prefix
from mercurylb.bgp.family import IPV4, IPV6, Family
from mercurylb.bgp.message import MessageSplitter, MessageType

Attributes = tuple[int | None, tuple[int, ...], tuple[int, ...], bytes]
"""Local preference, path, communities, large communities."""
_EXTENDED = 0x10


class View:
    """The table of one connection."""

    def __init__(self) -> None:
        self.table: dict[str, Attributes] = {}
        self.ended: set[Family] = set()
        self.update_count = 0
        self.types: list[int] = []
        self._splitter = MessageSplitter()
        self._splitter.has_extended = True

    def read(self, octets: bytes) -> None:
        """Take what came."""
        self._splitter.feed(octets)
        while (message := self._splitter.take()) is not None:
            self.types.append(message.type)
            if message.type == MessageType.UPDATE:
                self._update(message.body)

    def _update(self, body: bytes) -> None:
        self.update_count += 1
        end = 2 + int.from_bytes(body[:2], "big")
        start = end + 2
        stop = start + int.from_bytes(body[end:start], "big")
        values = _values(body[start:stop])
        withdrawn = [(IPV4, nlri) for nlri in prefix.split(body[2:end])]
        announced = [(IPV4, nlri) for nlri in prefix.split(body[stop:])]
        if 15 in values:
            family = Family(int.from_bytes(values[15][:2], "big"), values[15][2])
            withdrawn += [(family, nlri) for nlri in prefix.split(values[15][3:])]
            if not withdrawn:
                self.ended.add(family)
        if 14 in values:
            value = values[14]
            family = Family(int.from_bytes(value[:2], "big"), value[2])
            announced += [(family, nlri) for nlri in prefix.split(value[5 + value[3] :])]
        if not withdrawn and not announced and not values:
            self.ended.add(IPV4)
        for family, nlri in withdrawn:
            self.table.pop(prefix.decode(nlri, family), None)
        for family, nlri in announced:
            assert family in (IPV4, IPV6)
            self.table[prefix.decode(nlri, family)] = _attributes(values)


def _values(octets: bytes) -> dict[int, bytes]:
    values = {}
    at = 0
    while at < len(octets):
        wide = bool(octets[at] & _EXTENDED)
        start = at + (4 if wide else 3)
        length = int.from_bytes(octets[at + 2 : start], "big")
        values[octets[at + 1]] = octets[start : start + length]
        at = start + length
    return values


def _attributes(values: dict[int, bytes]) -> Attributes:
    communities = values.get(8, b"")
    preference = values.get(5)
    return (
        None if preference is None else int.from_bytes(preference, "big"),
        path.numbers(values[2]),
        tuple(int.from_bytes(communities[i : i + 4], "big") for i in range(0, len(communities), 4)),
        values.get(32, b""),
    )
