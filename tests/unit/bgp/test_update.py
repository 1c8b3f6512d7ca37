"""Received UPDATEs: what is wrong in them, and what follows."""

from __future__ import annotations

import pytest

from mercurylb.bgp.error import BgpError
from mercurylb.bgp.family import IPV4, IPV6, Family
from mercurylb.bgp.rule import UpdateContext
from mercurylb.bgp.update import (
    KNOWN_MAX,
    RIGHT_MAX,
    TOLD_MAX,
    UpdateCheck,
    UpdateChecker,
    count_prefixes,
)

EXTERNAL = UpdateContext(frozenset((IPV4, IPV6)))
INTERNAL = UpdateContext(frozenset((IPV4, IPV6)), is_internal=True)
NARROW = UpdateContext(frozenset((IPV4, IPV6)), has_four_octet_asn=False)
EXTENDED = UpdateContext(frozenset((IPV4,)), extended_next_hops=frozenset((IPV4,)))

ORIGIN = "40010100"
PATH = "4002060201" + "0000fde9"
NARROW_PATH = "4002040201fde9"
HOP = "400304c0000202"
PREFERENCE = "40050400000064"
GOOD = ORIGIN + PATH + HOP
NLRI = "18c63364"
"""198.51.100.0/24."""
GLOBAL = "20010db8" + "00" * 11 + "02"
SIX = "2020010db8"


def reach(value: str, flags: str = "80") -> str:
    """Make MP_REACH_NLRI."""
    return f"{flags}0e{len(value) // 2:02x}{value}"


def unreach(value: str, flags: str = "80") -> str:
    """Make MP_UNREACH_NLRI."""
    return f"{flags}0f{len(value) // 2:02x}{value}"


REACH = reach("00020110" + GLOBAL + "00" + SIX)


def body(attributes: str = "", nlri: str = "", withdrawn: str = "") -> bytes:
    """Make what follows the header."""
    return bytes.fromhex(
        f"{len(withdrawn) // 2:04x}{withdrawn}{len(attributes) // 2:04x}{attributes}{nlri}"
    )


def check(octets: bytes, context: UpdateContext = EXTERNAL) -> UpdateCheck:
    """Check twice: what is recognised the second time means the same."""
    checker = UpdateChecker(context)
    first = checker.check(octets)
    assert checker.check(octets) == first
    return first


@pytest.mark.rule("bgp-native-1.4.ignored", "bgp-native-1.4.checked")
@pytest.mark.parametrize(
    ("octets", "context", "expected"),
    [
        (body(GOOD, NLRI), EXTERNAL, UpdateCheck(announced=1)),
        (body(GOOD, NLRI + "00" + "20c6336401"), EXTERNAL, UpdateCheck(announced=3)),
        (body(withdrawn=NLRI * 2), EXTERNAL, UpdateCheck(withdrawn=2)),
        (body(GOOD, NLRI, "00"), EXTERNAL, UpdateCheck(announced=1, withdrawn=1)),
        (body(ORIGIN + PATH + REACH), EXTERNAL, UpdateCheck(announced=1)),
        (body(REACH + ORIGIN + PATH), EXTERNAL, UpdateCheck(announced=1)),
        (body(unreach("000201" + SIX + "00")), EXTERNAL, UpdateCheck(withdrawn=2)),
        (body(GOOD + PREFERENCE, NLRI), INTERNAL, UpdateCheck(announced=1)),
        (body(ORIGIN + "400200" + HOP + PREFERENCE, NLRI), INTERNAL, UpdateCheck(announced=1)),
        (body(ORIGIN + NARROW_PATH + HOP, NLRI), NARROW, UpdateCheck(announced=1)),
        (
            body(ORIGIN + PATH + reach("00010110" + GLOBAL + "00" + NLRI)),
            EXTENDED,
            UpdateCheck(announced=1),
        ),
        (
            body(ORIGIN + PATH + reach("00010104" + "c0000202" + "00" + NLRI)),
            EXTERNAL,
            UpdateCheck(announced=1),
        ),
        (
            body(ORIGIN + PATH + reach("00020120" + GLOBAL * 2 + "00" + SIX)),
            EXTERNAL,
            UpdateCheck(announced=1),
        ),
        (body(GOOD.replace("400304", "50030004"), NLRI), EXTERNAL, UpdateCheck(announced=1)),
        (body(GOOD), EXTERNAL, UpdateCheck()),
        pytest.param(
            body(),
            EXTERNAL,
            UpdateCheck(end_of_rib=IPV4),
            marks=pytest.mark.rule("bgp-native-2.11.end-of-rib"),
        ),
        pytest.param(
            body(unreach("000201")),
            EXTERNAL,
            UpdateCheck(end_of_rib=IPV6),
            marks=pytest.mark.rule("bgp-native-2.11.end-of-rib"),
        ),
        (body(unreach("000201"), withdrawn="00"), EXTERNAL, UpdateCheck(withdrawn=1)),
    ],
)
def test_what_is_right(octets: bytes, context: UpdateContext, expected: UpdateCheck) -> None:
    """Is counted, and nothing is said."""
    assert check(octets, context) == expected


