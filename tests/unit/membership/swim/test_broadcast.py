"""News on their way: which go first, how often, and how much fits."""

from __future__ import annotations

import random

import pytest

from mercurylb.membership.swim.broadcast import QUEUE_MAX, BroadcastQueue, retransmit_limit


def take(
    queue: BroadcastQueue, room: int = 1000, *, limit: int = 4, count_max: int = 99
) -> list[bytes]:
    """Take one datagram's worth."""
    taken = queue.take(room, overhead=2, limit=limit, count_max=count_max)
    queue.validate()
    return taken


@pytest.mark.rule("membership-7.limit")
@pytest.mark.parametrize(
    ("count", "limit"), [(1, 4), (9, 4), (10, 8), (50, 8), (99, 8), (100, 12), (1000, 16)]
)
def test_limit_grows_with_the_logarithm(count: int, limit: int) -> None:
    """The multiplier times the digits of the cluster's size and one."""
    assert retransmit_limit(4, count) == limit


@pytest.mark.rule("membership-7.limit")
def test_news_are_sent_so_often_and_no_more() -> None:
    """Each taking counts; the last one ends it."""
    queue = BroadcastQueue()
    news = queue.queue("a", b"1")
    assert [take(queue, limit=3) for _ in range(4)] == [[b"1"], [b"1"], [b"1"], []]
    assert news.is_done


@pytest.mark.rule("membership-7.key")
def test_newer_news_take_the_place_of_the_older() -> None:
    """One news waits per key, and begins at nothing sent."""
    queue = BroadcastQueue()
    former = queue.queue("a", b"1")
    take(queue)
    queue.queue("a", b"2")
    assert former.is_done
    assert [take(queue, limit=2), take(queue, limit=2), take(queue)] == [[b"2"], [b"2"], []]


@pytest.mark.rule("membership-7.order")
def test_seldom_sent_then_long_then_new_go_first() -> None:
    """Three ranks, in this order."""
    queue = BroadcastQueue()
    queue.queue("sent", b"longest of them all")
    take(queue)
    for message in (b"old", b"longer", b"new"):
        queue.queue(message.decode(), message)
    assert take(queue) == [b"longer", b"new", b"old", b"longest of them all"]


@pytest.mark.rule("membership-7.budget")
@pytest.mark.parametrize(
    ("room", "sizes"),
    [
        (1, []),
        (2, []),
        (5, [3]),
        (11, [3, 3]),
        (12, [10]),
        (17, [10, 3]),
        (23, [10, 3, 3]),
        (99, [10, 10, 3, 3]),
    ],
)
def test_what_does_not_fit_makes_room_for_what_does(room: int, sizes: list[int]) -> None:
    """Each news costs its length and the overhead."""
    queue = BroadcastQueue()
    for key, size in enumerate([10, 10, 3, 3]):
        queue.queue(str(key), bytes(size))
    assert [len(message) for message in take(queue, room)] == sizes


def test_count_is_bounded_too() -> None:
    """A compound holds 255 messages, however small."""
    queue = BroadcastQueue()
    for key in range(300):
        queue.queue(str(key), b"x")
    assert len(take(queue, 10_000, count_max=254)) == 254


def test_queue_is_bounded() -> None:
    """What was sent most often gives way."""
    queue = BroadcastQueue()
    first = queue.queue("first", b"x")
    take(queue)
    for key in range(QUEUE_MAX):
        queue.queue(str(key), b"x")
    assert len(queue) == QUEUE_MAX
    assert first.is_done


@pytest.mark.rule("membership-7.order", "membership-7.budget")
def test_order_is_that_of_a_plain_search() -> None:
    """The tree of ranks gives what looking at everything gives."""
    chance = random.Random(5)
    queue = BroadcastQueue()
    plain: dict[str, tuple[int, int, int, bytes]] = {}
    for step in range(2000):
        key = str(chance.randrange(20))
        message = chance.randbytes(chance.randrange(1, 60))
        queue.queue(key, message)
        plain[key] = (0, -len(message), -step, message)
        if step % 3:
            continue
        room = chance.randrange(200)
        taken, expected = take(queue, room, limit=3), []
        waiting = sorted((rank, key) for key, rank in plain.items())
        for (count, size, number, news), name in waiting:
            if len(news) + 2 > room:
                continue
            room -= len(news) + 2
            expected.append(news)
            del plain[name]
            if count + 1 < 3:
                plain[name] = (count + 1, size, number, news)
        assert taken == expected
