"""Received UPDATEs: checked entirely, and forgotten (RFC 4271 section 6.3, RFC 7606).

::

    | withdrawn length u16 | withdrawn | attributes length u16 | attributes | prefixes |

Nothing that a peer announces is kept, so "treat as withdraw" only has to be told. What ends the
session is what leaves unclear which prefixes a message speaks of. A flood costs little: attributes
that were found right a moment ago are recognised by their octets, and prefixes are counted in
strides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from mercurylb.bgp.attribute import EXTENDED, OPTIONAL, TRANSITIVE, AttributeType
from mercurylb.bgp.error import BgpError
from mercurylb.bgp.family import BITS, IPV4, Family
from mercurylb.bgp.notification import Code, UpdateCode
from mercurylb.bgp.rule import RULES, Rule, UpdateContext

if TYPE_CHECKING:
    from collections.abc import Sequence

KNOWN_MAX: Final = 64
KNOWN_OCTETS_MAX: Final = 1024
"""Sets of attributes that are recognised, and how long such a set may be."""
RIGHT_MAX: Final = 512
RIGHT_OCTETS_MAX: Final = 64
"""Single attributes that are recognised, and how long each may be."""
TOLD_MAX: Final = 8
"""Mistakes of one message that are told, of each kind."""

_EMPTY: Final = bytes(4)
_ANY: Final = bytes(1)
"""Stands for some prefixes."""
_LENGTHS: Final = 4
_REACH_FIXED: Final = 5
_UNREACH_FIXED: Final = 3
_NEXT_HOP_LENGTH_AT: Final = 3
_IPV6_NEXT_HOPS: Final = frozenset((16, 32))
_IPV4_NEXT_HOPS: Final = frozenset((4,))
_MULTIPROTOCOL: Final = frozenset((AttributeType.MP_REACH, AttributeType.MP_UNREACH))
_FLAGS: Final = OPTIONAL | TRANSITIVE
_TOO_FAR: Final = 1 << 20
_STRIDES: Final = {
    bits_max: tuple(1 + (bits + 7 >> 3) if bits <= bits_max else _TOO_FAR for bits in range(256))
    for bits_max in BITS.values()
}
"""Octets of an entry by its first one; beyond everything where that is no length."""


class UpdateCheck(msgspec.Struct, frozen=True, gc=False):
    """What a message that may stay said."""

    announced: int = 0
    """Prefixes, whether usable or not."""
    withdrawn: int = 0
    end_of_rib: Family | None = None
    ignored: tuple[Family, ...] = ()
    """Families that were not negotiated."""
    unusable: str = ""
    """Why its routes are as good as withdrawn; nothing if they are right."""
    discarded: tuple[str, ...] = ()
    """Attributes that were left out, and why."""


_END_OF_IPV4: Final = UpdateCheck(end_of_rib=IPV4)


class _Problem(msgspec.Struct, frozen=True, gc=False):
    subcode: int
    words: str
    data: bytes


class _Attributes:
    """What the attributes of one message add up to."""

    def __init__(self) -> None:
        self.is_complete = False
        """Whether they may stand before IPv4 prefixes, and there is nothing to say of them."""
        self.seen: set[int] = set()
        self.problems: list[_Problem] = []
        self.discarded: list[str] = []
        self.ignored: list[Family] = []
        self.announced = 0
        self.withdrawn = 0
        self.reach: Family | None = None
        self.unreach: Family | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the same octets mean the same next time: right, and without prefixes."""
        return not self.problems and not self.discarded and self.seen.isdisjoint(_MULTIPROTOCOL)

    def discard(self, words: str) -> None:
        """Tell of an attribute that is left out."""
        if len(self.discarded) < TOLD_MAX:
            self.discarded.append(words)

    def note(self, problem: _Problem) -> None:
        """Tell why the routes are unusable."""
        if len(self.problems) < TOLD_MAX:
            self.problems.append(problem)