@pytest.mark.rule("bgp-native-2.12.family")
@pytest.mark.parametrize(
    ("octets", "families", "ignored"),
    [
        (body(ORIGIN + PATH + REACH), {IPV4}, IPV6),
        (body(unreach("000201" + SIX)), {IPV4}, IPV6),
        (body(unreach("000201")), {IPV4}, IPV6),
        (body(ORIGIN + PATH + reach("0019410000ff")), {IPV4, IPV6}, Family(25, 65)),
        (body(unreach("001941ff")), {IPV4, Family(25, 65)}, Family(25, 65)),
        (body(GOOD, NLRI), {IPV6}, IPV4),
        (body(GOOD, "ff"), {IPV6}, IPV4),
        (body(withdrawn=NLRI), {IPV6}, IPV4),
    ],
)
def test_families_that_were_not_negotiated(
    octets: bytes, families: set[Family], ignored: Family
) -> None:
    """Are ignored, whatever stands there."""
    assert check(octets, UpdateContext(frozenset(families))) == UpdateCheck(ignored=(ignored,))


SESSION_ENDS = [
    *[
        pytest.param(
            bytes.fromhex(octets),
            EXTERNAL,
            (1, ""),
            marks=pytest.mark.rule("bgp-native-2.12.lengths"),
        )
        for octets in [
            "",
            "00",
            "0000",
            "000000",
            "00010000",
            "00040000",
            "0000000100"[:8],
            "0000ffff00",
        ]
    ],
    *[
        pytest.param(octets, EXTERNAL, (10, ""), marks=pytest.mark.rule("bgp-native-2.12.nlri"))
        for octets in [
            body(GOOD, "21" + "00" * 5),
            body(GOOD, "ff"),
            body(GOOD, "18c633"),
            body(GOOD, NLRI + "20c63364"),
            body(GOOD, NLRI + "08"),
            body(withdrawn="21" + "00" * 5),
            body(withdrawn=NLRI + "18"),
        ]
    ],
    *[
        pytest.param(
            body(ORIGIN + PATH + attribute),
            EXTERNAL,
            (9, attribute),
            marks=pytest.mark.rule("bgp-native-2.12.nlri"),
        )
        for attribute in [
            reach("00020110" + GLOBAL + "00" + "81" + "00" * 17),
            reach("00020110" + GLOBAL + "00" + "2020010d"),
            reach("00010104" + "c0000202" + "00" + "21" + "00" * 5),
            unreach("000201" + "81" + "00" * 17),
            unreach("000201" + "2020010d"),
            unreach("0002"),
            unreach(""),
            reach(""),
            reach("000201"),
            reach("00020110"),
            reach("00020110" + GLOBAL),
        ]
    ],
    *[
        pytest.param(
            body(ORIGIN + PATH + attribute),
            context,
            (9, attribute),
            marks=pytest.mark.rule("bgp-native-2.12.next-hop"),
        )
        for attribute, context in [
            (reach("00020104" + "c0000202" + "00" + SIX), EXTERNAL),
            (reach("00020118" + "00" * 24 + "00" + SIX), EXTERNAL),
            (reach("00020100" + "00" + SIX), EXTERNAL),
            (reach("00010110" + GLOBAL + "00" + NLRI), EXTERNAL),
            (reach("00010108" + "00" * 8 + "00" + NLRI), EXTENDED),
        ]
    ],
    *[
        pytest.param(octets, EXTERNAL, (1, ""), marks=pytest.mark.rule("bgp-native-2.12.twice"))
        for octets in [
            body(ORIGIN + PATH + REACH + REACH),
            body(unreach("000201") + unreach("000201")),
        ]
    ],
    *[
        pytest.param(
            octets, context, expected, marks=pytest.mark.rule("bgp-native-2.12.no-prefixes")
        )
        for octets, context, expected in [
            (body("40010103"), EXTERNAL, (6, "40010103")),
            (body("40020100"), EXTERNAL, (11, "40020100")),
            (body("400303c00002"), EXTERNAL, (8, "400303c00002")),
            (body("400304e0000001"), EXTERNAL, (8, "400304e0000001")),
            (body("80040100"), EXTERNAL, (5, "80040100")),
            (body("40050100"), INTERNAL, (5, "40050100")),
            (body("c00800"), EXTERNAL, (9, "c00800")),
            (body("c0010100"), EXTERNAL, (4, "c0010100")),
            (body("407f00"), EXTERNAL, (2, "407f00")),
            (body("4001"), EXTERNAL, (1, "")),
            (body("400105"), EXTERNAL, (1, "")),
            (body("40010103" + unreach("000201" + SIX)), EXTERNAL, (6, "40010103")),
            (body("40010103", withdrawn="00"), EXTERNAL, (6, "40010103")),
        ]
    ],
    pytest.param(body(GOOD + "800eff0002", NLRI), EXTERNAL, (1, ""), id="MP_REACH cut off"),
]


