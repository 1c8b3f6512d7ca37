"""Trouble as text: a list of steps that can be written by chance, replayed, cut down and kept.

One step per line: how long to wait first, a verb, and its arguments; nodes are numbers from 1.
A step that does not apply (a dead node is killed again) does nothing, so that a story stays
playable when some of its steps are taken out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from tests.sim.world.cluster import Cluster
    from tests.sim.world.node import Node
    from tests.sim.world.shape import Shape


class Step(msgspec.Struct, frozen=True):
    """Wait, then do something."""

    wait_s: float
    verb: str
    args: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join((f"{self.wait_s:.3f}", self.verb, *self.args))


def parse_script(text: str) -> list[Step]:
    """Read steps, one per line; `#` begins a comment."""
    steps = []
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if words:
            steps.append(Step(float(words[0]), words[1], tuple(words[2:])))
    return steps


# --- verbs -------------------------------------------------------------------------------------


def _start(world: Cluster, node: Node) -> None:
    world.start(node)


def _boot(world: Cluster, node: Node) -> None:
    node.is_up = True
    world.start(node)


def _kill(world: Cluster, node: Node) -> None:
    if node.process is not None:
        world.seen["kill"] += 1
        node.end()


def _die(world: Cluster, node: Node) -> None:
    world.seen["death"] += 1
    node.is_up = False
    node.end()
    world.network_changed()


def _restart(world: Cluster, node: Node) -> None:
    if node.process is not None:
        world.seen["restart"] += 1
        node.end()
        world.start(node)


def _stop(world: Cluster, node: Node) -> None:
    if node.process is not None and not node.is_leaving and not node.is_frozen:
        world.seen["stop"] += 1
        node.is_leaving = True
        node.give(lambda process: process.on_stop(node.clock.now()))


def _pause(world: Cluster, node: Node, seconds: str) -> None:
    process = node.process
    if process is None or node.is_paused:
        return
    world.seen["pause"] += 1
    node.pause()

    def go_on() -> None:
        if node.process is process and node.is_paused:
            node.go_on()

    world.timeline.after(float(seconds), go_on)


def _stall(world: Cluster, node: Node, seconds: str) -> None:
    world.seen["stall"] += 1
    node.stall(float(seconds))


def _hogs(world: Cluster, node: Node, stall_max_s: str) -> None:
    """Crowd the processors of a node: waits of up to so long, again and again; 0 ends it."""
    was_crowded = node.stall_max_s > 0.0
    node.stall_max_s = float(stall_max_s)
    if was_crowded:
        return

    def again() -> None:
        if node.stall_max_s > 0.0:
            waits_s = world.chance.random() ** 2 * node.stall_max_s
            node.stall(waits_s)
            world.timeline.after(waits_s + world.chance.uniform(0.0, 0.1), again)

    again()


def _carrier(world: Cluster, node: Node, has_carrier: str) -> None:
    is_there = has_carrier == "1"
    if not node.is_up or node.has_carrier == is_there:
        return
    world.seen["carrier"] += 1
    node.has_carrier = is_there
    (world.network.isolated.discard if is_there else world.network.isolated.add)(node.name)
    world.network_changed()
    node.give(lambda process: process.on_carrier(node.has_carrier, node.clock.now()))


def _cut(world: Cluster, node: Node) -> None:
    """Cut a node off behind the switch: its link still looks well."""
    world.seen["cut"] += 1
    world.network.isolated.add(node.name)
    world.network_changed()


def _mend(world: Cluster, node: Node) -> None:
    if node.has_carrier:
        world.network.isolated.discard(node.name)
        world.network_changed()


def _split(world: Cluster, groups: str) -> None:
    """Put each node into a group, one digit per node."""
    names = [node.name for node in world.nodes]
    world.network.group_of = dict(zip(names, map(int, groups), strict=True))
    world.network_changed()


def _heal(world: Cluster) -> None:
    world.network.group_of = {}
    world.network_changed()


def _oneway(world: Cluster, sender: Node, receiver: Node) -> None:
    world.network.one_way.add((sender.name, receiver.name))


def _bothways(world: Cluster) -> None:
    world.network.one_way.clear()
    world.network.loss_of.clear()


def _loss(world: Cluster, loss: str) -> None:
    world.network.loss = float(loss)


def _badlink(world: Cluster, sender: Node, receiver: Node, loss: str) -> None:
    world.network.loss_of[sender.name, receiver.name] = float(loss)


def _delay(world: Cluster, delay: str, jitter: str) -> None:
    world.network.delay_s, world.network.jitter_s = float(delay), float(jitter)


def _duplicate(world: Cluster, share: str) -> None:
    world.network.duplication = float(share)


def _brain(world: Cluster, node: Node, seconds: str) -> None:
    """Restart a brain, which is away for a while."""
    if node.process is not None and node.has_brain:
        world.seen["brain restart"] += 1
        node.has_brain = False
        process = node.process

        def back() -> None:
            if node.process is process:
                world.start_brain(node, 0.0)

        world.timeline.after(float(seconds), back)


def _rank(world: Cluster, index: str) -> None:
    world.seen["other ranking"] += 1
    names = list(world.services)
    world.rank_anew(names[int(index) % len(names)])


def _wait(world: Cluster) -> None:
    del world


_VERBS: dict[str, Callable[..., Any]] = {
    verb.__name__.lstrip("_"): verb
    for verb in (
        _start, _boot, _kill, _die, _restart, _stop, _pause, _stall, _hogs, _carrier, _cut, _mend,
        _split, _heal, _oneway, _bothways, _loss, _badlink, _delay, _duplicate, _brain, _rank,
        _wait,
    )
}  # fmt: skip

_NODE_COUNT = {"oneway": 2, "badlink": 2} | dict.fromkeys(
    ("split", "heal", "bothways", "loss", "delay", "duplicate", "rank", "wait"), 0
)


def quiet(world: Cluster) -> None:
    """End every fault; who is dead stays dead."""
    world.network.become_quiet()
    _heal(world)
    for node in world.nodes:
        _hogs(world, node, "0")
        node.stalled_until = min(node.stalled_until, world.now)
        if node.is_paused:
            node.go_on()
        node.wake()
        _carrier(world, node, "1")
        _mend(world, node)
        if node.process is not None and not node.has_brain:
            world.start_brain(node, 0.0)


def do(world: Cluster, step: Step) -> None:
    """Do one step now."""
    world.log(f"--- {step.verb} {' '.join(step.args)}")
    count = _NODE_COUNT.get(step.verb, 1)
    nodes = [world.nodes[int(number) - 1] for number in step.args[:count]]
    _VERBS[step.verb](world, *nodes, *step.args[count:])


# --- scripts by chance -------------------------------------------------------------------------


def random_step(shape: Shape, chance: random.Random) -> Step:
    """Make up one step."""
    first, second = (str(n) for n in chance.sample(range(1, shape.nodes + 1), 2))

    def some(low: float, high: float) -> str:
        return f"{chance.uniform(low, high):.3f}"

    choices: Sequence[tuple[str, ...]] = (
        ("kill", first),
        ("die", first),
        ("stop", first),
        ("restart", first),
        ("boot", first),
        ("boot", second),
        ("start", first),
        ("pause", first, some(0.05, 4.0)),
        ("stall", first, some(0.05, 1.5)),
        ("hogs", first, some(0.1, 0.45)),
        ("carrier", first, "0"),
        ("carrier", first, "1"),
        ("cut", first),
        ("mend", first),
        ("split", "".join(str(chance.randrange(2)) for _ in range(shape.nodes))),
        ("split", "".join(str(chance.randrange(2)) for _ in range(shape.nodes))),
        ("heal",),
        ("oneway", first, second),
        ("badlink", first, second, some(0.1, 0.9)),
        ("bothways",),
        ("loss", chance.choice(("0", "0.05", "0.1", "0.3"))),
        ("delay", *chance.choice((("0.0002", "0.001"), ("0.01", "0.02"), ("0.0", "0.2")))),
        ("duplicate", chance.choice(("0", "0.2"))),
        ("brain", first, chance.choice(("0.1", "2.0", "20.0"))),
        ("rank", str(chance.randrange(shape.services))),
    )
    verb, *args = chance.choice(choices)
    return Step(round(chance.uniform(0.0, 1.0), 3), verb, tuple(args))


def random_script(shape: Shape, chance: random.Random, length: int) -> list[Step]:
    """Make up a script."""
    return [random_step(shape, chance) for _ in range(length)]
