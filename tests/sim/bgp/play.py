"""A seed is a script of trouble; after it comes a quiet time, and then everything must be well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tests.sim.bgp.world import QUIET_S, Trouble, World

if TYPE_CHECKING:
    from collections.abc import Callable

STEP_COUNT = 10
SETTLE_S = 10.0


def _cut(world: World) -> None:
    world.line.is_cut = True


def _heal(world: World) -> None:
    world.line.is_cut = False


def _delay(world: World) -> None:
    world.line.delay_s = world.chance.choice((0.0005, 0.005, 0.05, 0.4))


def _routes(world: World) -> None:
    host = world.chance.choice(world.hosts)
    host.groups = world.random_groups(host)
    host.process.want()


def _drain(world: World) -> None:
    """Let everything of a host leave, or come back."""
    host = world.chance.choice(world.hosts)
    is_leaving = world.chance.random() < 0.7
    host.groups = tuple(
        msgspec.structs.replace(group, is_leaving=is_leaving) for group in host.groups
    )
    host.process.want()


def _restart(world: World) -> None:
    world.chance.choice(world.hosts).restart()


def _stop(world: World) -> None:
    host = world.chance.choice(world.hosts)
    host.process.stop()
    world.after(world.chance.choice((0.5, 5.0)), host.restart)


def _slow(world: World) -> None:
    reader = world.chance.choice(world.hosts).process
    world.line.slow_until[id(reader)] = world.now + world.chance.uniform(1, 60)


def _deaf(world: World) -> None:
    reader = world.chance.choice(world.hosts).process
    world.line.deaf_until[id(reader)] = world.now + world.chance.choice((5, 30, 400))


def _bfd(world: World) -> None:
    host, other = world.chance.sample(world.hosts, 2)
    process = host.process
    process.do(process.speaker.on_bfd(other.name, is_up=False, reason="test", now=world.now))

    def back() -> None:
        if process.is_alive:
            effects = process.speaker.on_bfd(other.name, is_up=True, reason="", now=world.now)
            process.do(effects)

    world.after(world.chance.uniform(0, 5), back)


def _reset(world: World) -> None:
    host, other = world.chance.sample(world.hosts, 2)
    is_soft = world.chance.random() < 0.5
    host.process.do(host.process.speaker.on_reset(other.name, world.now, is_soft=is_soft))


def _change(world: World) -> None:
    host = world.chance.choice(world.hosts)
    hold_time_s = world.chance.choice(world.hold_times_s)
    host.peers = (msgspec.structs.replace(host.peers[0], hold_time_s=hold_time_s), *host.peers[1:])
    host.process.want()


def _stall(world: World) -> None:
    """Let a process sleep through its timers."""
    world.chance.choice(world.hosts).stalled_until = world.now + world.chance.uniform(1, 20)


def _repeat(world: World) -> None:
    """Say the same again, and look at timers that are not due."""
    for host in world.hosts:
        host.process.want()
        host.process.do(host.process.speaker.on_deadline(world.now))


STEPS: dict[str, Callable[[World], None]] = {
    "cut": _cut, "heal": _heal, "delay": _delay, "routes": _routes, "drain": _drain,
    "restart": _restart, "stop": _stop, "slow": _slow, "deaf": _deaf, "bfd": _bfd,
    "reset": _reset, "change": _change, "stall": _stall, "repeat": _repeat,
}  # fmt: skip


def play(seed: int) -> World:
    """Play a seed to its end; raises `Trouble` with the story."""
    world = World(seed)
    try:
        _play(world)
    except Exception as error:
        story = "\n".join(world.story)
        raise Trouble(f"seed {seed}: {type(error).__name__}: {error}\n{story}") from error
    return world


def _play(world: World) -> None:
    chance = world.chance
    for _ in range(STEP_COUNT):
        world.run(chance.choice((0.0, 0.001, 0.02, 0.5, 3.0, 15.0, 70.0)))
        name = chance.choice(list(STEPS))
        world.tell(f"--- {name}")
        world.seen[name] += 1
        STEPS[name](world)
    world.run(10.0)
    world.is_troubled = False
    _heal(world)
    world.line.delay_s = 0.001
    world.line.slow_until.clear()
    world.line.deaf_until.clear()
    world.tell("--- quiet")
    world.run(SETTLE_S)
    for host in world.hosts:
        if host.process.is_stopped:
            host.restart()
    until = world.now + QUIET_S
    while world.wrong() and world.now < until:
        world.run(SETTLE_S)
    world.run(SETTLE_S)
    if wrong := world.wrong():
        raise Trouble(wrong)