@pytest.mark.rule("bgp-native-2.7.update-error")
@pytest.mark.parametrize(("octets", "context", "expected"), SESSION_ENDS)
def test_what_ends_the_session(
    octets: bytes, context: UpdateContext, expected: tuple[int, str]
) -> None:
    """With the subcode and the data of RFC 4271 section 6.3."""
    with pytest.raises(BgpError) as caught:
        check(octets, context)
    error = caught.value
    assert (error.code, error.subcode, error.data.hex()) == (3, *expected)
    assert str(error)


UNUSABLE = [
    *[
        pytest.param(
            attributes, context, words, marks=pytest.mark.rule("bgp-native-2.12.malformed")
        )
        for attributes, context, words in [
            (GOOD.replace(ORIGIN, "40010103"), EXTERNAL, "ORIGIN: value 3"),
            (GOOD.replace(ORIGIN, "4001020000"), EXTERNAL, "ORIGIN: 2 octets"),
            (GOOD.replace(ORIGIN, "400100"), EXTERNAL, "ORIGIN: 0 octets"),
            (GOOD.replace(ORIGIN, ""), EXTERNAL, "ORIGIN is missing"),
            (GOOD.replace(ORIGIN, "80010100"), EXTERNAL, "ORIGIN: flags 0x80"),
            (GOOD.replace(ORIGIN, "c0010100"), EXTERNAL, "ORIGIN: flags 0xc0"),
            (GOOD.replace(PATH, ""), EXTERNAL, "AS_PATH is missing"),
            (GOOD.replace(PATH, "4002060901" + "0000fde9"), EXTERNAL, "AS_PATH: segment type 9"),
            (GOOD.replace(PATH, "4002020200"), EXTERNAL, "AS_PATH: a segment is empty"),
            (GOOD.replace(PATH, "4002060201" + "00000000"), EXTERNAL, "AS_PATH: AS number 0"),
            (
                GOOD.replace(PATH, "4002060301" + "0000fde9"),
                EXTERNAL,
                "AS_PATH: a segment of a confederation from outside",
            ),
            (GOOD.replace(PATH, NARROW_PATH), EXTERNAL, "AS_PATH: a segment is cut off"),
            (GOOD, NARROW, "AS_PATH: AS number 0"),
            (GOOD.replace(HOP, ""), EXTERNAL, "NEXT_HOP is missing"),
            (GOOD.replace(HOP, "400303c00002"), EXTERNAL, "NEXT_HOP: 3 octets"),
            (GOOD.replace(HOP, "40030400000000"), EXTERNAL, "NEXT_HOP: no address of a host"),
            (GOOD.replace(HOP, "400304ffffffff"), EXTERNAL, "NEXT_HOP: no address of a host"),
            (GOOD + "800403000000", EXTERNAL, "MULTI_EXIT_DISC: 3 octets"),
            (GOOD, INTERNAL, "LOCAL_PREF is missing"),
            (GOOD + "400503000000", INTERNAL, "LOCAL_PREF: 3 octets"),
            (GOOD + "c00800", EXTERNAL, "COMMUNITIES: 0 octets"),
            (GOOD + "c008050000000000", EXTERNAL, "COMMUNITIES: 5 octets"),
            (GOOD + "80080400000000", EXTERNAL, "COMMUNITIES: flags 0x80"),
            (GOOD + PREFERENCE + "80090100", INTERNAL, "ORIGINATOR_ID: 1 octets"),
            (GOOD + PREFERENCE + "800a00", INTERNAL, "CLUSTER_LIST: 0 octets"),
            (GOOD + "c0100400000000", EXTERNAL, "EXTENDED COMMUNITIES: 4 octets"),
            (GOOD + "c0190400000000", EXTERNAL, "IPv6 EXTENDED COMMUNITIES: 4 octets"),
            (GOOD + "c0200400000000", EXTERNAL, "LARGE_COMMUNITY: 4 octets"),
            (GOOD + "c02300", EXTERNAL, "OTC: 0 octets"),
            (
                GOOD.replace(ORIGIN, "").replace(HOP, ""),
                EXTERNAL,
                "ORIGIN is missing; NEXT_HOP is missing",
            ),
        ]
    ],
    *[
        pytest.param(
            GOOD + rest,
            EXTERNAL,
            "the last attribute is cut off",
            marks=pytest.mark.rule("bgp-native-2.12.cut-off"),
        )
        for rest in ["40", "4004", "500400", "c0080500000000", "c0ff"]
    ],
    pytest.param(
        GOOD + "407f00",
        EXTERNAL,
        "well-known attribute 127 is unknown",
        marks=pytest.mark.rule("bgp-native-2.12.unrecognized"),
    ),
]