class UpdateChecker:
    """Checks the UPDATEs of one session."""

    def __init__(self, context: UpdateContext) -> None:
        self._context = context
        self._has_ipv4 = IPV4 in context.families
        self._known: dict[bytes, _Attributes] = {}
        self._right: set[bytes] = set()
        self._required = frozenset(_required(_ANY, context))

    def check(self, body: bytes) -> UpdateCheck:
        """Check what follows the header; raises `BgpError` where the session has to end."""
        if body == _EMPTY:
            return _END_OF_IPV4
        withdrawn, octets, nlri = _parts(body)
        attributes = self._known.get(octets) or self._read(octets)
        if attributes.is_complete and not withdrawn and self._has_ipv4:
            return UpdateCheck(_count_field(nlri))
        has_ipv4 = self._has_ipv4
        withdrawn_count = _count_field(withdrawn) if has_ipv4 else 0
        announced_count = _count_field(nlri) if has_ipv4 else 0
        ignored = attributes.ignored
        if not has_ipv4 and (withdrawn or nlri):
            ignored = [*ignored, IPV4]
        problems = [*attributes.problems, *_missing(attributes.seen, nlri, self._context)]
        if problems and not nlri and attributes.reach is None:
            _reset(problems[0])
        return UpdateCheck(
            announced_count + attributes.announced,
            withdrawn_count + attributes.withdrawn,
            None if withdrawn or nlri else _end_of_rib(attributes),
            tuple(ignored),
            "; ".join(problem.words for problem in problems),
            tuple(attributes.discarded),
        )

    def _read(self, octets: bytes) -> _Attributes:
        found = _Attributes()
        position = 0
        while position < len(octets):
            start = position + (4 if octets[position] & EXTENDED else 3)
            end = start + int.from_bytes(octets[position + 2 : start], "big")
            if end > len(octets) or start > len(octets):
                _cut_off(found, octets[position:])
                break
            whole = octets[position:end]
            if whole in self._right and whole[1] not in found.seen:
                found.seen.add(whole[1])
            else:
                self._read_one(found, whole, octets[start:end])
            position = end
        if found.is_plain and len(octets) <= KNOWN_OCTETS_MAX:
            found.is_complete = self._required <= found.seen
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[octets] = found
        return found

    def _read_one(self, found: _Attributes, whole: bytes, value: bytes) -> None:
        flags, type_ = whole[0], whole[1]
        if type_ in found.seen:
            if type_ in _MULTIPROTOCOL:
                _reset(_Problem(UpdateCode.ATTRIBUTE_LIST, f"attribute {type_} twice", b""))
            found.discard(f"attribute {type_} once more")
            return
        found.seen.add(type_)
        if type_ == AttributeType.MP_REACH:
            _check_flags(found, "MP_REACH_NLRI", OPTIONAL, whole)
            _read_reach(found, whole, value, self._context)
        elif type_ == AttributeType.MP_UNREACH:
            _check_flags(found, "MP_UNREACH_NLRI", OPTIONAL, whole)
            _read_unreach(found, whole, value, self._context)
        elif (rule := RULES.get(type_)) is not None:
            self._apply(rule, found, whole, value)
        elif not flags & OPTIONAL:
            words = f"well-known attribute {type_} is unknown"
            problem = _Problem(UpdateCode.UNRECOGNIZED_WELL_KNOWN, words, whole)
            found.note(problem)

    def _apply(self, rule: Rule, found: _Attributes, whole: bytes, value: bytes) -> None:
        if rule.is_inner and not self._context.is_internal:
            found.discard(f"{rule.name} from outside")
            return
        words = rule.problem(value, self._context)
        if rule.is_discarded:
            if (whole[0] ^ rule.flags) & _FLAGS:
                words = f"flags {whole[0]:#04x}"
            if words:
                found.discard(f"{rule.name}: {words}")
            return
        _check_flags(found, rule.name, rule.flags, whole)
        if not words and not found.problems and len(whole) <= RIGHT_OCTETS_MAX:
            if len(self._right) >= RIGHT_MAX:
                self._right.clear()
            self._right.add(whole)
        if words:
            found.note(_Problem(rule.subcode, f"{rule.name}: {words}", whole))


def _parts(body: bytes) -> tuple[bytes, bytes, bytes]:
    """Give the withdrawn prefixes, the attributes and the prefixes."""
    end = 2 + int.from_bytes(body[:2], "big")
    start = end + 2
    attributes_end = start + int.from_bytes(body[end:start], "big")
    if len(body) < _LENGTHS or start > len(body) or attributes_end > len(body):
        _reset(_Problem(UpdateCode.ATTRIBUTE_LIST, "lengths go beyond the UPDATE", b""))
    return body[2:end], body[start:attributes_end], body[attributes_end:]


