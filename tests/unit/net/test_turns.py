"""Fair turns on a real loop."""

from __future__ import annotations

import asyncio

from mercurylb.net.turns import Turns


async def test_first_piece_is_done_at_once_and_the_next_ones_in_turns() -> None:
    """A quiet loop costs no delay; a busy one looks after others between two pieces."""
    turns, order = Turns(), list[str]()
    turns.take(lambda: order.append("a"))
    assert order == ["a"]
    turns.take(lambda: order.append("b"))
    turns.take(lambda: order.append("c"))
    assert order == ["a"]
    for _ in range(4):
        order.append("|")
        await asyncio.sleep(0)
    assert "".join(order).replace("||", "|").startswith("a|b|c")


async def test_endless_work_lets_timers_through() -> None:
    """Pieces that ask for another turn for ever starve nobody."""
    turns, count = Turns(), 0

    def piece() -> None:
        nonlocal count
        count += 1
        if not fired.done():
            turns.take(piece)

    fired: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.01, fired.set_result, None)
    for _ in range(16):
        turns.take(piece)
    await asyncio.wait_for(fired, 1)
    assert count > 1


async def test_later_is_never_within_the_call() -> None:
    """What must not happen within a call happens after it, also on a quiet loop."""
    turns, order = Turns(), list[str]()
    turns.later(lambda: order.append("later"))
    assert order == []
    await asyncio.sleep(0)
    assert order == ["later"]
    turns.take(lambda: order.append("soon"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert order == ["later", "soon"]