@pytest.mark.parametrize(("attributes", "context", "words"), UNUSABLE)
def test_what_makes_routes_unusable(attributes: str, context: UpdateContext, words: str) -> None:
    """The session stays, and the prefixes still count (RFC 7606: treat as withdraw)."""
    assert check(body(attributes, NLRI), context) == UpdateCheck(announced=1, unusable=words)


def test_the_flags_of_mp_reach_make_its_routes_unusable() -> None:
    """Its prefixes are still found."""
    octets = body(ORIGIN + PATH + REACH.replace("800e", "c00e"))
    assert check(octets) == UpdateCheck(announced=1, unusable="MP_REACH_NLRI: flags 0xc0")
    octets = body(ORIGIN + PATH + HOP + "c00f" + unreach("000201" + SIX)[4:], NLRI)
    found = check(octets)
    assert (found.announced, found.withdrawn) == (1, 1)
    assert found.unusable == "MP_UNREACH_NLRI: flags 0xc0"


@pytest.mark.parametrize(
    ("attributes", "context", "words"),
    [
        pytest.param(
            attributes, context, words, marks=pytest.mark.rule("bgp-native-2.12.malformed")
        )
        for attributes, context, words in [
            (GOOD + "40060100", EXTERNAL, "ATOMIC_AGGREGATE: 1 octets"),
            (GOOD + "c00600", EXTERNAL, "ATOMIC_AGGREGATE: flags 0xc0"),
            (GOOD + "c00706" + "00" * 6, EXTERNAL, "AGGREGATOR: 6 octets"),
            (
                ORIGIN + NARROW_PATH + HOP + "c00708" + "00" * 8,
                NARROW,
                "AGGREGATOR: 8 octets",
            ),
            (GOOD + PREFERENCE, EXTERNAL, "LOCAL_PREF from outside"),
            (GOOD + "40050100", EXTERNAL, "LOCAL_PREF from outside"),
            (GOOD + "800904c0000201", EXTERNAL, "ORIGINATOR_ID from outside"),
            (GOOD + "800a04c0000201", EXTERNAL, "CLUSTER_LIST from outside"),
            (
                GOOD + "c01106" + "0201" + "0001fde9",
                EXTERNAL,
                "AS4_PATH: a peer with four-octet numbers",
            ),
            (
                ORIGIN + NARROW_PATH + HOP + "c01100",
                NARROW,
                "AS4_PATH: 0 octets",
            ),
            (
                ORIGIN + NARROW_PATH + HOP + "c01104" + "0201fde9",
                NARROW,
                "AS4_PATH: a segment is cut off",
            ),
            (
                GOOD + "c01208" + "00" * 8,
                EXTERNAL,
                "AS4_AGGREGATOR: a peer with four-octet numbers",
            ),
            (
                ORIGIN + NARROW_PATH + HOP + "c01206" + "00" * 6,
                NARROW,
                "AS4_AGGREGATOR: 6 octets",
            ),
        ]
    ]
    + [
        pytest.param(
            GOOD + "40010103",
            EXTERNAL,
            "attribute 1 once more",
            marks=pytest.mark.rule("bgp-native-2.12.twice"),
        )
    ],
)
def test_what_is_left_out(attributes: str, context: UpdateContext, words: str) -> None:
    """The routes are as good as without it (RFC 7606: attribute discard)."""
    assert check(body(attributes, NLRI), context) == UpdateCheck(announced=1, discarded=(words,))


