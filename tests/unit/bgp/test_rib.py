"""What a peer should have, has, and is still to get."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
import pytest

from mercurylb.bgp import attribute, prefix, refresh
from mercurylb.bgp.attribute import Encoding
from mercurylb.bgp.book import RouteBook
from mercurylb.bgp.family import IPV4, IPV6, Family
from mercurylb.bgp.message import MessageSplitter, MessageType
from mercurylb.bgp.refresh import RefreshType
from mercurylb.bgp.rib import AdjRibOut, Pulled
from mercurylb.bgp.route import RouteGroup

if TYPE_CHECKING:
    from collections.abc import Iterable

HOP = bytes((192, 0, 2, 1))
GLOBAL = bytes.fromhex("20010db8" + "00" * 11 + "01")
BOTH = Encoding(65000, is_internal=False, next_hops=((IPV4, HOP), (IPV6, GLOBAL)))
INTERNAL = Encoding(65000, is_internal=True, next_hops=((IPV4, HOP), (IPV6, GLOBAL)))
ONLY_IPV4 = Encoding(65000, is_internal=False, next_hops=((IPV4, HOP),))
GSHUT = attribute.GRACEFUL_SHUTDOWN
EVERYTHING = 1 << 30


class Router:
    """The other end: keeps what it is told, and in which order."""

    def __init__(self) -> None:
        self.splitter = MessageSplitter()
        self.splitter.has_extended = True
        self.routes: dict[str, tuple[int, ...]] = {}
        self.preferences: dict[str, int] = {}
        self.told: list[str] = []

    def take(self, pulled: Pulled) -> list[str]:
        """Read messages; give what was told, in words."""
        before = len(self.told)
        self.splitter.feed(pulled.octets)
        count = 0
        while (message := self.splitter.take()) is not None:
            if message.type == MessageType.ROUTE_REFRESH:
                mark = refresh.decode(message.body)
                self.told.append(f"{RefreshType(mark.subtype).name} {mark.family.label}")
                continue
            count += 1
            self._update(message.body)
        assert count == pulled.updates
        assert len(self.splitter) == 0
        return self.told[before:]

    def _update(self, body: bytes) -> None:
        end = 2 + int.from_bytes(body[:2], "big")
        start = end + 2
        nlri_at = start + int.from_bytes(body[end:start], "big")
        self._withdraw(IPV4, body[2:end])
        communities: tuple[int, ...] = ()
        preference = -1
        reach = (IPV4, body[nlri_at:])
        position = start
        while position < nlri_at:
            flags, type_ = body[position], body[position + 1]
            value_at = position + (4 if flags & 0x10 else 3)
            length = int.from_bytes(body[position + 2 : value_at], "big")
            value = body[value_at : value_at + length]
            position = value_at + length
            if type_ == 5:
                preference = int.from_bytes(value, "big")
            elif type_ == 8:
                communities = tuple(
                    int.from_bytes(value[i : i + 4], "big") for i in range(0, length, 4)
                )
            elif type_ == 14:
                reach = (Family(value[1], value[2]), value[5 + value[3] :])
            elif type_ == 15:
                self._withdraw(Family(value[1], value[2]), value[3:])
                if length == 3:
                    self.told.append(f"end of {Family(value[1], value[2]).label}")
        for entry in prefix.split(reach[1]):
            text = prefix.decode(entry, reach[0])
            self.routes[text] = communities
            self.preferences[text] = preference
            self.told.append(f"+{text}")
        if body == bytes(4):
            self.told.append("end of ipv4")

    def _withdraw(self, family: Family, nlri: bytes) -> None:
        for entry in prefix.split(nlri):
            text = prefix.decode(entry, family)
            del self.routes[text]
            self.told.append(f"-{text}")


def group(*prefixes: str, peers: Iterable[str] = ("a",), **rest: object) -> RouteGroup:
    """Make a group of routes."""
    fields = {"peers": tuple(peers), "prefixes": tuple(sorted(prefixes)), **rest}
    return msgspec.convert(fields, RouteGroup)


def book_of(*groups: RouteGroup) -> RouteBook:
    """Make a book."""
    book = RouteBook()
    book.replace(groups)
    return book


ONE, TWO, THREE = "10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32"
SIX = "2001:db8::1/128"


@pytest.mark.rule("bgp-native-1.5.full")
def test_a_new_session_gets_everything() -> None:
    """What other peers get is not among it."""
    book = book_of(group(ONE, SIX, communities=(1,)), group(TWO), group(THREE, peers=["b"]))
    rib, router = AdjRibOut(book, "a", BOTH), Router()
    assert rib.is_pending
    assert rib.pending_count == 3
    assert router.take(rib.pull(EVERYTHING)) == [f"+{TWO}", f"+{ONE}", f"+{SIX}"]
    assert router.routes == {ONE: (1,), TWO: (), SIX: (1,)}
    assert (rib.is_pending, rib.sent_count, rib.pending_count) == (False, 3, 0)
    assert rib.pull(EVERYTHING) == Pulled()


@pytest.mark.rule("bgp-native-1.5.changes", "bgp-native-1.5.order", "bgp-native-2.16.diff")
def test_changes_alone_are_sent() -> None:
    """Announcements, then withdrawals."""
    book = book_of(group(ONE, TWO))
    rib, router = AdjRibOut(book, "a", BOTH), Router()
    router.take(rib.pull(EVERYTHING))
    assert not book.replace([group(ONE, TWO)])
    assert not rib.is_pending
    assert book.replace([group(TWO, THREE)])
    assert rib.is_pending
    assert router.take(rib.pull(EVERYTHING)) == [f"+{THREE}", f"-{ONE}"]
    book.replace([group(TWO), group(THREE, communities=(7,))])
    assert router.take(rib.pull(EVERYTHING)) == [f"+{THREE}"]
    assert router.routes == {TWO: (), THREE: (7,)}
    assert rib.sent_count == 2


def test_another_peer_s_change_is_none() -> None:
    """Nothing is looked at for it."""
    book = book_of(group(ONE), group(TWO, peers=["b"]))
    rib, router = AdjRibOut(book, "a", BOTH), Router()
    router.take(rib.pull(EVERYTHING))
    book.replace([group(ONE), group(THREE, peers=["b"])])
    assert not rib.is_pending


@pytest.mark.rule("bgp-native-1.5.latest", "bgp-native-2.16.diff")
def test_what_changes_before_it_was_pulled_is_never_sent() -> None:
    """The latest set counts."""
    book = book_of()
    rib, router = AdjRibOut(book, "a", BOTH), Router()
    book.replace([group(ONE)])
    book.replace([group(TWO)])
    assert router.take(rib.pull(EVERYTHING)) == [f"+{TWO}"]
    book.replace([group(ONE, TWO)])
    assert rib.pending_count == 1
    book.replace([group(TWO)])
    assert router.take(rib.pull(EVERYTHING)) == []
    assert not rib.is_pending


def hosts(count: int) -> list[str]:
    """Make prefixes."""
    return [f"10.0.{n >> 8}.{n & 255}/32" for n in range(count)]


@pytest.mark.rule("bgp-native-1.5.latest")
def test_a_change_in_the_middle_takes_effect_at_once() -> None:
    """What was not pulled yet is sent as it is now, or not at all."""
    texts = hosts(5000)
    book = book_of(group(*texts))
    rib, router = AdjRibOut(book, "a", BOTH), Router()
    first = router.take(rib.pull(1))
    assert 0 < len(first) < 1000
    assert rib.sent_count == len(first)
    assert rib.pending_count == 5000 - len(first)
    book.replace([group(ONE, communities=(3,))])
    rest = router.take(rib.pull(EVERYTHING))
    assert rest[0] == f"+{ONE}"
    assert len(rest) == len(first)
    assert router.routes == {ONE: (3,)}
    assert rib.sent_count == 1


def test_a_pull_is_about_as_large_as_asked_for() -> None:
    """At least one message, at most one too many."""
    book = book_of(group(*hosts(5000)))
    rib = AdjRibOut(book, "a", BOTH)
    sizes = []
    while rib.is_pending:
        sizes.append(len(rib.pull(8000).octets))
    assert all(8000 <= size < 8000 + 4096 for size in sizes[:-1])


@pytest.mark.rule("bgp-native-2.11.end-of-rib")
def test_the_end_of_the_table_comes_after_it() -> None:
    """Once for each family, also for one without routes."""
    book = book_of(group(*hosts(2000)))
    rib, router = AdjRibOut(book, "a", ONLY_IPV4), Router()
    rib.end_of_rib([IPV4, IPV6])
    while rib.is_pending:
        router.take(rib.pull(4096))
    assert router.told[2000:] == ["end of ipv4", "end of ipv6"]
    book.replace([group(ONE)])
    assert "end of ipv4" not in router.take(rib.pull(EVERYTHING))


def test_the_end_waits_for_what_came_meanwhile() -> None:
    """It says that the peer has all there is."""
    book = book_of()
    rib, router = AdjRibOut(book, "a", BOTH), Router()
    rib.end_of_rib([IPV4])
    book.replace([group(ONE)])
    assert router.take(rib.pull(EVERYTHING)) == [f"+{ONE}", "end of ipv4"]


@pytest.mark.rule("bgp-native-2.10.again")
def test_a_family_is_sent_again() -> None:
    """Between its marks if both sides have them."""
    book = book_of(group(ONE, SIX), group(TWO, communities=(1,)))
    rib, router = AdjRibOut(book, "a", BOTH), Router()
    rib.end_of_rib([IPV4, IPV6])
    router.take(rib.pull(EVERYTHING))
    rib.refresh(IPV4)
    assert rib.pending_count == 2
    assert router.take(rib.pull(EVERYTHING)) == [f"+{ONE}", f"+{TWO}"]
    rib.refresh(IPV6, is_enhanced=True)
    pulled = rib.pull(EVERYTHING)
    assert (pulled.updates, pulled.refreshes) == (1, 2)
    assert router.take(pulled) == ["BEGIN ipv6", f"+{SIX}", "END ipv6"]
    assert not rib.is_pending


def test_an_empty_family_has_marks_alone() -> None:
    """The peer drops what it had of it."""
    rib, router = AdjRibOut(book_of(), "a", BOTH), Router()
    rib.end_of_rib([IPV4, IPV6])
    router.take(rib.pull(EVERYTHING))
    rib.refresh(IPV6, is_enhanced=True)
    assert router.take(rib.pull(EVERYTHING)) == ["BEGIN ipv6", "END ipv6"]
    rib.refresh(IPV6)
    assert rib.pull(EVERYTHING) == Pulled()
    assert not rib.is_pending


def test_there_are_no_marks_before_the_end_of_the_table() -> None:
    """RFC 7313 section 4."""
    rib, router = AdjRibOut(book_of(group(ONE)), "a", BOTH), Router()
    rib.refresh(IPV4, is_enhanced=True)
    assert router.take(rib.pull(EVERYTHING)) == [f"+{ONE}", f"+{ONE}"]


def test_changes_overtake_a_refresh() -> None:
    """What went meanwhile does not come back with it."""
    texts = hosts(3000)
    book = book_of(group(*texts))
    rib, router = AdjRibOut(book, "a", BOTH), Router()
    rib.end_of_rib([IPV4])
    router.take(rib.pull(EVERYTHING))
    rib.refresh(IPV4, is_enhanced=True)
    router.take(rib.pull(100))
    router.take(rib.pull(100))
    kept = [text for text in texts if not text.endswith("7/32")]
    book.replace([group(*kept), group(THREE, communities=(1,))])
    router.take(rib.pull(EVERYTHING))
    assert router.routes == {**dict.fromkeys(kept, ()), THREE: (1,)}
    assert router.told[-1] == "END ipv4"
    again = router.told[router.told.index("BEGIN ipv4") :]
    assert {f"+{text}" for text in kept} <= set(again)


def test_another_request_begins_anew() -> None:
    """From the first prefix."""
    book = book_of(group(*hosts(2000)))
    rib, router = AdjRibOut(book, "a", BOTH), Router()
    router.take(rib.pull(EVERYTHING))
    rib.refresh(IPV4)
    router.take(rib.pull(1))
    assert rib.pending_count < 2000
    rib.refresh(IPV4)
    assert rib.pending_count == 2000
    assert len(router.take(rib.pull(EVERYTHING))) == 2000


def test_what_is_leaving_is_told_first() -> None:
    """GRACEFUL_SHUTDOWN and the lowest preference; nobody is told of what he has not."""
    book = book_of(group(ONE, TWO, local_pref=200, communities=(5,)))
    rib, router = AdjRibOut(book, "a", INTERNAL), Router()
    router.take(rib.pull(EVERYTHING))
    assert router.preferences == {ONE: 200, TWO: 200}
    book.replace(
        [
            group(ONE, local_pref=200, communities=(5,)),
            group(TWO, THREE, local_pref=200, communities=(5,), is_leaving=True),
        ]
    )
    assert router.take(rib.pull(EVERYTHING)) == [f"+{TWO}"]
    assert router.routes == {ONE: (5,), TWO: (5, GSHUT)}
    assert router.preferences == {ONE: 200, TWO: 0}
    assert rib.sent_count == 2
    book.replace([group(ONE, local_pref=200, communities=(5,))])
    assert router.take(rib.pull(EVERYTHING)) == [f"-{TWO}"]
    new, late = AdjRibOut(book_of(group(ONE, is_leaving=True)), "a", BOTH), Router()
    assert late.take(new.pull(EVERYTHING)) == []
    assert (new.is_pending, new.sent_count) == (False, 0)


def test_a_change_of_preference_is_no_change_outside() -> None:
    """An external peer does not see it."""
    book = book_of(group(ONE, local_pref=100), group(TWO, local_pref=200))
    inner, outer = AdjRibOut(book, "a", INTERNAL), AdjRibOut(book, "a", BOTH)
    pulled = outer.pull(EVERYTHING)
    assert pulled.updates == 1
    inner.pull(EVERYTHING)
    book.replace([group(ONE, local_pref=200), group(TWO, local_pref=100)])
    assert outer.pull(EVERYTHING) == Pulled()
    assert inner.pull(EVERYTHING).updates == 2


def test_what_the_session_cannot_carry_is_skipped() -> None:
    """And counted: a family that it lacks, attributes that fit into no message."""
    large = tuple((n, 0, 0) for n in range(400))
    book = book_of(group(ONE, SIX), group(TWO, THREE, large_communities=large))
    rib, router = AdjRibOut(book, "a", ONLY_IPV4), Router()
    assert router.take(rib.pull(EVERYTHING)) == [f"+{ONE}"]
    assert (rib.sent_count, rib.skipped_count, rib.pending_count) == (1, 3, 0)
    assert [text for text, _ in rib.sent()] == [ONE]


def test_routes_that_do_not_fit_any_more_are_withdrawn() -> None:
    """The peer must not keep what is no longer true."""
    large = tuple((n, 0, 0) for n in range(400))
    texts = hosts(2000)
    for wanted in [
        [group(*texts, large_communities=large)],
        [group(*texts[:1999], "10.9.9.9/32", large_communities=large), group(ONE)],
    ]:
        book = book_of(group(*texts))
        rib, router = AdjRibOut(book, "a", BOTH), Router()
        router.take(rib.pull(EVERYTHING))
        book.replace(wanted)
        router.take(rib.pull(EVERYTHING))
        assert set(router.routes) <= {ONE}
        assert rib.sent_count == len(router.routes)


def test_what_was_sent_has_words() -> None:
    """Also in the middle of a change."""
    book = book_of(group(ONE, SIX, communities=(65537,)))
    rib = AdjRibOut(book, "a", BOTH)
    assert list(rib.sent()) == []
    rib.pull(1)
    assert list(rib.sent()) == [(ONE, "next hop 192.0.2.1, path 65000, communities 1:1")]
    rib.pull(EVERYTHING)
    assert list(rib.sent())[1] == (
        SIX,
        "next hop 2001:db8::1, path 65000, communities 1:1",
    )


@pytest.mark.parametrize("start", range(6))
def test_what_was_sent_is_told_from_a_place_on(start: int) -> None:
    """Whoever asks page by page sees each prefix once."""
    rib = AdjRibOut(book_of(group(ONE, SIX, TWO), group(THREE, communities=(1,))), "a", BOTH)
    rib.pull(EVERYTHING)
    assert list(rib.sent(start)) == list(rib.sent())[start:]


def test_peers_share_what_was_packed_and_nothing_stays() -> None:
    """16 sessions get the same octets; when all have them they are forgotten."""
    names = [f"peer-{n:02}" for n in range(16)]
    book = book_of(group(*hosts(3000), peers=names))
    ribs = [AdjRibOut(book, name, BOTH) for name in names]
    rounds = []
    while any(rib.is_pending for rib in ribs):
        rounds.append({rib.pull(1).octets for rib in ribs})
        assert len(rounds[-1]) == 1
        kept = len(book.packer)
    assert kept == 0
    book.replace([group(*hosts(3001), peers=names)])
    for rib in ribs[:-1]:
        rib.pull(EVERYTHING)
    assert len(book.packer) > 0
    ribs[-1].close()
    assert len(book.packer) == 0


def test_sessions_with_one_encoding_share_how_it_is_packed() -> None:
    """Until the last of them is over."""
    book = book_of(group(ONE, peers=["a", "b"]))
    first, second = AdjRibOut(book, "a", BOTH), AdjRibOut(book, "b", BOTH)
    shared = book.packings(BOTH)
    first.close()
    assert book.packings(BOTH) is shared
    second.close()
    assert book.packings(BOTH) is not shared


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_the_router_ends_up_with_what_is_wanted(seed: int) -> None:
    """Changes, refreshes and pulls of any size, in any order."""
    chance = random.Random(seed)
    texts = [*hosts(900), *(f"2001:db8::{n:x}/128" for n in range(1, 200))]
    book = RouteBook()
    ribs = {name: AdjRibOut(book, name, enc) for name, enc in [("a", BOTH), ("b", INTERNAL)]}
    routers = {name: Router() for name in ribs}
    wanted: dict[str, dict[str, tuple[int, ...]]] = {"a": {}, "b": {}}
    for _ in range(30):
        if chance.random() < 0.4:
            chosen = sorted(chance.sample(texts, chance.choice([0, 3, len(texts)])))
            cut = chance.randrange(len(chosen) + 1)
            groups = [
                group(*chosen[:cut], peers=["a", "b"], communities=(chance.choice([1, 2]),)),
                group(*chosen[cut:], peers=["a"], local_pref=chance.choice([0, 9])),
            ]
            book.replace(groups)
            wanted["b"] = dict.fromkeys(groups[0].prefixes, groups[0].communities)
            wanted["a"] = {**wanted["b"], **dict.fromkeys(groups[1].prefixes, ())}
        name = chance.choice(["a", "b"])
        if chance.random() < 0.2:
            ribs[name].refresh(chance.choice([IPV4, IPV6]), is_enhanced=chance.random() < 0.5)
        routers[name].take(ribs[name].pull(chance.choice([1, 5000, EVERYTHING])))
        assert ribs[name].sent_count == len(routers[name].routes)
        assert dict(ribs[name].sent()).keys() == routers[name].routes.keys()
    for name, rib in ribs.items():
        routers[name].take(rib.pull(EVERYTHING))
        assert routers[name].routes == wanted[name]
        assert not rib.is_pending
