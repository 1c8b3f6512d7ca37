"""The loop that drives machines."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from mercurylb.net.driver import OVERDUE_S, Driver

if TYPE_CHECKING:
    from collections.abc import Callable


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until a condition holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (the driver has nothing that could be awaited)
            await asyncio.sleep(0.001)


class Ticking:
    """A machine that wants three ticks."""

    def __init__(self) -> None:
        self.at: float | None = None
        self.left = 3

    def next_deadline(self) -> float | None:
        """Return the next tick."""
        return self.at

    def on_deadline(self, now: float) -> list[str]:
        """Tick."""
        self.left -= 1
        self.at = now + 0.01 if self.left else None
        return ["tick"]


async def test_deadlines_are_kept() -> None:
    """The timer fires for every deadline, and for none when there is none."""
    machine, done = Ticking(), []
    driver: Driver[str] = Driver(machine, done.append)
    machine.at = time.monotonic() + 0.01
    driver.take(["first"])
    await until(lambda: len(done) == 4)
    assert done == ["first", "tick", "tick", "tick"]
    assert driver.take_lag() >= 0


async def test_earlier_deadline_replaces_a_later_one() -> None:
    """A fact that makes something due sooner is acted on in time."""
    machine, done = Ticking(), []
    driver: Driver[str] = Driver(machine, done.append)
    machine.at = time.monotonic() + 60
    driver.take([])
    machine.at = time.monotonic() + 0.01
    driver.take([])
    await until(lambda: bool(done))
    driver.close()


async def test_many_effects_are_performed_in_order_and_in_slices() -> None:
    """Other callbacks run in between, and later effects wait for earlier ones."""
    done: list[int] = []

    def perform(effect: int) -> None:
        done.append(effect)
        time.sleep(0.0002)

    driver: Driver[int] = Driver(Ticking(), perform)
    driver.take(range(200))
    assert len(done) < 200
    driver.take([200])
    await until(lambda: len(done) == 201)
    assert done == list(range(201))


async def test_what_is_long_overdue_comes_before_the_next_fact() -> None:
    """After a stop the machine learns of its own lateness before anything it is told."""
    machine, done = Ticking(), []
    driver: Driver[str] = Driver(machine, done.append)
    machine.left = 1
    machine.at = time.monotonic() + 0.01
    driver.take([])
    time.sleep(0.02)  # noqa: ASYNC251 (the whole process stands still)
    driver.catch_up()
    assert done == [], "a little late is not worth it"
    time.sleep(OVERDUE_S)  # noqa: ASYNC251
    now = driver.catch_up()
    driver.take(["fact"])
    assert done == ["tick", "fact"]
    assert driver.take_lag() > OVERDUE_S
    assert abs(now - time.monotonic()) < 1
    await asyncio.sleep(0.01)
    assert done == ["tick", "fact"]
    driver.close()