@pytest.mark.rule("bgp-native-2.12.twice")
def test_an_attribute_that_is_there_twice_alike() -> None:
    """Is left out as well, also where each is recognised by its octets."""
    checker = UpdateChecker(EXTERNAL)
    assert checker.check(body(GOOD, NLRI)) == UpdateCheck(announced=1)
    for _ in range(2):
        found = checker.check(body(GOOD + HOP, NLRI))
        assert found == UpdateCheck(announced=1, discarded=("attribute 3 once more",))


@pytest.mark.parametrize(
    ("attributes", "context"),
    [
        (GOOD + "8004040000000a", EXTERNAL),
        (GOOD + "400600" + "c00708" + "00" * 8, EXTERNAL),
        (GOOD + "c00808" + "00" * 8 + "c01008" + "00" * 8, EXTERNAL),
        (GOOD + "c0200c" + "00" * 12 + "c02304" + "0000fde9", EXTERNAL),
        (GOOD + PREFERENCE + "800904c0000201" + "800a08" + "00" * 8, INTERNAL),
        (GOOD.replace(PATH, "4002060301" + "0000fde9") + PREFERENCE, INTERNAL),
        (ORIGIN + NARROW_PATH + HOP + "c01106" + "0201" + "0001fde9", NARROW),
        (ORIGIN + NARROW_PATH + HOP + "c00706" + "00" * 6 + "c01208" + "00" * 8, NARROW),
        (GOOD + "807f00" + "e0800100", EXTERNAL),
    ],
)
def test_what_may_be_there_besides(attributes: str, context: UpdateContext) -> None:
    """Known attributes as they must be, and unknown ones that are optional."""
    assert check(body(attributes, NLRI), context) == UpdateCheck(announced=1)


@pytest.mark.parametrize(
    ("nlri", "bits_max", "count"),
    [
        ("", 32, 0),
        ("00", 32, 1),
        ("0000", 32, 2),
        ("20c0000201" * 3, 32, 3),
        ("20c0000201" * 2 + "18c000", 32, -1),
        ("0180" + "18c00002" + "20c0000201", 32, 3),
        ("18c0000218", 32, -1),
        ("21c000020100", 32, -1),
        ("18c00002" + "21c000020100", 32, -1),
        ("21c000020100", 128, 1),
        ("80" + "00" * 16, 128, 1),
        ("81" + "00" * 17, 128, -1),
        ("18" * 8, 32, 2),
        ("18" * 9, 32, -1),
    ],
)
def test_prefixes_are_counted(nlri: str, bits_max: int, count: int) -> None:
    """In strides where all have the length of the first, else one by one."""
    assert count_prefixes(bytes.fromhex(nlri), bits_max) == count


@pytest.mark.rule("bgp-native-1.4.ignored")
def test_a_flood_leaves_nothing_behind() -> None:
    """What is recognised is bounded; routes are not kept."""
    checker = UpdateChecker(EXTERNAL)
    for number in range(2000):
        octets = body(GOOD + f"c00804{number:08x}", NLRI)
        assert checker.check(octets) == UpdateCheck(announced=1)
        assert len(checker._known) <= KNOWN_MAX
        assert len(checker._right) <= RIGHT_MAX
    long = body(GOOD + "d00807d0" + "00" * 2000, NLRI)
    checker.check(long)
    assert max(map(len, checker._known)) < 1024


def test_a_message_full_of_mistakes_is_told_briefly() -> None:
    """Eight of each kind say enough."""
    twice = "c0630100" * 1000
    unknown = "".join(f"40{type_:02x}00" for type_ in range(100, 150))
    found = check(body(GOOD + twice + unknown, NLRI))
    assert found.discarded == ("attribute 99 once more",) * TOLD_MAX
    assert found.unusable.count(";") == TOLD_MAX - 1