def count_prefixes(nlri: bytes, bits_max: int) -> int:
    """Count the entries; -1 if they are malformed."""
    if not nlri:
        return 0
    strides = _STRIDES[bits_max]
    stride = strides[nlri[0]]
    count, rest = divmod(len(nlri), stride)
    if rest == 0 and nlri[::stride].count(nlri[0]) == count:
        return count
    position = count = 0
    end = len(nlri)
    while position < end:
        position += strides[nlri[position]]
        count += 1
    return count if position == end else -1


def _count_field(nlri: bytes) -> int:
    count = count_prefixes(nlri, BITS[IPV4])
    if count < 0:
        _reset(_Problem(UpdateCode.NETWORK, "malformed prefixes", b""))
    return count


def _missing(seen: set[int], nlri: bytes, context: UpdateContext) -> Sequence[_Problem]:
    if not nlri and AttributeType.MP_REACH not in seen:
        return ()
    return [
        _Problem(UpdateCode.MISSING_WELL_KNOWN, f"{RULES[type_].name} is missing", bytes((type_,)))
        for type_ in _required(nlri, context)
        if type_ not in seen
    ]


def _required(nlri: bytes, context: UpdateContext) -> list[int]:
    """List the attributes that announced prefixes must have."""
    required: list[int] = [AttributeType.ORIGIN, AttributeType.AS_PATH]
    if nlri:
        required.append(AttributeType.NEXT_HOP)
    if context.is_internal:
        required.append(AttributeType.LOCAL_PREF)
    return required


def _cut_off(found: _Attributes, rest: bytes) -> None:
    """Note that the last attribute says that it is longer than the list."""
    problem = _Problem(UpdateCode.ATTRIBUTE_LIST, "the last attribute is cut off", b"")
    if len(rest) > 1 and rest[1] in _MULTIPROTOCOL:
        _reset(problem)
    found.note(problem)


def _check_flags(found: _Attributes, name: str, flags: int, whole: bytes) -> None:
    if (whole[0] ^ flags) & _FLAGS:
        words = f"{name}: flags {whole[0]:#04x}"
        found.note(_Problem(UpdateCode.FLAGS, words, whole))


def _read_reach(found: _Attributes, whole: bytes, value: bytes, context: UpdateContext) -> None:
    nlri_at = (
        _REACH_FIXED + value[_NEXT_HOP_LENGTH_AT]
        if len(value) > _NEXT_HOP_LENGTH_AT
        else _REACH_FIXED
    )
    if nlri_at > len(value):
        _reset(_Problem(UpdateCode.OPTIONAL, "MP_REACH_NLRI is too short", whole))
    family = Family(value[0] << 8 | value[1], value[2])
    found.reach = family
    if family not in context.families or family not in BITS:
        found.ignored.append(family)
        return
    if value[_NEXT_HOP_LENGTH_AT] not in _next_hop_lengths(family, context):
        words = f"MP_REACH_NLRI: a next hop of {value[_NEXT_HOP_LENGTH_AT]} octets"
        _reset(_Problem(UpdateCode.OPTIONAL, words, whole))
    found.announced = count_prefixes(value[nlri_at:], BITS[family])
    if found.announced < 0:
        _reset(_Problem(UpdateCode.OPTIONAL, "MP_REACH_NLRI: malformed prefixes", whole))


def _next_hop_lengths(family: Family, context: UpdateContext) -> frozenset[int]:
    if family != IPV4:
        return _IPV6_NEXT_HOPS
    is_extended = family in context.extended_next_hops
    return _IPV4_NEXT_HOPS | _IPV6_NEXT_HOPS if is_extended else _IPV4_NEXT_HOPS


def _read_unreach(found: _Attributes, whole: bytes, value: bytes, context: UpdateContext) -> None:
    if len(value) < _UNREACH_FIXED:
        _reset(_Problem(UpdateCode.OPTIONAL, "MP_UNREACH_NLRI is too short", whole))
    family = Family(value[0] << 8 | value[1], value[2])
    found.unreach = family
    if family not in context.families or family not in BITS:
        found.ignored.append(family)
        return
    found.withdrawn = count_prefixes(value[_UNREACH_FIXED:], BITS[family])
    if found.withdrawn < 0:
        _reset(_Problem(UpdateCode.OPTIONAL, "MP_UNREACH_NLRI: malformed prefixes", whole))


def _end_of_rib(found: _Attributes) -> Family | None:
    if found.seen == {AttributeType.MP_UNREACH} and not found.withdrawn and not found.ignored:
        return found.unreach
    return None


def _reset(problem: _Problem) -> NoReturn:
    raise BgpError(Code.UPDATE, problem.subcode, problem.words, data=problem.data)
